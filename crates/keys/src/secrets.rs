//! What must not be said again: a private key that was given where none belongs.

use std::borrow::Cow;

/// So many hexadecimal digits in a row are taken for a private key, which has 64: some may be missing.
const LEAST_DIGITS: usize = 56;

/// What stands where such a text stood.
const HIDDEN: &str = "(hidden: it looks like a private key)";

/// A text to show in which nothing looks like a private key any more. Hashes look the same, so this is for what was given
/// as the name of a key or could not be read at all, and not for whatever is printed.
pub fn without_private_keys(text: &str) -> Cow<'_, str> {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some((at, length)) = digits(rest) {
        let before = &rest[..at];
        let before = before.strip_suffix("0x").or_else(|| before.strip_suffix("0X")).unwrap_or(before);
        shown = shown + before + HIDDEN;
        rest = &rest[at + length..];
    }
    if shown.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(shown + rest) }
}

/// Whether something in a text looks like a private key.
pub fn has_private_key(text: &str) -> bool {
    digits(text).is_some()
}

/// Where the first run of so many digits begins, and how long it is.
fn digits(text: &str) -> Option<(usize, usize)> {
    let mut start = 0;
    while start < text.len() {
        let length = text[start..].bytes().take_while(u8::is_ascii_hexdigit).count();
        if length >= LEAST_DIGITS {
            return Some((start, length));
        }
        start += length;
        start += text[start..].chars().next().map_or(0, char::len_utf8);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_private_key_is_not_said_again_and_everything_else_is() {
        let key = "0b".repeat(32);
        for given in [format!("0x{key}"), format!("0X{key}"), key.clone(), key.to_uppercase(), key[1..].to_string()] {
            assert!(has_private_key(&given));
            let shown = without_private_keys(&format!("no “{given}” and no {given}")).into_owned();
            assert_eq!(shown, format!("no “{HIDDEN}” and no {HIDDEN}"));
        }
        for given in ["", "owner-01", "ключ", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "dead beef é 0x12"] {
            assert!(!has_private_key(given));
            assert_eq!(without_private_keys(given), given);
        }
    }
}
