#![allow(clippy::unwrap_used)]

use dtn_consensus::{Effect, Input, Memory, Protocol};
use dtn_primitives::{Bytes, ValidatorIndex};

use super::*;
use crate::{
    core::engine::Words,
    link::{Charge, Offence},
    network::{self, Command, Remote},
    wire::Frame,
};

/// Has what it is told made durable, says it, asks about it and comes to it.
#[derive(Debug)]
struct Parrot;

impl Protocol for Parrot {
    type Message = String;
    type Record = String;
    type Timer = ();
    type Fault = String;
    type Ask = String;
    type Answer = String;
    type Output = String;

    fn handle(&mut self, input: Input<Self>) -> Vec<Effect<Self>> {
        match input {
            Input::Answer(text) => vec![
                Effect::Persist(text.clone()),
                Effect::Broadcast(text.clone()),
                Effect::Ask(text.clone()),
                Effect::Output(text),
            ],
            Input::Message { from, message } => vec![Effect::Fault { from, fault: message }],
            Input::Start { memory, .. } => vec![Effect::Output(format!("{memory:?}"))],
            Input::Connected(_) | Input::Timer(()) => Vec::new(),
        }
    }
}

impl Standalone for Parrot {
    const NAME: &'static str = "parrot/1";

    fn kind(_: &String) -> &'static str {
        "text"
    }

    fn slot(record: &String) -> u64 {
        record.len() as u64
    }
}

const PEER: ValidatorIndex = ValidatorIndex(2);

struct Test {
    host: Host<Parrot>,
    commands: mpsc::Receiver<Command>,
    counters: Arc<Counters>,
    folder: tempfile::TempDir,
}

impl Test {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::start(&folder.path().join("journal.redb"), B256::ZERO, Address::ZERO).unwrap();
        let (commands, received) = mpsc::channel(64);
        let counters = Arc::new(Counters::default());
        let config = HostConfig {
            me: ValidatorIndex(1),
            address: Address::ZERO,
            max_message: 16,
            store,
            commands,
            metrics: Metrics::new(4, Watched { store: "none".into(), ..Watched::default() }),
            counters: counters.clone(),
        };
        Self { host: Host::new(config, Parrot), commands: received, counters, folder }
    }

    fn hears(&mut self, frame: Frame) {
        let event = network::Event::Frame { from: Remote::Validator(PEER), frame, _charge: Charge::default() };
        self.host.event(event).unwrap();
    }

    fn says(&mut self, message: &[u8]) {
        let message = Bytes::copy_from_slice(message);
        self.hears(Frame::Consensus(Box::new(Words::Own { protocol: Mark::of(Parrot::NAME), message })));
    }

    fn offences(&mut self) -> Vec<Offence> {
        self.host.let_out(|_, _| Ok(())).unwrap();
        let commands = std::iter::from_fn(|| self.commands.try_recv().ok());
        commands.filter_map(|it| if let Command::CutOff { offence, .. } = it { Some(offence) } else { None }).collect()
    }
}

#[test]
fn nothing_leaves_before_what_it_rests_on_is_durable_and_nothing_at_all_if_that_fails() {
    let mut test = Test::new();
    test.host.input(Input::Answer("word".into())).unwrap();
    let mut asked_first = false;
    let kept = test.host.let_out(|store, records| {
        asked_first = test.commands.try_recv().is_err();
        store.keep(records.iter().map(|(slot, record)| (*slot, record.as_slice())))
    });
    kept.unwrap();
    assert!(asked_first, "it was said before it was durable");
    assert!(matches!(test.commands.try_recv(), Ok(Command::Broadcast(_))));
    assert_eq!(test.host.untold.len(), 2);

    test.host.input(Input::Answer("second".into())).unwrap();
    let broken = StoreError::Corrupt { store: "journal".into(), reason: "a test".into() };
    let failed = test.host.let_out(|_, _| Err(broken.clone()));
    assert!(matches!(failed, Err(PeerError::Store(error)) if error == broken));
    assert!(test.commands.try_recv().is_err() && test.host.untold.len() == 2);
}

#[test]
fn of_each_slot_the_last_record_is_found_again() {
    let Test { mut host, folder, .. } = Test::new();
    for word in ["one", "two", "three", "four"] {
        host.input(Input::Answer(word.into())).unwrap();
        host.let_out(|store, records| store.keep(records.iter().map(|(slot, it)| (*slot, it.as_slice())))).unwrap();
    }
    drop(host);
    let (store, _) = Store::start(&folder.path().join("journal.redb"), B256::ZERO, Address::ZERO).unwrap();
    let words: Vec<String> = store.journal().unwrap().iter().map(|(_, it)| codec::decode(it, 64).unwrap()).collect();
    assert_eq!(words, ["two", "four", "three"], "by their slots, which are their lengths");
    assert_eq!(crate::boot::start(store.memory()).unwrap().0, Memory::Kept);
}

#[test]
fn a_protocol_that_says_more_than_its_peers_read_is_stopped_by_name() {
    let mut test = Test::new();
    let error = test.host.input(Input::Answer("x".repeat(16))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a message text of parrot/1 takes 17 bytes, and 16 is the limit: raise it at all peers"
    );
    test.host.input(Input::Answer("x".repeat(15))).unwrap();
}

#[test]
fn what_is_no_message_and_too_many_faults_cut_a_peer_off_and_are_counted() {
    let mut test = Test::new();
    test.says(&[9, b'x']);
    test.says(&codec::encode(&"x".repeat(16)));
    assert_eq!(test.offences(), [Offence::Malformed; 2]);
    test.hears(Frame::Height(1));
    for _ in 0..40 {
        test.says(&codec::encode(&"x"));
    }
    assert_eq!(test.offences(), [Offence::Faults], "it is cut off once, and not heard any more");
    let counts = test.counters.read();
    assert_eq!(counts.faults, [(PEER, 2 + 33)].into(), "{counts:?}");
    assert_eq!(counts.received["text"], Traffic { messages: 32, bytes: 64 });
}
