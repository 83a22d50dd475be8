//! What a run costs: wall time, CPU time, memory.

use anyhow::{Context, Result};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use std::fs;
use std::time::{Duration, Instant};

/// What one run cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// Of both ends.
    pub(crate) cpu: Duration,
    /// Peak memory in KiB of the sending and the receiving process, where it could be read.
    pub(crate) peak: Option<(u64, u64)>,
}

/// A clock that runs.
pub(crate) struct Meter {
    begun: Instant,
    cpu: Duration,
}

impl Meter {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { cpu: cpu()?, begun: Instant::now() })
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// All children must have been waited for by now.
    pub(crate) fn stop(self) -> Result<Cost> {
        let wall = self.begun.elapsed();
        Ok(Cost { wall, cpu: cpu()?.saturating_sub(self.cpu), peak: None })
    }
}

/// CPU time of this process and of all children that ended and were waited for.
fn cpu() -> Result<Duration> {
    let of = |usage: Usage| usage.user_time() + usage.system_time();
    let micros = |who| anyhow::Ok(u64::try_from(nix::sys::time::TimeValLike::num_microseconds(&of(getrusage(who)?)))?);
    Ok(Duration::from_micros(micros(UsageWho::RUSAGE_SELF)? + micros(UsageWho::RUSAGE_CHILDREN)?))
}

/// The most memory that a living process has held so far, in KiB.
pub(crate) fn peak_memory(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(peak.trim_end_matches("kB").trim().parse()?)
}
