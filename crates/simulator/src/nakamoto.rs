//! The chain that work extends and validators make final, as a subject.

use dtn_consensus::{
    Nakamoto, Pbft,
    nakamoto::{Message, NakamotoConfig, Record, Sealed},
};
use dtn_primitives::{Block, CheckpointCertificate, ValidatorIndex};

use crate::{
    Chain, Members, Miners, Observer, Report, Scenario, Statement, Subject,
    adversary::{Adversary, Kind},
    observe, run,
};

/// Plays a scenario of miners to its end.
pub fn run_nakamoto(scenario: &Scenario) -> Report {
    run::<Nakamoto>(scenario)
}

/// Plays a scenario of miners to its end and tells what happens.
pub fn observe_nakamoto<'a>(scenario: &'a Scenario, observer: Observer<'a>) -> Report {
    observe::<Nakamoto>(scenario, observer)
}

impl Subject for Nakamoto {
    const MINES: bool = true;

    fn create(
        members: &Members,
        me: ValidatorIndex,
        chain: &Chain,
        stable: Option<CheckpointCertificate>,
        records: Vec<Record>,
    ) -> Self {
        let mining = members.mining().unwrap_or_else(|| Miners::default().rule());
        let config = NakamotoConfig { pbft: members.config(me), mining };
        let certificate = chain.last().map(|last| last.certificate.clone());
        Nakamoto::new(config, chain.foundation(), certificate, stable, records)
    }

    fn kind(message: &Message) -> &'static str {
        message.kind()
    }

    fn record_height(record: &Record) -> u64 {
        record.height()
    }

    fn sealed(record: &Record) -> Option<(&Block, u64)> {
        match record {
            Record::Block(Sealed { block, nonce }) => Some((block, *nonce)),
            Record::Pbft(_) => None,
        }
    }

    fn statements(message: &Message) -> Vec<Statement> {
        match message {
            Message::Pbft(message) => Pbft::statements(message),
            Message::Block(Sealed { block, .. }) => {
                let (hash, parent) = (block.header.hash(), block.header.parent_hash);
                vec![Statement::Block { hash, parent }]
            }
            Message::Tip { .. } | Message::Ask { .. } => Vec::new(),
        }
    }

    fn view(&self) -> u64 {
        self.finality().view()
    }

    fn adversary(kind: Kind, scenario: &Scenario) -> Box<dyn Adversary<Message>> {
        kind.create_miner(&scenario.mining.clone().unwrap_or_default())
    }
}
