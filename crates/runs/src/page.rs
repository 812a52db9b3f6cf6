//! Pictures of runs, as one page that needs nothing but itself.

use std::collections::BTreeMap;

use dtn_report::{Bars, Distribution, NetworkMap, Page, Sequence, Sign, Steps, units};
use dtn_simulator::{Happening, Measured, Report, Scenario, What, adversary::Kind};

use super::outcome::{Outcome, comparison, ms, virtual_time, watch};

/// The largest network whose messages are drawn one by one.
const MAX_SEQUENCE: usize = 12;

/// The largest network of one region in which it is drawn who sent how much to whom.
const MAX_PAIRS: usize = 32;

/// The most steps of a line over time.
const STEPS: f64 = 160.0;

/// A run and what is drawn of it.
pub struct Picture {
    name: String,
    /// What came of it.
    pub outcome: Outcome,
    report: Report,
    scenario: Scenario,
    sequence: Option<Sequence>,
    /// Bytes that arrived, by the region of sender and receiver.
    flows: BTreeMap<(String, String), u64>,
    /// The same by sender and receiver, where all are in one region.
    pairs: BTreeMap<(u16, u16), u64>,
    crashed: Vec<u16>,
    /// When the first power was cut or the first view was left, in ms.
    first_trouble: Option<f64>,
}

impl Picture {
    /// Plays a scenario and remembers what can be drawn.
    pub fn of(name: &str, scenario: &Scenario) -> Self {
        // Miners make their blocks of themselves.
        let client = scenario.mining.is_none().then(|| "client".to_string());
        let lanes = (0..scenario.n).map(|replica| replica.to_string()).chain(client);
        let mut sequence = (scenario.n <= MAX_SEQUENCE).then(|| Sequence::new(lanes));
        let (mut flows, mut pairs, mut crashed) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut first_trouble = None;
        let (outcome, report) = watch(scenario, &mut |happening| {
            if let Some(sequence) = &mut sequence {
                draw(sequence, happening);
            }
            match &happening.what {
                What::Delivered { from, to, bytes, .. } if usize::from(*from.max(to)) < scenario.n => {
                    if scenario.regions.len() > 1 {
                        *flows.entry((group(scenario, *from), group(scenario, *to))).or_default() += *bytes as u64;
                    } else if scenario.n <= MAX_PAIRS {
                        *pairs.entry((*from, *to)).or_default() += *bytes as u64;
                    }
                }
                What::Crashed(replica) => {
                    crashed.push(*replica);
                    first_trouble.get_or_insert(ms(happening.at));
                }
                What::View { .. } => _ = first_trouble.get_or_insert(ms(happening.at)),
                _ => {}
            }
        });
        if let (Some(sequence), Some(at)) = (&mut sequence, first_trouble) {
            sequence.focus(at);
        }
        let (name, scenario) = (name.into(), scenario.clone());
        Self { name, outcome, report, scenario, sequence, flows, pairs, crashed, first_trouble }
    }
}

/// Where a replica is drawn.
fn group(scenario: &Scenario, replica: u16) -> String {
    scenario.region_of(replica.into()).map_or_else(|| "replicas".into(), |region| region.name.clone())
}

fn draw(sequence: &mut Sequence, Happening { at, what, .. }: &Happening) {
    let at = ms(*at);
    match what {
        What::Delivered { from, to, kind, sent, .. } => {
            sequence.arrow((*from).into(), (*to).into(), ms(*sent), Some(at), kind);
        }
        What::Lost { from, to, kind, sent } => {
            sequence.arrow((*from).into(), (*to).into(), ms(*sent), None, kind);
        }
        What::Crashed(replica) => _ = sequence.mark((*replica).into(), at, "power cut"),
        What::Restarted(replica) => _ = sequence.mark((*replica).into(), at, "restart"),
        What::View { replica, view } => _ = sequence.mark((*replica).into(), at, format!("view {view}")),
        What::Decided { replica, height, .. } => {
            sequence.mark((*replica).into(), at, format!("decides {height}"));
        }
        What::Found { replica, height, .. } => _ = sequence.mark((*replica).into(), at, format!("finds {height}")),
        What::Reorganized { replica, depth } => _ = sequence.mark((*replica).into(), at, format!("leaves {depth}")),
        What::Silent { replica, until } => {
            _ = sequence.mark((*replica).into(), at, format!("silent to {until}"));
        }
        What::BelowCheckpoint { .. } | What::Timer { .. } | What::Healed | What::Replied { .. } | What::Violated(_) => {
        }
    }
}

/// The page of one run, or of several with their comparison.
pub fn page(pictures: &[Picture]) -> Page {
    let title = match pictures {
        [one] => one.outcome.title(),
        several => format!("{} simulated networks", several.len()),
    };
    let mut page = Page::new(title);
    page.paragraph(
        "The production protocol in a simulated network, in virtual time. The same scenario and seed give the same run \
         everywhere.",
    );
    if pictures.len() > 1 {
        compare(&mut page, pictures);
    }
    for picture in pictures {
        show(&mut page, picture, pictures.len() > 1);
    }
    page
}

fn compare(page: &mut Page, pictures: &[Picture]) {
    page.heading("Comparison");
    let runs: Vec<_> = pictures.iter().map(|picture| (picture.name.clone(), picture.outcome.clone())).collect();
    page.table(&comparison(&runs));
    let mut latency = Distribution::new("decision");
    let mut bytes = Bars::new(["bytes"]);
    for Picture { name, outcome, report, .. } in pictures {
        latency.series(name.clone(), report.measured.decision_latencies().map(|(_, latency)| ms(latency)));
        bytes.row(name.clone(), [(outcome.bytes as f64, units::bytes(outcome.bytes))]);
    }
    page.figure("From handing in or finding a block until a replica has decided it", &latency);
    page.figure("Bytes sent", &bytes);
}

fn show(page: &mut Page, picture: &Picture, named: bool) {
    let Picture { name, outcome, report, scenario, sequence, .. } = picture;
    if named {
        page.heading(name);
    }
    if !scenario.about.is_empty() {
        page.paragraph(&scenario.about);
    }
    let time = |value: Option<f64>| value.map_or_else(|| units::NONE.into(), virtual_time);
    page.facts([
        ("verdict", outcome.verdict.clone()),
        ("all decide", time(outcome.decided_all_ms)),
        ("decision, p50", time(outcome.decision_ms.map(|of| of.p50))),
        ("decision, p99", time(outcome.decision_ms.map(|of| of.p99))),
        ("messages", units::thousands(outcome.messages)),
        ("bytes", units::bytes(outcome.bytes)),
        ("view changes", units::thousands(outcome.view_changes)),
        ("a view without a decision", virtual_time(outcome.view_timeout_ms)),
    ]);
    if let Some(mining) = &outcome.mining {
        page.facts(mining.facts());
    }
    if outcome.offence.is_some() {
        page.paragraph(&outcome.summary());
    }
    page.figure("Where the replicas are, and what passed between them", &map(picture));
    let mut by_group = BTreeMap::<_, Vec<_>>::new();
    for (replica, latency) in report.measured.decision_latencies() {
        by_group.entry(group(scenario, replica)).or_default().push(ms(latency));
    }
    let mut latency = Distribution::new("decision");
    by_group.into_iter().for_each(|(group, values)| _ = latency.series(group, values));
    page.figure("From handing in or finding a block until a replica has decided it", &latency);
    page.figure("Sent over time", &over_time(&report.measured));
    let (mut messages, mut bytes) = (Bars::new(["messages"]), Bars::new(["bytes"]));
    for (kind, kinds) in &outcome.by_kind {
        messages.row(*kind, [(kinds.messages as f64, units::thousands(kinds.messages))]);
        bytes.row(*kind, [(kinds.bytes as f64, units::bytes(kinds.bytes))]);
    }
    page.figure("Messages by type", &messages);
    page.figure("Bytes by type", &bytes);
    let mut replicas = Bars::new(["sent", "received"]);
    for (replica, (sent, received)) in report.measured.sent.iter().zip(&report.measured.received).enumerate() {
        let bar = |bytes: u64| (bytes as f64, units::bytes(bytes));
        replicas.row(format!("replica {replica}"), [bar(sent.bytes), bar(received.bytes)]);
    }
    page.figure("Bytes by replica", &replicas);
    if let Some(sequence) = sequence {
        let around = picture.first_trouble.map(|at| format!(", around what went wrong first, at {}", virtual_time(at)));
        page.figure(&format!("Messages one by one{}", around.unwrap_or_default()), sequence);
    }
    page.paragraph(&format!("Seed {}, {} events, digest {}.", outcome.seed, outcome.events, outcome.digest));
}

fn map(picture: &Picture) -> NetworkMap {
    let mut map = NetworkMap::new();
    for replica in 0..picture.scenario.n as u16 {
        map.node(replica.to_string(), &group(&picture.scenario, replica));
    }
    map.note(0, Sign::Ring, "first primary");
    for (liar, kind) in &picture.scenario.adversaries {
        map.note(*liar, Sign::Diamond, Kind::to_string(kind));
    }
    for replica in &picture.crashed {
        map.note((*replica).into(), Sign::Cross, "lost power");
    }
    for ((from, to), bytes) in &picture.flows {
        map.flow(from, to, *bytes as f64, format!("{from} to {to}: {}", units::bytes(*bytes)));
    }
    for ((from, to), bytes) in &picture.pairs {
        map.link((*from).into(), (*to).into(), *bytes as f64, units::bytes(*bytes));
    }
    map
}

/// Megabits a second that all replicas sent, over time.
fn over_time(measured: &Measured) -> Steps {
    let mut steps = Steps::new("Mbit/s");
    let bucket = Measured::BUCKET.as_secs_f64();
    let Some(last) = measured.bytes_over_time.keys().next_back().map(|last| last + 1) else { return steps };
    let width = (last as f64 / STEPS).ceil().max(1.0) as u64;
    let mut points = vec![0u64; last.div_ceil(width) as usize];
    for (at, bytes) in &measured.bytes_over_time {
        points[(at / width) as usize] += bytes;
    }
    let seconds = bucket * width as f64;
    let line = points.iter().enumerate().map(|(at, bytes)| (at as f64 * seconds, *bytes as f64 * 8e-6 / seconds));
    steps.series("all replicas", line).until(points.len() as f64 * seconds);
    steps
}
