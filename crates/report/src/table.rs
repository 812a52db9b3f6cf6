//! A table with a title and notes: thin over `comfy-table`.

use std::{fmt, io};

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, presets};
use rustix::termios::tcgetwinsize;

use crate::{page::escape, text};

/// Which edge of its column a cell keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A column's heading and alignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    heading: String,
    align: Align,
}

/// A column of text.
pub fn left(heading: impl Into<String>) -> Column {
    Column { heading: heading.into(), align: Align::Left }
}

/// A column of numbers.
pub fn right(heading: impl Into<String>) -> Column {
    Column { heading: heading.into(), align: Align::Right }
}

/// A titled table. `Display` gives the text: as wide as the terminal at most, cells wrapped when they must, and at its
/// natural width where there is no terminal. Cells may have text of strangers: each is on one line, and nothing in it is
/// obeyed by a terminal.
#[derive(Debug, Clone)]
pub struct Table {
    title: String,
    aligns: Vec<Align>,
    table: comfy_table::Table,
    notes: Vec<String>,
}

impl Table {
    /// An empty table.
    pub fn new(title: impl Into<String>, columns: impl IntoIterator<Item = Column>) -> Self {
        let columns: Vec<_> = columns.into_iter().collect();
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()))
            .set_content_arrangement(ContentArrangement::Dynamic);
        // There is none where the output is no terminal.
        if let Ok(terminal) = tcgetwinsize(io::stdout())
            && terminal.ws_col > 0
        {
            table.set_width(terminal.ws_col);
        }
        table.set_header(columns.iter().map(|column| column.heading.as_str()));
        for (column, made) in columns.iter().zip(table.column_iter_mut()) {
            made.set_cell_alignment(match column.align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
        let aligns = columns.iter().map(|column| column.align).collect();
        Self { title: text::lines(&title.into()).into_owned(), aligns, table, notes: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        self.table.add_row(cells.into_iter().map(|cell| text::one_line(&cell.into()).into_owned()));
        self
    }

    /// Adds a note below the table.
    pub fn note(&mut self, note: impl Into<String>) -> &mut Self {
        self.notes.push(text::lines(&note.into()).into_owned());
        self
    }

    /// Sets the width in characters, in place of the terminal's.
    pub fn width(&mut self, characters: u16) -> &mut Self {
        self.table.set_width(characters);
        self
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.table.row_count()
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The table as text; of one that is empty, `nothing`.
    pub fn or(&self, nothing: impl fmt::Display) -> String {
        if self.is_empty() { nothing.to_string() } else { self.to_string() }
    }

    /// The table as HTML, in a box that scrolls when it is too narrow.
    pub(crate) fn html(&self) -> String {
        let row = |row: &comfy_table::Row, tag: &str| -> String {
            let cell = |(column, cell): (usize, &comfy_table::Cell)| {
                let number = if self.aligns.get(column) == Some(&Align::Right) { " class=\"n\"" } else { "" };
                format!("<{tag}{number}>{}</{tag}>", escape(&cell.content()))
            };
            format!("<tr>{}</tr>\n", row.cell_iter().enumerate().map(cell).collect::<String>())
        };
        let title = if self.title.is_empty() { String::new() } else { format!("<h3>{}</h3>\n", escape(&self.title)) };
        let head: String = self.table.header().map(|header| row(header, "th")).into_iter().collect();
        let rows: String = self.table.row_iter().map(|cells| row(cells, "td")).collect();
        let notes: String = self.notes.iter().map(|note| format!("<p class=\"note\">{}</p>\n", escape(note))).collect();
        format!(
            "<section>{title}<div class=\"box\"><table><thead>{head}</thead><tbody>\n{rows}</tbody>\
             </table></div>\n{notes}</section>"
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.title.is_empty() {
            writeln!(f, "{}", self.title)?;
        }
        write!(f, "{}", self.table.trim_fmt())?;
        let width = usize::from(self.table.width().unwrap_or(NOTE_WIDTH)).max(20);
        for note in &self.notes {
            for line in wrap(note, width) {
                write!(f, "\n{line}")?;
            }
        }
        Ok(())
    }
}

/// Where notes break when there is no terminal.
const NOTE_WIDTH: u16 = 110;

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("it starts with one");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(format!("  {word}"));
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_right_and_text_keeps_left() {
        let mut table = Table::new("title", [left("name"), right("gas")]);
        table.row(["a", "1"]).row(["longer", "1,000"]);
        let text = table.to_string();
        assert!(text.starts_with("title\n"), "{text}");
        assert!(text.lines().any(|line| line.trim_end().ends_with("    1") && line.trim_start().starts_with("a ")));
    }

    #[test]
    fn no_line_is_wider_than_asked_and_none_carries_an_escape_code() {
        let mut table = Table::new("title", [left("name"), right("gas")]);
        table.row(["several words that do not fit on one line".to_string(), "1,000".to_string()]);
        table.note("a note of several words that does not fit on one line either").width(30);
        let text = table.to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 30), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn as_html_numbers_have_their_class_and_all_text_is_escaped() {
        let mut table = Table::new("a & b", [left("<name>"), right("gas")]);
        table.row(["a < b", "1,000"]).note("1 > 0");
        let html = table.html();
        let expected = [
            "<h3>a &amp; b</h3>",
            "<th>&lt;name&gt;</th><th class=\"n\">gas</th>",
            "<td>a &lt; b</td><td class=\"n\">1,000</td>",
            "1 &gt; 0",
        ];
        assert!(expected.iter().all(|part| html.contains(part)), "{html}");
    }

    #[test]
    fn a_stranger_s_text_makes_no_rows_and_is_not_obeyed() {
        let mut table = Table::new("of \u{1b}[2J", [left("name"), right("gas")]);
        table.row(["A\u{1b}]0;PWNED\u{7}\nB", "1"]).note("from \u{9b}31m");
        let (text, html) = (table.to_string(), table.html());
        assert!(text.contains("A\\u{1b}]0;PWNED\\u{7}\\nB"), "{text}");
        for shown in [&text, &html] {
            assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{shown:?}");
        }
    }

    #[test]
    fn of_an_empty_list_people_see_a_line_that_says_so_and_no_frame() {
        let mut table = Table::new("Rounds", [left("round")]);
        assert_eq!(table.or("no rounds yet"), "no rounds yet");
        table.row(["1"]);
        assert_eq!(table.or("no rounds yet"), table.to_string());
    }

    #[test]
    fn a_row_with_too_few_cells_is_shown() {
        let mut table = Table::new("", [left("a"), left("b")]);
        table.row(["only"]);
        assert!(table.to_string().contains("only"));
        assert_eq!(table.len(), 1);
    }
}
