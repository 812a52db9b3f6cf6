//! How values are distributed, as SVG.

use std::fmt::{self, Write};

use crate::{
    palette,
    plot::{self, Axis, Frame, NARROW, clip, milliseconds, shown, swatch, time_unit},
    units,
};

/// The most points of a curve.
const POINTS: usize = 300;

const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];
const PLOT: f64 = 260.0;
const LINE: f64 = 20.0;
const COLUMN: f64 = 82.0;

/// Cumulative curves: how many per cent of a series' values, in milliseconds, are at or below any. `Display` gives the
/// SVG.
#[derive(Debug, Clone)]
pub struct Distribution {
    what: String,
    series: Vec<Series>,
}

#[derive(Debug, Clone)]
struct Series {
    name: String,
    quantiles: Option<[f64; 3]>,
    /// Values, ascending, and how many per cent are at or below each.
    curve: Vec<(f64, f64)>,
}

impl Distribution {
    /// A distribution without series, with what its values tell.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), series: Vec::new() }
    }

    /// Adds values in any order. Those that the axis cannot show are left out.
    pub fn series(&mut self, name: impl Into<String>, values: impl IntoIterator<Item = f64>) -> &mut Self {
        let mut values: Vec<_> = values.into_iter().filter(|value| shown(*value)).collect();
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let ranked = |share: f64| values[((share * count as f64).ceil() as usize).clamp(1, count) - 1];
        let quantiles = (count > 0).then(|| QUANTILES.map(|(_, share)| ranked(share)));
        let points = count.min(POINTS);
        let ranks = (1..=points).map(|point| (point * count).div_ceil(points));
        let curve = ranks.map(|rank| (values[rank - 1], 100.0 * rank as f64 / count as f64)).collect();
        self.series.push(Series { name: name.into(), quantiles, curve });
        self
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = || self.series.iter().flat_map(|series| &series.curve).map(|(value, _)| *value);
        let high = values().fold(0.0, f64::max);
        let low = values().reduce(f64::min).filter(|low| *low > high / 2.0).unwrap_or(0.0);
        let (divisor, unit) = time_unit(high);
        let top = LINE * (self.series.len() as f64 + 1.0);
        let x = Axis::linear(format!("{}, {unit}", self.what), low / divisor, high / divisor, 5).ending(high / divisor);
        let frame = Frame::new(x, Axis::linear("% at or below", 0.0, 100.0, 5), top, (NARROW, top + PLOT));

        plot::open(f, NARROW, top + PLOT, &format!("distribution of {}", self.what))?;
        let columns = || (0..3).map(|column| NARROW - 6.0 - COLUMN * f64::from(2 - column));
        let cell = |f: &mut fmt::Formatter<'_>, x: f64, y: f64, text: &str| {
            writeln!(f, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", y + 14.5)
        };
        for (x, (heading, _)) in columns().zip(QUANTILES) {
            cell(f, x, 0.0, heading)?;
        }
        for (index, Series { name, quantiles, .. }) in self.series.iter().enumerate() {
            let y = LINE * (index as f64 + 1.0);
            swatch(f, 4.0, y, index)?;
            let name = clip(name, NARROW - 3.0 * COLUMN - 30.0);
            writeln!(f, "<text x=\"24\" y=\"{:.1}\">{name}</text>", y + 14.5)?;
            for (column, x) in columns().enumerate() {
                let text = quantiles.map_or_else(|| units::NONE.into(), |values| milliseconds(values[column]));
                cell(f, x, y, &text)?;
            }
        }
        write!(f, "{frame}")?;
        for (index, Series { curve, .. }) in self.series.iter().enumerate() {
            let Some((first, _)) = curve.first() else { continue };
            let mut path = format!("M{:.1} {:.1}", frame.at_x(first / divisor), frame.at_y(0.0));
            for (value, share) in curve {
                write!(path, "H{:.1}V{:.1}", frame.at_x(value / divisor), frame.at_y(*share))?;
            }
            writeln!(f, "<path d=\"{path}\" fill=\"none\" {} stroke-width=\"2\"/>", palette::stroke(index))?;
        }
        write!(f, "</svg>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::{assert_inside, points, values};

    /// The curves of a chart.
    fn curves(svg: &str) -> Vec<Vec<(f64, f64)>> {
        let lines = svg.lines().filter(|line| line.contains("stroke-width=\"2\""));
        lines.map(|line| points(&format!("{}Z", values(line, "d")[0]))).collect()
    }

    #[test]
    fn a_curve_rises_from_nothing_to_everything_whatever_the_order_of_its_values() {
        let mut chart = Distribution::new("latency");
        chart.series("up", (0..1_000).map(f64::from)).series("down", (0..1_000).rev().map(f64::from));
        let svg = chart.to_string();
        let curves = curves(&svg);
        assert_eq!(curves[0], curves[1]);
        assert!(curves[0].is_sorted_by(|a, b| a.0 <= b.0 && a.1 >= b.1), "{svg}");
        assert!(svg.contains("499.0 ms") && svg.contains("899.0 ms") && svg.contains("989.0 ms"), "{svg}");
        assert_inside(&svg);
    }

    #[test]
    fn a_million_values_keep_their_ends_in_a_short_curve() {
        let mut many = Distribution::new("latency");
        many.series("n", (0..1_000_000).map(f64::from));
        let (svg, mut ends) = (many.to_string(), Distribution::new("latency"));
        ends.series("n", [0.0, 999_999.0]);
        let curve = &curves(&svg)[0];
        assert!(curve.len() <= 2 * POINTS + 1 && svg.len() < 20_000, "{}", svg.len());
        assert_eq!(curve.last(), curves(&ends.to_string())[0].last());
    }

    #[test]
    fn what_has_no_values_or_none_that_can_be_shown_has_no_quantiles() {
        let mut chart = Distribution::new("<latency>");
        chart.series("<none>", []).series("odd", [f64::NAN, f64::INFINITY, -1.0, 1e300]);
        let svg = chart.to_string();
        assert_eq!(svg.matches(units::NONE).count(), 6, "{svg}");
        assert!(svg.contains("&lt;none&gt;") && !svg.contains("<none>"), "{svg}");
        assert_inside(&svg);
        assert_inside(&Distribution::new("").to_string());
    }
}
