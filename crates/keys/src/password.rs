//! Passwords, and the files that hold them.

use std::{
    fmt, fs,
    io::{self, Read, Write},
    path::Path,
};

use alloy_primitives::hex;
use zeroize::Zeroizing;

/// The longest file of a key or a password, in bytes. A device has no end.
const MAX_FILE: usize = 64 << 10;

/// A password. It is never printed, and its memory is cleared.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password as it is.
    pub fn new(password: impl Into<String>) -> Self {
        Self(Zeroizing::new(password.into()))
    }

    /// Reads the first line of a file.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let text = read(path)?;
        Ok(Self::new(text.lines().next().unwrap_or_default()))
    }

    /// Makes a random one in a new file that only its owner can read: for keys of a network that somebody tries things with.
    pub fn make_file(path: &Path) -> io::Result<Self> {
        let secret = Self(Zeroizing::new(hex::encode(rand::random::<[u8; 32]>())));
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        writeln!(options.open(path)?, "{}", *secret.0)?;
        Ok(secret)
    }

    /// What a keystore is encrypted with.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Reads a file of a key or a password, into memory that is cleared and never moved.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE + 1));
    fs::File::open(path)?.take(MAX_FILE as u64 + 1).read_to_string(&mut text)?;
    if text.len() > MAX_FILE {
        let why = format!("it has more than the {MAX_FILE} bytes that such a file has at most");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    if let Some(unmarked) = text.strip_prefix('\u{feff}') {
        // The mark of some editors is part of no password and no key.
        text = Zeroizing::new(unmarked.to_owned());
    }
    Ok(text)
}
