//! Rust as `cargo fmt` leaves it: a function ends at the first closing brace that stands as far left as its beginning.

use crate::{expect_none, tree::texts};

/// What may stand before `fn`, beside visibility.
const QUALIFIERS: [&str; 6] = ["default", "const", "async", "unsafe", "extern", "\"C\""];

pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    pub(crate) lines: usize,
}

/// Whether a file in `src` holds nothing but tests.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("/testing.rs") || path.contains("/tests/")
}

/// The functions that have a body of their own lines.
pub(crate) fn functions(text: &str) -> Vec<Function<'_>> {
    let lines: Vec<_> = text.lines().collect();
    let named = |(at, line)| name(line).map(|name| (at, name, line));
    let found = lines.iter().copied().enumerate().filter_map(named);
    let measure = |(at, name, line): (usize, _, &str)| {
        let indent = &line[..line.len() - line.trim_start().len()];
        let rest = &lines[at..];
        let is_end = |rest: &str| rest.starts_with('}') || rest.starts_with(')') && rest.ends_with(';');
        let ends = |line: &&str| line.strip_prefix(indent).is_some_and(is_end);
        let own_line = |line: &str| line.ends_with('}') || line.ends_with(';');
        let length = if own_line(line) { 1 } else { rest.iter().position(ends)? + 1 };
        Some(Function { name, lines: length })
    };
    found.filter_map(measure).collect()
}

/// The name of the function that begins on a line.
fn name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    if let Some(after) = rest.strip_prefix("pub") {
        let after = match after.strip_prefix('(') {
            Some(within) => within.split_once(')')?.1,
            None => after,
        };
        rest = after.strip_prefix(' ')?;
    }
    loop {
        let (word, after) = rest.split_once(' ')?;
        match word {
            "fn" => return after.split(['(', '<']).next(),
            _ if QUALIFIERS.contains(&word) => rest = after,
            _ => return None,
        }
    }
}

#[test]
fn the_length_of_a_function_is_counted_from_its_name_to_its_brace() {
    let text = "\
impl A {
    pub(crate) async fn long<T>(
        self,
    ) -> T {
        if x {
        }
        y
    }

    fn declared(&self) -> u8;

    fn declared_long(
        &self,
    ) -> u8;

    const fn short() {}
}
// a fn in a comment
fn last() {
    \"fn\"
}
";
    let found: Vec<_> = functions(text).into_iter().map(|function| (function.name, function.lines)).collect();
    assert_eq!(found, [("long", 7), ("declared", 1), ("declared_long", 3), ("short", 1), ("last", 3)]);
    let long = format!("fn long() {{\n{}}}\n", "    ();\n".repeat(69));
    assert_eq!(functions(&long)[0].lines, 71);
}

#[test]
fn nothing_in_src_is_allowed_to_be_dead() {
    let mut wrong = Vec::new();
    for file in texts(&["rs"]).iter().filter(|file| file.path.contains("/src/") && !is_test_file(&file.path)) {
        for (at, line) in file.text.lines().enumerate().filter(|(_, line)| is_allowance(line)) {
            wrong.push(format!("{}:{}: {}", file.path, at + 1, line.trim()));
        }
    }
    expect_none("what is dead goes", &wrong);
}

/// Whether a line has an attribute that allows dead code.
fn is_allowance(line: &str) -> bool {
    let attribute = line.split_once("#[").or_else(|| line.split_once("#![")).map(|(_, rest)| rest);
    let allows = attribute.is_some_and(|rest| ["allow(", "expect("].iter().any(|one| rest.starts_with(one)));
    allows && (line.contains("dead_code") || line.contains("unused"))
}
