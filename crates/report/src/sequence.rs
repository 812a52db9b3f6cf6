//! Who sent what to whom and when, as SVG.

use std::fmt::{self, Write};

use crate::{
    page::escape,
    palette,
    plot::{self, Axis, HALO, Legend, clip, milliseconds, shown, time_unit, width_of},
};

/// The most that is drawn.
const LANES: usize = 16;
const ARROWS: usize = 400;
const MARKS: usize = 200;

const LINE: f64 = 20.0;
/// How long the line of a lost message is at most.
const STUB: f64 = 40.0;

/// A message sequence chart: a lane for each participant, time in milliseconds running down, and an arrow for each
/// message from where and when it was sent to where and when it was received. `Display` gives the SVG.
#[derive(Debug, Clone)]
pub struct Sequence {
    lanes: Vec<String>,
    kinds: Vec<String>,
    arrows: Vec<Arrow>,
    marks: Vec<Mark>,
    /// A moment that is to be seen.
    focus: f64,
}

#[derive(Debug, Clone, Copy)]
struct Arrow {
    from: usize,
    to: usize,
    sent: f64,
    received: Option<f64>,
    kind: usize,
}

#[derive(Debug, Clone)]
struct Mark {
    lane: usize,
    at: f64,
    label: String,
}

impl Sequence {
    /// A chart without arrows, with the names of its lanes.
    pub fn new<N: Into<String>>(lanes: impl IntoIterator<Item = N>) -> Self {
        let lanes = lanes.into_iter().map(Into::into).collect();
        Self { lanes, kinds: Vec::new(), arrows: Vec::new(), marks: Vec::new(), focus: 0.0 }
    }

    /// Adds a message between two lanes, which are counted from zero. What was not received is lost.
    pub fn arrow(&mut self, from: usize, to: usize, sent: f64, received: Option<f64>, kind: &str) -> &mut Self {
        let kind = self.kinds.iter().position(|known| known == kind).unwrap_or_else(|| {
            self.kinds.push(kind.into());
            self.kinds.len() - 1
        });
        self.arrows.push(Arrow { from, to, sent, received, kind });
        self
    }

    /// Adds what happened on a lane.
    pub fn mark(&mut self, lane: usize, at: f64, label: impl Into<String>) -> &mut Self {
        self.marks.push(Mark { lane, at, label: label.into() });
        self
    }

    /// Draws what was sent around this moment, if it is too late to be among the first.
    pub fn focus(&mut self, at: f64) -> &mut Self {
        self.focus = at;
        self
    }

    /// The arrows that are drawn, in the order in which they were sent.
    fn shown_arrows(&self, lanes: usize) -> Vec<Arrow> {
        let possible = |Arrow { from, to, sent, received, .. }: &&Arrow| {
            *from.max(to) < lanes && shown(*sent) && received.is_none_or(shown)
        };
        let mut arrows: Vec<_> = self.arrows.iter().filter(possible).copied().collect();
        arrows.sort_by(|a, b| a.sent.total_cmp(&b.sent));
        let before = arrows.partition_point(|arrow| arrow.sent < self.focus);
        if before > ARROWS - ARROWS / 4 {
            // A part of what came before, and more of what came of it.
            arrows.drain(..before - ARROWS / 4);
        }
        arrows.truncate(ARROWS);
        arrows
    }

    /// The first marks from a moment on, in their order.
    fn first_marks(&self, lanes: usize, time: std::ops::RangeInclusive<f64>) -> Vec<&Mark> {
        let possible = |mark: &&Mark| mark.lane < lanes && shown(mark.at) && time.contains(&mark.at);
        let mut marks: Vec<_> = self.marks.iter().filter(possible).collect();
        marks.sort_by(|a, b| a.at.total_cmp(&b.at));
        marks.truncate(MARKS);
        marks
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lanes = &self.lanes[..self.lanes.len().min(LANES)];
        let arrows = self.shown_arrows(lanes.len());
        let received = arrows.iter().map(|arrow| arrow.received.unwrap_or(arrow.sent)).fold(0.0, f64::max);
        let until = if arrows.len() < ARROWS { f64::INFINITY } else { received };
        // Where arrows before the first one are left out, so is what happened then.
        let from = if self.arrows.len() > ARROWS { arrows.first().map_or(0.0, |arrow| arrow.sent) } else { 0.0 };
        let marks = self.first_marks(lanes.len(), from..=until);
        let left_out = plot::left_out([
            (self.lanes.len() - lanes.len(), "lanes"),
            (self.arrows.len() - arrows.len(), "messages"),
            (self.marks.len() - marks.len(), "marks"),
        ]);
        let times = || arrows.iter().map(|arrow| arrow.sent).chain(marks.iter().map(|mark| mark.at));
        let end = times().fold(received, f64::max);
        let begin = times().reduce(f64::min).filter(|begin| *begin > end / 2.0).unwrap_or(0.0);
        let (divisor, unit) = time_unit(end);
        let axis = Axis::linear(unit, begin / divisor, end / divisor, 8).ending(end / divisor);

        let left = 20.0 + axis.ticks().iter().map(|(_, label)| width_of(label)).fold(width_of(unit), f64::max);
        let pitch = (1_000.0 / lanes.len().max(1) as f64).clamp(66.0, 130.0);
        let width = left + pitch * lanes.len().max(3) as f64 + 50.0;
        let legend = Legend::new(&self.kinds, width);
        let top = legend.height() + 48.0;
        let bottom = top + (arrows.len() as f64 * 9.0).clamp(280.0, 1100.0);
        let note = if left_out.is_empty() { 0.0 } else { LINE };
        let at_x = |lane: usize| left + pitch * (lane as f64 + 0.5);
        let at_y = |time: f64| top + axis.share(time / divisor) * (bottom - top);

        plot::open(f, width, bottom + 16.0 + note, "messages between participants over time")?;
        legend.draw(f, 0.0)?;
        writeln!(f, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{unit}</text>", left - 8.0, top - 15.0)?;
        for (tick, label) in axis.ticks() {
            let y = top + axis.share(*tick) * (bottom - top);
            writeln!(
                f,
                "<path d=\"M{left:.1} {y:.1}H{:.1}\" stroke=\"currentColor\" opacity=\".12\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" opacity=\".8\">{label}</text>",
                width - 10.0,
                left - 8.0,
                y + 4.5
            )?;
        }
        for (lane, name) in lanes.iter().enumerate() {
            let x = at_x(lane);
            writeln!(
                f,
                "<path d=\"M{x:.1} {top:.1}V{bottom:.1}\" stroke=\"currentColor\" opacity=\".45\"/>\
                 <g font-weight=\"600\"><title>{}</title>",
                escape(name)
            )?;
            let (upper, lower) =
                if width_of(name) > pitch - 10.0 { name.rsplit_once(' ') } else { None }.unwrap_or(("", name));
            for (text, y) in [(upper, top - 31.0), (lower, top - 15.0)] {
                let text = clip(text, pitch - 8.0);
                write!(f, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{text}</text>")?;
            }
            writeln!(f, "</g>")?;
        }
        for Arrow { from, to, sent, received, kind } in arrows {
            let name = escape(&self.kinds[kind]);
            let ends = format!("{} to {}", escape(&lanes[from]), escape(&lanes[to]));
            let received = received.map(|received| received.max(sent));
            let until = received.map_or_else(|| "lost".into(), |at| format!("received at {}", milliseconds(at)));
            let path = path(at_x(from), at_x(to), at_y(sent), received.map(at_y), pitch);
            writeln!(
                f,
                "<path d=\"{path}\" {} stroke-width=\"1.5\" fill=\"none\"><title>{name}, {ends}: sent at {}, {until}\
                 </title></path>",
                palette::stroke(kind),
                milliseconds(sent)
            )?;
        }
        let mut free = vec![f64::NEG_INFINITY; lanes.len()];
        for Mark { lane, at, label } in marks {
            let (x, y) = (at_x(*lane), at_y(*at));
            let title = format!("{}: {} at {}", escape(&lanes[*lane]), escape(label), milliseconds(*at));
            writeln!(f, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{title}</title></circle>")?;
            let text = y.max(free[*lane]);
            if text < bottom && text < y + 3.0 * LINE {
                free[*lane] = text + 14.0;
                let label = clip(label, pitch.max(84.0) - 10.0);
                writeln!(
                    f,
                    "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12\" {HALO}>{label}</text>",
                    x + 7.0,
                    text + 4.0
                )?;
            }
        }
        if !left_out.is_empty() {
            writeln!(f, "<text x=\"4\" y=\"{:.1}\" opacity=\".8\">{left_out}</text>", bottom + 30.0)?;
        }
        write!(f, "</svg>")
    }
}

/// A line with a head, a loop back to where it began, or a stub with a cross.
fn path(from: f64, to: f64, sent: f64, received: Option<f64>, pitch: f64) -> String {
    let mut path = format!("M{from:.1} {sent:.1}");
    let towards = if to < from { -1.0 } else { 1.0 };
    let (x, y) = (to, received.unwrap_or(sent + 8.0));
    let written = match received {
        None => {
            let x = from + towards * STUB.min(pitch * 0.4);
            let (l, r, u, d) = (x - 4.0, x + 4.0, y - 4.0, y + 4.0);
            write!(path, "L{x:.1} {y:.1}M{l:.1} {u:.1}L{r:.1} {d:.1}M{l:.1} {d:.1}L{r:.1} {u:.1}")
        }
        Some(_) if from == to => {
            let out = from + pitch * 0.25;
            let (r, u, d) = (x + 6.0, y - 4.0, y + 4.0);
            write!(path, "C{out:.1} {sent:.1} {out:.1} {y:.1} {x:.1} {y:.1}M{r:.1} {u:.1}L{x:.1} {y:.1}L{r:.1} {d:.1}")
        }
        Some(_) => {
            let length = (x - from).hypot(y - sent);
            let (along, across) = ((x - from) / length, (y - sent) / length);
            let head = |side: f64| (x - 7.0 * along - side * 3.5 * across, y - 7.0 * across + side * 3.5 * along);
            let ((ax, ay), (bx, by)) = (head(1.0), head(-1.0));
            write!(path, "L{x:.1} {y:.1}M{ax:.1} {ay:.1}L{x:.1} {y:.1}L{bx:.1} {by:.1}")
        }
    };
    written.expect("writing to memory does not fail");
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::{assert_inside, points, values};

    fn arrows(svg: &str) -> Vec<Vec<(f64, f64)>> {
        let lines = svg.lines().filter(|line| line.contains("stroke-width=\"1.5\""));
        lines.map(|line| points(&format!("{}Z", values(line, "d")[0]))).collect()
    }

    #[test]
    fn an_arrow_slants_down_between_its_lanes_and_later_ones_begin_lower() {
        let mut sequence = Sequence::new(["a", "b", "c"]);
        sequence.arrow(2, 0, 30.0, Some(50.0), "late").arrow(0, 1, 10.0, Some(20.0), "early");
        let svg = sequence.to_string();
        let [early, late] = &arrows(&svg)[..] else { panic!("{svg}") };
        let lifelines = svg.lines().filter(|line| line.contains("opacity=\".45\""));
        let lanes: Vec<_> = lifelines.map(|line| points(&format!("{}Z", values(line, "d")[0]))[0].0).collect();
        assert_eq!([early[0].0, early[1].0, late[0].0, late[1].0], [lanes[0], lanes[1], lanes[2], lanes[0]]);
        let heights = [early[0].1, early[1].1, late[0].1, late[1].1];
        assert!(heights.is_sorted(), "{heights:?}");
        let steps: Vec<_> = heights.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!((steps[2] - 2.0 * steps[0]).abs() < 0.3 && (steps[1] - steps[0]).abs() < 0.3, "to scale: {steps:?}");
        assert_inside(&svg);
    }

    #[test]
    fn a_tooltip_tells_the_kind_the_ends_and_the_times_and_escapes_them() {
        let mut sequence = Sequence::new(["<a>", "b"]);
        sequence.arrow(0, 1, 1.0, Some(2.5), "<vote>").arrow(1, 0, 2.0, None, "reply").mark(0, 1.5, "<decided>");
        let svg = sequence.to_string();
        assert!(svg.contains("&lt;vote&gt;, &lt;a&gt; to b: sent at 1.0 ms, received at 2.5 ms"), "{svg}");
        assert!(svg.contains("reply, b to &lt;a&gt;: sent at 2.0 ms, lost"), "{svg}");
        assert!(svg.contains("&lt;a&gt;: &lt;decided&gt; at 1.5 ms") && !svg.contains("<vote>"), "{svg}");
    }

    #[test]
    fn what_is_lost_does_not_reach_the_other_lane() {
        let mut sequence = Sequence::new(["a", "b"]);
        sequence.arrow(0, 1, 1.0, None, "vote").arrow(0, 1, 1.0, Some(1.0), "vote");
        let svg = sequence.to_string();
        let [lost, received] = &arrows(&svg)[..] else { panic!("{svg}") };
        assert!(lost.iter().all(|(x, _)| *x < lost[0].0 + (received[1].0 - received[0].0) / 2.0), "{svg}");
        assert_inside(&svg);
    }

    #[test]
    fn of_a_hundred_thousand_messages_the_first_are_drawn_and_the_others_counted() {
        let mut sequence = Sequence::new((0..100).map(|lane| format!("replica {lane}")));
        for index in (0..100_000_u32).rev() {
            let (sent, lane) = (f64::from(index), index as usize % 4);
            sequence.arrow(lane, 3, sent, Some(sent + 5.0), "vote").mark(lane, sent, "sent");
        }
        let svg = sequence.to_string();
        assert_eq!(arrows(&svg).len(), ARROWS);
        assert!(svg.contains("left out: 84 lanes, 99,600 messages, 99,800 marks") && svg.len() < 200_000, "{svg}");
        assert!(svg.contains("sent at 0 µs") && !svg.contains("sent at 1.000 s"), "{svg}");
        assert_inside(&svg);
    }

    #[test]
    fn a_moment_that_is_too_late_for_the_first_messages_is_drawn_with_what_came_before_and_after_it() {
        let mut sequence = Sequence::new(["a", "b"]);
        for index in 0..10_000 {
            sequence.arrow(0, 1, f64::from(index), Some(f64::from(index) + 0.5), "vote");
        }
        sequence.mark(0, 1.0, "early").mark(1, 3_000.0, "power cut").focus(3_000.0);
        let svg = sequence.to_string();
        assert_eq!(arrows(&svg).len(), ARROWS);
        assert!(svg.contains("power cut at 3.000 s") && !svg.contains("early"), "{svg}");
        assert!(svg.contains("sent at 2.900 s") && svg.contains("sent at 3.299 s"), "{svg}");
        assert_inside(&svg);
    }

    #[test]
    fn a_lane_or_time_that_does_not_exist_is_left_out() {
        let mut sequence = Sequence::new(["a"]);
        sequence.arrow(0, 1, 1.0, None, "x").arrow(0, 0, f64::NAN, None, "x").arrow(
            0,
            0,
            1.0,
            Some(f64::INFINITY),
            "x",
        );
        sequence.mark(7, 1.0, "x").mark(0, -1.0, "x");
        let svg = sequence.to_string();
        assert!(arrows(&svg).is_empty() && svg.contains("left out: 3 messages, 2 marks"), "{svg}");
        assert_inside(&svg);
        assert_inside(&Sequence::new([""; 0]).to_string());
    }
}
