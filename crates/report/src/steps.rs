//! What changes over time, as SVG.

use std::fmt::{self, Write};

use crate::{
    palette,
    plot::{self, Axis, Frame, Legend, NARROW, shown},
};

/// The most steps of a series.
const STEPS: usize = 300;

const PLOT: f64 = 260.0;

/// Areas under steps: each value holds until the next one. `Display` gives the SVG.
#[derive(Debug, Clone)]
pub struct Steps {
    unit: String,
    until: f64,
    names: Vec<String>,
    series: Vec<Vec<(f64, f64)>>,
}

impl Steps {
    /// A chart without series, with the unit of its values.
    pub fn new(unit: impl Into<String>) -> Self {
        Self { unit: unit.into(), until: 0.0, names: Vec::new(), series: Vec::new() }
    }

    /// Says when the last values end; without it, where they begin.
    pub fn until(&mut self, seconds: f64) -> &mut Self {
        self.until = if shown(seconds) { seconds } else { 0.0 };
        self
    }

    /// Adds seconds and the values from then on. Points that the axes cannot show are left out; where they are too
    /// close to tell apart, the highest one stands for them.
    pub fn series(&mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> &mut Self {
        let mut points: Vec<_> = points.into_iter().filter(|(x, y)| shown(*x) && shown(*y)).collect();
        points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let highest = |chunk: &[(f64, f64)]| (chunk[0].0, chunk.iter().map(|(_, y)| *y).fold(0.0, f64::max));
        let size = points.len().div_ceil(STEPS).max(1);
        self.names.push(name.into());
        self.series.push(points.chunks(size).map(highest).collect());
        self
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = || self.series.iter().flatten();
        let end = points().map(|(x, _)| *x).fold(self.until, f64::max);
        let most = points().map(|(_, y)| *y).fold(0.0, f64::max);
        let legend = Legend::new(&self.names, NARROW);
        let (top, height) = (legend.height(), legend.height() + PLOT);
        let axes = (Axis::linear("seconds", 0.0, end, 5).ending(end), Axis::linear(&self.unit, 0.0, most, 4));
        let frame = Frame::new(axes.0, axes.1, top, (NARROW, height));

        plot::open(f, NARROW, height, &format!("{} over seconds", self.unit))?;
        legend.draw(f, 0.0)?;
        write!(f, "{frame}")?;
        let opacity = 0.3 / self.series.len().max(2) as f64;
        for (index, points) in self.series.iter().enumerate() {
            let Some((first, _)) = points.first() else { continue };
            let ground = frame.at_y(0.0);
            let mut path = format!("M{:.1} {ground:.1}", frame.at_x(*first));
            for (x, y) in points {
                write!(path, "H{:.1}V{:.1}", frame.at_x(*x), frame.at_y(*y))?;
            }
            write!(path, "H{:.1}V{ground:.1}", frame.at_x(end))?;
            let (fill, stroke) = (palette::colour(index), palette::stroke(index));
            writeln!(
                f,
                "<path d=\"{path}\" fill=\"{fill}\" fill-opacity=\"{opacity:.2}\" {stroke} stroke-width=\"1.5\"/>"
            )?;
        }
        write!(f, "</svg>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::{assert_inside, points, values};

    fn areas(svg: &str) -> Vec<Vec<(f64, f64)>> {
        let lines = svg.lines().filter(|line| line.contains("fill-opacity"));
        lines.map(|line| points(&format!("{}Z", values(line, "d")[0]))).collect()
    }

    #[test]
    fn a_value_holds_until_the_next_and_the_last_one_until_the_end() {
        let mut chart = Steps::new("Mbit/s");
        chart.series("sent", [(1.0, 4.0), (0.0, 2.0)]).until(2.0);
        let svg = chart.to_string();
        let area = &areas(&svg)[0];
        let [(x0, ground), _, low, (x1, held), (_, high), (x2, _), last] = area[..] else { panic!("{area:?}") };
        assert!((x1 - x0 - (x2 - x1)).abs() < 0.2 && low.1 == held && last.1 == ground, "{area:?}");
        assert!((ground - high - 2.0 * (ground - low.1)).abs() < 0.3, "twice the value is twice as high: {area:?}");
        assert_inside(&svg);
    }

    #[test]
    fn a_peak_survives_when_a_hundred_thousand_points_are_thinned() {
        let mut chart = Steps::new("Mbit/s");
        chart.series("sent", (0..100_000).map(|x| (f64::from(x), if x == 54_321 { 100.0 } else { 1.0 })));
        let svg = chart.to_string();
        let area = &areas(&svg)[0];
        let high = area.iter().filter(|(_, y)| area[0].1 - y > 100.0).count();
        assert!(high == 2 && area.len() > STEPS && svg.len() < 20_000, "{high} of {}", area.len());
    }

    #[test]
    fn a_chart_of_nothing_or_of_what_cannot_be_shown_has_only_its_axes() {
        let mut chart = Steps::new("<unit>");
        chart.series("<odd>", [(f64::NAN, 1.0), (1.0, f64::INFINITY), (-1.0, 1.0), (1.0, -1.0)]).until(f64::NAN);
        let svg = chart.to_string();
        assert!(areas(&svg).is_empty() && svg.contains("&lt;odd&gt;") && svg.contains("&lt;unit&gt;"), "{svg}");
        assert_inside(&svg);
        assert_inside(&Steps::new("").to_string());
    }
}
