//! Who is connected to whom, as SVG.

use std::{
    collections::BTreeMap,
    f64::consts::{PI, TAU},
    fmt,
};

use crate::{
    page::escape,
    palette,
    plot::{self, HALO, NARROW, clip, shown, width_of},
    units,
};

/// The most that is drawn.
const NODES: usize = 2_000;
const LINKS: usize = 250;

/// The most nodes that have labels.
const LABELLED: usize = 36;

const CENTRE: f64 = NARROW / 2.0;
const RADIUS: f64 = 178.0;
/// What is between two rows of small nodes.
const ROW: f64 = 5.6;
const LINE: f64 = 20.0;

/// How a node that is special is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// A ring around it.
    Ring,
    /// A square on its tip.
    Diamond,
    /// Crossed out.
    Cross,
}

/// A network: nodes on a circle, side by side with the others of their group, and the links between them. `Display`
/// gives the SVG.
#[derive(Debug, Clone, Default)]
pub struct NetworkMap {
    groups: Vec<String>,
    nodes: Vec<Node>,
    links: Vec<Link>,
}

#[derive(Debug, Clone)]
struct Node {
    label: String,
    group: usize,
    note: Option<(Sign, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Node(usize),
    Group(usize),
}

#[derive(Debug, Clone)]
struct Link {
    from: End,
    to: End,
    weight: f64,
    text: String,
}

impl NetworkMap {
    /// A network without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node to a group, which begins with its first node. Nodes are counted from zero.
    pub fn node(&mut self, label: impl Into<String>, group: &str) -> &mut Self {
        let group = self.group(group).unwrap_or_else(|| {
            self.groups.push(group.into());
            self.groups.len() - 1
        });
        self.nodes.push(Node { label: label.into(), group, note: None });
        self
    }

    /// Says what is special about a node, which the legend repeats.
    pub fn note(&mut self, node: usize, sign: Sign, text: impl Into<String>) -> &mut Self {
        if let Some(node) = self.nodes.get_mut(node) {
            node.note = Some((sign, text.into()));
        }
        self
    }

    /// Adds a link between two nodes, as strong as its weight is next to the others.
    pub fn link(&mut self, from: usize, to: usize, weight: f64, text: impl Into<String>) -> &mut Self {
        self.links.push(Link { from: End::Node(from), to: End::Node(to), weight, text: text.into() });
        self
    }

    /// The same between two groups that have nodes.
    pub fn flow(&mut self, from: &str, to: &str, weight: f64, text: impl Into<String>) -> &mut Self {
        if let (Some(from), Some(to)) = (self.group(from), self.group(to)) {
            self.links.push(Link { from: End::Group(from), to: End::Group(to), weight, text: text.into() });
        }
        self
    }

    fn group(&self, name: &str) -> Option<usize> {
        self.groups.iter().position(|known| known == name)
    }

    fn name(&self, end: End) -> String {
        escape(match end {
            End::Node(node) => &self.nodes[node].label,
            End::Group(group) => &self.groups[group],
        })
    }
}

/// Where the nodes and groups are.
struct Layout {
    /// The angles at which a group begins and ends.
    arcs: Vec<(f64, f64)>,
    /// For each node that is drawn, its angle and its distance from the centre.
    nodes: Vec<(f64, f64)>,
    /// The radius of a node.
    size: f64,
    /// The radius of the empty circle in the middle.
    inside: f64,
}

impl Layout {
    fn new(nodes: &[Node], groups: usize) -> Self {
        let gap = if groups > 1 { (nodes.len() as f64 / (20.0 * groups as f64)).max(1.0) } else { 0.0 };
        let slot = TAU / (nodes.len() as f64 + gap * groups as f64).max(1.0);
        let size = (slot * RADIUS * 0.42).clamp(2.2, 14.0);
        let rows = (ROW / (slot * RADIUS)).ceil().clamp(1.0, 16.0) as usize;
        let mut members = vec![Vec::new(); groups];
        nodes.iter().enumerate().for_each(|(index, node)| members[node.group].push(index));
        let mut placed = vec![(0.0, 0.0); nodes.len()];
        let mut angle = -PI / 2.0;
        let mut arcs = Vec::new();
        for group in members {
            let begin = angle;
            for (index, node) in group.into_iter().enumerate() {
                placed[node] = (angle + slot / 2.0, RADIUS - (index % rows) as f64 * ROW);
                angle += slot;
            }
            arcs.push((begin, angle));
            angle += gap * slot;
        }
        Self { arcs, nodes: placed, size, inside: RADIUS - (rows - 1) as f64 * ROW - size - 4.0 }
    }

    /// Where a link leaves one end for another.
    fn end(&self, end: End, other: End, side: f64) -> (f64, f64) {
        match end {
            End::Node(node) => at(self.nodes[node].0, self.nodes[node].1 - self.size - 2.0),
            End::Group(group) => {
                let (begin, until) = self.arcs[group];
                let share = if end == other { 0.5 + side * 0.3 } else { 0.5 + side * 0.08 };
                at(begin + (until - begin) * share, self.inside)
            }
        }
    }
}

fn at(angle: f64, distance: f64) -> (f64, f64) {
    (CENTRE + distance * angle.cos(), CENTRE + distance * angle.sin())
}

impl fmt::Display for NetworkMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = &self.nodes[..self.nodes.len().min(NODES)];
        let layout = Layout::new(nodes, self.groups.len());
        let present = |end: End| !matches!(end, End::Node(node) if node >= nodes.len());
        let possible = |link: &&Link| shown(link.weight) && present(link.from) && present(link.to);
        let mut links: Vec<_> = self.links.iter().filter(possible).collect();
        links.sort_by(|a, b| a.weight.total_cmp(&b.weight));
        let links = links.split_off(links.len().saturating_sub(LINKS));
        let mut notes = BTreeMap::<(Sign, &str), usize>::new();
        for (sign, text) in nodes.iter().filter_map(|node| node.note.as_ref()) {
            *notes.entry((*sign, text)).or_default() += 1;
        }
        let left_out =
            plot::left_out([(self.nodes.len() - nodes.len(), "nodes"), (self.links.len() - links.len(), "links")]);
        let lines = notes.len() + usize::from(!left_out.is_empty());
        let label = format!("{} nodes in {} groups", self.nodes.len(), self.groups.len());
        plot::open(f, NARROW, NARROW + LINE * lines as f64, &label)?;
        self.draw_links(f, &layout, &links)?;
        self.draw_groups(f, &layout)?;
        let labelled = nodes.len() <= LABELLED;
        let (special, plain): (Vec<_>, Vec<_>) =
            nodes.iter().zip(&layout.nodes).partition(|(node, _)| node.note.is_some());
        for (node, place) in plain {
            self.draw_node(f, node, *place, layout.size, labelled)?;
        }
        for (node, place) in special {
            self.draw_node(f, node, *place, layout.size.max(4.5), labelled)?;
        }
        let mut y = NARROW;
        for ((sign, text), count) in notes {
            draw_sign(f, Some(sign), (14.0, y + 10.0), 6.2, "currentColor")?;
            let text = clip(&format!("{text}: {}", units::thousands(count)), NARROW - 40.0);
            writeln!(f, "<text x=\"28\" y=\"{:.1}\">{text}</text>", y + 14.5)?;
            y += LINE;
        }
        if !left_out.is_empty() {
            writeln!(f, "<text x=\"4\" y=\"{:.1}\" opacity=\".8\">{left_out}</text>", y + 14.5)?;
        }
        write!(f, "</svg>")
    }
}

impl NetworkMap {
    fn draw_links(&self, f: &mut fmt::Formatter<'_>, layout: &Layout, links: &[&Link]) -> fmt::Result {
        let most = links.last().map_or(1.0, |link| link.weight).max(f64::MIN_POSITIVE);
        let crowd = (40.0 / links.len().max(1) as f64).sqrt().clamp(0.4, 1.0);
        for Link { from, to, weight, text } in links {
            let ((ax, ay), (bx, by)) = (layout.end(*from, *to, 1.0), layout.end(*to, *from, -1.0));
            let (cx, cy) = (CENTRE + (by - ay) * 0.15, CENTRE - (bx - ax) * 0.15);
            let share = weight / most * crowd;
            let (group, thickest) = match from {
                End::Group(group) => (*group, 9.0),
                End::Node(node) => (self.nodes[*node].group, 3.5),
            };
            writeln!(
                f,
                "<path d=\"M{ax:.1} {ay:.1}Q{cx:.1} {cy:.1} {bx:.1} {by:.1}\" fill=\"none\" stroke=\"{}\" \
                 stroke-width=\"{:.1}\" opacity=\"{:.2}\" stroke-linecap=\"round\"><title>{} to {}: {}</title></path>",
                palette::colour(group),
                0.7 + share * thickest,
                0.2 + 0.55 * share,
                self.name(*from),
                self.name(*to),
                escape(text)
            )?;
        }
        Ok(())
    }

    fn draw_groups(&self, f: &mut fmt::Formatter<'_>, layout: &Layout) -> fmt::Result {
        let mut taken: Vec<(f64, f64)> = Vec::new();
        let distance = RADIUS + layout.size + 7.0;
        for (group, (begin, until)) in layout.arcs.iter().enumerate() {
            let name = &self.groups[group];
            let ((ax, ay), (bx, by)) = (at(*begin, distance), at(until.min(begin + 6.27), distance));
            let large = u8::from(until - begin > PI);
            let colour = palette::colour(group);
            writeln!(
                f,
                "<path d=\"M{ax:.1} {ay:.1}A{distance:.1} {distance:.1} 0 {large} 1 {bx:.1} {by:.1}\" fill=\"none\" \
                 stroke=\"{colour}\" stroke-width=\"3\"><title>{}</title></path>",
                escape(name)
            )?;
            let middle = (begin + until) / 2.0;
            let half = (width_of(name).min(160.0) / 2.0 + 6.0) / distance;
            if taken.iter().any(|(other, width)| apart(middle, *other) < half + width) {
                continue;
            }
            taken.push((middle, half));
            let below = middle.sin() > 0.0;
            let (x, y) = at(middle, distance + if below { 15.0 } else { 6.0 });
            let turn = (middle + if below { -PI / 2.0 } else { PI / 2.0 }).to_degrees();
            writeln!(
                f,
                "<text transform=\"translate({x:.1} {y:.1}) rotate({turn:.1})\" text-anchor=\"middle\">{}</text>",
                clip(name, 160.0)
            )?;
        }
        Ok(())
    }

    fn draw_node(
        &self,
        f: &mut fmt::Formatter<'_>,
        node: &Node,
        (angle, distance): (f64, f64),
        size: f64,
        labelled: bool,
    ) -> fmt::Result {
        let (x, y) = at(angle, distance);
        let note = node.note.as_ref();
        write!(f, "<g><title>{}, {}", escape(&node.label), escape(&self.groups[node.group]))?;
        if let Some((_, text)) = note {
            write!(f, ": {}", escape(text))?;
        }
        write!(f, "</title>")?;
        draw_sign(f, note.map(|(sign, _)| *sign), (x, y), size, palette::colour(node.group))?;
        if labelled && width_of(&node.label) <= 2.0 * size {
            write!(f, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>", y + 4.5, escape(&node.label))?;
        } else if labelled {
            let (x, y) = at(angle, distance - size - 8.0);
            let (anchor, turn) = if angle.cos() < 0.0 { ("start", angle + PI) } else { ("end", angle) };
            write!(
                f,
                "<text transform=\"translate({x:.1} {y:.1}) rotate({:.1})\" y=\"4.5\" text-anchor=\"{anchor}\" \
                 {HALO}>{}</text>",
                turn.to_degrees(),
                clip(&node.label, 90.0)
            )?;
        }
        writeln!(f, "</g>")
    }
}

/// How far two angles are apart.
fn apart(a: f64, b: f64) -> f64 {
    let difference = (a - b).rem_euclid(TAU);
    difference.min(TAU - difference)
}

/// A node with its sign. Large ones are pale, so that their labels are legible.
fn draw_sign(
    f: &mut fmt::Formatter<'_>,
    sign: Option<Sign>,
    (x, y): (f64, f64),
    size: f64,
    colour: &str,
) -> fmt::Result {
    let opacity = if size > 6.0 { 0.22 } else { 1.0 };
    let paint = format!("fill=\"{colour}\" fill-opacity=\"{opacity}\" stroke=\"{colour}\" stroke-width=\"1.5\"");
    if sign == Some(Sign::Diamond) {
        let reach = size * 1.1 + 2.0;
        return write!(
            f,
            "<path d=\"M{x:.1} {:.1}L{:.1} {y:.1}L{x:.1} {:.1}L{:.1} {y:.1}Z\" fill=\"{colour}\" \
             fill-opacity=\"{opacity}\" stroke=\"currentColor\" stroke-width=\"1.5\"/>",
            y - reach,
            x + reach,
            y + reach,
            x - reach
        );
    }
    write!(f, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{size:.1}\" {paint}/>")?;
    match sign {
        Some(Sign::Ring) => write!(
            f,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{:.1}\" fill=\"none\" stroke=\"currentColor\" \
             stroke-width=\"1.5\"/>",
            size + 3.0
        ),
        Some(Sign::Cross) => {
            let (l, r, u, d) = (x - size - 1.0, x + size + 1.0, y - size - 1.0, y + size + 1.0);
            write!(
                f,
                "<path d=\"M{l:.1} {u:.1}L{r:.1} {d:.1}M{l:.1} {d:.1}L{r:.1} {u:.1}\" stroke=\"currentColor\" \
                 stroke-width=\"1.5\"/>"
            )
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::{assert_inside, numbers, values};

    fn map(nodes: usize, groups: usize) -> NetworkMap {
        let mut map = NetworkMap::new();
        (0..nodes).for_each(|node| _ = map.node(node.to_string(), &format!("region {}", node % groups)));
        map
    }

    #[test]
    fn nodes_of_four_to_a_thousand_do_not_cover_each_other_and_few_have_labels() {
        for (nodes, groups) in [(4, 4), (4, 1), (10, 3), (36, 5), (100, 5), (1_000, 5), (1_000, 20)] {
            let map = map(nodes, groups);
            let layout = Layout::new(&map.nodes, groups);
            let places: Vec<_> = layout.nodes.iter().map(|(angle, distance)| at(*angle, *distance)).collect();
            for (index, a) in places.iter().enumerate() {
                let nearest = places[..index].iter().map(|b| (a.0 - b.0).hypot(a.1 - b.1)).fold(f64::MAX, f64::min);
                assert!(nearest > 1.9 * layout.size, "{nodes} in {groups}: {nearest} with {}", layout.size);
            }
            let svg = map.to_string();
            assert_eq!(svg.contains(">3</text>"), nodes <= LABELLED);
            assert_eq!(svg.matches("<g><title>").count(), nodes);
            assert_inside(&svg);
        }
    }

    #[test]
    fn nodes_of_a_group_are_side_by_side() {
        let map = map(30, 3);
        let Layout { arcs, nodes, .. } = Layout::new(&map.nodes, 3);
        for (node, (angle, _)) in map.nodes.iter().zip(nodes) {
            assert!((arcs[node.group].0..arcs[node.group].1).contains(&angle));
        }
        assert!(arcs.is_sorted_by(|a, b| a.1 < b.0), "{arcs:?}");
    }

    #[test]
    fn a_heavier_link_is_wider_and_darker() {
        let mut map = map(4, 2);
        map.link(0, 1, 1.0, "1 B")
            .flow("region 0", "region 1", 5.0, "<5 B>")
            .flow("region 1", "region 1", 10.0, "10 B");
        let svg = map.to_string();
        let lines: String = svg.lines().filter(|line| line.contains("linecap")).collect();
        let (widths, opacities) = (numbers(&lines, "stroke-width"), numbers(&lines, "opacity"));
        assert!(widths.len() == 3 && widths.is_sorted_by(|a, b| a < b), "{widths:?}");
        assert!(opacities.is_sorted_by(|a, b| a < b), "{opacities:?}");
        assert!(svg.contains("region 0 to region 1: &lt;5 B&gt;"), "{svg}");
        assert_inside(&svg);
    }

    #[test]
    fn the_legend_counts_what_is_special_once_for_each_sign() {
        let mut map = map(8, 2);
        map.note(0, Sign::Ring, "primary").note(1, Sign::Diamond, "<liar>").note(5, Sign::Diamond, "<liar>");
        map.note(2, Sign::Cross, "crashed").note(99, Sign::Cross, "nobody");
        let svg = map.to_string();
        let shown = ["primary: 1<", "&lt;liar&gt;: 2<", "crashed: 1<"];
        let places: Vec<_> = shown.iter().map(|part| svg.find(part).expect(part)).collect();
        assert!(places.is_sorted() && !svg.contains("nobody") && !svg.contains("<liar>"), "{svg}");
        assert_inside(&svg);
    }

    #[test]
    fn what_is_too_much_or_impossible_is_left_out_and_counted() {
        let mut map = map(5_000, 300);
        (0..2_000).for_each(|node| _ = map.link(0, node, node as f64, ""));
        map.link(0, 4_000, 1.0, "")
            .link(0, 1, f64::NAN, "")
            .link(0, 9_999, 1.0, "")
            .flow("region 0", "nowhere", 1.0, "");
        let svg = map.to_string();
        assert!(svg.contains("left out: 3,000 nodes, 1,753 links") && svg.len() < 600_000, "{}", svg.len());
        assert!(values(&svg, "opacity").len() >= LINKS);
        assert_inside(&svg);
        assert_inside(&NetworkMap::new().to_string());
    }
}
