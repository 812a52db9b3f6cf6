//! Lines over a logarithmic scale, as SVG.

use std::fmt;

use crate::{
    palette,
    plot::{self, Axis, Frame, Legend},
};

const WIDTH: f64 = 800.0;
const PLOT: f64 = 360.0;

/// A chart of several lines. The horizontal axis begins at zero, or is logarithmic as the vertical one is, in powers of ten.
/// `Display` gives the SVG.
#[derive(Debug, Clone)]
pub struct Chart {
    x: String,
    y: String,
    is_logarithmic: bool,
    names: Vec<String>,
    lines: Vec<Line>,
}

#[derive(Debug, Clone)]
struct Line {
    points: Vec<(f64, f64)>,
    /// Whether each point has a mark, as what was measured has.
    marked: bool,
}

impl Chart {
    /// A chart without lines, with what its axes show.
    pub fn new(x: impl Into<String>, y: impl Into<String>) -> Self {
        Self { x: x.into(), y: y.into(), is_logarithmic: false, names: Vec::new(), lines: Vec::new() }
    }

    /// The same with powers of ten on the horizontal axis, too.
    #[must_use]
    pub fn logarithmic(self) -> Self {
        Self { is_logarithmic: true, ..self }
    }

    /// Adds a line through points in their order. Points that such axes cannot show are left out.
    pub fn line(&mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> &mut Self {
        self.add(name.into(), points, true)
    }

    /// Adds a line without marks, of what is computed and not measured.
    pub fn curve(&mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> &mut Self {
        self.add(name.into(), points, false)
    }

    fn add(&mut self, name: String, points: impl IntoIterator<Item = (f64, f64)>, marked: bool) -> &mut Self {
        let is_logarithmic = self.is_logarithmic;
        let shown =
            |(x, y): &(f64, f64)| plot::shown(*x) && plot::shown(*y) && *y > 0.0 && (*x > 0.0 || !is_logarithmic);
        self.names.push(name);
        self.lines.push(Line { points: points.into_iter().filter(shown).collect(), marked });
        self
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.lines.iter().flat_map(|line| &line.points).copied()
    }

    /// Its points as a table for other programs: line, x, y.
    pub(crate) fn csv(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let mut csv = format!("line,{},{}\n", quoted(&self.x), quoted(&self.y));
        for (name, line) in self.names.iter().zip(&self.lines) {
            line.points.iter().for_each(|(x, y)| csv += &format!("{},{x},{y}\n", quoted(name)));
        }
        csv
    }

    fn horizontal(&self) -> Axis {
        let values = || self.points().map(|(x, _)| x);
        let most = values().fold(0.0, f64::max);
        match values().reduce(f64::min) {
            Some(least) if self.is_logarithmic => Axis::powers(&self.x, least, most),
            _ => Axis::linear(&self.x, 0.0, most, 8).ending(most * 1.03),
        }
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = || self.points().map(|(_, y)| y);
        let (low, high) = values().reduce(f64::min).zip(values().reduce(f64::max)).unwrap_or((1.0, 10.0));
        let legend = Legend::new(&self.names, WIDTH);
        let (top, height) = (legend.height(), legend.height() + PLOT);
        let frame = Frame::new(self.horizontal(), Axis::powers(&self.y, low, high), top, (WIDTH, height));

        plot::open(f, WIDTH, height, &format!("{} against {}", self.y, self.x))?;
        legend.draw(f, 0.0)?;
        write!(f, "{frame}")?;
        for (index, Line { points, marked }) in self.lines.iter().enumerate() {
            let points: Vec<_> = points.iter().map(|(x, y)| (frame.at_x(*x), frame.at_y(*y))).collect();
            let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            let (colour, stroke) = (palette::colour(index), palette::stroke(index));
            if !path.is_empty() {
                writeln!(f, "<path d=\"M{}\" fill=\"none\" {stroke} stroke-width=\"2\"/>", path.join("L"))?;
            }
            for (x, y) in points.into_iter().filter(|_| *marked) {
                writeln!(f, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>")?;
            }
        }
        write!(f, "</svg>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::{assert_inside, numbers};

    #[test]
    fn every_point_is_inside_the_chart_and_higher_values_are_higher_up() {
        let mut chart = Chart::new("load", "latency");
        chart.line("p50", [(0.0, 0.3), (1_000.0, 2.0), (20_000.0, 900.0)]).line("none", []);
        let svg = chart.to_string();
        let heights = numbers(&svg, "cy");
        assert_eq!(heights.len(), 3);
        assert!(heights.is_sorted_by(|a, b| a > b), "{heights:?}");
        assert_inside(&svg);
    }

    #[test]
    fn on_two_logarithmic_axes_a_power_is_a_straight_line_and_what_is_computed_has_no_marks() {
        let mut chart = Chart::new("replicas", "messages").logarithmic();
        let square = |n: f64| (n, n * n);
        chart.line("measured", [0.0, 4.0, 16.0, 64.0].map(square)).curve("n^2", [4.0, 64.0].map(square));
        let svg = chart.to_string();
        let (x, y) = (numbers(&svg, "cx"), numbers(&svg, "cy"));
        assert_eq!(x.len(), 3, "nothing is at zero");
        assert!(((x[1] - x[0]) - (x[2] - x[1])).abs() < 0.2 && ((y[1] - y[0]) - (y[2] - y[1])).abs() < 0.2, "{svg}");
        assert_inside(&svg);
        let csv = chart.csv();
        assert!(csv.starts_with("line,\"replicas\",\"messages\"\n\"measured\",4,16\n"), "{csv}");
        assert!(csv.ends_with("\"n^2\",64,4096\n"), "{csv}");
    }

    #[test]
    fn what_cannot_be_shown_is_left_out() {
        let mut chart = Chart::new("load", "latency");
        chart.line("p50", [(f64::NAN, 1.0), (1.0, 0.0), (-1.0, 1.0), (1.0, f64::INFINITY)]);
        let svg = chart.to_string();
        assert!(numbers(&svg, "cy").is_empty(), "{svg}");
        assert_inside(&svg);
    }
}
