//! Disks that are full, slow or gone, and sources that change under the sender: both sides are told in clear words, what is there of
//! a file is kept, the rest goes on, and so does the conversation.

use crate::support::files::content;
use crate::support::home::names;
use crate::support::peer::Stream;
use crate::support::{Home, Peer, Plan, Relay, Way, is, meet, meet_through, text};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const MIB: usize = 1 << 20;

/// `ana` takes everything; after a MiB of `ben`'s the line stands still until it is released.
fn meet_with_a_stop() -> (Peer, Relay, Peer) {
    let stops = Plan::up(Way { stall_after: Some(MIB as u64), ..Way::default() });
    let relay = move |target| Relay::planned(target, move |_| stops);
    meet_through(relay, (&Home::new(), &Home::new()), &["--accept", "always"], &[])
}

/// A line each way, as if nothing had happened.
#[track_caller]
fn they_talk(ana: &Peer, ben: &Peer, word: &str) {
    ana.send(&format!("{word} from ana"));
    ben.message(&format!("{word} from ana"));
    ben.send(&format!("{word} from ben"));
    ana.message(&format!("{word} from ben"));
}

/// The transfer as a whole failed, or a file of it.
fn failed(event: &Value) -> bool {
    is(event, "failed") || is(event, "cancelled")
}

mod full {
    use super::*;

    /// A receiver on a small disk who takes what does not fit, and a sender.
    fn on_disk(size: &str) -> (Home, Mounted, Peer, Peer) {
        let home = Home::new();
        let mounted = Mounted::tmpfs(&home.inbox(), size);
        let ana = home.listen("ana", &["--accept", "ask"]);
        let ben = Home::new().connect("ben", ana.addr(), &[]);
        (home, mounted, ana, ben)
    }

    /// Takes what ben offers, and both are told that there is no room for it; what came is kept, and they talk on.
    #[track_caller]
    fn runs_full(ana: &Peer, ben: &Peer, named: &str) {
        let offer = ana.event("offer");
        assert!(offer["free"].as_u64() < offer["bytes"].as_u64(), "{offer}");
        ana.send("/accept");
        let (here, there) = (ana.wait_for(failed), ben.wait_for(failed));
        let (here, there) = (text(&here, "reason"), text(&there, "reason"));
        let dir = ana.home().inbox().display().to_string();
        assert!(here.contains("no space left on device") && here.contains(&dir), "{here}");
        assert!(there.contains("the disk is full") && there.contains(named) && !there.contains(&dir), "{there}");
        they_talk(ana, ben, "still here");
        let left = ana.home().received();
        let left: Vec<_> = left.iter().filter(|name| *name != "ballast").collect();
        assert!(matches!(&left[..], [part] if part.starts_with(".p2pchat-")), "{left:?}");
    }

    #[track_caller]
    fn a_second_try_completes(ana: &Peer, ben: &Peer, line: &str, all: u64) {
        ben.send(line);
        let offer = ana.event_nth(2, "offer");
        ana.send("/accept");
        let accepted = ana.wait_for_nth(2, |event| is(event, "accepted"));
        assert_eq!(accepted["transfer"], offer["transfer"]);
        let sent = ben.event("done")["bytes"].as_u64();
        assert_eq!(sent, Some(all));
        ana.event("done");
    }

    #[test]
    fn a_file_that_is_too_large_for_the_file_system_fails_alone() {
        let home = Home::new();
        let inbox = home.inbox();
        let arguments = ["listen", "127.0.0.1:0", "--json", "-n", "ana", "--accept", "always", "--dir"];
        let arguments = [&arguments[..], &[inbox.to_str().unwrap()]].concat();
        // Without a word of its own, a program that exceeds the limit is killed by a signal.
        let mut ana = home.start_by("ana", r#"ulimit -S -f 4096; exec "$@""#, &arguments);
        ana.event("listening");
        let sender = Home::new();
        let data = content("too large", 16 * MIB);
        sender.file("data", &data);
        sender.file("more", "more");
        let mut ben = sender.connect("ben", ana.addr(), &[]);
        ben.send("/send data more");
        let failed_here = ana.event("failed");
        assert!(text(&failed_here, "path").ends_with("data"), "{failed_here}");
        assert!(text(&failed_here, "reason").contains("too large"), "{failed_here}");
        ben.wait_for(|event| text(event, "reason") == "1 of 2 files did not arrive");
        let lies = format!("1 of 2 files did not arrive; what did is in {}", inbox.join("more").display());
        ana.wait_for(|event| text(event, "reason") == lies);
        they_talk(&ana, &ben, "still here");
        ben.send("/quit");
        ben.ends_with(6);
        ana.ends_with(6);
        assert_eq!(home.received(), ["more"]);
    }

    #[test]
    fn what_does_not_fit_is_not_taken_by_itself() {
        let (ana, ben) = meet(&["--accept", "always"], &[]);
        // A hole of more than any disk has.
        File::create(ben.home().work().join("data")).unwrap().set_len(1 << 43).unwrap();
        ben.send("/send data");
        for peer in [&ana, &ben] {
            let declined = peer.event("declined");
            assert!(text(&declined, "reason").contains("8796093022208 bytes are needed"), "{declined}");
        }
        they_talk(&ana, &ben, "still here");
        assert!(ana.home().received().is_empty());
    }

    #[test]
    #[ignore = "mounts a file system: needs root"]
    fn a_full_disk_is_told_and_goes_on_when_there_is_room() {
        let (home, _mounted, ana, ben) = on_disk("4m");
        fs::write(home.inbox().join("ballast"), vec![1; 2 * MIB]).unwrap();
        let data = content("no room", 3 * MIB);
        ben.offers("data", &data);
        runs_full(&ana, &ben, "data");
        fs::remove_file(home.inbox().join("ballast")).unwrap();
        a_second_try_completes(&ana, &ben, "/send data", 3 * MIB as u64);
        assert!(fs::read(home.inbox().join("data")).unwrap() == data, "it differs");
        assert_eq!(home.received(), ["data"]);
    }

    #[test]
    #[ignore = "mounts a file system: needs root"]
    fn a_stream_without_an_end_leaves_a_twentieth_of_a_small_disk() {
        let home = Home::new();
        let _mounted = Mounted::tmpfs(&home.inbox(), "64m");
        let ana = home.listen("ana", &["--accept", "always", "--code=right", "--keep"]);
        let addr = ana.addr().to_string();
        let stream = |name: &str, size: usize, exit| {
            let mut ben = Home::new().start("ben", &["send", "-", "--as", name, "--to", &addr, "--code=right"]);
            ben.pour(std::iter::once(content(name, size)));
            ben.close_input();
            ben.ends_with(exit);
        };
        stream("fits", 32 * MIB, 0);
        stream("does not", 32 * MIB, 6);
        let failed = ana.wait_for(failed);
        assert!(text(&failed, "reason").ends_with("the disk is nearly full"), "{failed}");
        let left = rustix::fs::statvfs(home.inbox()).unwrap();
        let (free, all) = (left.f_bavail * left.f_frsize, left.f_blocks * left.f_frsize);
        assert!(free >= all / 20, "{free} of {all} bytes left");
        assert!(fs::read(home.inbox().join("fits")).unwrap() == content("fits", 32 * MIB), "it differs");
    }

    #[test]
    #[ignore = "mounts a file system: needs root"]
    fn small_files_fill_a_disk_as_well() {
        let (home, _mounted, ana, ben) = on_disk("1m");
        let folder = ben.home().work().join("folder");
        fs::create_dir(&folder).unwrap();
        for number in 0..400 {
            fs::write(folder.join(format!("{number:03}")), content(&number.to_string(), 4_000)).unwrap();
        }
        ben.send("/send folder");
        runs_full(&ana, &ben, "folder/");
        remount(&home.inbox(), "4m");
        a_second_try_completes(&ana, &ben, "/send folder", 400 * 4_000);
        assert_eq!(home.received(), ["folder"]);
        for number in 0..400 {
            let landed = fs::read(home.inbox().join("folder").join(format!("{number:03}"))).unwrap();
            assert!(landed == content(&number.to_string(), 4_000), "{number}");
        }
        assert_eq!(names(&home.inbox().join("folder")).len(), 400);
    }
}

mod sources {
    use super::*;

    /// Bytes of a file: more than the program reads ahead of a line that stands still.
    const SIZE: usize = 6 * MIB;

    /// `first` is on its way, `second` is yet to come; then something happens to them.
    fn meanwhile(happens: impl FnOnce(&Path)) -> (Peer, Peer) {
        let (ana, relay, ben) = meet_with_a_stop();
        let folder = ben.home().work().join("folder");
        fs::create_dir(&folder).unwrap();
        for name in ["first", "second"] {
            fs::write(folder.join(name), content(name, SIZE)).unwrap();
        }
        ben.send("/send folder");
        relay.wait_for_struck(1);
        happens(&folder);
        relay.release();
        ana.wait_for(|event| is(event, "done") || (is(event, "failed") && event.get("path").is_none()));
        ben.wait_for(|event| is(event, "done") || (is(event, "failed") && event.get("path").is_none()));
        they_talk(&ana, &ben, "still here");
        // The line may go now that nothing is on it.
        drop(relay);
        (ana, ben)
    }

    /// That file failed on both sides, in these words on the sender's; the other arrived.
    #[track_caller]
    fn fails(name: &str, here: &str, there: &str, happens: impl FnOnce(&Path)) {
        let (ana, ben) = meanwhile(happens);
        for (peer, why) in [(&ben, here), (&ana, there)] {
            let files: Vec<_> = peer.all("failed").into_iter().filter(|event| event.get("path").is_some()).collect();
            assert_eq!(files.len(), 1, "{files:?}");
            assert!(text(&files[0], "path").ends_with(&format!("folder/{name}")), "{files:?}");
            assert!(text(&files[0], "reason").contains(why), "{files:?}");
            // Nobody learns where the other keeps his files.
            let other = if std::ptr::eq(peer, &ana) { &ben } else { &ana };
            let other = other.home().work().parent().unwrap().display().to_string();
            assert!(!peer.lines(Stream::Out).iter().any(|line| line.contains(&other)));
        }
        let other = if name == "first" { "second" } else { "first" };
        arrived(&ana, &[other]);
    }

    /// These and nothing else stand in the folder, as they were when they were offered.
    #[track_caller]
    fn arrived(ana: &Peer, wanted: &[&str]) {
        let folder = ana.home().inbox().join("folder");
        assert_eq!(names(&folder), wanted);
        for name in wanted {
            assert!(fs::read(folder.join(name)).unwrap() == content(name, SIZE), "{name} differs");
        }
    }

    fn open(path: PathBuf) -> File {
        File::options().write(true).open(path).unwrap()
    }

    #[test]
    fn one_that_changes_while_it_is_sent_fails_alone() {
        let there = "it changed while the peer read it";
        fails("first", "it shrank while it was sent", there, |folder| open(folder.join("first")).set_len(1).unwrap());
        fails("first", "grew while it was sent", there, |folder| {
            File::options().append(true).open(folder.join("first")).unwrap().write_all(b"more").unwrap();
        });
        fails("first", "it changed while it was sent", there, |folder| {
            open(folder.join("first")).write_all(b"other bytes").unwrap();
        });
    }

    #[test]
    fn one_that_is_replaced_or_removed_while_it_is_open_arrives_as_it_was_offered() {
        let replaced = |folder: &Path| {
            fs::write(folder.join("other"), content("other", SIZE)).unwrap();
            fs::rename(folder.join("other"), folder.join("first")).unwrap();
        };
        let removed = |folder: &Path| fs::remove_file(folder.join("first")).unwrap();
        for happens in [&replaced as &dyn Fn(&Path), &removed] {
            let (ana, _ben) = meanwhile(happens);
            arrived(&ana, &["first", "second"]);
        }
    }

    #[test]
    fn one_that_is_gone_or_another_before_its_turn_fails_alone() {
        let (changed, unreadable) = ("it changed while the peer read it", "the peer could not read it");
        let gone = |folder: &Path| fs::remove_file(folder.join("second")).unwrap();
        fails("second", "no such file", unreadable, gone);
        // In one step, or a file that is not written yet could be sent. Only a folder takes no file's place.
        let replaced = |folder: &Path, make: &dyn Fn(&Path)| {
            let (new, second) = (folder.with_file_name("new"), folder.join("second"));
            make(&new);
            if new.is_dir() {
                gone(folder);
            }
            fs::rename(new, second).unwrap();
        };
        fails("second", "it changed while it was sent", changed, |folder| {
            replaced(folder, &|new| fs::write(new, content("other", SIZE)).unwrap());
        });
        fails("second", "ceased to be a file", changed, |folder| {
            replaced(folder, &|new| fs::create_dir(new).unwrap());
        });
        fails("second", "ceased to be a file", changed, |folder| {
            // Opened in earnest, it would wait for somebody who writes.
            replaced(folder, &|new| nix::unistd::mkfifo(new, nix::sys::stat::Mode::S_IRWXU).unwrap());
        });
        // A link is not followed.
        fails("second", "symbolic link", unreadable, |folder| {
            replaced(folder, &|new| std::os::unix::fs::symlink("/etc/passwd", new).unwrap());
        });
    }
}

#[test]
fn a_folder_that_is_removed_meanwhile_is_told_and_they_talk_on() {
    let (ana, relay, mut ben) = meet_with_a_stop();
    ben.offers("data", content("data", 8 * MIB));
    ana.wait_for(|event| is(event, "progress") && event["bytes"].as_u64() > Some(0));
    relay.wait_for_struck(1);
    fs::remove_dir_all(ana.home().inbox()).unwrap();
    relay.release();
    for peer in [&ana, &ben] {
        peer.wait_for(failed);
    }
    assert!(text(&ana.event("failed"), "reason").contains("no such file or directory"));
    let path = ana.home().inbox().display().to_string();
    they_talk(&ana, &ben, "still here");
    // And what is offered next finds no folder at all.
    ben.offers("more", "more");
    let declined = ben.event("declined");
    assert!(text(&declined, "reason").contains("folder"), "{declined}");
    assert!(text(&ana.event("error"), "text").contains("no such file or directory"));
    they_talk(&ana, &ben, "and here");
    assert!(!ben.lines(Stream::Out).iter().any(|line| line.contains(&path)), "a local path was told");
    assert!(!ana.home().inbox().exists());
    ben.send("/quit");
    ben.ends_with(6);
}

/// A disk that stops in the middle of a write and goes on later.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "mounts a file system: needs root"]
fn a_disk_that_stands_still_delays_no_line_and_fills_no_memory() {
    /// What a stalled receiver may hold, in KiB: the window of 24 MiB, and the program itself, unoptimised.
    const BOUND_KIB: u64 = 64 << 10;
    const SIZE: usize = 128 * MIB;
    let home = Home::new();
    let image = home.work().join("image");
    File::create(&image).unwrap().set_len(192 * MIB as u64).unwrap();
    let mounted = Mounted::image(&image, &home.inbox());
    let ana = home.listen("ana", &["--accept", "always"]);
    let ben = Home::new().connect("ben", ana.addr(), &[]);
    let data = content("stands still", SIZE);
    ben.home().file("data", &data);
    ben.home().file("small", "small");
    ben.send("/send data");
    ana.event("accepted");
    let frozen = mounted.freeze();
    // The line is full and the disk takes nothing: still every line comes, and so does the answer to another offer.
    for n in 0..50 {
        they_talk(&ana, &ben, &format!("line {n}"));
    }
    ben.send("/send small");
    ana.wait_for_nth(2, |event| is(event, "offer"));
    ana.send("/transfers");
    let bytes = ana.event("info")["transfers"][0]["bytes"].as_u64().unwrap();
    assert!(bytes < SIZE as u64, "the disk did not stand still");
    for peer in [&ana, &ben] {
        assert!(peer.peak_memory() < BOUND_KIB, "{} KiB at the peak", peer.peak_memory());
    }
    drop(frozen);
    ana.event_nth(2, "done");
    assert!(fs::read(home.inbox().join("data")).unwrap() == data, "it differs");
    assert_eq!(fs::read(home.inbox().join("small")).unwrap(), b"small");
}

/// A file system of a test's own, for as long as the value lives.
struct Mounted(PathBuf);

impl Mounted {
    /// A small one in memory.
    fn tmpfs(at: &Path, size: &str) -> Self {
        Self::mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], at)
    }

    /// One in a file.
    #[cfg(target_os = "linux")]
    fn image(image: &Path, at: &Path) -> Self {
        run(Command::new("mkfs.ext4").args(["-q", "-E", "root_owner"]).arg(image));
        Self::mount(&["-o", "loop", image.to_str().unwrap()], at)
    }

    fn mount(arguments: &[&str], at: &Path) -> Self {
        run(Command::new("mount").args(arguments).arg(at));
        Self(at.to_owned())
    }

    /// From now on nothing can be written to it.
    #[cfg(target_os = "linux")]
    fn freeze(&self) -> Frozen {
        run(Command::new("fsfreeze").arg("-f").arg(&self.0));
        Frozen(self.0.clone())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn remount(at: &Path, size: &str) {
    run(Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(at));
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Until dropped.
#[cfg(target_os = "linux")]
struct Frozen(PathBuf);

#[cfg(target_os = "linux")]
impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.0).status();
    }
}
