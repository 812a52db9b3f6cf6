//! Text of others, made safe to show: a terminal obeys control characters, and reorders what bidirectional marks say.

use std::{borrow::Cow, error::Error};

/// A text on one line, with what would move the cursor, colour the screen or change the order escaped as `\u{1b}`.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

/// The same of several lines, which stay lines.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| character != '\n' && acts(character))
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\n' if is_escaped('\n') => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            _ if is_escaped(character) => shown.extend(character.escape_unicode()),
            _ => shown.push(character),
        }
    }
    shown.into()
}

/// What went wrong, with its causes. A cause that the message before it has told already is not told again.
pub fn reason(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let why = cause.to_string();
        if told.is_empty() {
            told = why;
        } else if !told.ends_with(&why) {
            told += &format!(": {why}");
        }
        next = cause.source();
    }
    told
}

/// Whether a character does something where it is shown in place of being shown: C0 and C1 controls, line and paragraph
/// separators, bidirectional marks and overrides (Unicode TR 9), and tags, which no font shows.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// A message, and the one below it.
    #[derive(Debug)]
    struct Said(&'static str, Option<Box<Said>>);

    impl fmt::Display for Said {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Said {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn an_error_whose_message_has_its_cause_is_told_once() {
        let said = |text, cause: Option<Said>| Said(text, cause.map(Box::new));
        let absent = said("/no/such/key: no such file", Some(said("no such file", None)));
        assert_eq!(reason(&said("no backup was made", Some(absent))), "no backup was made: /no/such/key: no such file");
        assert_eq!(reason(&said("what", Some(said("cause", None)))), "what: cause");
        assert_eq!(reason(&said("alone", None)), "alone");
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_all_else_is_as_it_was() {
        for (text, shown) in [
            ("A\u{1b}]0;PWNED\u{7}\u{1b}[31mB", "A\\u{1b}]0;PWNED\\u{7}\\u{1b}[31mB"),
            ("a\u{9b}31m\u{7f}", "a\\u{9b}31m\\u{7f}"),
            ("abc\u{202e}gpj.exe\u{2066}", "abc\\u{202e}gpj.exe\\u{2066}"),
            ("one\r\ntwo\tthree\u{2028}", "one\\r\\ntwo\\tthree\\u{2028}"),
            ("größer, 日本語, עברית, 👩‍💻, \\ and \"", "größer, 日本語, עברית, 👩‍💻, \\ and \""),
        ] {
            assert_eq!(one_line(text), shown);
            assert!(!lines(text).contains(['\u{1b}', '\u{9b}', '\r', '\u{202e}']), "{:?}", lines(text));
        }
        assert_eq!(lines("one\ntwo\u{8}"), "one\ntwo\\u{8}");
        assert!(matches!(one_line("plain"), Cow::Borrowed("plain")));
    }
}
