//! Claims of training that were forged, and what the checks of a peer make of them.
//!
//! Whoever forges can hash: what names the forged part names its new hash, so that only the work itself shows the forgery.

use std::{collections::BTreeMap, ops::ControlFlow, panic, time::Instant};

use dtn_primitives::{Address, B256, codec, keccak256};
use dtn_report::{Progress, Table, Tell, left, right, units};
use dtn_train::{
    Dataset, Family, Fault, Fraction, Grid, Job, Manifest, Model, Origin, Recipe, Run, audit_statement, shipped,
    state_hash, train,
};
use dtn_trainer::{Blob, Brief, Holdout, Library, OpenRow, Opening, Trained};
use dtn_training::{
    self as training, Beacon, Call, Caller, Deal, Grade, MAX_AMOUNT, Material, Money, Need, Network, Order, Proof,
    Subject, Terms, Verdict, Windows,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Serialize;
use tempfile::TempDir;

use crate::{BenchError, Result, machine::peak_memory, tampering::Counts};

/// How a claim is forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forgery {
    /// A bit of a state, which is hashed anew.
    StateBit,
    /// A bit of a state's hash.
    HashBit,
    /// A bit of the model, which is hashed anew.
    ModelBit,
    /// Another worker's run.
    ForeignSeed,
    /// Another try's run.
    OtherAttempt,
    /// The run of another point of the grid.
    OtherPoint,
    /// Two states that have changed places.
    SwappedStates,
    /// A run that goes on from another one's state.
    Splice,
    /// A model, states or a trace that are cut short or have bytes to spare.
    Length,
    /// A bit of a row that was opened.
    RowBit,
    /// A row in another one's place.
    OtherRow,
    /// What another member states of a segment.
    OthersAudit,
    /// What another member states of a score.
    OthersScore,
    /// A score that is a little better.
    BetterScore,
}

impl Forgery {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::StateBit,
        Self::HashBit,
        Self::ModelBit,
        Self::ForeignSeed,
        Self::OtherAttempt,
        Self::OtherPoint,
        Self::SwappedStates,
        Self::Splice,
        Self::Length,
        Self::RowBit,
        Self::OtherRow,
        Self::OthersAudit,
        Self::OthersScore,
        Self::BetterScore,
    ];
}

impl Forgery {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::StateBit => "state-bit",
            Self::HashBit => "hash-bit",
            Self::ModelBit => "model-bit",
            Self::ForeignSeed => "foreign-seed",
            Self::OtherAttempt => "other-attempt",
            Self::OtherPoint => "other-point",
            Self::SwappedStates => "swapped-states",
            Self::Splice => "splice",
            Self::Length => "length",
            Self::RowBit => "row-bit",
            Self::OtherRow => "other-row",
            Self::OthersAudit => "others-audit",
            Self::OthersScore => "others-score",
            Self::BetterScore => "better-score",
        }
    }
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Chooses them.
    pub seed: u64,
    /// How many claims were forged.
    pub claims: u64,
    /// What came of each kind, with one of the reasons.
    pub forgeries: BTreeMap<Forgery, (Counts, String)>,
    /// How many were accepted.
    pub accepted: u64,
    /// Over how many a check panicked.
    pub panicked: u64,
    /// How many a second were forged and checked.
    pub claims_a_second: f64,
    /// The most memory that this process has had.
    pub peak_memory_bytes: u64,
}

/// A run, what it was of, and others to take parts from.
struct Originals {
    data: Dataset,
    holdout: Holdout,
    recipe: Recipe,
    own: Trained,
    others: Vec<Trained>,
    witnesses: Vec<B256>,
    brief: Brief,
    order: Order,
    library: (TempDir, Library),
}

/// The longest reason that is shown, in characters.
const REASON: usize = 60;

const ORDER: B256 = B256::repeat_byte(0x0d);
const WORKER: Address = Address::repeat_byte(0xaa);
const REQUESTER: Address = Address::repeat_byte(0xbb);

/// Forges so many claims, in all ways or in some, and checks each as a peer does.
pub fn run(claims: u64, seed: u64, ways: &[Forgery], tell: Tell<'_>) -> Result<Outcome> {
    let originals = Originals::make()?;
    tell(Progress::Stage { what: "claims", parts: claims });
    let (began, mut forgeries) = (Instant::now(), BTreeMap::<Forgery, (Counts, String)>::new());
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    for number in 0..claims {
        let way = ways[(number % ways.len() as u64) as usize];
        let mut chance = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let checked = panic::catch_unwind(panic::AssertUnwindSafe(|| originals.forge(way, &mut chance)));
        let (counts, reason) = forgeries.entry(way).or_default();
        match checked {
            Ok(Err(why)) => {
                counts.refused += 1;
                *reason = why;
            }
            Ok(Ok(())) => counts.accepted += 1,
            Err(_) => counts.panicked += 1,
        }
        tell(Progress::Part);
    }
    panic::set_hook(hook);
    tell(Progress::Over);
    let total = |count: fn(&Counts) -> u64| forgeries.values().map(|(counts, _)| count(counts)).sum();
    Ok(Outcome {
        seed,
        claims,
        accepted: total(|counts| counts.accepted),
        panicked: total(|counts| counts.panicked),
        forgeries,
        claims_a_second: claims as f64 / began.elapsed().as_secs_f64(),
        peak_memory_bytes: peak_memory(),
    })
}

impl Originals {
    fn make() -> Result<Self> {
        let missing = |what| move |_| BenchError::Missing(what);
        let fractions = |texts: &[&str]| texts.iter().filter_map(|text| text.parse().ok()).collect::<Vec<_>>();
        let grid = Grid { learning_rate: fractions(&["0.1", "0.2"]), momentum: fractions(&["0.9"]), ..Grid::default() };
        let recipe = Recipe { family: Family::Mlp { hidden: vec![4] }, grid, epochs: 3, batch: 32, segment_steps: 3 };
        let all = shipped("iris").map_err(|_| BenchError::Missing("the data that ships"))?;
        let (data, held_out) = all.split(50, B256::repeat_byte(1)).map_err(|_| BenchError::Missing("a split"))?;
        let run = |point, worker, attempt| -> Result<Trained> {
            let origin = Origin { network: ORDER, block: ORDER, order: ORDER, worker, attempt };
            let mut states = Vec::new();
            let trained = train(&recipe, point, &data, origin, |_, state| {
                states.push(state.to_vec());
                ControlFlow::Continue(())
            });
            let (model, manifest) =
                trained.map_err(missing("a run"))?.ok_or(BenchError::Missing("a run that was broken off"))?;
            Ok(Trained { model, manifest, states })
        };
        let (own, others) = (run(0, WORKER, 0)?, vec![run(0, REQUESTER, 0)?, run(0, WORKER, 1)?, run(1, WORKER, 0)?]);
        let job = own.manifest.job(&data).map_err(|_| BenchError::Missing("a job"))?;
        let witness = |segment: usize| own.manifest.check_segment(&job, segment as u32, Some(&own.states[segment]));
        let witnesses = (0..own.states.len() - 1).map(witness).collect::<Result<Vec<_>, Fault>>();
        let witnesses = witnesses.map_err(|_| BenchError::Missing("a run that holds"))?;
        let (rest, holdout) = (data.clone(), Holdout::new(held_out, B256::repeat_byte(2)));
        let folder = TempDir::new().map_err(|_| BenchError::Missing("a place for files"))?;
        let library = Library::new(folder.path());
        let place = |_| BenchError::Missing("a place for files");
        library.put(ORDER, &Blob::Data(rest.root()), &rest.encode()).map_err(place)?;
        own.keep(&library).map_err(place)?;
        let table = training::Table { root: rest.root(), rows: rest.outline().rows };
        let proof = Proof::Trace(Material { recipe: Box::new(recipe.clone()), data: table, features: 4, fold: table });
        let brief = Brief { network: ORDER, block: ORDER, id: ORDER, terms: Terms { proof, deal: deal(&holdout) } };
        let order = order(&brief, &own, &holdout, &library)?;
        Ok(Self { data, holdout, recipe, own, others, witnesses, brief, order, library: (folder, library) })
    }

    /// Forges a claim, and checks it as a peer does: an error says why it is refused.
    fn forge(&self, way: Forgery, chance: &mut StdRng) -> Result<(), String> {
        let own = Trained {
            model: self.own.model.clone(),
            manifest: self.own.manifest.clone(),
            states: self.own.states.clone(),
        };
        match way {
            Forgery::StateBit => self.check(self.state_bit(own, chance)),
            Forgery::HashBit => {
                let mut forged = own;
                let at = chance.random_range(0..forged.manifest.states.len());
                flip(&mut forged.manifest.states[at].0, chance);
                self.check(forged)
            }
            Forgery::ModelBit => {
                let mut bytes = own.model.encode();
                flip(&mut bytes, chance);
                let model = Model::decode(&bytes).map_err(|error| error.to_string())?;
                let mut forged = own;
                forged.manifest.model = model.root();
                self.check(Trained { model, ..forged })
            }
            Forgery::ForeignSeed => self.claimed(0),
            Forgery::OtherAttempt => self.claimed(1),
            Forgery::OtherPoint => self.claimed(2),
            Forgery::SwappedStates => {
                let mut forged = own;
                let (one, other) =
                    (chance.random_range(0..forged.states.len()), chance.random_range(1..forged.states.len()));
                let other = (one + other) % forged.states.len();
                forged.states.swap(one, other);
                forged.manifest.states.swap(one, other);
                self.check(forged)
            }
            Forgery::Splice => self.splice(own, chance),
            Forgery::Length => self.length(own, chance),
            Forgery::RowBit | Forgery::OtherRow => self.rows(way, chance),
            Forgery::OthersAudit | Forgery::OthersScore | Forgery::BetterScore => self.statement(way, chance),
        }
    }

    fn state_bit(&self, mut forged: Trained, chance: &mut StdRng) -> Trained {
        let at = chance.random_range(0..forged.states.len());
        flip(&mut forged.states[at], chance);
        forged.manifest.states[at] = state_hash(&forged.states[at]);
        forged
    }

    /// Another run under the own name.
    fn claimed(&self, other: usize) -> Result<(), String> {
        let Trained { model, manifest, states } = &self.others[other];
        let mut forged = Trained { model: model.clone(), manifest: manifest.clone(), states: states.clone() };
        (forged.manifest.origin, forged.manifest.point) = (self.own.manifest.origin, self.own.manifest.point);
        self.check(forged)
    }

    fn splice(&self, own: Trained, chance: &mut StdRng) -> Result<(), String> {
        let other = &self.others[chance.random_range(0..self.others.len())];
        let job =
            Job::new(&self.recipe, 0, &self.data, own.manifest.origin.seed()).map_err(|error| error.to_string())?;
        let from = chance.random_range(1..own.states.len());
        let mut run = Run::resume(&job, &other.states[from]).map_err(|error| error.to_string())?;
        let mut forged = own;
        forged.states.truncate(from);
        forged.states.push(run.state());
        while !run.is_over() {
            run.advance();
            forged.states.push(run.state());
        }
        forged.model = run.model();
        forged.manifest.model = forged.model.root();
        forged.manifest.states = forged.states.iter().map(|state| state_hash(state)).collect();
        self.check(forged)
    }

    fn length(&self, own: Trained, chance: &mut StdRng) -> Result<(), String> {
        let mut forged = own;
        let change = |bytes: &mut Vec<u8>, chance: &mut StdRng| match chance.random_bool(0.5) {
            true => bytes.truncate(chance.random_range(0..bytes.len())),
            false => bytes.extend((0..chance.random_range(1..9)).map(|byte| byte as u8)),
        };
        match chance.random_range(0..3) {
            0 => {
                let mut bytes = forged.model.encode();
                change(&mut bytes, chance);
                forged.model = Model::decode(&bytes).map_err(|error| error.to_string())?;
            }
            1 => {
                let at = chance.random_range(0..forged.states.len());
                change(&mut forged.states[at], chance);
                forged.manifest.states[at] = state_hash(&forged.states[at]);
            }
            _ => {
                let mut bytes = codec::encode(&forged.manifest.states);
                change(&mut bytes, chance);
                forged.manifest.states = codec::decode(&bytes, bytes.len()).map_err(|error| error.to_string())?;
            }
        }
        self.check(forged)
    }

    /// All that peers check of a leader: its states, each segment, and its model.
    fn check(&self, forged: Trained) -> Result<(), String> {
        let Trained { model, manifest, states } = forged;
        let told = |fault: Fault| fault.to_string();
        let manifest = Manifest { origin: self.own.manifest.origin, data: self.data.root(), ..manifest };
        let job = manifest.job(&self.data).map_err(told)?;
        for segment in 0..manifest.states.len() - 1 {
            let state = (segment > 0).then(|| states.get(segment).map_or(&[][..], Vec::as_slice));
            manifest.check_segment(&job, segment as u32, state).map_err(told)?;
        }
        if model.root() == manifest.model { Ok(()) } else { Err("the model is another one".into()) }
    }

    fn rows(&self, way: Forgery, chance: &mut StdRng) -> Result<(), String> {
        let numbers: Vec<u32> = (0..49).filter(|_| chance.random_bool(0.3)).chain([49]).collect();
        let mut opening = self.holdout.open(&numbers);
        let at = chance.random_range(0..opening.rows.len());
        if way == Forgery::RowBit {
            let mut bytes = opening.encode();
            flip(&mut bytes, chance);
            opening = Opening::decode(&bytes).map_err(|error| error.to_string())?;
        } else {
            let other = (numbers[at] + chance.random_range(1..50)) % 50;
            let other = self.holdout.open(&[other]).rows.remove(0);
            opening.rows[at] = OpenRow { number: numbers[at], ..other };
        }
        opening.data(self.holdout.table(), &numbers, 3).map(drop).map_err(|error| error.to_string())
    }

    /// What peers find when they look at a statement by themselves.
    fn statement(&self, way: Forgery, chance: &mut StdRng) -> Result<(), String> {
        let (order, other) = (&self.order, Address::repeat_byte(2 + chance.random::<u8>() % 200));
        let found = self.brief.found(order, self.library()).map_err(|error| error.to_string())?;
        let found = found.first().ok_or("nothing is revealed")?;
        let (subject, verdict) = match way {
            Forgery::OthersAudit => {
                let segment = chance.random_range(0..self.witnesses.len() as u16);
                let commitment = order.revealed(0).ok_or("nothing is revealed")?.commitment(ORDER, WORKER);
                let witness = self.witnesses[usize::from(segment)];
                let statement = audit_statement(ORDER, commitment, other, segment.into(), witness);
                (Subject::Audited { claim: 0, segment, member: 0, statement }, Verdict::Holds(true))
            }
            Forgery::OthersScore => {
                let statement = found.statement(ORDER, other);
                (Subject::Evaluated { claim: 0, member: 0, statement }, Verdict::Holds(true))
            }
            _ => {
                let mut grades = found.grades;
                let gain = 1 + chance.random_range(0..1_000);
                let better = |grade: Grade| Grade { loss: grade.loss.saturating_sub(gain), ..grade };
                grades.hidden = grades.hidden.map(better);
                (Subject::Score { claim: 0 }, Verdict::Grades(grades))
            }
        };
        let need = Need::Ruling(subject, verdict);
        self.brief.check(Some(order), &need, self.library()).map_err(|error| error.to_string())
    }

    fn library(&self) -> &Library {
        &self.library.1
    }
}

fn deal(holdout: &Holdout) -> Deal {
    let money =
        Money { reward: MAX_AMOUNT, deposit: MAX_AMOUNT, worker: MAX_AMOUNT, member: MAX_AMOUNT, bond: MAX_AMOUNT };
    let [claim, draw, open, reveal, score, challenge, ruling, trace, audit] = [1_000; 9];
    Deal {
        classes: 3,
        holdout: holdout.table(),
        draw: 25,
        baseline: Fraction(1),
        money,
        windows: Windows { claim, draw, open, reveal, score, challenge, ruling, trace, audit },
        claims: 1,
        committee: 1,
        redundancy: 1,
        beacon: Beacon::Block,
    }
}

/// An order for which a run was claimed and revealed, with one member of its committee, and what it is about in a library.
fn order(brief: &Brief, own: &Trained, holdout: &Holdout, library: &Library) -> Result<Order> {
    let wrong = |_| BenchError::Missing("an order that goes on");
    let network = Network {
        view_timeout_ms: 1,
        ruling_ms: 1,
        max_life_ms: u64::MAX,
        max_state_bytes: dtn_training::MAX_ORDER_BYTES,
        price: 1,
        validators: 4,
    };
    let caller = |account| Caller { account, free: u128::MAX, validator: false };
    let (mut order, _) = Order::open(ORDER, &caller(REQUESTER), &brief.terms, &network, 0).map_err(wrong)?;
    let reveal = own.reveal(WORKER);
    let call = |order: &mut Order, by, call: Call| order.apply(1, &caller(by), &call).map(drop).map_err(wrong);
    call(&mut order, WORKER, Call::Claim { commitment: reveal.commitment(ORDER, WORKER) })?;
    order.draw(1, B256::repeat_byte(3), 2, &[(Address::repeat_byte(1), u128::MAX)]).map_err(wrong)?;
    let opening = holdout.open(&order.drawn_rows()).encode();
    let rows = keccak256(&opening);
    library.put(ORDER, &Blob::Rows(rows), &opening).map_err(|_| BenchError::Missing("a place for files"))?;
    call(&mut order, REQUESTER, Call::Open { rows })?;
    call(&mut order, WORKER, Call::Reveal { claim: 0, reveal })?;
    Ok(order)
}

/// Flips a bit.
fn flip(bytes: &mut [u8], chance: &mut StdRng) {
    let at = chance.random_range(0..bytes.len());
    bytes[at] ^= 1 << chance.random_range(0..8);
}

impl Outcome {
    /// As people read it.
    pub fn table(&self) -> Table {
        let title = format!("{} forged claims, seed {}", units::thousands(self.claims), self.seed);
        let columns =
            [left("how"), right("refused"), right("accepted"), right("panicked"), left("for example because")];
        let mut table = Table::new(title, columns);
        for (forgery, (Counts { refused, accepted, panicked }, reason)) in &self.forgeries {
            let counts = [refused, accepted, panicked].map(units::thousands);
            table.row(
                std::iter::once(forgery.name().to_string())
                    .chain(counts)
                    .chain([reason.chars().take(REASON).collect()]),
            );
        }
        let rate = units::thousands(self.claims_a_second as u64);
        table.note(format!("{rate} a second, {} at most", units::bytes(self.peak_memory_bytes)));
        table
    }
}
