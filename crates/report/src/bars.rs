//! Bars side by side, as SVG.

use std::fmt;

use crate::{
    palette,
    plot::{self, Legend, NARROW, clip, shown, width_of},
};

/// The most rows that are drawn.
const ROWS: usize = 40;

const BAR: f64 = 18.0;
const GAP: f64 = 10.0;

/// Horizontal bars, in rows of one for each series, with a text at the end of each. `Display` gives the SVG.
#[derive(Debug, Clone)]
pub struct Bars {
    names: Vec<String>,
    rows: Vec<(String, Vec<(f64, String)>)>,
}

impl Bars {
    /// A chart without rows, with the names of its series. A legend shows them if there are several.
    pub fn new<N: Into<String>>(series: impl IntoIterator<Item = N>) -> Self {
        Self { names: series.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row: for each series a value, from zero, and how it reads. The rows after the fortieth are only counted.
    pub fn row<T: Into<String>>(
        &mut self,
        label: impl Into<String>,
        bars: impl IntoIterator<Item = (f64, T)>,
    ) -> &mut Self {
        let bars = bars.into_iter().take(self.names.len()).map(|(value, text)| (value, text.into()));
        self.rows.push((label.into(), bars.collect()));
        self
    }
}

impl fmt::Display for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, left_out) = self.rows.split_at(self.rows.len().min(ROWS));
        let bars = || rows.iter().flat_map(|(_, bars)| bars);
        let most = bars().map(|(value, _)| *value).filter(|value| shown(*value)).fold(0.0, f64::max);
        let labels = rows.iter().map(|(label, _)| width_of(label)).fold(0.0, f64::max).min(150.0) + 16.0;
        let texts = bars().map(|(_, text)| width_of(text)).fold(0.0, f64::max).min(130.0) + 10.0;
        let longest = NARROW - labels - texts;
        let legend = Legend::new(self.names.iter().filter(|_| self.names.len() > 1), NARROW);
        let row_height = |bars: &[_]| BAR * bars.len().max(1) as f64 + GAP;
        let note = if left_out.is_empty() { 0.0 } else { BAR };
        let height = legend.height() + rows.iter().map(|(_, bars)| row_height(bars)).sum::<f64>() + note;

        plot::open(f, NARROW, height.max(BAR), &self.names.join(", "))?;
        legend.draw(f, 0.0)?;
        let mut top = legend.height() + GAP / 2.0;
        for (label, bars) in rows {
            let middle = top + (row_height(bars) - GAP) / 2.0 + 4.5;
            let text = clip(label, labels - 8.0);
            writeln!(f, "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{text}</text>", labels - 8.0)?;
            for (index, (value, text)) in bars.iter().enumerate() {
                let length = if shown(*value) && *value > 0.0 { (value / most * longest).max(1.0) } else { 0.0 };
                let (y, colour, text) = (top + BAR * index as f64, palette::colour(index), clip(text, texts - 10.0));
                writeln!(
                    f,
                    "<rect x=\"{labels:.1}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{:.1}\" rx=\"2\" \
                     fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
                    y + 1.0,
                    BAR - 2.0,
                    labels + length + 6.0,
                    y + 13.5
                )?;
            }
            top += row_height(bars);
        }
        if !left_out.is_empty() {
            let count = left_out.len();
            writeln!(f, "<text x=\"{labels:.1}\" y=\"{:.1}\" opacity=\".8\">and {count} more</text>", top + 9.0)?;
        }
        write!(f, "</svg>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::{assert_inside, numbers};

    /// The lengths of a chart's bars.
    fn lengths(svg: &str) -> Vec<f64> {
        numbers(&svg.lines().filter(|line| line.starts_with("<rect")).collect::<String>(), "width")
    }

    #[test]
    fn a_bar_is_as_long_as_its_value_next_to_the_longest() {
        let mut bars = Bars::new(["before", "after"]);
        bars.row("a", [(100.0, "100"), (50.0, "50")]).row("b", [(25.0, "25"), (0.0, "none")]);
        let svg = bars.to_string();
        let lengths = lengths(&svg);
        let expected = [1.0, 0.5, 0.25, 0.0].map(|share| share * lengths[0]);
        assert!(lengths.iter().zip(expected).all(|(length, expected)| (length - expected).abs() < 0.11), "{lengths:?}");
        assert!(svg.contains("before") && svg.contains(">none<"), "{svg}");
        assert_inside(&svg);
    }

    #[test]
    fn a_value_that_is_no_length_has_its_text_and_no_bar() {
        let mut bars = Bars::new(["<one>"]);
        bars.row("<a>", [(f64::NAN, "<nan>")]).row("b", [(f64::INFINITY, "much")]).row("c", [(-1.0, "less")]);
        let svg = bars.to_string();
        assert_eq!(lengths(&svg), [0.0; 3]);
        assert!(svg.contains("&lt;nan&gt;") && svg.contains("much") && svg.contains("&lt;a&gt;"), "{svg}");
        assert_inside(&svg);
        assert_inside(&Bars::new([""; 0]).to_string());
    }

    #[test]
    fn long_texts_are_cut_and_many_rows_are_counted() {
        let mut bars = Bars::new(["bytes"]);
        (0..1_000).for_each(|row| _ = bars.row("a label of many words and more", [(f64::from(row), "x".repeat(99))]));
        let svg = bars.to_string();
        assert_eq!(lengths(&svg).len(), ROWS);
        assert!(svg.contains("and 960 more"), "{svg}");
        assert_inside(&svg);
    }
}
