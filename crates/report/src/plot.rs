//! What the charts share: the SVG's frame, axes with round ticks, and the legend.

use std::fmt::{self, Write};

use crate::{
    page::escape,
    palette,
    units::{self, thousands},
};

/// The width of a chart that a phone shows whole.
pub(crate) const NARROW: f64 = 440.0;

/// Text with the ground's colour around it, so that it stays legible on lines.
pub(crate) const HALO: &str = "paint-order=\"stroke\" stroke=\"var(--card,#fff)\" stroke-width=\"4\"";

/// What a character of the charts' text takes, on average at least.
const CHARACTER: f64 = 7.3;
const LINE: f64 = 20.0;
const BOTTOM: f64 = 46.0;

/// Whether an axis can show a value.
pub(crate) fn shown(value: f64) -> bool {
    (0.0..=1e15).contains(&value)
}

/// About how wide a text is.
pub(crate) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

/// A text, escaped, cut to what fits into a width.
pub(crate) fn clip(text: &str, width: f64) -> String {
    let most = (width / CHARACTER + 0.01).max(2.0) as usize;
    if text.chars().count() <= most {
        return escape(text);
    }
    let cut: String = text.chars().take(most - 1).collect();
    format!("{}…", escape(cut.trim_end()))
}

/// What a chart does not draw, in words; empty if it draws everything.
pub(crate) fn left_out<const N: usize>(counts: [(usize, &str); N]) -> String {
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<_> = counts.map(|(count, what)| format!("{} {what}", thousands(count))).collect();
    if counts.is_empty() { String::new() } else { format!("left out: {}", counts.join(", ")) }
}

/// The opening tag. What is wider than a phone scrolls in its box rather than become illegible.
pub(crate) fn open(f: &mut impl Write, width: f64, height: f64, label: &str) -> fmt::Result {
    let least = if width > NARROW { width * 0.8 } else { 0.0 };
    writeln!(
        f,
        "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\" \
         style=\"min-width:{least:.0}px;max-width:{:.0}px\" font-size=\"13\" fill=\"currentColor\">",
        escape(label),
        width * if least > 0.0 { 1.25 } else { 1.4 }
    )
}

/// By what milliseconds are divided to be shown up to the longest of them, and the unit that gives.
pub(crate) fn time_unit(longest: f64) -> (f64, &'static str) {
    if longest >= 10_000.0 { (1e3, "s") } else { (1.0, "ms") }
}

/// Milliseconds as people read them.
pub(crate) fn milliseconds(value: f64) -> String {
    units::duration((value * 1e3).round() as u64)
}

/// One axis: its range, its ticks and how values lie on it.
pub(crate) struct Axis {
    title: String,
    low: f64,
    high: f64,
    logarithmic: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From a round number at or below `low` to one at or above `high`, in about that many steps.
    pub(crate) fn linear(title: impl Into<String>, low: f64, high: f64, steps: u32) -> Self {
        let high = if high > 0.0 { high.max(low * 1.001) } else { 1.0 };
        let least = (high - low) / f64::from(steps);
        let power = 10f64.powf(least.log10().floor());
        let step = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least * 0.999).unwrap_or(10.0) * power;
        let first = (low / step).floor();
        let count = ((high / step).ceil() - first).clamp(1.0, f64::from(2 * steps));
        let ticks: Vec<_> = (0..=count as u32)
            .map(|index| (first + f64::from(index)) * step)
            .map(|tick| (tick, number(tick, step)))
            .collect();
        Self { title: title.into(), low: first * step, high: (first + count) * step, logarithmic: false, ticks }
    }

    /// The same axis, which ends before the round number.
    pub(crate) fn ending(mut self, high: f64) -> Self {
        let ticks = self.ticks.iter().filter(|(tick, _)| *tick <= high).count();
        if ticks > 1 {
            self.ticks.truncate(ticks);
            self.high = high;
        }
        self
    }

    /// Powers of ten around values that are greater than zero.
    pub(crate) fn powers(title: impl Into<String>, low: f64, high: f64) -> Self {
        let low = low.log10().floor();
        let high = high.log10().ceil().max(low + 1.0);
        let ticks = (low as i32..=high as i32).map(|power| 10f64.powi(power)).map(|tick| (tick, number(tick, tick)));
        Self { title: title.into(), low, high, logarithmic: true, ticks: ticks.collect() }
    }

    /// Where a value lies, from 0 at the low end to 1 at the high end.
    pub(crate) fn share(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.log10() } else { value };
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The values with a label, ascending.
    pub(crate) fn ticks(&self) -> &[(f64, String)] {
        &self.ticks
    }
}

/// A number with the decimals that tell it from others a step away.
fn number(value: f64, step: f64) -> String {
    match -step.log10().floor() {
        decimals if decimals > 6.0 || value >= 1e9 => format!("{value:.1e}"),
        decimals if decimals > 0.0 => format!("{value:.*}", decimals as usize),
        _ => thousands(value.round() as u64),
    }
}

/// Two axes and the area between them.
pub(crate) struct Frame {
    x: Axis,
    y: Axis,
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Frame {
    /// A frame below what takes the upper `top` of a chart.
    pub(crate) fn new(x: Axis, y: Axis, top: f64, (width, height): (f64, f64)) -> Self {
        let widest = |axis: &Axis| axis.ticks.iter().map(|(_, label)| width_of(label)).fold(20.0, f64::max);
        let (left, right) = (widest(&y) + 14.0, width - widest(&x) / 2.0 - 4.0);
        Self { x, y, left, top: top + LINE + 10.0, right, bottom: height - BOTTOM }
    }

    /// Where a value of the horizontal axis lies.
    pub(crate) fn at_x(&self, value: f64) -> f64 {
        self.left + self.x.share(value) * (self.right - self.left)
    }

    /// Where a value of the vertical axis lies.
    pub(crate) fn at_y(&self, value: f64) -> f64 {
        self.bottom - self.y.share(value) * (self.bottom - self.top)
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { left, top, right, bottom, .. } = self;
        writeln!(f, "<g stroke=\"currentColor\" opacity=\".14\">")?;
        for (tick, _) in &self.x.ticks {
            write!(f, "<path d=\"M{:.1} {top:.1}V{bottom:.1}\"/>", self.at_x(*tick))?;
        }
        for (tick, _) in &self.y.ticks {
            write!(f, "<path d=\"M{left:.1} {:.1}H{right:.1}\"/>", self.at_y(*tick))?;
        }
        writeln!(f, "</g><g opacity=\".8\">")?;
        for (tick, label) in &self.x.ticks {
            let x = self.at_x(*tick);
            writeln!(f, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>", bottom + 18.0)?;
        }
        for (tick, label) in &self.y.ticks {
            let (x, y) = (left - 7.0, self.at_y(*tick) + 4.5);
            writeln!(f, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>")?;
        }
        let (x_title, y_title) = (clip(&self.x.title, right - left), clip(&self.y.title, *right));
        writeln!(
            f,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x_title}</text>\
             <text x=\"4\" y=\"{:.1}\">{y_title}</text></g>",
            (left + right) / 2.0,
            bottom + 38.0,
            top - 12.0
        )
    }
}

/// Names with their colours, in as many lines as they need.
pub(crate) struct Legend {
    entries: Vec<(f64, f64, String)>,
    height: f64,
}

impl Legend {
    /// The legend of named things, between the edges of a chart.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a String>, width: f64) -> Self {
        let (mut x, mut y) = (4.0, 0.0);
        let mut entries = Vec::new();
        for name in names {
            let taken = (width_of(name) + 36.0).min(width - 8.0);
            if x > 4.0 && x + taken > width {
                (x, y) = (4.0, y + LINE);
            }
            entries.push((x, y, clip(name, taken - 36.0)));
            x += taken;
        }
        let height = if entries.is_empty() { 0.0 } else { y + LINE };
        Self { entries, height }
    }

    /// How much of a chart's height it takes.
    pub(crate) fn height(&self) -> f64 {
        self.height
    }

    /// Draws it below `top`.
    pub(crate) fn draw(&self, f: &mut impl Write, top: f64) -> fmt::Result {
        for (index, (x, y, name)) in self.entries.iter().enumerate() {
            swatch(f, *x, top + y, index)?;
            writeln!(f, "<text x=\"{:.1}\" y=\"{:.1}\">{name}</text>", x + 20.0, top + y + 14.5)?;
        }
        Ok(())
    }
}

/// The piece of a series' line that stands before its name.
pub(crate) fn swatch(f: &mut impl Write, x: f64, y: f64, index: usize) -> fmt::Result {
    let stroke = palette::stroke(index);
    write!(f, "<path d=\"M{x:.1} {:.1}h15\" {stroke} stroke-width=\"4\"/>", y + 10.0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The values of an attribute, in their order.
    pub(crate) fn values<'a>(svg: &'a str, name: &str) -> Vec<&'a str> {
        let start = format!(" {name}=\"");
        svg.split(&start).skip(1).map(|rest| rest.split('"').next().expect("a part")).collect()
    }

    /// The values of an attribute that are numbers.
    pub(crate) fn numbers(svg: &str, name: &str) -> Vec<f64> {
        values(svg, name).into_iter().map(|value| value.parse().expect("a number")).collect()
    }

    /// The points that a path of absolute commands reaches.
    pub(crate) fn points(path: &str) -> Vec<(f64, f64)> {
        let (mut at, mut reached) = ((0.0, 0.0), Vec::new());
        for command in path.split_inclusive(|letter: char| letter.is_ascii_alphabetic()).collect::<Vec<_>>().windows(2)
        {
            let letter = command[0].chars().last().expect("a letter");
            let text = command[1].trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
            let found: Vec<f64> = text.split_whitespace().map(|value| value.parse().expect("a number")).collect();
            match (letter, &found[..]) {
                ('H', [x]) => at.0 = *x,
                ('h', [x]) => at.0 += x,
                ('V', [y]) => at.1 = *y,
                (_, [.., x, y]) => at = (*x, *y),
                _ => panic!("{letter} in {path}"),
            }
            reached.push(at);
        }
        reached
    }

    /// Checks that a chart's marks and its unturned texts are inside its view box, and all its numbers finite.
    pub(crate) fn assert_inside(svg: &str) {
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let mut sizes = values(svg, "viewBox")[0].split(' ').skip(2).map(|size| size.parse::<f64>().expect("a number"));
        let (width, height) = (sizes.next().expect("a width"), sizes.next().expect("a height"));
        let check = |x: f64, y: f64, what: &str| {
            assert!((-0.6..=width + 0.6).contains(&x) && (-0.6..=height + 0.6).contains(&y), "{x} {y}: {what}\n{svg}");
        };
        for tag in svg.split('<').filter(|tag| !tag.contains("transform")) {
            let number = |name: &str| numbers(tag, name).first().copied().unwrap_or(0.0);
            let (x, y) = (number("x") + number("cx"), number("y") + number("cy"));
            match tag.split([' ', '>']).next() {
                Some("path") => points(&format!("{}Z", values(tag, "d")[0].trim_end_matches('Z')))
                    .into_iter()
                    .for_each(|(x, y)| check(x, y, tag)),
                Some("rect") => check(x + number("width"), y + number("height"), tag),
                Some("circle") => {
                    [-1.0, 1.0].map(|side| side * number("r")).iter().for_each(|r| check(x + r, y + r, tag))
                }
                Some("text") => {
                    let text = tag.split_once('>').expect("a text").1.replace("&lt;", "<").replace("&gt;", ">");
                    let taken = width_of(&text) * 0.95;
                    let start = match values(tag, "text-anchor").first() {
                        Some(&"end") => x - taken,
                        Some(&"middle") => x - taken / 2.0,
                        _ => x,
                    };
                    check(start, y, tag);
                    check(start + taken, y, tag);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_linear_axis_has_few_round_ticks_around_its_values() {
        let ranges = [(0.0, 612.0), (0.0, 1.0), (0.0, 0.037), (612.0, 613.0), (5.0, 5.0), (0.0, 0.0), (1.0, 1e15)];
        for (low, high) in ranges {
            let axis = Axis::linear("", low, high, 5);
            let labels: Vec<_> = axis.ticks().iter().map(|(_, label)| label.as_str()).collect();
            assert!((2..=8).contains(&labels.len()), "{labels:?} from {low} to {high}");
            assert!(axis.low <= low && axis.high >= high && axis.share(low) <= axis.share(high), "{labels:?}");
            let mut distinct = labels.clone();
            distinct.dedup();
            assert_eq!(labels, distinct);
        }
        let labels = |axis: Axis| axis.ticks.into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(Axis::linear("", 0.0, 1_900.0, 4)), ["0", "500", "1,000", "1,500", "2,000"]);
        assert_eq!(labels(Axis::linear("", 0.0, 1_900.0, 4).ending(1_900.0)), ["0", "500", "1,000", "1,500"]);
        assert_eq!(labels(Axis::powers("", 0.3, 20.0)), ["0.1", "1", "10", "100"]);
    }

    #[test]
    fn a_legend_wraps_and_a_long_name_is_cut_before_it_is_escaped() {
        let names = ["<first>".to_string(), "second".to_string(), "a name that is far longer".to_string()];
        let legend = Legend::new(&names, 150.0);
        let mut svg = String::new();
        legend.draw(&mut svg, 0.0).expect("writing to memory does not fail");
        assert!(legend.height() > 2.0 * LINE && svg.contains("&lt;first&gt;") && svg.contains('…'), "{svg}");
        assert_eq!(clip("<<<<", 3.0 * CHARACTER), "&lt;&lt;…");
    }
}
