//! The program as a person runs it, against what else moves files between two terminals: two processes over loopback.
//!
//! ```text
//! cargo bench --bench whole_program
//! ```
//!
//! Whether memory and speed depend on size and count, and nothing else:
//!
//! ```text
//! BENCH_SIZES=1 BENCH_MIB=0 BENCH_FILES=0 BENCH_LINES=0 BENCH_DIR=/dev/shm cargo bench --bench whole_program
//! ```
//!
//! Nothing is asserted. Four tables are printed: one large file, many small files, a file through a long fast link, and how long a line of chat takes while a
//! file fills the link. All ways of a table take turns, so that what the machine does besides hits them alike; the middle run of
//! each counts. Wall time begins when the sending program is started (the receiving one listens already) and ends when both have
//! ended, so it holds starting, the handshake and the goodbye. CPU time is that of both ends together. Peak memory (Linux) is that
//! of the sending and the receiving process, the most of all runs. `x` columns say how often p2pchat's time fits in:
//! 2.00 is half as fast. `nc`, `rsync` and `scp` are left out where they are not installed, `scp` also
//! where `ssh localhost` wants a password; of these only `scp` encrypts, and only `rsync` compares a digest of what arrived.
//!
//! Options are environment variables; 0 leaves a table out:
//!
//! | variable | default | |
//! |---|---|---|
//! | `BENCH_MIB` | 1024 | size of the large file in MiB; the chat needs one too, of 64 MiB then |
//! | `BENCH_FILES` | 10000 | number of small files, of 1 to 16 KiB |
//! | `BENCH_LINES` | 300 | lines of chat timed in each situation |
//! | `BENCH_FAR` | 1024 | size in MiB of a file through a link of 1 Gbit/s with a round trip of 150 ms |
//! | `BENCH_REPEAT` | 5 | runs of each way |
//! | `BENCH_SIZES` | 0 | 1 adds a table of one file of 1, 100 and 4,096 MiB, and of 10 and 10,000 files |
//! | `BENCH_COMPRESSION` | 0 | 1 adds a table of a source tree, shared libraries and random data over 10 and 100 Mbit/s, and of 1 GiB of random data and of text over loopback; 2 only the latter |
//! | `BENCH_BASE` | | another build of p2pchat, to stand beside this one in that table |
//! | `BENCH_DIR` | `target/tmp` | where files are read and written; four times the large file has to fit there |
//!
//! Where the disk is slower than all ways (a large file does not fit into the cache of writes), they differ little; a folder
//! in memory, such as `/dev/shm`, shows what the programs themselves can do.

#![allow(clippy::print_stdout, reason = "a benchmark is there to print")]
#![allow(clippy::as_conversions, reason = "measured numbers become floats to be shown")]

#[cfg(unix)]
mod chat;
#[cfg(unix)]
mod compression;
#[cfg(unix)]
mod cost;
#[cfg(unix)]
mod data;
#[cfg(unix)]
mod others;
#[cfg(unix)]
mod program;
#[cfg(unix)]
mod relay;
#[cfg(unix)]
mod sizes;
#[cfg(unix)]
mod table;

#[cfg(unix)]
fn main() -> anyhow::Result<()> {
    bench::run()
}

#[cfg(not(unix))]
fn main() {
    println!("this benchmark reads CPU time and memory the Unix way, and runs only there");
}

#[cfg(unix)]
mod bench {
    use crate::cost::Cost;
    use crate::relay::Link;
    use crate::{chat, compression, data, others, program, sizes, table};
    use anyhow::{Context, Result};
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::Duration;
    use std::{env, fs};

    /// To the other side of the world.
    const FAR: Link = Link::new(1_000, Duration::from_millis(75));
    /// Where everything is kept, unless told otherwise.
    const PLACE: &str = env!("CARGO_TARGET_TMPDIR");

    /// Moves the first, a file or a folder, into the second, an empty folder.
    pub(crate) type Move = dyn Fn(&Path, &Path) -> Result<Cost>;

    /// One way to do it.
    pub(crate) struct Way {
        pub(crate) name: &'static str,
        pub(crate) run: Box<Move>,
    }

    pub(crate) fn run() -> Result<()> {
        let place = env::var_os("BENCH_DIR").map_or_else(|| PathBuf::from(PLACE), PathBuf::from).join("whole_program");
        let repeat = number("BENCH_REPEAT", 5)?.max(1);
        let mib = number("BENCH_MIB", 1024)?;
        let files = number("BENCH_FILES", 10_000)?;
        let lines = number("BENCH_LINES", 300)?;
        println!("p2pchat {}, {}", env!("CARGO_PKG_VERSION"), machine());
        println!("loopback, {}, the middle of {repeat} runs that took turns\n", place.display());
        let large = || data::large(&place, mib.max(64));
        if mib > 0 {
            let large = large()?;
            let ways =
                [Some(program::file_way(None)), Some(others::tcp()), others::nc_file(), others::rsync(), others::scp()];
            let runs = take_turns(ways.into_iter().flatten().collect(), &large, &place, repeat)?;
            table::print(&format!("one file of {mib} MiB"), fs::metadata(&large)?.len(), &runs);
        }
        if files > 0 {
            let (folder, bytes) = data::small(&place, files)?;
            let ways = [Some(program::file_way(None)), others::tar_nc(), others::rsync(), others::scp()];
            let runs = take_turns(ways.into_iter().flatten().collect(), &folder, &place, repeat)?;
            table::print(&format!("{files} files of 1 to 16 KiB"), bytes, &runs);
        }
        let far = number("BENCH_FAR", 1024)?;
        if far > 0 {
            let file = data::large(&place, far)?;
            let runs = take_turns(vec![program::file_way(Some(FAR))], &file, &place, repeat)?;
            let least = FAR.time(fs::metadata(&file)?.len());
            table::print(
                &format!("{far} MiB through 1 Gbit/s, round trip 150 ms; the link needs {least:.2?}"),
                fs::metadata(&file)?.len(),
                &runs,
            );
        }
        if number("BENCH_SIZES", 0)? > 0 {
            sizes::run(&place, repeat)?;
        }
        let compression = number("BENCH_COMPRESSION", 0)?;
        if compression > 0 {
            compression::run(&place, repeat, compression == 1, env::var_os("BENCH_BASE").map(PathBuf::from))?;
        }
        if lines > 0 {
            chat::run(&place, &large()?, usize::try_from(lines)?)?;
        }
        Ok(())
    }

    /// Runs each way `repeat` times, one after the other and over again.
    fn take_turns(ways: Vec<Way>, from: &Path, place: &Path, repeat: u64) -> Result<Vec<(&'static str, Vec<Cost>)>> {
        let mut runs: Vec<_> = ways.iter().map(|way| (way.name, Vec::new())).collect();
        for _ in 0..repeat {
            for (way, (_, costs)) in ways.iter().zip(&mut runs) {
                let into = empty_folder(place, "received")?;
                // What an earlier run left for the disk shall not be written during this one.
                Command::new("sync").status().context("sync")?;
                let cost = (way.run)(from, &into).with_context(|| way.name)?;
                data::check(from, &into).with_context(|| format!("{} did not bring everything", way.name))?;
                costs.push(cost);
            }
        }
        empty_folder(place, "received")?;
        Ok(runs)
    }

    /// A folder of this name in which nothing is.
    pub(crate) fn empty_folder(place: &Path, name: &str) -> Result<PathBuf> {
        let folder = place.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    fn number(variable: &str, default: u64) -> Result<u64> {
        match env::var(variable) {
            Ok(text) => text.parse().with_context(|| format!("{variable} is no number")),
            Err(_) => Ok(default),
        }
    }

    /// What the numbers were measured on.
    fn machine() -> String {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        format!(
            "{} {}, {cores} cores: {}",
            env::consts::OS,
            env::consts::ARCH,
            model.trim_start_matches(['\t', ' ', ':'])
        )
    }
}
