//! A matrix of cells, as SVG: who did what of which part, or how often one thing was taken for another.

use std::fmt;

use crate::{
    palette,
    plot::{self, NARROW, clip, width_of},
};

/// The most that is drawn.
const ROWS: usize = 40;
const COLUMNS: usize = 128;

/// The largest cell, and the least that has room for its text.
const CELL: f64 = 34.0;
const LEGIBLE: f64 = 22.0;

const LINE: f64 = 20.0;

/// Cells in rows and columns, each filled as far as its value goes. `Display` gives the SVG.
#[derive(Debug, Clone)]
pub struct Cells {
    what: String,
    rows: Vec<String>,
    columns: Vec<String>,
    cells: Vec<Cell>,
}

#[derive(Debug, Clone)]
struct Cell {
    row: usize,
    column: usize,
    share: f64,
    colour: usize,
    text: String,
}

impl Cells {
    /// An empty matrix, with what it shows and the names of its rows and columns.
    pub fn new<R: Into<String>, C: Into<String>>(
        what: impl Into<String>,
        rows: impl IntoIterator<Item = R>,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        let rows = rows.into_iter().map(Into::into).collect();
        Self { what: what.into(), rows, columns: columns.into_iter().map(Into::into).collect(), cells: Vec::new() }
    }

    /// Fills a cell: from 0, the ground, to 1, the whole of the colour with that index; with a text where there is room.
    pub fn cell(
        &mut self,
        (row, column): (usize, usize),
        share: f64,
        colour: usize,
        text: impl Into<String>,
    ) -> &mut Self {
        self.cells.push(Cell { row, column, share, colour, text: text.into() });
        self
    }
}

impl fmt::Display for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, columns) = (self.rows.len().min(ROWS), self.columns.len().min(COLUMNS));
        let labels = self.rows[..rows].iter().map(|label| width_of(label)).fold(0.0, f64::max).min(130.0) + 8.0;
        let width = ((NARROW - labels) / columns.max(1) as f64).min(CELL);
        let height = width.max(LINE);
        let left_out = plot::left_out([(self.rows.len() - rows, "rows"), (self.columns.len() - columns, "columns")]);
        let note = if left_out.is_empty() { 0.0 } else { LINE };
        plot::open(f, NARROW, LINE + height * rows as f64 + note + 4.0, &self.what)?;
        // As many names of columns as have room.
        let widest = self.columns[..columns].iter().map(|name| width_of(name)).fold(8.0, f64::max) + 6.0;
        let every = (widest / width).ceil().max(1.0) as usize;
        for (at, name) in self.columns[..columns].iter().enumerate().step_by(every) {
            let x = labels + width * (at as f64 + 0.5);
            writeln!(f, "<text x=\"{x:.1}\" y=\"14\" text-anchor=\"middle\">{}</text>", clip(name, widest))?;
        }
        for (at, name) in self.rows[..rows].iter().enumerate() {
            let (x, y) = (labels - 6.0, LINE + height * (at as f64 + 0.5) + 4.5);
            writeln!(f, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", clip(name, labels - 6.0))?;
        }
        for Cell { row, column, share, colour, text } in &self.cells {
            if *row >= rows || *column >= columns {
                continue;
            }
            let (x, y) = (labels + width * *column as f64, LINE + height * *row as f64);
            let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
            writeln!(
                f,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\" fill-opacity=\"{share:.2}\" \
                 stroke=\"var(--line,#ccc)\" stroke-width=\".5\"/>",
                (width - 1.0).max(0.5),
                height - 1.0,
                palette::colour(*colour)
            )?;
            if width >= LEGIBLE && !text.is_empty() {
                let (x, y) = (x + width / 2.0, y + height / 2.0 + 4.5);
                writeln!(f, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>", clip(text, width))?;
            }
        }
        if !left_out.is_empty() {
            let y = LINE + height * rows as f64 + 15.0;
            writeln!(f, "<text x=\"{labels:.1}\" y=\"{y:.1}\" opacity=\".8\">{left_out}</text>")?;
        }
        write!(f, "</svg>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::{assert_inside, numbers};

    fn opacities(svg: &str) -> Vec<f64> {
        numbers(&svg.lines().filter(|line| line.starts_with("<rect")).collect::<String>(), "fill-opacity")
    }

    #[test]
    fn a_cell_is_filled_as_far_as_its_value_goes() {
        let mut cells = Cells::new("taken for", ["0", "1"], ["0", "1"]);
        cells.cell((0, 0), 1.0, 0, "9").cell((0, 1), 0.25, 1, "<3>").cell((1, 1), f64::NAN, 0, "").cell(
            (7, 7),
            1.0,
            0,
            "x",
        );
        let svg = cells.to_string();
        assert_eq!(opacities(&svg), [1.0, 0.25, 0.0]);
        assert!(svg.contains(">9<") && svg.contains("&lt;3&gt;") && !svg.contains(">x<"), "{svg}");
        assert_inside(&svg);
    }

    #[test]
    fn many_cells_are_small_and_the_rest_is_counted() {
        let mut cells =
            Cells::new("audits", (0..50).map(|row| format!("member {row}")), (0..200).map(|it| it.to_string()));
        (0..200).for_each(|column| _ = cells.cell((column % 50, column), 1.0, 0, "text"));
        let svg = cells.to_string();
        assert!(svg.contains("10 rows") && svg.contains("72 columns") && !svg.contains(">text<"), "{svg}");
        assert_inside(&svg);
        assert_inside(&Cells::new("", [""; 0], [""; 0]).to_string());
    }
}
