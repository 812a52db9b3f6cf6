//! Every behaviour of four replicas at one height in two views, one of them a liar: PBFT itself under a model checker.
//!
//! A state is what each correct replica has become and everything that was ever sent. A step delivers to one of them
//! something that was sent, by anyone, in any order, as often as it changes something; or ends its view. What the liar may
//! say is there from the beginning, or as soon as the correct replicas have said what it takes to prove it.
//!
//! The short check leaves out steps after which a replica says and decides nothing new: votes reach it once they are a
//! quorum with what it has, and requests for a view reach that view's primary. The long check leaves out nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    sync::Mutex,
    time::{Duration, Instant},
};

use dtn_consensus::{
    Effect, Input, Memory, Message, NewView, Pbft, PreparedCertificate, Protocol, Timer, ViewChange, required,
};
use dtn_primitives::{B256, Certificate, ValidatorIndex, Vote, VoteKind, codec, keccak256};
use dtn_simulator::Members;
use stateright::{Checker, Model, Property};

const REPLICAS: usize = 4;
const WORDS: usize = 16;

/// What was sent, by the numbers of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct Sent([u64; WORDS]);

impl Sent {
    fn insert(&mut self, message: usize) {
        self.0[message / 64] |= 1 << (message % 64);
    }

    fn contains(&self, message: usize) -> bool {
        self.0[message / 64] & 1 << (message % 64) != 0
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..64 * WORDS).filter(|message| self.contains(*message))
    }
}

/// All replicas, by the numbers of their states; the liar's means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    replicas: [usize; REPLICAS],
    sent: Sent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    /// Deliver these to a replica, in this order.
    Deliver(usize, Vec<usize>),
    /// A replica's view timer expires.
    Expire(usize),
}

#[derive(Debug, Clone)]
struct Local {
    replica: Pbft,
    decided: Option<(u64, B256)>,
    /// The blocks that it has accepted, by view.
    accepted: BTreeSet<(u64, B256)>,
    /// The last view in which it has committed.
    committed: Option<u64>,
}

impl Local {
    fn new(replica: Pbft) -> Self {
        Self { replica, decided: None, accepted: BTreeSet::new(), committed: None }
    }

    fn says(&mut self, message: &Message) {
        match message {
            Message::Vote(vote) if vote.kind == VoteKind::Commit => self.committed = Some(vote.view),
            Message::Vote(vote) | Message::PrePrepare { vote, .. } => {
                self.accepted.insert((vote.view, vote.block_hash));
            }
            Message::NewView(new_view) => {
                self.accepted.extend(new_view.proposals.iter().map(|vote| (vote.view, vote.block_hash)));
            }
            _ => {}
        }
    }
}

/// Messages that go together: the votes of a kind, view and block in the short check, and otherwise no two.
type Class = (Option<VoteKind>, u64, B256, usize);

/// Numbers for messages and replica states, and the steps between these that were taken before.
#[derive(Default)]
struct Tables {
    messages: Vec<(ValidatorIndex, Message, Class)>,
    message_numbers: HashMap<B256, usize>,
    locals: Vec<Local>,
    local_numbers: HashMap<B256, usize>,
    steps: HashMap<(usize, Vec<usize>), (usize, Vec<usize>)>,
    lies: HashMap<Sent, Vec<usize>>,
    /// The new views of the liar, one for each floor and required blocks.
    new_views: BTreeMap<(u64, Vec<B256>), usize>,
}

struct Height {
    members: Members,
    liar: usize,
    fine: bool,
    tables: Mutex<Tables>,
}

/// A replica's state without what changes nothing that it says here: what it would remind others of, who lose no memory;
/// how long it waits, which is any time; and whom it has answered.
fn what_matters(local: &Local) -> String {
    let mut state = format!("{local:?}");
    for (from, to) in [(", recall: ", ", waiting: "), (", window: ", " }, decided: ")] {
        if let Some((from, to)) = state.find(from).zip(state.rfind(to)) {
            state.replace_range(from..to, "");
        }
    }
    state
}

impl Height {
    fn new(liar: usize, fine: bool) -> Self {
        let members = Members::new(REPLICAS, Duration::from_secs(1));
        Self { members, liar, fine, tables: Mutex::default() }
    }

    fn is_correct(&self, replica: usize) -> bool {
        replica != self.liar
    }

    fn block_hash(&self, salt: u64) -> B256 {
        self.block(salt).header.hash()
    }

    /// The blocks that may be proposed: 0 and 1 by the liar, 2 by a correct primary.
    fn block(&self, salt: u64) -> std::sync::Arc<dtn_primitives::Block> {
        self.members.block(1, self.members.domain().network_id, ValidatorIndex(0), salt)
    }

    fn number(&self, tables: &mut Tables, from: usize, message: Message) -> usize {
        let key = keccak256(codec::encode(&message));
        if let Some(known) = tables.message_numbers.get(&key) {
            return *known;
        }
        let number = tables.messages.len();
        assert!(number < 64 * WORDS, "more messages than there is room for");
        let class = match &message {
            Message::Vote(vote) if !self.fine => (Some(vote.kind), vote.view, vote.block_hash, 0),
            _ => (None, 0, B256::ZERO, number),
        };
        tables.messages.push((ValidatorIndex(from as u16), message, class));
        tables.message_numbers.insert(key, number);
        number
    }

    fn local_number(&self, tables: &mut Tables, local: Local) -> usize {
        let key = keccak256(what_matters(&local));
        let next = tables.locals.len();
        let number = *tables.local_numbers.entry(key).or_insert(next);
        if number == next {
            tables.locals.push(local);
        }
        number
    }

    /// What becomes of a replica, and what it says.
    fn react(
        &self,
        tables: &mut Tables,
        me: usize,
        mut local: Local,
        inputs: Vec<Input<Message, Timer>>,
    ) -> (usize, Vec<usize>) {
        let mut said = Vec::new();
        let mut inputs = std::collections::VecDeque::from(inputs);
        while let Some(input) = inputs.pop_front() {
            for effect in local.replica.handle(input) {
                match effect {
                    // Somebody correct has every block that may be asked for.
                    Effect::Send { message: Message::Want(hash), .. } => {
                        let block = (0..3).map(|salt| self.block(salt)).find(|block| block.header.hash() == hash);
                        let message = Message::Body(block.expect("one of the three"));
                        inputs.push_back(Input::Message { from: ValidatorIndex(self.liar as u16), message });
                    }
                    Effect::Send { message, .. } | Effect::Broadcast(message) => {
                        // What is passed on is known.
                        let author = match &message {
                            Message::PrePrepare { vote, .. } | Message::Vote(vote) | Message::Announce(vote) => {
                                vote.validator.as_usize()
                            }
                            _ => me,
                        };
                        if author == me {
                            local.says(&message);
                            said.push(self.number(tables, me, message));
                        }
                    }
                    Effect::Propose { height: 1, .. } => inputs.push_front(Input::Proposal(self.block(2))),
                    Effect::Validate { block, .. } => {
                        let block_hash = block.header.hash();
                        inputs.push_front(Input::Validated { block_hash, valid: block.header.height == 1 });
                    }
                    Effect::Decide(decision) => {
                        local.decided = Some((decision.certificate.view, decision.certificate.block_hash));
                    }
                    _ => {}
                }
            }
        }
        (self.local_number(tables, local), said)
    }

    /// What the liar can say without the others.
    fn free_lies(&self, tables: &mut Tables) -> Vec<usize> {
        let (liar, members) = (ValidatorIndex(self.liar as u16), &self.members);
        let mut lies = Vec::new();
        for (view, salt) in (0..2).flat_map(|view| (0..3).map(move |salt| (view, salt))) {
            let hash = self.block_hash(salt);
            let vote = |kind| members.vote(kind, (view, 1), hash, liar);
            lies.push(Message::Vote(vote(VoteKind::Commit)));
            if members.validators().primary(view, 1) == liar {
                if salt < 2 {
                    lies.push(Message::PrePrepare { vote: vote(VoteKind::PrePrepare), block: self.block(salt) });
                }
            } else {
                lies.push(Message::Vote(vote(VoteKind::Prepare)));
            }
        }
        let change = ViewChange::sign(1, liar, None, vec![], self.signer());
        lies.push(Message::ViewChange(change));
        lies.into_iter().map(|lie| self.number(tables, self.liar, lie)).collect()
    }

    fn signer(&self) -> (&dtn_primitives::SecretKey, &dtn_primitives::Domain, u64) {
        let liar = ValidatorIndex(self.liar as u16);
        (self.members.key(liar), self.members.domain(), self.members.validators().epoch())
    }

    /// What the liar can prove with what the others have said: that a block is prepared or decided in view 0; and, if it
    /// is the primary of view 1, that a quorum asked for it.
    fn proven_lies(&self, tables: &mut Tables, sent: &Sent) -> Vec<usize> {
        if let Some(known) = tables.lies.get(sent) {
            return known.clone();
        }
        let (liar, members) = (ValidatorIndex(self.liar as u16), &self.members);
        let quorum = members.validators().quorum();
        let mut votes: BTreeMap<(B256, VoteKind), BTreeMap<ValidatorIndex, Arc<Vote>>> = BTreeMap::new();
        let mut changes: Vec<ViewChange> = Vec::new();
        for (_, message, _) in sent.iter().map(|number| &tables.messages[number]) {
            match message {
                Message::Vote(vote) | Message::PrePrepare { vote, .. } if vote.view == 0 => {
                    votes.entry((vote.block_hash, vote.kind)).or_default().insert(vote.validator, vote.clone());
                }
                Message::ViewChange(change) => changes.push(change.clone()),
                _ => {}
            }
        }
        let mut lies = Vec::new();
        for salt in 0..3 {
            let hash = self.block_hash(salt);
            let of = |kind| votes.get(&(hash, kind)).cloned().unwrap_or_default();
            let (pre_prepare, prepares) = (of(VoteKind::PrePrepare), of(VoteKind::Prepare));
            if let Some(pre_prepare) = pre_prepare.into_values().next().filter(|_| prepares.len() + 1 >= quorum) {
                let prepares = prepares.into_values().take(quorum - 1).collect();
                let prepared = PreparedCertificate { header: self.block(salt).header.clone(), pre_prepare, prepares };
                let change = ViewChange::sign(1, liar, None, vec![prepared], self.signer());
                lies.push(Message::ViewChange(change));
            }
            let commits = of(VoteKind::Commit);
            if commits.len() >= quorum {
                let decided = Certificate::from_votes(commits.values().take(quorum).map(Arc::as_ref));
                let change = ViewChange::sign(1, liar, decided, vec![], self.signer());
                lies.push(Message::ViewChange(change));
            }
        }
        let mut numbers: Vec<_> = lies.into_iter().map(|lie| self.number(tables, self.liar, lie)).collect();
        if members.validators().primary(1, 1) == liar {
            let own = numbers.iter().filter_map(|number| match &tables.messages[*number].1 {
                Message::ViewChange(change) => Some(change.clone()),
                _ => None,
            });
            changes.extend(own);
            numbers.extend(self.new_views(tables, &changes));
        }
        tables.lies.insert(*sent, numbers.clone());
        numbers
    }

    /// The new views that these requests justify, one for each that requires something else.
    fn new_views(&self, tables: &mut Tables, changes: &[ViewChange]) -> BTreeSet<usize> {
        let (liar, members) = (ValidatorIndex(self.liar as u16), &self.members);
        let mut found = BTreeSet::new();
        for subset in 0u32..1 << changes.len() {
            let mut chosen: Vec<_> =
                (0..changes.len()).filter(|place| subset & 1 << place != 0).map(|place| &changes[place]).collect();
            chosen.sort_by_key(|change| change.validator);
            let distinct = chosen.windows(2).all(|pair| pair[0].validator < pair[1].validator);
            if chosen.len() < members.validators().quorum() || !distinct {
                continue;
            }
            let chosen: Vec<_> = chosen.into_iter().cloned().collect();
            let (floor, blocks) = required(&chosen, members.domain());
            let known = tables.new_views.get(&(floor, blocks.clone())).copied();
            let number = known.unwrap_or_else(|| {
                let propose = |hash: &B256| members.vote(VoteKind::PrePrepare, (1, 1), *hash, liar);
                let proposals = blocks.iter().map(propose).collect();
                self.number(tables, self.liar, Message::NewView(NewView::sign(1, chosen, proposals, self.signer())))
            });
            tables.new_views.insert((floor, blocks), number);
            found.insert(number);
        }
        found
    }

    fn step(
        &self,
        last: &State,
        me: usize,
        key: Vec<usize>,
        inputs: impl FnOnce(&Tables) -> Vec<Input<Message, Timer>>,
    ) -> Option<State> {
        let mut guard = self.tables.lock().expect("no panic");
        let tables = &mut *guard;
        let step = (last.replicas[me], key);
        let (next, said) = match tables.steps.get(&step) {
            Some(known) => known.clone(),
            None => {
                let (local, inputs) = (tables.locals[last.replicas[me]].clone(), inputs(tables));
                let taken = self.react(tables, me, local, inputs);
                tables.steps.insert(step, taken.clone());
                taken
            }
        };
        let mut state = last.clone();
        state.replicas[me] = next;
        said.into_iter().for_each(|message| state.sent.insert(message));
        if state == *last {
            return None;
        }
        for lie in self.proven_lies(tables, &state.sent) {
            state.sent.insert(lie);
        }
        Some(state)
    }

    /// Which of the messages of a class to deliver, if they make a difference to what the replica says and decides.
    fn matter(
        &self,
        tables: &Tables,
        state: &State,
        me: usize,
        class: Class,
        mut messages: Vec<usize>,
    ) -> Option<Vec<usize>> {
        if self.fine {
            return Some(messages);
        }
        let local = &tables.locals[state.replicas[me]];
        let primary = |view| self.members.validators().primary(view, 1).as_usize();
        let (kind, view, hash, _) = class;
        let Some(kind) = kind else {
            let asks = matches!(tables.messages[messages[0]].1, Message::ViewChange(_));
            return (!asks || primary(1) == me).then_some(messages);
        };
        if !local.accepted.contains(&(view, hash)) || local.replica.view() != view || local.decided.is_some() {
            return None;
        }
        let own = match kind {
            VoteKind::Prepare if local.committed == Some(view) => return None,
            VoteKind::Prepare => 1 + usize::from(primary(view) != me),
            _ => usize::from(local.committed == Some(view)),
        };
        let needed = self.members.validators().quorum() - own;
        messages.sort_by_key(|number| (tables.messages[*number].0.as_usize() == self.liar, tables.messages[*number].0));
        messages.truncate(needed);
        (messages.len() == needed).then_some(messages)
    }

    fn locals<'a>(&self, tables: &'a Tables, state: &State) -> Vec<&'a Local> {
        let correct = (0..REPLICAS).filter(|replica| self.is_correct(*replica));
        correct.map(|replica| &tables.locals[state.replicas[replica]]).collect()
    }

    fn someone(&self, state: &State, does: impl Fn(&Local) -> bool) -> bool {
        self.locals(&self.tables.lock().expect("no panic"), state).into_iter().any(does)
    }
}

impl Model for Height {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut guard = self.tables.lock().expect("no panic");
        let tables = &mut *guard;
        let mut state = State { replicas: [0; REPLICAS], sent: Sent::default() };
        for replica in (0..REPLICAS).filter(|replica| self.is_correct(*replica)) {
            let config = self.members.config(ValidatorIndex(replica as u16));
            let local = Local::new(Pbft::new(config, None, None, []));
            let (number, said) = self.react(
                tables,
                replica,
                local,
                vec![Input::Waiting(Some(B256::repeat_byte(1))), Input::Start { memory: Memory::NeverVoted, boot: 0 }],
            );
            state.replicas[replica] = number;
            said.into_iter().for_each(|message| state.sent.insert(message));
        }
        for lie in self.free_lies(tables) {
            state.sent.insert(lie);
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let tables = self.tables.lock().expect("no panic");
        for me in (0..REPLICAS).filter(|replica| self.is_correct(*replica)) {
            let mut classes: BTreeMap<Class, Vec<usize>> = BTreeMap::new();
            for number in state.sent.iter() {
                let (from, _, class) = &tables.messages[number];
                if from.as_usize() != me {
                    classes.entry(*class).or_default().push(number);
                }
            }
            let deliver =
                |(class, messages)| Some(Action::Deliver(me, self.matter(&tables, state, me, class, messages)?));
            actions.extend(classes.into_iter().filter_map(deliver));
            let replica = &tables.locals[state.replicas[me]].replica;
            if replica.view() == 0 {
                actions.push(Action::Expire(me));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        match action {
            Action::Deliver(me, messages) => self.step(last, me, messages.clone(), |tables| {
                let message = |number: &usize| &tables.messages[*number];
                let input = |(from, message, _): &(ValidatorIndex, Message, Class)| Input::Message {
                    from: *from,
                    message: message.clone(),
                };
                messages.iter().map(message).map(input).collect()
            }),
            Action::Expire(me) => self.step(last, me, vec![usize::MAX], |_| vec![Input::Timer(Timer::ViewChange)]),
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no two correct replicas decide different blocks", |model: &Self, state: &State| {
                let tables = model.tables.lock().expect("no panic");
                let decided = model.locals(&tables, state).into_iter().filter_map(|local| local.decided);
                decided.map(|(_, hash)| hash).collect::<BTreeSet<_>>().len() <= 1
            }),
            Property::always("no two blocks have a quorum of commits", |model: &Self, state: &State| {
                let tables = model.tables.lock().expect("no panic");
                let mut commits: BTreeMap<(u64, B256), BTreeSet<ValidatorIndex>> = BTreeMap::new();
                for number in state.sent.iter() {
                    if let Message::Vote(vote) = &tables.messages[number].1
                        && vote.kind == VoteKind::Commit
                    {
                        commits.entry((vote.view, vote.block_hash)).or_default().insert(vote.validator);
                    }
                }
                let quorum = model.members.validators().quorum();
                let certified = commits.into_iter().filter(|(_, by)| by.len() >= quorum).map(|((_, hash), _)| hash);
                certified.collect::<BTreeSet<_>>().len() <= 1
            }),
            Property::sometimes("a block is decided in view 0", |model: &Self, state: &State| {
                model.someone(state, |local| local.decided.is_some_and(|(view, _)| view == 0))
            }),
            Property::sometimes("a block is decided in view 1", |model: &Self, state: &State| {
                model.someone(state, |local| local.decided.is_some_and(|(view, _)| view == 1))
            }),
            Property::sometimes(
                "a block that was prepared in view 0 is decided in view 1",
                |model: &Self, state: &State| {
                    let first = if model.liar == 0 { 0 } else { 2 };
                    let hash = model.block_hash(first);
                    model.someone(state, |local| local.decided == Some((1, hash)))
                },
            ),
        ]
    }
}

/// Explores everything and says how much that was.
fn explore(liar: usize, fine: bool, most: Option<usize>) {
    let began = Instant::now();
    let mut checker = Height::new(liar, fine).checker();
    if let Some(most) = most {
        checker = checker.target_state_count(most);
    }
    let checker = checker.spawn_bfs().join();
    println!(
        "the liar is replica {liar}: {} states, depth {}, {:.1?}",
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed()
    );
    if most.is_none() {
        checker.assert_properties();
    } else {
        checker.assert_no_discovery("no two correct replicas decide different blocks");
        checker.assert_no_discovery("no two blocks have a quorum of commits");
    }
}

#[test]
fn an_equivocating_primary_cannot_split_the_others_in_any_order_of_events() {
    explore(0, false, None);
}

#[test]
fn an_equivocating_next_primary_cannot_split_the_others_in_any_order_of_events() {
    explore(1, false, None);
}

#[test]
#[ignore = "takes long: each vote is delivered by itself"]
fn the_same_with_each_vote_by_itself() {
    explore(0, true, None);
    explore(1, true, None);
}
