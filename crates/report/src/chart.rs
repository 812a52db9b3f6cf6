//! Lines over a logarithmic scale, as SVG.

use std::fmt;

use crate::{
    palette,
    plot::{self, Axis, Frame, Legend},
};

const WIDTH: f64 = 800.0;
const PLOT: f64 = 360.0;

/// A chart of several lines. The horizontal axis begins at zero; the vertical one is logarithmic, in powers of ten.
/// `Display` gives the SVG.
#[derive(Debug, Clone)]
pub struct Chart {
    x: String,
    y: String,
    names: Vec<String>,
    lines: Vec<Vec<(f64, f64)>>,
}

impl Chart {
    /// A chart without lines, with what its axes show.
    pub fn new(x: impl Into<String>, y: impl Into<String>) -> Self {
        Self { x: x.into(), y: y.into(), names: Vec::new(), lines: Vec::new() }
    }

    /// Adds a line through points in their order. Points that such axes cannot show are left out.
    pub fn line(&mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> &mut Self {
        let shown = |(x, y): &(f64, f64)| plot::shown(*x) && plot::shown(*y) && *y > 0.0;
        self.names.push(name.into());
        self.lines.push(points.into_iter().filter(shown).collect());
        self
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.lines.iter().flatten().copied()
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.points().map(|(x, _)| x).fold(0.0, f64::max);
        let values = || self.points().map(|(_, y)| y);
        let (low, high) = values().reduce(f64::min).zip(values().reduce(f64::max)).unwrap_or((1.0, 10.0));
        let legend = Legend::new(&self.names, WIDTH);
        let (top, height) = (legend.height(), legend.height() + PLOT);
        let axes = (Axis::linear(&self.x, 0.0, most, 8).ending(most * 1.03), Axis::powers(&self.y, low, high));
        let frame = Frame::new(axes.0, axes.1, top, (WIDTH, height));

        plot::open(f, WIDTH, height, &format!("{} against {}", self.y, self.x))?;
        legend.draw(f, 0.0)?;
        write!(f, "{frame}")?;
        for (index, points) in self.lines.iter().enumerate() {
            let points: Vec<_> = points.iter().map(|(x, y)| (frame.at_x(*x), frame.at_y(*y))).collect();
            let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            let (colour, stroke) = (palette::colour(index), palette::stroke(index));
            if !path.is_empty() {
                writeln!(f, "<path d=\"M{}\" fill=\"none\" {stroke} stroke-width=\"2\"/>", path.join("L"))?;
            }
            for (x, y) in points {
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
    fn what_cannot_be_shown_is_left_out() {
        let mut chart = Chart::new("load", "latency");
        chart.line("p50", [(f64::NAN, 1.0), (1.0, 0.0), (-1.0, 1.0), (1.0, f64::INFINITY)]);
        let svg = chart.to_string();
        assert!(numbers(&svg, "cy").is_empty(), "{svg}");
        assert_inside(&svg);
    }
}
