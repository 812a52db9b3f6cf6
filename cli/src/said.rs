//! What is said, and what is not said again: what looks like a private key among what was given to this process, and what opens
//! a node, by whatever way it came into a message.
//!
//! A hash looks like a private key. So not all that looks like one is hidden, which would hide the hash of a transaction, but
//! what was given as something else than a hash.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fmt::Display,
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use alloy_primitives::B256;
use anyhow::{Result, bail};
use dtn_chain::shown;
use dtn_keys::has_private_key;
use dtn_report::text;
use serde_json::Value;

use crate::failure::Coded;

/// What stands where a secret stood.
const HIDDEN: &str = "(hidden: it looks like a private key)";

/// So many hexadecimal digits of a key that blanks divide tell something of it.
const LEAST_PIECE: usize = 8;

/// Where what opens a node has fewer characters, hiding it would hide words.
const LEAST_WORD: usize = 4;

/// Pages that errors name, which open nothing.
const KNOWN: &str = "https://github.com/Arachnid/deterministic-deployment-proxy";

/// What is not said, in small letters.
static SECRETS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn hide(secret: &str) {
    SECRETS.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.to_ascii_lowercase());
}

/// Remembers what looks like a secret among the arguments of this process, but for hashes that a command has asked for, and
/// among the variables that it reads.
pub(crate) fn hide_given(hashes: &[B256]) {
    let variables = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DTN_"));
    let given = std::env::args_os().skip(1).chain(variables.map(|(_, value)| value));
    let hashes: Vec<_> = hashes.iter().map(|hash| format!("{hash:x}")).collect();
    given.for_each(|one| hide_in_argument(&one, &hashes));
}

fn hide_in_argument(given: &OsStr, hashes: &[String]) {
    let given = given.to_string_lossy();
    let together: String = given.split_whitespace().collect();
    if has_private_key(&together) {
        let least = if has_private_key(&given) { usize::MAX } else { LEAST_PIECE };
        for piece in given.split(|c: char| !c.is_ascii_hexdigit()) {
            let is_hash = hashes.iter().any(|hash| hash.ends_with(&piece.to_ascii_lowercase()));
            if !is_hash && (has_private_key(piece) || piece.len() >= least) {
                hide(piece);
            }
        }
    }
    // Several nodes stand in for each other.
    given.split(',').for_each(hide_url);
}

/// Remembers what may open the nodes at URLs.
pub(crate) fn hide_urls(urls: &Value) {
    match urls {
        Value::String(url) => hide_url(url),
        Value::Array(several) => several.iter().for_each(hide_urls),
        _ => {}
    }
}

/// Remembers what may open what is at a URL: who asks with which password, and what is behind the host.
fn hide_url(url: &str) {
    let Some((_, rest)) = url.split_once("://") else { return };
    let (authority, path) = match rest.find(['/', '?', '#']) {
        // A slash may be in a password that is not written as it has to be.
        Some(at) if !rest[at..].contains('@') => rest.split_at(at),
        _ => match rest.rfind('@') {
            Some(at) => {
                let end = rest[at..].find(['/', '?', '#']).map_or(rest.len(), |length| at + length);
                rest.split_at(end)
            }
            None => (rest, ""),
        },
    };
    if let Some((user, _)) = authority.rsplit_once('@') {
        // A name alone is what opens it.
        let secret = user.split_once(':').map_or(user, |(_, password)| password);
        if secret.len() >= LEAST_WORD {
            hide(secret);
        }
    }
    for word in path.split(['/', '?', '#', '&']) {
        hide_word(word.split_once('=').map_or(word, |(_, value)| value));
    }
}

fn hide_word(word: &str) {
    // Words such as `testnet` open nothing, and a short number may stand for anything.
    let is_plain = word.len() < 12 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if word.len() >= LEAST_WORD && !is_plain {
        hide(word);
    }
}

/// A message as it may be said: URLs in it are cut, too.
pub(crate) fn shown(message: &str) -> String {
    let parts: Vec<_> = message.split(KNOWN).map(shown::urls).collect();
    without_secrets(&parts.join(KNOWN))
}

/// What a command has found, without secrets that it was given.
pub(crate) fn without_secrets(found: &str) -> String {
    let mut said = found.to_string();
    let secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    // What holds another one comes first.
    let mut longest: Vec<_> = secrets.iter().collect();
    longest.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in longest {
        said = without(&said, secret);
    }
    said
}

fn without(message: &str, secret: &str) -> String {
    let (small, mut said, mut from) = (message.to_ascii_lowercase(), String::new(), 0);
    while let Some(at) = small[from..].find(secret) {
        let before = &message[from..from + at];
        let before = before.strip_suffix("0x").or_else(|| before.strip_suffix("0X")).unwrap_or(before);
        said = said + before + if has_private_key(secret) { HIDDEN } else { "…" };
        from += at + secret.len();
    }
    said + &message[from..]
}

/// What programs read of a failure, as it may be said.
pub(crate) fn shown_value(value: &Value) -> Value {
    match value {
        Value::String(text) => shown(text).into(),
        Value::Array(several) => several.iter().map(shown_value).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), shown_value(value))).collect())
        }
        other => other.clone(),
    }
}

/// Shows what somebody is about to sign. What cannot be shown is not signed. It is exact: a part that was left out might be what
/// matters.
pub(crate) fn preview(what: impl Display) -> Result<()> {
    let text = format!("{}\n", text::lines(&what.to_string()));
    match io::stderr().write_all(text.as_bytes()) {
        Ok(()) => Ok(()),
        // Not with the error itself: a reader that is gone is no quiet end here.
        Err(error) => bail!(Coded::not_shown(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks like a private key; another one in each test, since what is hidden is hidden from all.
    fn key(byte: &str) -> String {
        byte.repeat(32)
    }

    #[test]
    fn what_was_given_is_hidden_and_a_hash_is_not() {
        let (secret, hash, divided) = (key("5e"), key("7a"), key("3c"));
        let hashes = [format!("0x{hash}")];
        let arguments = [format!("0x{secret}"), hashes[0].clone(), format!("{} {}", &divided[..30], &divided[30..])];
        arguments.iter().for_each(|one| hide_in_argument(OsStr::new(one), &hashes));
        let message = format!("no `0x{}` in {hash}, nor {}", secret.to_uppercase(), arguments[2]);
        assert_eq!(shown(&message), format!("no `{HIDDEN}` in {hash}, nor … …"));
        let value = serde_json::json!({ "file": [secret] });
        assert_eq!(shown_value(&value), serde_json::json!({ "file": [HIDDEN] }));
    }

    #[test]
    fn what_opens_a_node_is_hidden_wherever_it_stands() {
        hide_url("https://someone:pass9word@node.example/v3/APIKEY-77?token=T0KEN-9");
        hide_url("http://LONELYKEY@node.example");
        hide_url("http://u:sl/ash9@node.example/testnet");
        let said = shown("someone on testnet: apikey-77, T0KEN-9, pass9word, LonelyKey and sl/ash9");
        assert_eq!(said, "someone on testnet: …, …, …, … and …");
        let page = format!("see {KNOWN}, http://node.example/x");
        assert_eq!(shown(&page), format!("see {KNOWN}, http://node.example/…"));
    }
}
