//! What each rule is for.

use super::*;
use crate::{Memory, party::tests::parties, sealed};

type Peer = Lockstep<History>;

fn peers(config: Config) -> Vec<Peer> {
    parties(4).into_iter().map(|party| Peer::new(party, config, History::default(), Vec::new())).collect()
}

fn strict() -> Config {
    Config::new(Mode::Strict)
}

fn start(memory: Memory) -> Input<Peer> {
    Input::Start { memory, boot: 1 }
}

fn tell(peer: &mut Peer, input: Input<Peer>) -> Effects<History> {
    peer.handle(input)
}

fn hear(peer: &mut Peer, from: u16, message: Message) -> Effects<History> {
    tell(peer, Input::Message { from: ValidatorIndex(from), message })
}

fn events(round: u64, event: &'static str) -> Input<Peer> {
    Input::Answer(Answer::Events(round, vec![event.into()]))
}

fn said(effects: &[Effect<Peer>]) -> Vec<Message> {
    let said =
        |effect: &Effect<Peer>| if let Effect::Broadcast(message) = effect { Some(message.clone()) } else { None };
    effects.iter().filter_map(said).collect()
}

fn outputs(effects: &[Effect<Peer>]) -> Vec<Output> {
    let output = |effect: &Effect<Peer>| if let Effect::Output(output) = effect { Some(output.clone()) } else { None };
    effects.iter().filter_map(output).collect()
}

fn evidence(effects: &[Effect<Peer>]) -> Option<Evidence> {
    let mut proofs = outputs(effects).into_iter();
    proofs.find_map(|output| if let Output::Evidence(evidence) = output { Some(*evidence) } else { None })
}

fn fault(effects: &[Effect<Peer>]) -> Option<(u16, Fault)> {
    effects.iter().find_map(|it| if let Effect::Fault { from, fault } = it { Some((from.0, *fault)) } else { None })
}

/// Delivers what all say until nobody says anything more, in the order in which it is said; gives what each comes to.
fn deliver(peers: &mut [Peer], effects: Vec<(usize, Effects<History>)>) -> Vec<Vec<Output>> {
    let mut came = vec![Vec::new(); peers.len()];
    let mut queue: std::collections::VecDeque<_> = effects.into();
    while let Some((from, effects)) = queue.pop_front() {
        came[from].extend(outputs(&effects));
        for message in said(&effects) {
            for to in (0..peers.len()).filter(|to| *to != from) {
                queue.push_back((to, hear(&mut peers[to], from as u16, message.clone())));
            }
        }
    }
    came
}

/// A round in which each says its own word.
fn round(peers: &mut [Peer], round: u64) -> Vec<Vec<Output>> {
    let words = ["a", "b", "c", "d"];
    let effects = peers.iter_mut().zip(words).map(|(peer, word)| tell(peer, events(round, word))).enumerate().collect();
    deliver(peers, effects)
}

fn begun(config: Config) -> Vec<Peer> {
    let mut peers = peers(config);
    for peer in &mut peers {
        let effects = tell(peer, start(Memory::NeverVoted));
        let asked: Vec<_> = effects.iter().filter(|it| matches!(it, Effect::Ask(_))).collect();
        assert_eq!(asked.len() as u64, config.pipeline.min(config.rounds));
    }
    peers
}

#[test]
fn all_come_to_the_same_events_in_an_order_that_changes_from_round_to_round() {
    let mut peers = begun(strict());
    let mut first = BTreeSet::new();
    for number in 1..=30 {
        let came = round(&mut peers, number);
        let [Output::Round(outcome)] = &came[0][..] else { panic!("{:?}", came[0]) };
        assert!(came.iter().all(|other| other == &came[0]), "{came:?}");
        let mut words: Vec<_> = outcome.events.iter().map(|it| it.data.clone()).collect();
        first.insert(words[0].clone());
        words.sort_unstable();
        assert_eq!(words, ["a", "b", "c", "d"].map(Bytes::from));
        assert!(outcome.events.is_sorted_by_key(|it| place(outcome.beacon, it.by, it.index)));
    }
    assert_eq!(first.len(), 4, "each is first now and then");
    assert!(peers.iter().all(|peer| peer.state() == peers[0].state()));
}

#[test]
fn nobody_reveals_before_the_last_commitment_nor_a_round_before_the_one_before_it() {
    let config = Config { pipeline: 2, ..strict() };
    let mut peers = begun(config);
    let commit = |peer: &mut Peer, round| said(&tell(peer, events(round, "x"))).remove(0);
    let words: Vec<[Message; 2]> = peers[1..].iter_mut().map(|peer| [commit(peer, 1), commit(peer, 2)]).collect();
    let peer = &mut peers[0];
    assert_eq!(said(&tell(peer, events(2, "second"))), [], "it commits in the order of the rounds");
    assert_eq!(said(&tell(peer, events(1, "first"))).len(), 2);
    for (from, [_, second]) in (1..).zip(&words) {
        assert_eq!(said(&hear(peer, from, second.clone())), [], "the first one is not revealed");
    }
    for (from, [first, _]) in (1..).zip(&words[..2]) {
        assert_eq!(said(&hear(peer, from, first.clone())), []);
    }
    let both = said(&hear(peer, 3, words[2][0].clone()));
    assert!(matches!(&both[..], [Message::Reveal(one), Message::Reveal(two)] if (one.round, two.round) == (1, 2)));
}

#[test]
fn two_commitments_are_proof_to_anybody_and_so_is_a_reveal_that_opens_none() {
    let all = parties(4);
    let liar = &all[1];
    let opening = |word: &'static str| Opening { salt: B256::ZERO, items: vec![word.into()] };
    let place = sealed::Place { group: group(liar), round: 1, by: liar.me };
    let state = History::default().digest();
    let commit = |word| Commit::sign(liar, 1, opening(word).seal(&place), state);
    let mut peers = begun(strict());
    let peer = &mut peers[0];
    assert!(fault(&hear(peer, 2, Message::Commit(commit("a")))).is_none(), "whoever passes it on is no liar");
    let effects = hear(peer, 1, Message::Commit(commit("b")));
    assert_eq!(fault(&effects), Some((1, Fault::TwoCommits(1))));
    let proof = evidence(&effects).expect("there is proof");
    assert!(proof.verify(&all[3]) && proof.accused() == liar.me);
    let elsewhere = Party { instance: 2, ..all[3].clone() };
    assert!(!proof.verify(&elsewhere), "of another group it proves nothing");
    assert!(!Evidence::TwoCommits(commit("a"), commit("a")).verify(&all[3]));

    let mut others = begun(strict());
    let peer = &mut others[0];
    hear(peer, 1, Message::Commit(commit("a")));
    let reveal = |word| Reveal::sign(liar, 1, opening(word), B256::ZERO);
    let effects = hear(peer, 1, Message::Reveal(reveal("b").into()));
    assert_eq!(fault(&effects), Some((1, Fault::FalseReveal(1))));
    assert!(evidence(&effects).is_some_and(|proof| proof.verify(&all[2])));
    assert!(!Evidence::FalseReveal(commit("a"), reveal("a").into()).verify(&all[2]));
}

#[test]
fn words_of_another_group_peer_or_round_are_nobody_s() {
    let all = parties(4);
    let mut peers = begun(strict());
    let peer = &mut peers[0];
    let commit = |party: &Party, round| Commit::sign(party, round, B256::ZERO, B256::ZERO);
    let elsewhere = Party { instance: 2, ..all[1].clone() };
    let forged = Some((1, Fault::Forged(ValidatorIndex(1))));
    assert_eq!(fault(&hear(peer, 1, Message::Commit(commit(&elsewhere, 1)))), forged, "of another group");
    let other = Commit { by: ValidatorIndex(1), ..commit(&all[2], 1) };
    assert_eq!(fault(&hear(peer, 1, Message::Commit(other))), forged, "of another peer");
    let dated = Commit { round: 2, ..commit(&all[1], 1) };
    assert_eq!(fault(&hear(peer, 1, Message::Commit(dated))), forged, "of another round");
    for round in [0, AHEAD + 1, u64::MAX] {
        let effects = hear(peer, 1, Message::Commit(commit(&all[1], round)));
        assert!(effects.is_empty() && peer.rounds.is_empty(), "round {round} is not kept");
    }
    let long = Opening { salt: B256::ZERO, items: vec![vec![0; 257].into()] };
    let effects = hear(peer, 1, Message::Reveal(Reveal::sign(&all[1], 1, long, B256::ZERO).into()));
    assert_eq!(fault(&effects), Some((1, Fault::TooLarge)));
}

#[test]
fn what_a_host_gives_beyond_the_bounds_is_left_out_and_told() {
    let config = Config { limits: Limits { events: 2, bytes: 3 }, ..strict() };
    let mut peers = begun(config);
    let given = ["abc", "abcd", "a", "b"].map(Bytes::from).to_vec();
    let effects = tell(&mut peers[0], Input::Answer(Answer::Events(1, given)));
    assert_eq!(outputs(&effects), [Output::LeftOut(1, 2)]);
    let opening = peers[0].rounds[&1].opening.clone().expect("it has committed");
    assert_eq!(opening.items, ["abc", "a"].map(Bytes::from));
    assert!(tell(&mut peers[0], events(1, "z")).is_empty(), "it commits once");
}

#[test]
fn a_peer_that_starts_again_stands_by_what_it_said_and_one_that_lost_its_disk_says_nothing() {
    let mut peers = begun(strict());
    round(&mut peers, 1);
    let effects = tell(&mut peers[0], events(2, "mine"));
    let mut records: BTreeMap<u64, Record<History>> = BTreeMap::new();
    for effect in effects {
        if let Effect::Persist(record) = effect {
            records.insert(Peer::slot(&record), record);
        }
    }
    let mut again = Peer::new(parties(4).swap_remove(0), strict(), History::default(), records.into_values().collect());
    let effects = tell(&mut again, start(Memory::Kept));
    assert!(matches!(&outputs(&effects)[..], [Output::Round(outcome)] if outcome.round == 1), "it says it again");
    assert!(tell(&mut again, events(2, "another")).is_empty(), "it has committed");
    peers[0] = again;
    let mut effects = vec![(0, Vec::new())];
    effects[0].1.extend(peers[0].own(u64::MAX).into_iter().map(Effect::Broadcast));
    effects.extend((1..4).map(|it| (it, tell(&mut peers[it], events(2, "theirs")))));
    let came = deliver(&mut peers, effects);
    let [Output::Round(outcome)] = &came[0][..] else { panic!("{:?}", came[0]) };
    assert!(outcome.events.iter().any(|it| it.data == Bytes::from("mine")) && came.iter().all(|it| it == &came[0]));

    let mut lost = Peer::new(parties(4).swap_remove(0), strict(), History::default(), Vec::new());
    tell(&mut lost, start(Memory::Lost));
    assert!(tell(&mut lost, events(1, "x")).is_empty());
    let deadline = Duration::from_secs(1);
    let timed = Config::new(Mode::Timed { deadline });
    let mut down = Peer::new(parties(4).swap_remove(0), timed, History::default(), Vec::new());
    tell(&mut down, start(Memory::Kept));
    assert!(tell(&mut down, events(1, "x")).is_empty(), "with deadlines, who was down is faulty");
}

#[test]
fn what_a_bucket_misses_is_dropped_and_its_peer_is_told() {
    let (tick, delay) = (Duration::from_millis(40), Duration::from_millis(100));
    let mut peers = peers(Config::new(Mode::Bucket { tick, delay }));
    for peer in &mut peers {
        tell(peer, start(Memory::NeverVoted));
        tell(peer, Input::Timer(Timer::Tick));
    }
    let late = said(&tell(&mut peers[1], events(1, "late"))).remove(0);
    tell(&mut peers[0], events(1, "mine"));
    let effects = tell(&mut peers[0], Input::Timer(Timer::Close(1)));
    assert!(matches!(&outputs(&effects)[..], [Output::Round(outcome)] if outcome.events.len() == 1));
    let effects = hear(&mut peers[0], 1, late);
    assert_eq!(outputs(&effects), [Output::Late(ValidatorIndex(1), 1)]);
    let told = effects.iter().any(|it| matches!(it, Effect::Send { to, message: Message::Late(1) } if to.0 == 1));
    assert!(told, "{effects:?}");
    assert_eq!(outputs(&hear(&mut peers[1], 0, Message::Late(1))), [Output::Dropped(ValidatorIndex(0), 1)]);
}

#[test]
fn what_a_group_is_promised_nothing_for_is_told_in_words() {
    let timed = Config::new(Mode::Timed { deadline: Duration::from_secs(1) });
    let why = |config: Config, n, faulty| config.assumes(n, faulty).err().map(|it| it.condition);
    assert_eq!(why(timed, 5, 2), None);
    assert_eq!(why(timed, 4, 2), Some("more than twice as many peers as faulty ones"));
    assert_eq!(why(Config { pipeline: 2, ..timed }, 5, 2), Some("one round at a time"));
    assert!(why(timed, 64, 2).is_some_and(|it| it.contains("60000 bytes")));
    assert_eq!(why(strict(), 4, 3), None);
    assert!(why(strict(), 4, 4).is_some() && why(Config { pipeline: 0, ..strict() }, 4, 1).is_some());
}
