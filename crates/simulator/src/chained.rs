//! The protocols that chain blocks, as subjects: Streamlet, Simplex and HotStuff-2.

use dtn_consensus::{
    Chained, ChainedConfig, Pbft,
    chained::{Message, Record, Rules},
    pbft::{Answer, Ask, Output},
};
use dtn_primitives::{CheckpointCertificate, ValidatorIndex};

use crate::{
    Chain, Members, Progress, Reply, Request, Scenario, Statement, Subject,
    adversary::{Adversary, Kind},
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

    fn view(&self) -> u64 {
        self.view()
    }

    fn proposer(&self, _members: &Members, _view: u64, _height: u64) -> ValidatorIndex {
        self.primary()
    }

    fn adversary(kind: Kind, _scenario: &Scenario) -> Box<dyn Adversary<Message>> {
        kind.create_chained()
    }
}
