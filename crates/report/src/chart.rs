//! Lines over a logarithmic scale, as SVG.

use std::fmt;

use crate::page::escape;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 55.0;

/// Distinct on light and on dark ground.
const COLOURS: [&str; 4] = ["#2a78d6", "#e0662b", "#2c9c6a", "#9a59c7"];

/// How many steps the horizontal axis has.
const STEPS: u32 = 5;

/// A chart of several lines. The horizontal axis begins at zero; the vertical one is logarithmic, in powers of ten.
/// `Display` gives the SVG.
#[derive(Debug, Clone)]
pub struct Chart {
    x: String,
    y: String,
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Chart {
    /// A chart without lines, with what its axes show.
    pub fn new(x: impl Into<String>, y: impl Into<String>) -> Self {
        Self { x: x.into(), y: y.into(), lines: Vec::new() }
    }

    /// Adds a line through points in their order. Points that such axes cannot show are left out.
    pub fn line(&mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> &mut Self {
        let shown = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && *x >= 0.0 && *y > 0.0;
        self.lines.push((name.into(), points.into_iter().filter(shown).collect()));
        self
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.lines.iter().flat_map(|(_, points)| points).copied()
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.points().map(|(x, _)| x).fold(1.0, f64::max) * 1.05;
        let powers = || self.points().map(|(_, y)| y.log10());
        let (low, high) = match (powers().reduce(f64::min), powers().reduce(f64::max)) {
            (Some(low), Some(high)) => (low.floor(), high.ceil().max(low.floor() + 1.0)),
            _ => (0.0, 1.0),
        };
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let at_x = |x: f64| LEFT + x / most * (right - LEFT);
        let at_y = |y: f64| bottom - (y.log10() - low) / (high - low) * (bottom - TOP);

        let (x_label, y_label) = (escape(&self.x), escape(&self.y));
        writeln!(
            f,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{y_label} against {x_label}\" font-size=\"13\" fill=\"currentColor\">"
        )?;
        for step in 0..=STEPS {
            let value = most * f64::from(step) / f64::from(STEPS);
            let x = at_x(value);
            writeln!(f, "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"currentColor\" opacity=\".12\"/>")?;
            writeln!(f, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{value:.0}</text>", bottom + 20.0)?;
        }
        for power in low as i32..=high as i32 {
            let value = 10f64.powi(power);
            let y = at_y(value);
            writeln!(f, "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"currentColor\" opacity=\".12\"/>")?;
            writeln!(f, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>", LEFT - 8.0, y + 4.0)?;
        }
        writeln!(
            f,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{x_label}</text><text x=\"8\" y=\"16\">{y_label}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 8.0
        )?;
        for (index, (name, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let path: Vec<_> = points.iter().map(|(x, y)| format!("{:.1} {:.1}", at_x(*x), at_y(*y))).collect();
            if !path.is_empty() {
                writeln!(f, "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", path.join("L"))?;
            }
            for (x, y) in points {
                writeln!(f, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>", at_x(*x), at_y(*y))?;
            }
            let (x, name) = (LEFT + 20.0 + 110.0 * index as f64, escape(name));
            writeln!(f, "<circle cx=\"{x}\" cy=\"{}\" r=\"4\" fill=\"{colour}\"/>", TOP + 10.0)?;
            writeln!(f, "<text x=\"{}\" y=\"{}\">{name}</text>", x + 10.0, TOP + 14.0)?;
        }
        write!(f, "</svg>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_inside_the_chart_and_higher_values_are_higher_up() {
        let mut chart = Chart::new("load", "latency");
        chart.line("p50", [(0.0, 0.3), (1_000.0, 2.0), (20_000.0, 900.0)]).line("none", []);
        let svg = chart.to_string();
        let number = |circle: &str, name: &str| -> f64 {
            let (_, rest) = circle.split_once(&format!("{name}=\"")).expect("has it");
            rest.split('"').next().and_then(|number| number.parse().ok()).expect("a number")
        };
        let circles: Vec<_> = svg.lines().filter(|line| line.contains("r=\"3.5\"")).collect();
        let heights: Vec<_> = circles.iter().map(|circle| number(circle, "cy")).collect();
        assert_eq!(heights.len(), 3);
        assert!(heights.is_sorted_by(|a, b| a > b), "{heights:?}");
        assert!(heights.iter().all(|y| (TOP..=HEIGHT - BOTTOM).contains(y)), "{heights:?}");
        assert!(circles.iter().all(|circle| (LEFT..=WIDTH - RIGHT).contains(&number(circle, "cx"))));
    }

    #[test]
    fn what_cannot_be_shown_is_left_out() {
        let mut chart = Chart::new("load", "latency");
        chart.line("p50", [(f64::NAN, 1.0), (1.0, 0.0), (-1.0, 1.0), (1.0, f64::INFINITY)]);
        let svg = chart.to_string();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
