//! How things are shown: of the address of a chain's node, user, password, path and query may be what opens it.

use alloy::primitives::Address;
use dtn_keys::without_private_keys;
use reqwest::Url;

/// A URL with its scheme, host and port alone. `/…` stands for what is left out. What is no URL is cut alike.
pub fn url(text: &str) -> String {
    let shown = match Url::parse(text) {
        Ok(url) if url.has_host() => {
            let host = url.host_str().unwrap_or_default();
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
            let is_bare = is_bare && url.username().is_empty() && url.password().is_none();
            format!("{}://{host}{port}{}", url.scheme(), if is_bare { "" } else { "/…" })
        }
        _ => {
            let (scheme, rest) =
                text.split_once("://").map_or(("", text), |(scheme, rest)| (&text[..scheme.len() + 3], rest));
            let behind = rest.rfind('@').map_or(rest, |at| &rest[at + 1..]);
            let host = behind.split(['/', '\\', '?', '#']).next().unwrap_or_default();
            // Without a host behind it, that may be a user and a password.
            let is_port = |port: &str| port.bytes().all(|digit| digit.is_ascii_digit());
            let host = host.split_once(':').map_or(host, |(name, port)| if is_port(port) { host } else { name });
            format!("{scheme}{host}{}", if host == rest { "" } else { "/…" })
        }
    };
    without_private_keys(&shown).into_owned()
}

/// A text in which there may be URLs and what looks like private keys, such as a line of a file that cannot be read.
pub fn text(text: &str) -> String {
    without_private_keys(&urls(text)).into_owned()
}

/// A text in which there may be URLs. Hashes in it stay what they are.
pub fn urls(text: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("://") {
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let start = rest[..at]
            .rfind(|c| !is_scheme(c))
            .map_or(0, |before| before + rest[before..].chars().next().map_or(1, char::len_utf8));
        let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | '\u{1b}');
        let end = rest[at + 3..].find(is_end).map_or(rest.len(), |length| at + 3 + length);
        // What ends a part of a sentence is none of the URL.
        let end = start + rest[start..end].trim_end_matches([':', ';', '.', ')']).len();
        let end = end.max(at + 3);
        shown = shown + &rest[..start] + &url(&rest[start..end]);
        rest = &rest[end..];
    }
    shown + rest
}

/// Accounts in a row, as errors name them.
pub fn accounts(accounts: &[Address]) -> String {
    accounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_open_it() {
        for (given, shown) in [
            ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
            ("https://example.org/", "https://example.org"),
            ("http://[::1]:8545", "http://[::1]:8545"),
            ("https://user:secret@example.org:1234", "https://example.org:1234/…"),
            ("https://secret@example.org", "https://example.org/…"),
            ("wss://example.org/v3/secret", "wss://example.org/…"),
            ("https://example.org?key=secret", "https://example.org/…"),
            ("https://example.org/#secret", "https://example.org/…"),
            ("http://user:sec/ret@example.org/secret", "http://example.org/…"),
            ("user:secret@example.org:8545/secret", "example.org:8545/…"),
            ("http://user:secret", "http://user/…"),
            ("127.0.0.1:8545", "127.0.0.1:8545"),
            ("http://", "http://"),
            ("", ""),
        ] {
            assert_eq!(url(given), shown, "{given}");
        }
        assert!(!url(&"7e".repeat(32)).contains("7e7e"));
    }

    #[test]
    fn urls_in_a_text_are_cut_where_they_stand() {
        let line = "line 2: `rpc = [\"https://u:secret@a.example/x\", 'wss://b.example/secret']`, not \u{e9}http://c.example/secret";
        let told = "line 2: `rpc = [\"https://a.example/…\", 'wss://b.example/…']`, not \u{e9}http://c.example/…";
        assert_eq!(text(line), told);
        assert_eq!(text("nothing here :// there"), "nothing here :// there");
        let ended = "no answer from http://127.0.0.1:1: refused (see http://b.example/secret). 0x";
        let told = "no answer from http://127.0.0.1:1: refused (see http://b.example/…). 0x";
        assert_eq!(urls(ended), told);
        let hash = "7e".repeat(32);
        assert_eq!((urls(&hash), urls(told)), (hash.clone(), told.into()), "and once more changes nothing");
    }
}
