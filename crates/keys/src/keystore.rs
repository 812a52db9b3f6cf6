//! Encrypted keys in a folder, in the format that geth, `cast wallet` and others read (keystore version 3).

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, hex};
use dtn_files::{Access, FileError, Held};
use dtn_primitives::{AddressError, SecretKey, parse_address};
use eth_keystore::{KeystoreError as Undecrypted, decrypt_key, encrypt_key};
use k256::elliptic_curve::rand_core::OsRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    password::{Password, read},
    secrets::{has_private_key, without_private_keys},
};

/// More memory than this for one password check is refused: 1 GiB.
const MAX_SCRYPT_BYTES: u64 = 1 << 30;

/// So many rounds take seconds.
const MAX_PBKDF2_ROUNDS: u64 = 10_000_000;

/// A key in the folder, as far as is known without its password.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyInfo {
    /// The file's name without `.json`.
    pub name: String,
    /// The address, if the file states it; files of some other tools do not.
    pub address: Option<Address>,
    /// The file.
    pub path: PathBuf,
}

/// Why a key was not found, read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// The password does not open the key.
    #[error("wrong password for the key {0}")]
    WrongPassword(String),
    /// No such key.
    #[error("there is no key {wanted} in {dir}; `dtn-cli keys list` shows what is there")]
    NotFound {
        /// The name or address.
        wanted: String,
        /// The folder.
        dir: String,
    },
    /// There is no folder where keys should be.
    #[error("there is no folder {}; `dtn-cli keys generate` makes one with the first key", .0.display())]
    NoFolder(PathBuf),
    /// A key in the folder has no address that can be read without its password.
    #[error("the key {} does not state its address; write the address instead", .0.display())]
    NoAddress(PathBuf),
    /// There are no keys in a folder.
    #[error("there are no keys in {0}")]
    NoKeys(String),
    /// What should name an account does not.
    #[error("`{word}` is no address, key or folder of keys")]
    NoAccount {
        /// What was written.
        word: String,
        /// Why it names no key.
        source: Box<KeystoreError>,
    },
    /// A key of that name exists, and keys are never overwritten.
    #[error("there is a key {0} already")]
    Exists(String),
    /// Names are file names.
    #[error("`{0}` cannot name a key: use letters, digits, - and _")]
    BadName(String),
    /// What should be an address is a typing error.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The file states another address than its key has.
    #[error("{} states {stated}, and its key is that of {real}: nothing was done with it", path.display())]
    OtherAddress {
        /// The file.
        path: PathBuf,
        /// What it states.
        stated: Address,
        /// Whose key it is.
        real: Address,
    },
    /// Not a keystore.
    #[error("{path} is not a key of keystore version 3: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Not a private key.
    #[error("not a private key: 32 bytes in hexadecimal are expected")]
    NotAKey,
    /// Writing the file of a key.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file operation.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What went wrong.
        source: io::Error,
    },
}

impl KeystoreError {
    /// Its stable code, for programs, and what belongs to it; nothing where it has none of its own.
    pub fn code(&self) -> Option<(&'static str, Value)> {
        match self {
            Self::WrongPassword(name) => Some(("wrong_password", json!({ "key": name }))),
            Self::NotFound { wanted, .. } => Some(("no_key", json!({ "key": wanted }))),
            Self::Exists(name) => Some(("key_exists", json!({ "key": name }))),
            Self::NoFolder(folder) => Some(("keystore", json!({ "folder": folder }))),
            Self::NoAccount { source, .. } => source.code(),
            Self::NoAddress(_) | Self::NoKeys(_) => None,
            Self::Address(_) => Some(("bad_argument", Value::Null)),
            Self::OtherAddress { path, .. } => Some(("keystore", json!({ "file": path }))),
            _ => Some(("keystore", Value::Null)),
        }
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> KeystoreError + '_ {
    move |source| KeystoreError::Io { path: path.display().to_string(), source }
}

/// A folder of encrypted keys.
#[derive(Debug, Clone)]
pub struct Keystore {
    dir: PathBuf,
}

impl Keystore {
    /// The keys in a folder, which the first key creates.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All keys, by name. Files that are no keystores are passed over; that there is no folder is an error.
    pub fn list(&self) -> Result<Vec<KeyInfo>, KeystoreError> {
        Ok(self.look()?.0)
    }

    /// Why files that are called like keys are none, by name.
    pub fn unusable(&self) -> Result<Vec<KeystoreError>, KeystoreError> {
        Ok(self.look()?.1)
    }

    fn look(&self) -> Result<(Vec<KeyInfo>, Vec<KeystoreError>), KeystoreError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(KeystoreError::NoFolder(self.dir.clone()));
            }
            Err(error) => return Err(io_error(&self.dir)(error)),
        };
        let (mut keys, mut unusable) = (Vec::new(), BTreeMap::new());
        for entry in entries {
            let path = entry.map_err(io_error(&self.dir))?.path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if hidden || !path.is_file() {
                continue;
            }
            match info(&path) {
                Ok(info) => keys.push(info),
                Err(error) if path.extension().is_some_and(|kind| kind == "json") => _ = unusable.insert(path, error),
                Err(_) => {}
            }
        }
        keys.sort();
        Ok((keys, unusable.into_values().collect()))
    }

    /// The same, and none where there is no folder.
    fn present(&self) -> Result<Vec<KeyInfo>, KeystoreError> {
        match self.list() {
            Err(KeystoreError::NoFolder(_)) => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// So many names that no key has yet: `prefix-01` and so on.
    pub fn free_names(&self, prefix: &str, count: usize) -> Result<Vec<String>, KeystoreError> {
        let taken: Vec<_> = self.present()?.into_iter().map(|key| key.name).collect();
        let numbered = (1u32..).map(|number| format!("{prefix}-{number:02}")).filter(|name| !taken.contains(name));
        Ok(numbered.take(count).collect())
    }

    /// The accounts that a list of words names: addresses, names of keys here, or folders of keys.
    pub fn addresses(&self, words: &[String]) -> Result<Vec<Address>, KeystoreError> {
        self.accounts(words, |keys| keys)
    }

    /// The validators that a list of words names. The folder of a network has payees' and clients' keys as well, which are none.
    pub fn validators(&self, words: &[String]) -> Result<Vec<Address>, KeystoreError> {
        self.accounts(words, |keys| {
            let is_validator = |key: &KeyInfo| key.name.starts_with("validator-");
            match keys.iter().any(is_validator) {
                true => keys.into_iter().filter(is_validator).collect(),
                false => keys,
            }
        })
    }

    fn accounts(
        &self,
        words: &[String],
        of_folder: impl Fn(Vec<KeyInfo>) -> Vec<KeyInfo>,
    ) -> Result<Vec<Address>, KeystoreError> {
        let address_of = |key: KeyInfo| key.address.ok_or(KeystoreError::NoAddress(key.path));
        let mut found = Vec::new();
        for word in words {
            if let Some(address) = address_in(word)? {
                found.push(address);
            } else if is_there(word)? && Path::new(word).is_dir() {
                let keys = Self::new(word).list()?;
                if keys.is_empty() {
                    return Err(KeystoreError::NoKeys(word.clone()));
                }
                found.extend(of_folder(keys).into_iter().map(address_of).collect::<Result<Vec<_>, _>>()?);
            } else {
                let absent = |source| KeystoreError::NoAccount {
                    word: without_private_keys(word).into_owned(),
                    source: Box::new(source),
                };
                found.push(address_of(self.find(word).map_err(absent)?)?);
            }
        }
        Ok(found)
    }

    /// The key of a name, an address, or a file elsewhere.
    pub fn choose(&self, wanted: &str) -> Result<KeyInfo, KeystoreError> {
        match Path::new(wanted) {
            path if wanted.contains(std::path::MAIN_SEPARATOR) && is_there(wanted)? => KeyInfo::at(path),
            _ => self.find(wanted),
        }
    }

    /// The key of a name or an address.
    pub fn find(&self, wanted: &str) -> Result<KeyInfo, KeystoreError> {
        let address = address_in(wanted)?;
        let matches = |key: &KeyInfo| key.name == wanted || (address.is_some() && key.address == address);
        if let Some(found) = self.present()?.into_iter().find(matches) {
            return Ok(found);
        }
        // There may be a file of this name, and a reason why it is no key.
        let file = self.dir.join(format!("{wanted}.json"));
        if file.parent() == Some(&self.dir) && file.is_file() {
            return info(&file);
        }
        Err(KeystoreError::NotFound {
            wanted: without_private_keys(wanted).into_owned(),
            dir: self.dir.display().to_string(),
        })
    }

    /// Makes a key from the system's randomness.
    pub fn generate(&self, name: &str, password: &Password) -> Result<(KeyInfo, SecretKey), KeystoreError> {
        let mut bytes: [u8; 32] = k256::SecretKey::random(&mut OsRng).to_bytes().into();
        let key = SecretKey::from_bytes(&bytes).map_err(|_| KeystoreError::NotAKey);
        bytes.zeroize();
        let key = key?;
        Ok((self.store(name, &key, password)?, key))
    }

    /// Encrypts a key into the folder. Nothing is ever overwritten.
    pub fn store(&self, name: &str, key: &SecretKey, password: &Password) -> Result<KeyInfo, KeystoreError> {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 100 || !name.chars().all(valid) || has_private_key(name) {
            return Err(KeystoreError::BadName(without_private_keys(name).into_owned()));
        }
        fs::create_dir_all(&self.dir).map_err(io_error(&self.dir))?;
        let path = self.dir.join(format!("{name}.json"));
        if path.exists() {
            return Err(KeystoreError::Exists(name.to_string()));
        }

        let text = encrypted(&self.dir, key, password)?;
        match dtn_files::write_new(&path, text.as_bytes(), Access::Owner)? {
            true => Ok(KeyInfo { name: name.to_string(), address: Some(key.address()), path }),
            false => Err(KeystoreError::Exists(name.to_string())),
        }
    }
}

/// The text of a keystore. The library writes it to a file only, which is made in this folder for a moment, and without the
/// address, which one wants to know without the password.
fn encrypted(dir: &Path, key: &SecretKey, password: &Password) -> Result<String, KeystoreError> {
    let name = format!(".{}.{}.draft", key.address(), std::process::id());
    let bytes = Zeroizing::new(key.to_bytes());
    let written = encrypt_key(dir, &mut OsRng, bytes.as_slice(), password.bytes(), Some(&name));
    let draft = dir.join(name);
    written.map_err(|error| io_error(&draft)(io::Error::other(error)))?;
    let text = fs::read_to_string(&draft).map_err(io_error(&draft));
    let _ = fs::remove_file(&draft);
    let mut json: Value = serde_json::from_str(&text?).map_err(|error| malformed(&draft, error))?;
    json["address"] = hex::encode(key.address()).into();
    Ok(format!("{json:#}\n"))
}

impl KeyInfo {
    /// A key file anywhere.
    pub fn at(path: &Path) -> Result<Self, KeystoreError> {
        info(path)
    }

    /// Decrypts the key. That it has the address which the file states is checked, as the file may be wrong or forged.
    pub fn unlock(&self, password: &Password) -> Result<SecretKey, KeystoreError> {
        let key = self.decrypt(password)?;
        match self.address {
            Some(stated) if stated != key.address() => {
                Err(KeystoreError::OtherAddress { path: self.path.clone(), stated, real: key.address() })
            }
            _ => Ok(key),
        }
    }

    /// Encrypts the key with another password. Whatever happens meanwhile, the file opens by the old one or by the new one; of
    /// two who change the same password at once, one finds it changed.
    pub fn change_password(&self, old: &Password, new: &Password) -> Result<(), KeystoreError> {
        let _held = Held::new(&self.path)?;
        let key = self.unlock(old)?;
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let text = encrypted(dir, &key, new)?;
        Ok(dtn_files::write(&self.path, text.as_bytes(), Access::Owner)?)
    }

    fn decrypt(&self, password: &Password) -> Result<SecretKey, KeystoreError> {
        info(&self.path)?; // the library trusts the file's numbers
        match decrypt_key(&self.path, password.bytes()).map(Zeroizing::new) {
            Ok(bytes) => match bytes.as_slice().try_into() {
                Ok(bytes) => SecretKey::from_bytes(bytes).map_err(|_| KeystoreError::NotAKey),
                Err(_) => Err(KeystoreError::NotAKey),
            },
            Err(Undecrypted::MacMismatch) => Err(KeystoreError::WrongPassword(self.name.clone())),
            Err(error) => Err(malformed(&self.path, error)),
        }
    }
}

/// The address that a word is, if it is meant as one. A typing error in one is none in a key's name.
fn address_in(word: &str) -> Result<Option<Address>, KeystoreError> {
    match parse_address(word) {
        Ok(address) => Ok(Some(address)),
        Err(AddressError::Malformed(_)) if !word.trim().starts_with("0x") || has_private_key(word) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads a private key in hexadecimal.
pub fn parse_secret_key(text: &str) -> Result<SecretKey, KeystoreError> {
    let mut bytes = hex::decode_to_array::<_, 32>(text.trim()).map_err(|_| KeystoreError::NotAKey)?;
    let key = SecretKey::from_bytes(&bytes).map_err(|_| KeystoreError::NotAKey);
    bytes.zeroize();
    key
}

fn malformed(path: &Path, reason: impl fmt::Display) -> KeystoreError {
    KeystoreError::Malformed { path: path.display().to_string(), reason: reason.to_string() }
}

#[derive(Deserialize)]
struct File {
    address: Option<String>,
    crypto: Crypto,
    version: u8,
}

#[derive(Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    kdfparams: KdfParams,
}

#[derive(Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Deserialize)]
struct KdfParams {
    dklen: u64,
    n: Option<u64>,
    r: Option<u64>,
    p: Option<u64>,
    c: Option<u64>,
}

/// Whether there is something at a word that may be a path. Where it can only be one, what cannot be looked at is an error.
fn is_there(word: &str) -> Result<bool, KeystoreError> {
    let path = Path::new(word);
    match path.try_exists() {
        Err(error) if word.contains(std::path::MAIN_SEPARATOR) => Err(io_error(path)(error)),
        found => Ok(found.unwrap_or(false)),
    }
}

/// Reads what is not secret, and refuses numbers that would make decryption fail badly or use up the memory.
fn info(path: &Path) -> Result<KeyInfo, KeystoreError> {
    let text = read(path).map_err(io_error(path))?;
    // Where it is wrong, and not what is there: it may be a private key as it is.
    let wrong = |error: serde_json::Error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        malformed(path, if error.is_eof() { format!("it ends early, in {place}") } else { format!("see {place}") })
    };
    let file: File = serde_json::from_str(&text).map_err(wrong)?;
    let Crypto { cipher, cipherparams: CipherParams { iv }, kdfparams: KdfParams { dklen, n, r, p, c } } = file.crypto;
    if file.version != 3 {
        return Err(malformed(path, format!("version {}", file.version)));
    }
    if cipher != "aes-128-ctr" {
        return Err(malformed(path, format!("its cipher is {cipher:.20}, and aes-128-ctr is the one that is known")));
    }
    if iv.len() != 32 || dklen != 32 {
        return Err(malformed(path, "the initialization vector or the derived key has another length than usual"));
    }
    if let (Some(n), Some(r), Some(p)) = (n, r, p) {
        let memory = n.checked_mul(r).and_then(|blocks| blocks.checked_mul(128));
        if memory.is_none_or(|bytes| bytes > MAX_SCRYPT_BYTES) || n < 2 || !(1..=64).contains(&p) {
            return Err(malformed(path, "the scrypt parameters are out of range"));
        }
    }
    if c.is_some_and(|rounds| !(1..=MAX_PBKDF2_ROUNDS).contains(&rounds)) {
        return Err(malformed(path, "the rounds of PBKDF2 are out of range"));
    }
    // Some tools leave it empty, to say less of whose key it is.
    let stated = file.address.filter(|text| !text.is_empty());
    let address = stated.map(|text| parse_address(&text).map_err(|error| malformed(path, error))).transpose()?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".json").unwrap_or(&name).to_string();
    Ok(KeyInfo { name, address, path: path.to_path_buf() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_neither_a_password_nor_a_key() {
        let endless = Path::new("/dev/zero");
        assert_eq!(Password::from_file(endless).expect_err("refused").kind(), io::ErrorKind::FileTooLarge);
        let error = KeyInfo::at(endless).expect_err("refused").to_string();
        assert!(error.contains("/dev/zero") && error.contains("at most"), "{error}");
    }

    #[test]
    fn of_a_networks_keys_only_those_of_its_validators_are_taken_for_validators() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (store, password) = (Keystore::new(folder.path()), Password::new("x"));
        let word = [folder.path().display().to_string()];
        let make = |name: &str| store.generate(name, &password).expect("writable").1.address();
        let [payee, client] = ["payee-0", "client"].map(make);
        assert_eq!(store.validators(&word).expect("keys"), [client, payee], "where none is called one, all are");
        let made = ["validator-0", "validator-1"].map(make);
        assert_eq!(store.validators(&word).expect("keys"), made);
        assert_eq!(store.addresses(&word).expect("keys").len(), 4);
    }

    #[test]
    fn what_looks_like_a_private_key_is_in_no_error() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (store, secret) = (Keystore::new(dir.path()), "12".repeat(32));
        let named = format!("0x{secret}");
        let key = SecretKey::from_bytes(&[7; 32]).expect("a scalar");
        let (found, stored) = (store.find(&named), store.store(&named, &key, &Password::new("x")));
        let mut errors = vec![found.expect_err("absent"), stored.expect_err("no name")];
        for text in [secret.clone(), format!("\"{secret}\""), format!("{{\"version\": {secret}}}")] {
            let file = dir.path().join("file");
            fs::write(&file, text).expect("writable");
            errors.push(KeyInfo::at(&file).expect_err("no keystore"));
        }
        for error in errors {
            assert!(!error.to_string().contains("1212"), "{error}");
        }
    }

    #[test]
    fn a_key_survives_the_round_trip_and_only_its_password_opens_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Keystore::new(dir.path().join("keys"));
        assert!(matches!(store.list(), Err(KeystoreError::NoFolder(_))), "it is not there yet");
        assert!(matches!(store.find("owner-1"), Err(KeystoreError::NotFound { .. })));
        assert_eq!(store.free_names("owner", 2).expect("all are free"), ["owner-01", "owner-02"]);
        let password = Password::new("correct horse");
        let (info, key) = store.generate("owner-1", &password).expect("writable");
        assert_eq!(info.address, Some(key.address()));
        assert_eq!(store.list().expect("readable"), std::slice::from_ref(&info));
        for wanted in ["owner-1".to_string(), key.address().to_string()] {
            assert_eq!(store.find(&wanted).expect("there").unlock(&password).expect("opens").address(), key.address());
        }
        let error = info.unlock(&Password::new("wrong")).expect_err("closed").to_string();
        assert_eq!(error, "wrong password for the key owner-1");
        let text = fs::read_to_string(&info.path).expect("readable");
        assert!(!text.contains(&hex::encode(key.to_bytes())));
    }

    #[test]
    fn a_password_is_changed_by_whoever_has_the_old_one() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (store, [old, new]) = (Keystore::new(dir.path()), ["old", "new"].map(Password::new));
        let (info, key) = store.generate("a", &old).expect("writable");
        let refused = info.change_password(&new, &old).expect_err("not by the wrong one");
        assert!(matches!(refused, KeystoreError::WrongPassword(_)));
        info.change_password(&old, &new).expect("changed");
        assert_eq!(store.find("a").expect("there"), info, "its address is stated as before");
        assert!(matches!(info.unlock(&old), Err(KeystoreError::WrongPassword(_))));
        assert_eq!(info.unlock(&new).expect("opens").address(), key.address());
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1, "no draft is left");
    }

    #[test]
    fn nothing_is_overwritten_and_names_are_file_names() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (store, password) = (Keystore::new(dir.path()), Password::new("p"));
        store.generate("a", &password).expect("writable");
        assert!(matches!(store.generate("a", &password), Err(KeystoreError::Exists(_))));
        for name in ["", "../a", "a/b", ".a", "a b"] {
            assert!(matches!(store.generate(name, &password), Err(KeystoreError::BadName(_))), "{name}");
        }
        assert!(matches!(store.find("b"), Err(KeystoreError::NotFound { .. })));
    }

    #[test]
    fn a_broken_file_is_an_error_and_does_not_hide_the_others() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (store, password) = (Keystore::new(dir.path()), Password::new("p"));
        let (good, _) = store.generate("good", &password).expect("writable");
        fs::write(dir.path().join("README.md"), "no key").expect("writable");
        let text = fs::read_to_string(&good.path).expect("readable");
        let json: Value = serde_json::from_str(&text).expect("JSON");
        let broken = [("/crypto/cipherparams/iv", "00".into()), ("/crypto/kdfparams/n", (1u64 << 31).into())];
        for (pointer, value) in broken {
            let mut json = json.clone();
            *json.pointer_mut(pointer).expect("there") = value;
            let path = dir.path().join("broken.json");
            fs::write(&path, json.to_string()).expect("writable");
            let info = KeyInfo { name: "broken".into(), address: None, path };
            assert!(matches!(info.unlock(&password), Err(KeystoreError::Malformed { .. })), "{pointer}");
        }
        assert_eq!(store.list().expect("readable"), [good]);
    }

    #[test]
    fn a_private_key_is_32_bytes_of_hexadecimal() {
        assert!(parse_secret_key(&format!("0x{}\n", "07".repeat(32))).is_ok());
        for text in ["", "0x07", "hello", &"00".repeat(32), &"ff".repeat(32)] {
            assert!(parse_secret_key(text).is_err(), "{text}");
        }
    }
}
