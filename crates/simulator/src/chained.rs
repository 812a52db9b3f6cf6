//! The protocols that chain blocks, as subjects: Streamlet, Simplex and HotStuff-2.

use std::sync::Arc;

use dtn_consensus::{
    Chained, ChainedConfig, Pbft,
    chained::{Message, Notarization, Record, Rules},
    pbft::{Answer, Ask, Output},
};
use dtn_primitives::{CheckpointCertificate, ValidatorIndex, Vote};

use crate::{
    Chain, Members, Progress, Reply, Request, Scenario, Statement, Subject,
    adversary::{Adversary, Kind},
    forensics::Signed,
};

impl<R: Rules> Subject for Chained<R> {
    fn create(
        members: &Members,
        me: ValidatorIndex,
        chain: &Chain,
        stable: Option<CheckpointCertificate>,
        records: Vec<Record>,
    ) -> Self {
        let (relays, lapse) = (members.relays(), members.lapse());
        let config = ChainedConfig { replica: members.config(me), relays, lots: false, lapse };
        Chained::new(config, chain.last().map(|last| last.certificate.clone()), stable, records)
    }

    fn asks(ask: Ask) -> Request {
        Pbft::asks(ask)
    }

    fn answer(reply: Reply) -> Option<Answer> {
        Pbft::answer(reply)
    }

    fn output(output: Output) -> Progress {
        output.into()
    }

    fn kind(message: &Message) -> &'static str {
        message.kind()
    }

    fn record_height(record: &Record) -> u64 {
        record.height()
    }

    fn statements(message: &Message) -> Vec<Statement> {
        match message {
            Message::Propose(offer) => {
                let block = offer.block.as_ref().map(|block| &block.header);
                let block = block.map(|header| Statement::Block { hash: header.hash(), parent: header.parent_hash });
                [Statement::Vote(offer.vote.clone())].into_iter().chain(block).collect()
            }
            Message::Vote(vote) | Message::Checkpoint(vote) => vec![Statement::Vote(vote.clone())],
            Message::Commit(votes) => votes.iter().cloned().map(Statement::Vote).collect(),
            Message::Body(block) => {
                vec![Statement::Block { hash: block.header.hash(), parent: block.header.parent_hash }]
            }
            Message::Notarized(_)
            | Message::Nullified(_)
            | Message::Final(_)
            | Message::Status(_)
            | Message::Want(_)
            | Message::Stable(_) => Vec::new(),
        }
    }

    fn signed(message: &Message, epoch: u64) -> Vec<Signed> {
        let vote = |vote: &Arc<Vote>| Signed::Vote(vote.clone());
        let notarization = |it: &Arc<Notarization>| -> Vec<_> {
            Signed::notarization(it, epoch).chain(R::LOCKS.then_some(Signed::Proposal(it.proposal))).collect()
        };
        match message {
            Message::Propose(offer) => {
                let own = [vote(&offer.vote)].into_iter().chain(R::LOCKS.then_some(Signed::Proposal(offer.proposal)));
                let given_up = offer.nullified.iter().flat_map(|it| Signed::nullification(it, epoch));
                own.chain(offer.parent.iter().flat_map(notarization)).chain(given_up).collect()
            }
            Message::Vote(it) | Message::Checkpoint(it) => vec![vote(it)],
            Message::Commit(votes) => votes.iter().map(vote).collect(),
            Message::Notarized(it) => notarization(it),
            Message::Nullified(it) => Signed::nullification(it, epoch).collect(),
            Message::Final(it) => Signed::certificate(it).collect(),
            Message::Status(status) => status.proof.iter().flat_map(notarization).collect(),
            Message::Want(_) | Message::Body(_) | Message::Stable(_) => Vec::new(),
        }
    }

    fn view(&self) -> u64 {
        self.view()
    }

    fn proposer(&self, _members: &Members, _view: u64, _height: u64) -> ValidatorIndex {
        self.primary()
    }

    fn adversary(kind: Kind, scenario: &Scenario) -> Box<dyn Adversary<Message>> {
        kind.create_chained::<R>(scenario.seed)
    }
}
