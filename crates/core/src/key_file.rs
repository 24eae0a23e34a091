//! A file of keys beside the host's data, for hosts that have no better place for keys.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use secrecy::zeroize::Zeroizing;

use crate::{Error, Result};

/// More than 16 keys with comments need.
const MAX_FILE: u64 = 16 << 10;

/// The most keys that a file may hold.
const MAX_KEYS: usize = 16;

/// The keys in a file: 32 bytes each, zeroed when dropped, shown by no `Debug`.
///
/// The file has one key on a line, as 64 hexadecimal digits. The first is the one to seal with; those below it open what
/// they sealed while they were first. Empty lines and lines that begin with `#` are left out.
///
/// ```
/// # let directory = std::env::temp_dir().join(format!("portolan-key-file-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).expect("a directory");
/// let random = |bytes: &mut [u8]| { bytes.fill(7); Ok(()) }; // a real source of randomness here
/// let made = portolan_core::KeyFile::load_or_create(directory.join("keys"), random)?;
/// let again = portolan_core::KeyFile::load_or_create(directory.join("keys"), random)?;
/// assert_eq!(made.keys().next(), again.keys().next());
/// # std::fs::remove_dir_all(&directory).expect("removed");
/// # Ok::<(), portolan_core::Error>(())
/// ```
pub struct KeyFile {
    keys: Vec<Zeroizing<[u8; 32]>>,
}

impl KeyFile {
    /// Reads the keys in the file at `path`, or makes a file with a new one where there is none.
    ///
    /// A new file is made for its owner alone (mode 0600), and one that others can read or write is refused. Of several
    /// processes that start at once, all get the key of one. `random` fills a buffer with random bytes from a
    /// cryptographic source.
    ///
    /// This waits for the disk; call it when the host starts.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the file cannot be read or made, is open to others, or holds something other than 1 to 16
    /// keys. The message names the file and never shows its content.
    pub fn load_or_create(path: impl AsRef<Path>, mut random: impl FnMut(&mut [u8]) -> Result<()>) -> Result<Self> {
        let path = path.as_ref();
        // Twice: somebody else may make the file between looking and making.
        for _ in 0..2 {
            match File::open(path) {
                Ok(file) => return load(path, file),
                Err(e) if e.kind() == io::ErrorKind::NotFound => create(path, &mut random)?,
                Err(e) => {
                    let problem = format!("cannot be opened ({e}); let this process read it");
                    return Err(refuse(path, problem));
                }
            }
        }
        Err(refuse(path, "is gone again after it was made; see what removes it"))
    }

    /// Returns the keys in the order of the file: the first seals, the others only open. There is always a first.
    pub fn keys(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.keys.iter().map(|key| &**key)
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

fn load(path: &Path, file: File) -> Result<KeyFile> {
    let unread = |e: io::Error| refuse(path, format!("cannot be read ({e})"));
    let about = file.metadata().map_err(unread)?;
    if !about.is_file() {
        return Err(refuse(path, "is no file; name the file that holds the keys"));
    }
    check_mode(path, &about)?;
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize + 1));
    file.take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .map_err(|_| no_key(path, 1))?;
    if text.len() as u64 > MAX_FILE {
        let problem = format!("is larger than {MAX_FILE} bytes, so it is no key file");
        return Err(refuse(path, problem));
    }

    let mut keys = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if keys.len() == MAX_KEYS {
            return Err(refuse(
                path,
                format!("holds more than {MAX_KEYS} keys; remove the oldest"),
            ));
        }
        keys.push(parse(text).ok_or_else(|| no_key(path, line + 1))?);
    }
    if keys.is_empty() {
        let problem = "holds no key; restore it from a backup, or remove it if nothing was sealed with it yet";
        return Err(refuse(path, problem));
    }
    Ok(KeyFile { keys })
}

/// Makes the file whole under another name first, so that nobody ever reads a half of it.
fn create(path: &Path, random: &mut dyn FnMut(&mut [u8]) -> Result<()>) -> Result<()> {
    let failed = |e: io::Error| {
        let remedy = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => "create its directory first",
            _ => "let this process write to its directory, or put 64 hexadecimal digits there yourself",
        };
        refuse(path, format!("cannot be made ({e}); {remedy}"))
    };
    let mut key = Zeroizing::new([0; 32]);
    random(&mut *key)?;
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in key.iter() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    text.push('\n');

    let draft = draft_name(path, random)?;
    let made = (|| {
        let mut file = private().open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // A link, for it fails where a rename would replace the file of somebody who was faster.
        match fs::hard_link(&draft, path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    })();
    // Best effort: a draft that stays behind is as private as the file.
    let _ = fs::remove_file(&draft);
    made.map_err(failed)?;
    sync_directory(path).map_err(failed)
}

/// A name beside `path` that nobody else uses.
fn draft_name(path: &Path, random: &mut dyn FnMut(&mut [u8]) -> Result<()>) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| refuse(path, "is no file name"))?;
    let mut tag = [0; 8];
    random(&mut tag)?;
    let mut draft = std::ffi::OsString::from(".");
    draft.push(name);
    // The number of the process too, for sources of randomness that are none.
    draft.push(format!(".{}.{:016x}", std::process::id(), u64::from_ne_bytes(tag)));
    Ok(path.with_file_name(draft))
}

/// Options to make a file that only its owner can read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes sure that the name itself is on disk.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        return File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all();
    }
    Ok(())
}

#[cfg(unix)]
fn check_mode(path: &Path, about: &fs::Metadata) -> Result<()> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let problem =
        format!("is open to others (mode {mode:04o}); run chmod 600 on it, and replace its keys if others read it");
    Err(refuse(path, problem))
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "it can refuse on Unix")]
fn check_mode(_: &Path, _: &fs::Metadata) -> Result<()> {
    Ok(())
}

/// A key of 64 hexadecimal digits.
fn parse(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = [*pair.first()?, *pair.get(1)?].map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? << 4 | low?).ok()?;
    }
    Some(key)
}

fn no_key(path: &Path, line: usize) -> Error {
    let remedy = "put 64 hexadecimal digits there, or restore the file from a backup";
    let problem = format!("holds something other than a key on line {line}; {remedy}");
    refuse(path, problem)
}

fn refuse(path: &Path, problem: impl AsRef<str>) -> Error {
    let place = path.display().to_string();
    Error::invalid("key file", format!("{place:?} {}", problem.as_ref()))
}
