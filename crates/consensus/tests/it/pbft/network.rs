//! The network that the tests share.

use super::*;

pub(crate) fn keys(n: usize) -> Vec<SecretKey> {
    let mut keys: Vec<_> = (1..=n).map(|i| SecretKey::from_bytes(&[i as u8; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::address);
    keys
}

pub(crate) fn state_root(height: u64) -> B256 {
    keccak256(height.to_be_bytes())
}

/// The first start of a replica.
pub(crate) fn first_start() -> Input<Pbft> {
    Input::Start { memory: Memory::NeverVoted, boot: 1 }
}

/// A replica, what it made durable and what it decided.
pub(crate) struct Host {
    pub(crate) replica: Pbft,
    pub(crate) records: Vec<Record>,
    pub(crate) decisions: Vec<Decision>,
    /// The blocks that it proposed or found valid.
    pub(crate) valid: BTreeSet<B256>,
    pub(crate) stable: Option<CheckpointCertificate>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) faults: Vec<(ValidatorIndex, Fault)>,
    /// The round in which its view's timer expires, if it runs.
    pub(crate) expires: Option<u32>,
    pub(crate) up: bool,
}

/// All replicas, and the messages between them.
pub(crate) struct Network {
    pub(crate) keys: Vec<SecretKey>,
    pub(crate) domain: Domain,
    pub(crate) validators: ValidatorSet,
    pub(crate) hosts: Vec<Host>,
    pub(crate) in_flight: Vec<(ValidatorIndex, ValidatorIndex, Message)>,
    pub(crate) heights: u64,
    /// Rounds of [`Network::run`]; each lasts as long as replicas wait before they say things again.
    pub(crate) round: u32,
    /// Hosts propose empty blocks where they are to.
    pub(crate) heals: bool,
    /// Starts so far.
    pub(crate) boots: u64,
    pub(crate) rng: StdRng,
}

impl Network {
    pub(crate) fn new(n: usize, heights: u64, seed: u64) -> Self {
        let keys = keys(n);
        let domain = Domain::new(B256::repeat_byte(7), 31337);
        let validators = ValidatorSet::new(0, keys.iter().map(SecretKey::public_key));
        let mut network = Self {
            keys,
            domain,
            validators,
            hosts: Vec::new(),
            in_flight: Vec::new(),
            heights,
            round: 0,
            heals: false,
            boots: 1,
            rng: StdRng::seed_from_u64(seed),
        };
        for index in 0..n {
            let replica = Pbft::new(network.config(index), None, None, []);
            network.hosts.push(Host {
                replica,
                records: vec![],
                decisions: vec![],
                valid: BTreeSet::new(),
                stable: None,
                evidence: vec![],
                notices: vec![],
                faults: vec![],
                expires: None,
                up: true,
            });
        }
        network
    }

    pub(crate) fn config(&self, index: usize) -> PbftConfig {
        PbftConfig {
            me: ValidatorIndex(index as u16),
            key: self.keys[index].clone(),
            domain: self.domain,
            validators: self.validators.clone(),
            view_timeout: Duration::from_secs(1),
        }
    }

    pub(crate) fn block(&self, height: u64, parent_hash: B256, salt: u8) -> Arc<Block> {
        let header = Header {
            network_id: self.domain.network_id,
            chain_id: self.domain.chain_id,
            epoch: 0,
            height,
            timestamp: height,
            proposer: self.keys[0].address(),
            parent_hash,
            transactions_root: B256::ZERO,
            results_root: B256::repeat_byte(salt),
        };
        Arc::new(Block { header, transactions: vec![] })
    }

    pub(crate) fn tip(&self, index: usize) -> B256 {
        self.hosts[index].decisions.last().map_or(self.domain.network_id, |decision| decision.block.header.hash())
    }

    pub(crate) fn input(&mut self, index: usize, input: Input<Pbft>) {
        if !self.hosts[index].up {
            return;
        }
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.hosts[index].replica.handle(input) {
                inputs.extend(self.carry_out(index, effect));
            }
        }
    }

    /// Carries out one effect and gives the answer that it asks for, if any.
    pub(crate) fn carry_out(&mut self, index: usize, effect: Effect<Pbft>) -> Option<Input<Pbft>> {
        let from = ValidatorIndex(index as u16);
        match effect {
            Effect::Send { to, message } => self.in_flight.push((from, to, message)),
            Effect::Broadcast(message) => {
                for to in (0..self.hosts.len()).filter(|to| *to != index) {
                    self.in_flight.push((from, ValidatorIndex(to as u16), message.clone()));
                }
            }
            Effect::SetTimer { timer: Timer::ViewChange, after } => {
                let rounds = after.as_millis() / self.config(index).retransmit_after().as_millis();
                self.hosts[index].expires = Some(self.round + rounds as u32);
            }
            Effect::SetTimer { timer: Timer::Retransmit, .. } => {}
            Effect::CancelTimer(timer) => {
                assert_eq!(timer, Timer::ViewChange);
                self.hosts[index].expires = None;
            }
            Effect::Persist(record) => self.hosts[index].records.push(record),
            Effect::Ask(Ask::Propose { height, parent, empty }) => {
                if height <= self.heights || (empty && self.heals) {
                    let block = self.block(height, parent, 0);
                    self.hosts[index].valid.insert(block.header.hash());
                    return Some(Input::Answer(Answer::Proposal(block)));
                }
            }
            Effect::Ask(Ask::Validate { block, .. }) => {
                let (parent, block_hash) = (block.header.parent_hash, block.header.hash());
                let valid = parent == self.tip(index) || self.hosts[index].valid.contains(&parent);
                if valid {
                    self.hosts[index].valid.insert(block_hash);
                }
                return Some(Input::Answer(Answer::Validated { block_hash, valid }));
            }
            Effect::Output(Output::Decide(decision)) => {
                assert_eq!(decision.block.header.parent_hash, self.tip(index), "decided out of order");
                assert_eq!(decision.certificate.block_hash, decision.block.header.hash());
                decision.certificate.verify(&self.domain, &self.validators).expect("a decision's certificate holds");
                let height = decision.block.header.height;
                self.hosts[index].decisions.push(decision);
                if height.is_multiple_of(CHECKPOINT_INTERVAL) {
                    return Some(Input::Answer(Answer::Checkpoint { height, state_root: state_root(height) }));
                }
            }
            Effect::Output(Output::Stable(certificate)) => {
                certificate.verify(&self.domain, &self.validators).expect("a stable checkpoint holds");
                self.hosts[index].stable = Some(certificate);
            }
            Effect::Output(Output::Evidence(evidence)) => self.hosts[index].evidence.push(*evidence),
            Effect::Fault { from, fault } => self.hosts[index].faults.push((from, fault)),
            Effect::Output(Output::Notice(notice)) => self.hosts[index].notices.push(notice),
        }
        None
    }

    pub(crate) fn start(&mut self) {
        (0..self.hosts.len()).for_each(|index| self.input(index, first_start()));
    }

    pub(crate) fn crash(&mut self, index: usize) {
        self.hosts[index].up = false;
        self.in_flight.retain(|(from, ..)| from.as_usize() != index);
    }

    pub(crate) fn restart(&mut self, index: usize) {
        let certificate = self.hosts[index].decisions.last().map(|decision| decision.certificate.clone());
        let records = self.hosts[index].records.clone();
        let stable = self.hosts[index].stable.clone();
        self.hosts[index].replica = Pbft::new(self.config(index), certificate, stable, records);
        self.hosts[index].valid.clear();
        self.hosts[index].up = true;
        self.hosts[index].expires = None;
        self.boots += 1;
        self.input(index, Input::Start { memory: Memory::Kept, boot: self.boots });
        self.wait(index);
    }

    /// The host tells its replica what waits: a request for each height.
    pub(crate) fn wait(&mut self, index: usize) {
        let next = self.hosts[index].decisions.len() as u64 + 1;
        let waiting = (next <= self.heights).then(|| keccak256(next.to_be_bytes()));
        self.input(index, Input::Answer(Answer::Waiting(waiting)));
    }

    /// Takes the missing blocks from the host that has most, as a peer that fell behind does.
    pub(crate) fn catch_up(&mut self, index: usize) {
        let longest = self.hosts.iter().max_by_key(|host| host.decisions.len()).unwrap().decisions.clone();
        let have = self.hosts[index].decisions.len();
        if longest.len() > have {
            self.hosts[index].decisions.extend_from_slice(&longest[have..]);
            let certificate = longest[longest.len() - 1].certificate.clone();
            self.input(index, Input::Answer(Answer::CaughtUp(certificate)));
        }
    }

    pub(crate) fn deliver_one(&mut self, drop: f64, duplicate: f64) -> bool {
        if self.in_flight.is_empty() {
            return false;
        }
        let pick = self.rng.random_range(0..self.in_flight.len());
        let (from, to, message) = self.in_flight.swap_remove(pick);
        if self.rng.random_bool(drop) {
            return true;
        }
        if self.rng.random_bool(duplicate) {
            self.in_flight.push((from, to, message.clone()));
        }
        self.input(to.as_usize(), Input::Message { from, message });
        true
    }

    pub(crate) fn run(&mut self, drop: f64, duplicate: f64) {
        for _ in 0..5_000 {
            while self.deliver_one(drop, duplicate) {}
            if self.hosts.iter().filter(|host| host.up).all(|host| host.decisions.len() as u64 == self.heights) {
                return;
            }
            for index in 0..self.hosts.len() {
                self.input(index, Input::Timer(Timer::Retransmit));
                if self.rng.random_bool(0.3) && self.hosts[index].up {
                    self.catch_up(index);
                }
                self.wait(index);
            }
            self.round += 1;
            for index in 0..self.hosts.len() {
                if self.hosts[index].expires.is_some_and(|round| round <= self.round) {
                    self.expire(index);
                }
            }
        }
    }

    /// The view's timer of a replica expires, if it runs.
    pub(crate) fn expire(&mut self, index: usize) {
        if self.hosts[index].expires.take().is_some() {
            self.input(index, Input::Timer(Timer::ViewChange));
        }
    }

    pub(crate) fn assert_agreement(&self) {
        let mut chosen = BTreeMap::new();
        for host in &self.hosts {
            for decision in &host.decisions {
                let hash = decision.block.header.hash();
                let first = chosen.entry(decision.block.header.height).or_insert(hash);
                assert_eq!(*first, hash, "two replicas decided differently");
            }
        }
    }

    pub(crate) fn assert_all_decided(&self) {
        for (index, host) in self.hosts.iter().enumerate().filter(|(_, host)| host.up) {
            assert_eq!(host.decisions.len() as u64, self.heights, "replica {index} lacks decisions");
        }
    }
}

pub(crate) fn one_replica() -> (Network, Arc<Block>) {
    let mut network = Network::new(4, 1, 0);
    for index in [0, 2, 3] {
        network.hosts[index].up = false;
    }
    network.start();
    let block = network.block(1, network.domain.network_id, 0);
    (network, block)
}
