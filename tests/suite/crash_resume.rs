//! Programs that are killed in the middle of a transfer: the same `/send` again always ends with the same tree, whole, once, and
//! with nothing beside it.
//!
//! A dozen kills by default. The long run:
//!
//! ```text
//! P2PCHAT_KILLS=200 cargo test --test suite crash_resume:: -- --nocapture
//! ```

use crate::support::files::content;
use crate::support::{Home, Peer, Rng};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// How many kills; documented above.
const KILLS: &str = "P2PCHAT_KILLS";
const KILLS_BY_DEFAULT: usize = 12;
const LARGE: usize = 64 << 20;
const SMALL: u64 = 200;

/// What the sender has and the receiver shall get: modes, times and contents by path.
struct Tree {
    entries: BTreeMap<String, Entry>,
}

#[derive(PartialEq, Eq)]
struct Entry {
    mode: u32,
    modified: u64,
    /// None for a folder.
    digest: Option<blake3::Hash>,
}

impl Tree {
    /// Makes `tree` in a folder: small files before and after a large one, empty ones, an empty folder, modes of all kinds.
    fn make(folder: &Path, rng: &mut Rng) -> Self {
        let root = folder.join("tree");
        for sub in ["a/b", "hollow", "z"] {
            fs::create_dir_all(root.join(sub)).unwrap();
        }
        for number in 0..SMALL {
            let sub = rng.pick(&["a", "a/b", "z"]);
            let size = if number % 10 == 0 { 0 } else { rng.within(1..16_384) };
            let path = root.join(sub).join(format!("small-{number}"));
            fs::write(&path, content(&number.to_string(), size as usize)).unwrap();
            set_mode(&path, rng.pick(&[0o644, 0o755, 0o600, 0o400]));
        }
        fs::write(root.join("large"), content("large", LARGE)).unwrap();
        set_mode(&root.join("hollow"), 0o555);
        let mut tree = Self { entries: BTreeMap::new() };
        read(&root, "", &mut |path, full| tree.entries.extend([(path, Entry::of(full))]));
        tree.entries.insert(String::new(), Entry::of(&root));
        tree
    }

    /// Fails when a file has its name and is not whole; `known` are those that were looked at before.
    fn nothing_early(&self, inbox: &Path, known: &mut BTreeSet<(String, u64)>) {
        read(inbox, "", &mut |path, full| {
            // A survivor still works on its partials.
            let Ok(metadata) = full.symlink_metadata() else { return };
            if metadata.is_dir() || is_partial(&path) || !known.insert((path.clone(), mode_and_inode(&metadata).1)) {
                return;
            }
            let within = path.split_once('/').map_or("", |(_, within)| within);
            let Some(entry) = self.entries.get(within) else { panic!("{path} was not sent") };
            assert_eq!(entry.digest, digest(full), "{path} has its name and is not whole");
        });
    }

    /// What of a tree that arrived differs from what was sent; nothing when all of it is there, whole, and nothing else.
    fn differs(&self, root: &Path) -> Option<String> {
        let mut there = BTreeMap::from([(String::new(), Entry::of(root))]);
        read(root, "", &mut |path, full| there.extend([(path, Entry::of(full))]));
        let missing = self.entries.keys().find(|path| !there.contains_key(*path));
        let beyond = there.keys().find(|path| !self.entries.contains_key(*path));
        let other = self.entries.iter().find(|(path, entry)| there.get(*path).is_some_and(|landed| landed != *entry));
        let found = [("missing", missing), ("not sent", beyond), ("different", other.map(|(path, _)| path))];
        found.into_iter().find_map(|(what, path)| path.map(|path| format!("{what}: {path}")))
    }
}

impl Entry {
    fn of(path: &Path) -> Self {
        let metadata = path.symlink_metadata().unwrap();
        let digest = if metadata.is_dir() { None } else { digest(path) };
        let modified = metadata.modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Self { mode: mode_and_inode(&metadata).0, modified, digest }
    }
}

fn set_mode(path: &Path, mode: u32) {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    #[cfg(not(unix))]
    let _ = (path, mode);
}

/// Windows has the one not at all, the other not here.
fn mode_and_inode(metadata: &Metadata) -> (u32, u64) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (metadata.mode(), metadata.ino())
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        (0, 0)
    }
}

fn digest(path: &Path) -> Option<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).unwrap()).unwrap();
    Some(hasher.finalize())
}

fn is_partial(path: &str) -> bool {
    path.split('/').any(|name| name.starts_with(".p2pchat-"))
}

/// Everything below a folder, which may change meanwhile.
fn read(folder: &Path, prefix: &str, with: &mut impl FnMut(String, &Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            read(&entry.path(), &path, with);
        }
        with(path, &entry.path());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Sender,
    Receiver,
}

impl Who {
    fn other(self) -> Self {
        if self == Self::Sender { Self::Receiver } else { Self::Sender }
    }
}

/// Two users whose programs die and are started again. The listener of the two has always the same address.
struct Couple {
    sender: Home,
    receiver: Home,
    listens: Who,
    addr: String,
    /// Of each [`Who`].
    running: [Option<Peer>; 2],
    /// Transfers of which senders that run no more said that they were done.
    done: usize,
}

impl Couple {
    fn new(sender: &Home, listens: Who) -> Self {
        let (sender, receiver) = (sender.clone(), Home::new());
        Self { sender, receiver, listens, addr: "127.0.0.1:0".to_owned(), running: [None, None], done: 0 }
    }

    fn peer(&self, who: Who) -> &Peer {
        self.running[who as usize].as_ref().unwrap()
    }

    /// Starts whoever does not run, and waits until they are connected.
    fn meet(&mut self) {
        let (listens, dials) = (self.listens, self.listens.other());
        let before = self.running[listens as usize].as_ref().map_or(0, |listener| listener.all("connected").len());
        if self.running[listens as usize].is_none() {
            let listener = self.start(listens, &["listen", &self.addr], &["--keep"]);
            self.addr = listener.addr().to_string();
            self.running[listens as usize] = Some(listener);
        }
        if let Some(mut dialler) = self.running[dials as usize].take() {
            dialler.ends_with(5);
            self.ended(dials, &dialler);
        }
        // A session that is not waited for: what goes on by itself after a restart is told in `take_over`.
        let dialler = self.start(dials, &["connect", &self.addr], &["--reconnect", "0"]);
        dialler.event("connected");
        self.running[dials as usize] = Some(dialler);
        self.peer(listens).event_nth(before + 1, "connected");
    }

    fn start(&self, who: Who, role: &[&str], options: &[&str]) -> Peer {
        match who {
            Who::Sender => self.sender.json("ben", role, options, None),
            Who::Receiver => self.receiver.json("ana", role, &[options, &["--accept", "always"]].concat(), None),
        }
    }

    /// Sends the tree, and kills after the delay if that is still going on; whether it was.
    fn kill_while_sending(&mut self, victim: Who, delay: Duration) -> bool {
        let done = self.peer(Who::Sender).all("done").len();
        let accepted = self.peer(Who::Receiver).all("accepted").len();
        self.peer(Who::Sender).send("/send tree");
        self.peer(Who::Receiver).event_nth(accepted + 1, "accepted");
        // Nothing is ordered by this: any moment will do.
        thread::sleep(delay);
        if self.peer(Who::Sender).all("done").len() > done {
            return false;
        }
        let lost = self.peer(victim.other()).all("lost").len();
        let mut killed = self.running[victim as usize].take().unwrap();
        killed.kill();
        self.ended(victim, &killed);
        // A listener that has not noticed yet is busy for whoever comes back.
        self.peer(victim.other()).event_nth(lost + 1, "lost");
        true
    }

    fn ended(&mut self, who: Who, peer: &Peer) {
        if who == Who::Sender {
            self.done += peer.all("done").len();
        }
    }

    /// Transfers of which the sender, of all that ran, said that they were done. A kill may come right after that.
    fn all_done(&self) -> usize {
        self.done + self.peer(Who::Sender).all("done").len()
    }

    /// Sends the tree and waits for its end.
    fn send(&self) {
        let done = self.peer(Who::Sender).all("done").len();
        self.peer(Who::Sender).send("/send tree");
        self.peer(Who::Sender).event_nth(done + 1, "done");
    }
}

#[test]
fn the_same_send_again_always_ends_with_the_same_tree() {
    let wanted = std::env::var(KILLS).ok().map(|kills| kills.parse().unwrap());
    let mut rng = if wanted.is_some() { Rng::fresh() } else { Rng::new(20_260_117) };
    let wanted = wanted.unwrap_or(KILLS_BY_DEFAULT);
    let sender = Home::new();
    let tree = Tree::make(&sender.work(), &mut rng);
    let begun = Instant::now();
    let mut couple = Couple::new(&sender, Who::Receiver);
    couple.meet();
    let sending = Instant::now();
    couple.send();
    // As long as it takes without a kill, so that kills fall everywhere.
    let whole = sending.elapsed().as_micros() as u64;
    assert_eq!(tree.differs(&couple.receiver.inbox().join("tree")), None);

    let (mut kills, mut trees, mut again) = (0, 0, 0);
    while kills < wanted {
        let listens = rng.pick(&[Who::Sender, Who::Receiver]);
        couple = Couple::new(&sender, listens);
        let inbox = couple.receiver.inbox();
        let mut known = BTreeSet::new();
        let mut in_this_tree = 0;
        loop {
            couple.meet();
            let victim = rng.pick(&[Who::Sender, Who::Receiver]);
            // Early ones more often: what is taken up again is shorter.
            let latest = rng.within(1..whole);
            let delay = Duration::from_micros(rng.within(0..latest));
            if kills == wanted {
                couple.send();
                break;
            }
            if !couple.kill_while_sending(victim, delay) {
                break;
            }
            kills += 1;
            in_this_tree += 1;
            tree.nothing_early(&inbox, &mut known);
        }
        trees += 1;
        // Nothing is received twice: each copy is of another send that was done.
        let roots = couple.receiver.received();
        let copies = (0..roots.len()).map(|copy| if copy == 0 { "tree".to_owned() } else { format!("tree ({copy})") });
        let done = couple.all_done();
        assert!(
            roots.iter().eq(&copies.collect::<Vec<_>>()) && roots.len() <= done,
            "{roots:?} of {done} that were done"
        );
        again += roots.len() - 1;
        for root in roots {
            if let Some(differs) = tree.differs(&inbox.join(&root)) {
                panic!("{root} after {in_this_tree} kills, {listens:?} listening: {differs}");
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!(
        "{kills} kills, {trees} trees, {again} sent again when they were done, {seconds:.1} s; without a kill a tree takes {} ms",
        whole / 1_000
    );
}
