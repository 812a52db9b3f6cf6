//! Rounds of events by peers over real sockets, one of which lies.

use std::time::Duration;

use dtn_consensus::{
    Effect, Input, Lockstep, Party, Protocol, Standalone,
    lockstep::{self, Answer, Commit, Config, Evidence, Fault, Gather, History, Message, Mode, Output, Record, Timer},
    sealed::{Opening, Place},
};
use dtn_node::standalone::{Event, Peer, PeerConfig, PeerError};
use dtn_primitives::{B256, ValidatorIndex};
use tempfile::TempDir;

const ROUNDS: u64 = 12;

/// A peer that makes two commitments in each round: its own for those with an even number, and another for the others.
#[derive(Debug)]
struct TwoFaced(Lockstep<History>, Party);

type Honest = Lockstep<History>;

impl TwoFaced {
    fn other(&self, honest: Commit) -> Message {
        let place = Place { group: lockstep::group(&self.1), round: honest.round, by: honest.by };
        let seal = Opening { salt: B256::ZERO, items: vec!["another".into()] }.seal(&place);
        Message::Commit(Commit::sign(&self.1, honest.round, seal, honest.state))
    }

    fn lie(&self, effect: Effect<Honest>) -> Vec<Effect<Self>> {
        let others = self.1.validators.iter().map(|(to, _)| to).filter(|to| *to != self.1.me);
        match effect {
            Effect::Broadcast(Message::Commit(commit)) if commit.by == self.1.me => {
                let faced = |to: ValidatorIndex| {
                    let message = if to.0.is_multiple_of(2) { Message::Commit(commit) } else { self.other(commit) };
                    Effect::Send { to, message }
                };
                others.map(faced).collect()
            }
            Effect::Send { to, message: Message::Commit(commit) } if commit.by == self.1.me && to.0 % 2 == 1 => {
                vec![Effect::Send { to, message: self.other(commit) }]
            }
            Effect::Send { to, message } => vec![Effect::Send { to, message }],
            Effect::Broadcast(message) => vec![Effect::Broadcast(message)],
            Effect::SetTimer { timer, after } => vec![Effect::SetTimer { timer, after }],
            Effect::CancelTimer(timer) => vec![Effect::CancelTimer(timer)],
            Effect::Persist(record) => vec![Effect::Persist(record)],
            Effect::Ask(ask) => vec![Effect::Ask(ask)],
            Effect::Output(output) => vec![Effect::Output(output)],
            Effect::Fault { .. } => Vec::new(),
        }
    }
}

impl Protocol for TwoFaced {
    type Message = Message;
    type Record = Record<History>;
    type Timer = Timer;
    type Fault = Fault;
    type Ask = Gather;
    type Answer = Answer;
    type Output = Output;

    fn handle(&mut self, input: Input<Self>) -> Vec<Effect<Self>> {
        let input = match input {
            Input::Start { memory, boot } => Input::Start { memory, boot },
            Input::Message { from, message } => Input::Message { from, message },
            Input::Connected(peer) => Input::Connected(peer),
            Input::Timer(timer) => Input::Timer(timer),
            Input::Answer(answer) => Input::Answer(answer),
        };
        let effects = self.0.handle(input);
        effects.into_iter().flat_map(|effect| self.lie(effect)).collect()
    }
}

impl Standalone for TwoFaced {
    const NAME: &'static str = Honest::NAME;

    fn kind(message: &Message) -> &'static str {
        Honest::kind(message)
    }

    fn slot(record: &Record<History>) -> u64 {
        Honest::slot(record)
    }
}

fn config() -> Config {
    Config { rounds: ROUNDS, ..Config::new(Mode::Timed { deadline: Duration::from_secs(4) }) }
}

fn create(config: &PeerConfig, me: ValidatorIndex, records: Vec<Record<History>>) -> (Honest, Party) {
    let party = Party::new(me, config.key.clone(), config.validators.clone(), config.network_id, 1);
    (Lockstep::new(party.clone(), self::config(), History::default(), records), party)
}

fn events(me: ValidatorIndex, round: u64) -> Answer {
    Answer::Events(round, vec![format!("{} in {round}", me.0).into_bytes().into()])
}

/// Answers what the liar asks, until it has stopped or is silent.
async fn lie(mut peer: Peer<TwoFaced>, me: ValidatorIndex) -> Result<(), PeerError> {
    loop {
        if let Event::Asked(Gather(round)) = peer.next().await? {
            peer.handle().answer(events(me, round)).await?;
        }
    }
}

/// What a correct peer has come to once all rounds are over.
struct Seen {
    outcomes: Vec<lockstep::Outcome>,
    excluded: Vec<ValidatorIndex>,
    evidence: Vec<Evidence>,
}

async fn play(peer: &mut Peer<Honest>, me: ValidatorIndex) -> Result<Seen, PeerError> {
    let mut seen = Seen { outcomes: Vec::new(), excluded: Vec::new(), evidence: Vec::new() };
    while (seen.outcomes.len() as u64) < ROUNDS {
        match peer.next().await? {
            Event::Asked(Gather(round)) => peer.handle().answer(events(me, round)).await?,
            Event::Output(Output::Round(outcome)) => seen.outcomes.push(outcome),
            Event::Output(Output::Excluded(peer, _)) => seen.excluded.push(peer),
            Event::Output(Output::Evidence(evidence)) => seen.evidence.push(*evidence),
            Event::Output(_) => {}
        }
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_commits_to_two_things_is_named_excluded_and_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let mut configs = PeerConfig::local(4, folder.path()).unwrap();
    let (liar, lying) = configs.pop().unwrap();
    let observer = create(&lying, liar, Vec::new()).1;
    let two_faced = Peer::start(lying.clone(), |records| {
        let (honest, party) = create(&lying, liar, records);
        TwoFaced(honest, party)
    });
    let liars = tokio::spawn(lie(two_faced.await.unwrap(), liar));
    let mut peers = Vec::new();
    for (me, config) in configs {
        peers.push((me, Peer::start(config.clone(), |records| create(&config, me, records).0).await.unwrap()));
    }
    let all = futures::future::try_join_all(peers.iter_mut().map(|(me, peer)| play(peer, *me))).await.unwrap();
    for seen in &all {
        assert!(seen.outcomes == all[0].outcomes, "they come to the same");
        assert_eq!(seen.excluded, [liar]);
        assert!(seen.outcomes.iter().all(|outcome| outcome.events.len() == 3), "nothing of the liar happens");
        let is_proof = |it: &Evidence| it.accused() == liar && it.verify(&observer);
        assert!(!seen.evidence.is_empty() && seen.evidence.iter().all(is_proof), "{:?}", seen.evidence);
    }
    liars.abort();
    for (_, peer) in peers {
        let faults = peer.handle().counts().faults;
        assert!(faults.keys().all(|of| *of == liar), "{faults:?}");
        peer.shutdown().await;
    }
}
