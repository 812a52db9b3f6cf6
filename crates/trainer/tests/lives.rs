//! Orders that are really trained, evaluated, audited and disputed, by what peers hold and nothing else.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;

use dtn_primitives::{Address, B256, codec};
use dtn_train::{Family, Grid, Model, Recipe, shipped};
use dtn_trainer::{Blob, Brief, Holdout, Library, Opening, Trained, Unmet, blobs};
use dtn_training::*;
use tempfile::TempDir;

const ETHER: u128 = 1_000_000_000_000_000_000;
const REQUESTER: Address = Address::repeat_byte(0xaa);
const MEMBERS: [Address; 2] = [Address::repeat_byte(1), Address::repeat_byte(2)];
const WORKERS: [Address; 2] = [Address::repeat_byte(0x51), Address::repeat_byte(0x52)];

/// An order for digits, with what everybody holds.
struct Scene {
    brief: Brief,
    order: Order,
    holdout: Holdout,
    library: Library,
    now_ms: u64,
    _folder: TempDir,
}

fn network() -> Network {
    Network {
        view_timeout_ms: 100,
        ruling_ms: 10,
        max_life_ms: 1_000_000_000,
        max_state_bytes: 60_000,
        price: 1,
        validators: 2,
    }
}

impl Scene {
    fn new() -> Self {
        Self::of(Proof::Trace)
    }

    /// One in which only scores count, of models that are no larger than the recipe's.
    fn scores() -> Self {
        Self::of(|material| Proof::Score { material, row_macs: 650 })
    }

    fn of(proof: impl FnOnce(Material) -> Proof) -> Self {
        let (rest, held_out) = shipped("digits").unwrap().split(300, B256::repeat_byte(3)).unwrap();
        let (data, fold) = rest.split(200, B256::repeat_byte(4)).unwrap();
        let holdout = Holdout::new(held_out, B256::repeat_byte(9));
        let fraction = |text: &str| vec![text.parse().unwrap()];
        let grid = Grid { learning_rate: fraction("0.1"), momentum: fraction("0.9"), ..Grid::default() };
        let recipe = Box::new(Recipe { family: Family::Linear, grid, epochs: 4, batch: 32, segment_steps: 40 });
        let table = |data: &dtn_train::Dataset| Table { root: data.root(), rows: data.outline().rows };
        let proof = proof(Material { recipe, data: table(&data), features: 64, fold: table(&fold) });
        let [claim, draw, open, reveal, score, challenge, ruling, trace, audit] = [1_000; 9];
        let deal = Deal {
            classes: 10,
            holdout: holdout.table(),
            draw: 150,
            baseline: "0.8".parse().unwrap(),
            money: Money { reward: ETHER, deposit: ETHER / 5, worker: ETHER / 4, member: ETHER / 4, bond: ETHER / 50 },
            windows: Windows { claim, draw: 10 * draw, open, reveal, score, challenge, ruling, trace, audit },
            claims: 2,
            committee: 2,
            redundancy: 1,
            beacon: Beacon::Block,
        };
        let (id, terms) = (B256::repeat_byte(0x0d), Terms { proof, deal });
        let (order, _) = Order::open(id, &caller(REQUESTER), &terms, &network(), 1_000).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let library = Library::new(folder.path());
        let brief = Brief { network: B256::repeat_byte(0x4e), block: B256::repeat_byte(0xb1), id, terms };
        let need = brief.terms.needs().unwrap();
        let Err(Unmet::Missing(missing)) = brief.check(None, &need, &library) else { panic!("nothing is here") };
        assert_eq!(missing, blobs(&need));
        for data in [&data, &fold] {
            put(&library, id, Blob::Data(data.root()), &data.encode());
        }
        brief.check(None, &need, &library).unwrap();
        Self { brief, order, holdout, library, now_ms: 1_000, _folder: folder }
    }

    fn train(&self, worker: Address) -> Trained {
        let trained = self.brief.train(0, (worker, 0), &self.library, |_| ControlFlow::Continue(()));
        trained.unwrap().unwrap()
    }

    fn apply(&mut self, account: Address, call: &Call) -> Result<Moves, Refusal> {
        self.now_ms += 1;
        self.order.apply(self.now_ms, &caller(account), call)
    }

    /// What a voter does with a call: it looks whether it has what the call takes.
    fn vote(&mut self, account: Address, call: &Call) -> Result<(), Unmet> {
        if let Some(need) = self.order.needs(call) {
            self.brief.check(Some(&self.order), &need, &self.library)?;
        }
        self.apply(account, call).unwrap();
        Ok(())
    }

    /// Two claims, of which the second is made of what is given, to the opened rows.
    fn claimed(&mut self, reveals: &[(Address, Reveal)]) {
        for (worker, reveal) in reveals {
            let commitment = reveal.commitment(self.brief.id, *worker);
            self.apply(*worker, &Call::Claim { commitment }).unwrap();
        }
        self.now_ms += 2_000;
        self.order.advance(self.now_ms);
        let candidates = MEMBERS.map(|member| (member, 10 * ETHER));
        self.now_ms += 1;
        self.order.draw(self.now_ms, B256::repeat_byte(0xbe), self.now_ms, &candidates).unwrap();
        let opening = self.holdout.open(&self.order.drawn_rows()).encode();
        let rows = dtn_primitives::keccak256(&opening);
        let open = Call::Open { rows };
        let Err(Unmet::Missing(missing)) = self.vote(REQUESTER, &open) else { panic!("they are not here") };
        put(&self.library, self.brief.id, missing[0], &opening);
        self.vote(REQUESTER, &open).unwrap();
        for (number, (worker, reveal)) in (0..).zip(reveals) {
            self.vote(*worker, &Call::Reveal { claim: number, reveal: *reveal }).unwrap();
        }
    }

    fn scored(&mut self) {
        for member in MEMBERS {
            let scores = self.brief.scores(&self.order, member, &self.library).unwrap();
            self.apply(member, &scores).unwrap();
        }
        assert_eq!(self.order.phase(), Phase::Challenging);
        self.now_ms += 2_000;
        self.order.advance(self.now_ms);
    }

    fn leader(&self) -> Address {
        self.order.claims()[usize::from(self.order.leader().unwrap())].worker
    }
}

fn caller(account: Address) -> Caller {
    Caller { account, free: 100 * ETHER, validator: MEMBERS.contains(&account) }
}

fn put(library: &Library, order: B256, blob: Blob, bytes: &[u8]) {
    blob.check(bytes).unwrap();
    let mut lie = bytes.to_vec();
    *lie.last_mut().unwrap() ^= 1;
    assert!(blob.check(&lie).is_err(), "{blob:?}");
    library.put(order, &blob, bytes).unwrap();
}

#[test]
fn an_order_is_trained_scored_audited_and_won_by_what_was_trained() {
    let mut scene = Scene::new();
    let runs = WORKERS.map(|worker| scene.train(worker));
    let grades = runs.each_ref().map(|run| scene.brief.on_the_fold(&run.model, &scene.library).unwrap());
    assert!(grades.iter().all(|grade| grade.correct > 160), "{grades:?}");
    assert_ne!(runs[0].model.root(), runs[1].model.root(), "each worker has a seed of its own");
    for run in &runs {
        run.keep(&scene.library).unwrap();
    }
    let reveals = [0, 1].map(|place| (WORKERS[place], runs[place].reveal(WORKERS[place])));
    scene.claimed(&reveals);
    scene.scored();
    let claim = scene.order.leader().unwrap();
    let leader = scene.leader();
    scene.vote(leader, &Call::Trace { claim }).unwrap();
    for member in MEMBERS {
        let audit = scene.brief.audit(&scene.order, member, &scene.library).unwrap().unwrap();
        scene.apply(member, &audit).unwrap();
    }
    scene.now_ms += 2_000;
    scene.order.advance(scene.now_ms);
    assert_eq!(scene.order.phase(), Phase::Ended(Ending::Final { claim }));
}

#[test]
fn a_stolen_model_is_found_out_by_every_audit_and_the_trainer_wins() {
    let mut scene = Scene::new();
    let run = scene.train(WORKERS[0]);
    run.keep(&scene.library).unwrap();
    // The thief commits first, to the very model and states.
    let reveals = [WORKERS[1], WORKERS[0]].map(|worker| (worker, run.reveal(worker)));
    scene.claimed(&reveals);
    scene.scored();
    assert_eq!(scene.leader(), WORKERS[1], "of two that are as good the earlier");
    scene.vote(WORKERS[1], &Call::Trace { claim: 0 }).unwrap();
    let audits = MEMBERS.map(|member| scene.brief.audit(&scene.order, member, &scene.library).unwrap());
    let found: Vec<_> = MEMBERS.into_iter().zip(audits.into_iter().map(Result::unwrap_err)).collect();
    // The seed decides the weights at first, and the rows of every batch.
    let (auditor, subject) = found[0];
    assert!(found.iter().any(|(_, subject)| *subject == Subject::Segment { claim: 0, segment: 0 }), "{found:?}");
    scene.apply(auditor, &Call::Challenge { subject, path: Vec::new() }).unwrap();
    let verdict = scene.brief.verdict(&scene.order, subject, &scene.library).unwrap();
    assert_eq!(verdict, Verdict::Holds(false));
    let lie = Call::Ruling { subject, verdict: Verdict::Holds(true) };
    assert!(matches!(scene.vote(MEMBERS[0], &lie), Err(Unmet::Other(_))), "nobody votes for it");
    scene.vote(MEMBERS[0], &Call::Ruling { subject, verdict }).unwrap();
    assert_eq!((scene.order.phase(), scene.leader()), (Phase::Tracing, WORKERS[0]));
    let Subject::Segment { segment, .. } = subject else { unreachable!() };
    let honest = Subject::Segment { claim: 1, segment };
    assert_eq!(scene.brief.verdict(&scene.order, honest, &scene.library).unwrap(), Verdict::Holds(true));
}

#[test]
fn what_a_member_has_not_computed_is_told_apart_from_what_it_has() {
    let mut scene = Scene::new();
    let run = scene.train(WORKERS[0]);
    run.keep(&scene.library).unwrap();
    let other = scene.train(WORKERS[1]);
    other.keep(&scene.library).unwrap();
    scene.claimed(&[(WORKERS[0], run.reveal(WORKERS[0])), (WORKERS[1], other.reveal(WORKERS[1]))]);
    let Call::Scores { grades, statements } = scene.brief.scores(&scene.order, MEMBERS[0], &scene.library).unwrap()
    else {
        unreachable!()
    };
    scene.apply(scene.order.committee()[0].account, &Call::Scores { grades, statements: statements.clone() }).unwrap();
    let is_first = scene.order.committee()[0].account == MEMBERS[0];
    let about = |statement| Subject::Evaluated { claim: 0, member: 0, statement };
    let verdict = scene.brief.verdict(&scene.order, about(statements[0]), &scene.library).unwrap();
    assert_eq!(verdict, Verdict::Holds(is_first), "only the member whose it is has computed it");
    let made_up = scene.brief.verdict(&scene.order, about(B256::repeat_byte(1)), &scene.library).unwrap();
    assert_eq!(made_up, Verdict::Holds(false));
    let Verdict::Grades(grades) =
        scene.brief.verdict(&scene.order, Subject::Score { claim: 1 }, &scene.library).unwrap()
    else {
        unreachable!()
    };
    assert!(grades.hidden.unwrap().correct > 120 && grades.fold.unwrap().correct > 160);
}

#[test]
fn a_model_rows_and_a_trace_of_something_else_are_not_taken() {
    let mut scene = Scene::new();
    let run = scene.train(WORKERS[0]);
    run.keep(&scene.library).unwrap();
    let id = scene.brief.id;
    let iris = shipped("iris").unwrap();
    let small = Holdout::new(iris.clone(), B256::ZERO).open(&[1, 2]);
    let need = Need::Rows { of: scene.holdout.table(), numbers: vec![1, 2], hash: hash(&small) };
    scene.library.put(id, &Blob::Rows(hash(&small)), &small.encode()).unwrap();
    assert!(matches!(scene.brief.check(Some(&scene.order), &need, &scene.library), Err(Unmet::Rows(_))));
    let reveal = run.reveal(WORKERS[0]);
    scene.claimed(&[(WORKERS[0], reveal)]);
    let check = |scene: &Scene| scene.brief.check(Some(&scene.order), &Need::Trace(reveal), &scene.library);
    check(&scene).unwrap();
    let trace = Blob::Trace(reveal.trace);
    let short = codec::encode(&run.manifest.states[1..].to_vec());
    assert!(trace.check(&short).is_err());
    scene.library.put(id, &trace, &short).unwrap();
    assert!(matches!(check(&scene), Err(Unmet::Other(_))));
    scene.library.forget(id).unwrap();
    assert!(matches!(check(&scene), Err(Unmet::Missing(missing)) if missing == [trace]));
    put(&scene.library, id, trace, &codec::encode(&run.manifest.states));
    let Err(Unmet::Missing(missing)) = check(&scene) else { panic!("states are missing") };
    assert!(missing.contains(&Blob::State(run.manifest.states[1])) && missing.len() == run.states.len() - 2);
}

fn hash(opening: &Opening) -> B256 {
    dtn_primitives::keccak256(opening.encode())
}

/// What a worker commits to who has a model from somewhere.
fn model_of(scene: &Scene, model: &Model, payee: Address) -> Reveal {
    put(&scene.library, scene.brief.id, Blob::Model(model.root()), &model.encode());
    Reveal { model: model.root(), trace: B256::ZERO, point: 0, attempt: 0, payee }
}

#[test]
fn where_only_scores_count_a_model_from_anywhere_wins_by_the_drawn_rows() {
    let mut scene = Scene::scores();
    let built_in = scene.train(WORKERS[0]);
    // By another recipe, and from rows that nobody has checked.
    let fraction = |text: &str| vec![text.parse().unwrap()];
    let grid = Grid { learning_rate: fraction("0.05"), momentum: fraction("0.9"), ..Grid::default() };
    let recipe = Recipe { family: Family::Linear, grid, epochs: 40, batch: 32, segment_steps: 400 };
    let origin =
        dtn_train::Origin { network: B256::ZERO, block: B256::ZERO, order: B256::ZERO, worker: WORKERS[1], attempt: 0 };
    let all = shipped("digits").unwrap();
    let go_on = |_: dtn_train::Progress, _: &[u8]| ControlFlow::Continue(());
    let elsewhere = dtn_train::train(&recipe, 0, &all, origin, go_on).unwrap().unwrap().0;
    let reveals = [(0, &built_in.model), (1, &elsewhere)]
        .map(|(place, model): (usize, &Model)| (WORKERS[place], model_of(&scene, model, WORKERS[place])));
    scene.claimed(&reveals);
    scene.scored();
    assert_eq!(scene.order.phase(), Phase::Ended(Ending::Final { claim: 1 }));
    let hidden = |claim: usize| scene.order.claims()[claim].grades.unwrap().hidden.unwrap();
    assert!(hidden(1).rank() > hidden(0).rank() && scene.order.claims()[1].grades.unwrap().fold.is_none());
    assert!(scene.order.segments_of(0).is_empty(), "there is nothing to audit");
}

#[test]
fn nobody_votes_for_a_model_that_is_larger_than_the_order_takes() {
    for scene in [Scene::scores(), Scene::new()] {
        let dense = |widths: &[usize]| {
            let weights = widths.windows(2).map(|pair| vec![0; (pair[0] + 1) * pair[1]]).collect();
            Model::of_layers(dtn_train::Task::Classes(widths[widths.len() - 1] as u16), widths, weights).unwrap()
        };
        let [fits, large, narrow, fewer] = [&[64, 10][..], &[64, 9, 10], &[63, 10], &[64, 9]].map(dense);
        for (model, why) in [(&large, "685 multiplications a row, and the order 650"), (&narrow, "63"), (&fewer, "9")] {
            assert!(scene.brief.admits(model).unwrap_err().to_string().contains(why));
        }
        let reveals = [&fits, &large].map(|model| model_of(&scene, model, WORKERS[0]));
        let [one, other] = reveals.map(|reveal| (WORKERS[0], reveal));
        for (worker, reveal) in [one, other] {
            let need = Need::Model(reveal.model);
            let voted = scene.brief.check(Some(&scene.order), &need, &scene.library);
            assert_eq!(voted.is_ok(), reveal == one.1, "{worker} {voted:?}");
            let Err(error) = voted else { continue };
            assert!(matches!(error, Unmet::Large { is: 685, most: 650 }), "{error}");
        }
    }
}
