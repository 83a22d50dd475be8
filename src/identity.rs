//! The own static key: made at first use, kept in one private file.
//!
//! Owner of the file `identity` in the data directory. Invariants: a file that is there is never written again, whatever
//! is in it; a key that others could have read or changed is refused; processes that make the first key at once end
//! up with the same one.

use crate::error_text::io_error_text;
use crate::keys::{PublicKey, hex, unhex};
use crate::private_file;
use etcetera::BaseStrategy;
use snow::params::DHChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::{env, fmt};
use thiserror::Error;
use zeroize::Zeroizing;

/// The environment variable that names the data directory.
const DATA_VARIABLE: &str = "P2PCHAT_DATA";
/// For errors about the data directory and what is in it.
pub(crate) const DATA_HINT: &str = "P2PCHAT_DATA names another data directory";
/// The directory's name where no variable gives it.
const DATA_NAME: &str = "p2pchat";
const FILE: &str = "identity";
/// What the file's line begins with; another format gets another number.
const FORMAT: &str = "p2pchat-identity-1 ";
/// Hexadecimal digits of the private key.
const DIGITS: usize = 64;
/// The file's exact size, with its line end.
const FILE_BYTES: usize = FORMAT.len() + DIGITS + 1;

/// The own static key pair; wiped when dropped, and never shown by `Debug`.
pub struct Identity {
    private: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

/// Why there is no own key; this machine or its user is at fault.
#[derive(Debug, Error)]
pub enum IdentityError {
    #[error("there is no home directory\n{DATA_HINT}")]
    NoHome,
    #[error("cannot make the data directory {}: {}\n{DATA_HINT}", path.display(), io_error_text(source))]
    Directory { path: PathBuf, source: io::Error },
    #[error("cannot read the own key {}: {}\n{DATA_HINT}", path.display(), io_error_text(source))]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot keep the own key {}: {}\n{DATA_HINT}", path.display(), io_error_text(source))]
    Write { path: PathBuf, source: io::Error },
    /// A link, a directory, a pipe.
    #[error("the own key {} is no ordinary file\nput the file itself there, not a link to it", path.display())]
    NotAFile { path: PathBuf },
    /// Others may read or change it.
    #[error("others can read the own key {}\nchmod 600 {}", path.display(), path.display())]
    Exposed { path: PathBuf },
    #[error("the own key {} belongs to another user\n{DATA_HINT}", path.display())]
    Foreign { path: PathBuf },
    #[error("the own key {} is damaged\nput a good copy in its place, or move it away to get a new key", path.display())]
    Malformed { path: PathBuf },
    /// The system gives no randomness, or this build lacks the curve.
    #[error("cannot make a key: {0}")]
    Generate(String),
}

/// Where the own key and the known peers are: `P2PCHAT_DATA`, else `p2pchat` in the platform's data directory
/// (`XDG_DATA_HOME` or `~/.local/share` on Unix).
///
/// # Errors
/// When neither the variable nor a home directory is there.
pub fn data_dir() -> Result<PathBuf, IdentityError> {
    match env::var_os(DATA_VARIABLE) {
        Some(named) if !named.is_empty() => Ok(PathBuf::from(named)),
        _ => {
            let platform = etcetera::choose_base_strategy().map_err(|_| IdentityError::NoHome)?;
            Ok(platform.data_dir().join(DATA_NAME))
        }
    }
}

impl Identity {
    /// The key in `data_dir`; both are made when they are not there.
    ///
    /// # Errors
    /// When the key is there and cannot be trusted or understood, or is not there and cannot be made.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, IdentityError> {
        let path = data_dir.join(FILE);
        if let Some(found) = load(&path)? {
            return Ok(found);
        }
        private_file::make_dir(data_dir)
            .map_err(|source| IdentityError::Directory { path: data_dir.to_owned(), source })?;
        let made = Self::generate()?;
        match publish(data_dir, &path, &made) {
            Ok(()) => Ok(made),
            // Another process was faster: its key counts.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                load(&path)?.ok_or(IdentityError::Write { path, source: error })
            }
            Err(source) => Err(IdentityError::Write { path, source }),
        }
    }

    /// A fresh key pair that is kept nowhere.
    pub fn generate() -> Result<Self, IdentityError> {
        let mut private = Zeroizing::new([0; 32]);
        getrandom::fill(private.as_mut_slice()).map_err(|error| IdentityError::Generate(error.to_string()))?;
        Self::from_private(private)
    }

    pub fn public(&self) -> PublicKey {
        self.public
    }

    pub(crate) fn private(&self) -> &[u8; 32] {
        &self.private
    }

    pub(crate) fn from_private(private: Zeroizing<[u8; 32]>) -> Result<Self, IdentityError> {
        let lacks_curve = || IdentityError::Generate("this build lacks X25519".to_owned());
        let mut pair = DefaultResolver.resolve_dh(&DHChoice::Curve25519).ok_or_else(lacks_curve)?;
        pair.set(private.as_slice());
        let public = pair.pubkey().try_into().map(PublicKey).map_err(|_| lacks_curve())?;
        Ok(Self { private, public })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.public)
    }
}

/// Whether a file is a private key, whosever it is: what [`load`] would take. Opened only when it has the size of one.
pub(crate) fn is_private_key(size: u64, open: impl FnOnce() -> io::Result<File>) -> bool {
    let limit = u64::try_from(FILE_BYTES + 1).unwrap_or(u64::MAX);
    let text = || {
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES + 1));
        open()?.take(limit).read_to_end(&mut text)?;
        io::Result::Ok(text)
    };
    // The line end may be missing.
    (limit - 2..limit).contains(&size) && text().is_ok_and(|text| parse(&text).is_some())
}

/// The key in the file, `None` when no file is there.
fn load(path: &Path) -> Result<Option<Identity>, IdentityError> {
    let file = match open_private(path) {
        Ok(file) => file,
        Err(IdentityError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // One byte more than a good file has shows a longer one; and room at once, because a buffer that grows leaves copies.
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES + 1));
    let limit = u64::try_from(FILE_BYTES + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut text).map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
    let private = parse(&text).ok_or_else(|| IdentityError::Malformed { path: path.to_owned() })?;
    Identity::from_private(private).map(Some)
}

fn parse(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let line = str::from_utf8(text).ok()?;
    let line = line.strip_suffix('\n').unwrap_or(line);
    unhex(line.strip_prefix(FORMAT)?).map(Zeroizing::new)
}

/// Writes the key under a name nobody else has, then gives it its own name if that is still free.
fn publish(dir: &Path, path: &Path, identity: &Identity) -> io::Result<()> {
    let digits = Zeroizing::new(hex(identity.private()));
    let mut line = Zeroizing::new(String::with_capacity(FILE_BYTES));
    for part in [FORMAT, &digits, "\n"] {
        line.push_str(part);
    }
    let suffix = getrandom::u64().map_err(io::Error::other)?;
    let draft = dir.join(format!(".{FILE}.{suffix:016x}"));
    let written = write_private(&draft, line.as_bytes());
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        // Where there are no hard links (Android forbids them), the name is still taken only if it is free.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => write_private(path, line.as_bytes()),
        other => other,
    });
    // The draft has done its work or was never needed; a copy left behind would be as private as the key.
    let _ = fs::remove_file(&draft);
    linked?;
    private_file::sync_dir(dir)
}

/// Writes a file that is not there yet and that only its owner can read, down to the disk.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private_file::options().write(true).create_new(true).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key under the final name would stand in the way of every later start.
        let _ = fs::remove_file(path);
    }
    written
}

/// Opens the file if it is one that only its owner, this user, can read. What is checked is what was opened.
#[cfg(unix)]
fn open_private(path: &Path) -> Result<File, IdentityError> {
    use std::fs::OpenOptions;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    let path = path.to_owned();
    let unreadable = |source| IdentityError::Read { path: path.clone(), source };
    // Without O_NONBLOCK a pipe in the file's place would hold the program up.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path);
    let file = match opened {
        Err(_) if path.is_symlink() => return Err(IdentityError::NotAFile { path }),
        opened => opened.map_err(unreadable)?,
    };
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(IdentityError::NotAFile { path });
    }
    if found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(IdentityError::Foreign { path });
    }
    if found.mode() & 0o077 != 0 {
        return Err(IdentityError::Exposed { path });
    }
    Ok(file)
}

/// Opens the file if it is one. Who can read it is a matter of the profile's own protection here.
#[cfg(not(unix))]
fn open_private(path: &Path) -> Result<File, IdentityError> {
    let path = path.to_owned();
    let opened = fs::symlink_metadata(&path).and_then(|found| Ok((found, File::open(&path)?)));
    match opened {
        Ok((found, file)) if found.is_file() => Ok(file),
        Ok(_) => Err(IdentityError::NotAFile { path }),
        Err(source) => Err(IdentityError::Read { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::thread;

    /// RFC 7748, section 6.1: Bob's key pair.
    const RFC_PRIVATE: &str = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
    const RFC_PUBLIC: &str = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";

    fn key_file(dir: &Path, contents: &[u8]) -> PathBuf {
        let path = dir.join(FILE);
        write_private(&path, contents).unwrap();
        path
    }

    #[test]
    fn the_first_use_makes_a_key_and_later_ones_find_it() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("not").join("yet");
        let made = Identity::load_or_create(&dir).unwrap();
        let found = Identity::load_or_create(&dir).unwrap();
        assert_eq!((made.public(), made.private()), (found.public(), found.private()));
        let names: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [FILE], "no draft stays behind");
        let text = fs::read_to_string(dir.join(FILE)).unwrap();
        assert_eq!(text, format!("p2pchat-identity-1 {}\n", hex(made.private())));
    }

    #[test]
    fn processes_that_begin_at_once_end_up_with_one_key() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        let start = Barrier::new(8);
        let keys: Vec<PublicKey> = thread::scope(|scope| {
            let begin = || {
                start.wait();
                Identity::load_or_create(&dir).unwrap().public()
            };
            let all: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(Identity::load_or_create(&dir).unwrap().public(), keys[0]);
    }

    #[test]
    fn the_public_half_is_that_of_rfc_7748() {
        let identity = Identity::from_private(Zeroizing::new(unhex(RFC_PRIVATE).unwrap())).unwrap();
        assert_eq!(identity.public().to_text(), RFC_PUBLIC);
    }

    #[test]
    fn a_damaged_file_is_refused_and_left_alone() {
        let good = format!("{FORMAT}{RFC_PRIVATE}\n");
        for bad in [
            "",
            "\n",
            &good[1..],
            &good[..good.len() - 2],
            &format!("{good}\n"),
            &format!("{good}more"),
            &good.replace("-1 ", "-2 "),
            &good.replacen("5d", "5g", 1),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = key_file(dir.path(), bad.as_bytes());
            let refused = Identity::load_or_create(dir.path()).unwrap_err();
            assert!(matches!(refused, IdentityError::Malformed { .. }), "{bad:?}: {refused:?}");
            assert_eq!(fs::read(&path).unwrap(), bad.as_bytes());
        }
        let dir = tempfile::tempdir().unwrap();
        key_file(dir.path(), b"\xff\xfe");
        assert!(matches!(Identity::load_or_create(dir.path()), Err(IdentityError::Malformed { .. })));
    }

    #[test]
    fn a_file_without_its_line_end_is_still_good() {
        let dir = tempfile::tempdir().unwrap();
        key_file(dir.path(), format!("{FORMAT}{RFC_PRIVATE}").as_bytes());
        assert_eq!(hex(Identity::load_or_create(dir.path()).unwrap().private()), RFC_PRIVATE);
    }

    #[test]
    fn debug_shows_the_public_half_alone() {
        let identity = Identity::generate().unwrap();
        let shown = format!("{identity:?}");
        assert!(shown.contains(&identity.public().fingerprint()));
        assert!(!shown.contains(&hex(identity.private())));
    }

    #[cfg(unix)]
    mod on_unix {
        use super::*;
        use std::os::unix::fs::symlink;

        #[test]
        #[ignore = "gives a file away: needs root"]
        fn another_users_file_is_refused() {
            let dir = tempfile::tempdir().unwrap();
            Identity::load_or_create(dir.path()).unwrap();
            std::os::unix::fs::chown(dir.path().join(FILE), Some(12_345), None).unwrap();
            assert!(matches!(Identity::load_or_create(dir.path()), Err(IdentityError::Foreign { .. })));
        }

        #[test]
        fn a_link_a_directory_and_a_pipe_are_no_key_files() {
            let elsewhere = tempfile::tempdir().unwrap();
            Identity::load_or_create(elsewhere.path()).unwrap();
            for target in [elsewhere.path().join(FILE), elsewhere.path().join("nothing")] {
                let dir = tempfile::tempdir().unwrap();
                symlink(&target, dir.path().join(FILE)).unwrap();
                assert!(matches!(Identity::load_or_create(dir.path()), Err(IdentityError::NotAFile { .. })));
                assert!(!elsewhere.path().join("nothing").exists());
            }
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join(FILE)).unwrap();
            assert!(matches!(Identity::load_or_create(dir.path()), Err(IdentityError::NotAFile { .. })));
            let dir = tempfile::tempdir().unwrap();
            nix::unistd::mkfifo(&dir.path().join(FILE), nix::sys::stat::Mode::S_IRWXU).unwrap();
            assert!(matches!(Identity::load_or_create(dir.path()), Err(IdentityError::NotAFile { .. })));
        }
    }
}
