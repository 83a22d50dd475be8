use super::*;
use crate::transfer::file_name::Name;
use crate::transfer::manifest::{Builder, Manifest};
use crate::transfer::resume::{Journal, Journals, Key};
use std::sync::Arc;
use tempfile::{TempDir, tempdir};

const SIZE: usize = 5_000;

/// A folder that receives, and a state directory.
struct Rooms {
    to: TempDir,
    state: TempDir,
}

/// `t` with `sub` in it, and in that the files `a` and `b`.
fn sample() -> Manifest {
    let mut builder = Builder::default();
    for folder in ["t", "sub"] {
        builder.enter(Name::new(folder).unwrap(), Meta::default()).unwrap();
    }
    for file in ["a", "b"] {
        builder.file(Name::new(file).unwrap(), Meta::default(), 9_999).unwrap();
    }
    builder.leave().unwrap();
    builder.leave().unwrap();
    builder.finish().unwrap()
}

impl Rooms {
    fn new() -> Self {
        Self { to: tempdir().unwrap(), state: tempdir().unwrap() }
    }

    fn folder(&self) -> PathBuf {
        self.to.path().join("t (1)/sub")
    }

    /// A download that published `a` and has a part of `b`; gives its journal, still open, and the partial.
    fn begin(&self, peer: &str) -> (Journal, PathBuf) {
        let journals = Journals::new(self.state.path().into());
        let into = self.to.path().canonicalize().unwrap();
        let key = Key { peer, digest: &[1; 32], into: &into };
        let (mut journal, _) = Journal::open(&journals, key, &sample(), &Arc::default()).unwrap();
        journal.folder(0, None, "t (1)");
        journal.folder(1, Some(0), "sub");
        journal.whole(0);
        fs::create_dir_all(self.folder()).unwrap();
        fs::write(self.folder().join("a"), "whole").unwrap();
        let partial = self.folder().join(journal.partial(1));
        fs::write(&partial, vec![7; SIZE]).unwrap();
        (journal, partial)
    }

    fn list(&self) -> Vec<Unfinished> {
        list(self.state.path()).unwrap()
    }

    fn remove(&self) -> Result<Rest, StaleError> {
        remove(self.state.path(), &self.list()[0].id)
    }

    fn journals(&self) -> usize {
        fs::read_dir(self.state.path()).unwrap().count()
    }
}

#[test]
fn an_unfinished_download_is_shown_with_what_is_there_of_it() {
    let rooms = Rooms::new();
    rooms.begin("PEER");
    let found = &rooms.list()[0];
    assert_eq!((found.peer.as_str(), found.first.as_str()), ("PEER", "t"));
    assert_eq!(found.into, rooms.to.path().canonicalize().unwrap());
    assert_eq!(found.rest, Rest::Partial(5_000));
    assert_eq!(found.id.len(), ID_SHOWN);
    assert!(found.touched.elapsed().unwrap() < Duration::from_secs(600));
}

#[test]
fn partial_and_journal_are_removed_and_nothing_else() {
    let rooms = Rooms::new();
    let (_, partial) = rooms.begin("PEER");
    let others = [".p2pchat-0123456789abcdef", ".p2pchat-mine", "a"].map(|name| rooms.folder().join(name));
    others.iter().for_each(|path| fs::write(path, "other").unwrap());
    assert_eq!(rooms.remove().unwrap(), Rest::Partial(5_000));
    assert!(!partial.exists() && others.iter().all(|path| path.exists()));
    assert_eq!(rooms.journals(), 0);
}

#[test]
fn what_a_running_download_holds_is_shown_as_such_and_stays() {
    let rooms = Rooms::new();
    let (_running, partial) = rooms.begin("PEER");
    assert_eq!(rooms.list()[0].rest, Rest::Running);
    assert!(matches!(rooms.remove(), Err(StaleError::Running(_))));
    assert!(partial.exists());
    assert_eq!(rooms.journals(), 1);
    assert_eq!(count_older(rooms.state.path(), Duration::ZERO), 0);
}

#[test]
fn what_is_gone_already_is_said_and_its_journal_goes() {
    let rooms = Rooms::new();
    let (_, partial) = rooms.begin("PEER");
    fs::remove_file(partial).unwrap();
    assert_eq!(rooms.list()[0].rest, Rest::Nothing);
    assert_eq!(rooms.remove().unwrap(), Rest::Nothing);
    rooms.begin("PEER");
    fs::remove_dir_all(rooms.to.path()).unwrap();
    assert_eq!(rooms.list()[0].rest, Rest::NoFolder);
    assert_eq!(rooms.remove().unwrap(), Rest::NoFolder);
    assert_eq!(rooms.journals(), 0);
}

#[test]
fn a_journal_that_makes_no_sense_is_shown_and_can_be_removed() {
    let rooms = Rooms::new();
    fs::write(rooms.state.path().join("download-0123456789abcdef"), "rubbish").unwrap();
    fs::write(rooms.state.path().join("notes"), "not ours").unwrap();
    assert!(matches!(rooms.list()[..], [Unfinished { rest: Rest::Unknown(_), .. }]));
    assert!(matches!(rooms.remove(), Ok(Rest::Unknown(_))));
    assert!(rooms.state.path().join("notes").exists());
}

#[test]
fn an_id_names_one_or_none() {
    let rooms = Rooms::new();
    for name in ["download-aa00", "download-aa01"] {
        fs::write(rooms.state.path().join(name), "").unwrap();
    }
    let remove = |id| remove(rooms.state.path(), id);
    assert!(matches!(remove("aa0"), Err(StaleError::Ambiguous(_))));
    for none in ["", "b", "../x", "download-aa00"] {
        assert!(matches!(remove(none), Err(StaleError::NoSuchId(_))), "{none:?}");
    }
    assert!(remove("aa01").is_ok());
    assert_eq!(rooms.journals(), 1);
}

#[test]
fn only_what_nothing_came_of_for_long_is_counted_as_old() {
    let rooms = Rooms::new();
    let (_, partial) = rooms.begin("PEER");
    let day = Duration::from_secs(24 * 3_600);
    let age = |path: &Path| {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - 40 * day).unwrap();
    };
    assert_eq!(count_older(rooms.state.path(), 30 * day), 0);
    age(&fs::read_dir(rooms.state.path()).unwrap().next().unwrap().unwrap().path());
    assert_eq!(count_older(rooms.state.path(), 30 * day), 0, "data came lately");
    age(&partial);
    assert_eq!(count_older(rooms.state.path(), 30 * day), 1);
    assert_eq!(count_older(Path::new("/nonexistent"), day), 0);
}

#[cfg(unix)]
#[test]
fn no_link_is_followed_to_what_would_be_removed() {
    use std::os::unix::fs::symlink;
    let rooms = Rooms::new();
    let elsewhere = tempdir().unwrap();
    let (_, partial) = rooms.begin("PEER");
    let precious = elsewhere.path().join(partial.file_name().unwrap());
    fs::rename(&partial, &precious).unwrap();
    // In place of the partial, and in place of the folder that it was in.
    symlink(&precious, &partial).unwrap();
    assert_eq!(rooms.list()[0].rest, Rest::Nothing);
    fs::remove_dir_all(rooms.folder()).unwrap();
    symlink(elsewhere.path(), rooms.folder()).unwrap();
    assert_eq!(rooms.list()[0].rest, Rest::Nothing);
    assert_eq!(rooms.remove().unwrap(), Rest::Nothing);
    assert!(precious.exists());
}

#[test]
fn a_journal_cannot_lead_to_another_folder() {
    let rooms = Rooms::new();
    let (_, partial) = rooms.begin("PEER");
    let path = fs::read_dir(rooms.state.path()).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("folder 1 0 sub", "folder 1 0 ..")).unwrap();
    assert!(matches!(rooms.remove(), Ok(Rest::Unknown(_))));
    assert!(partial.exists());
}
