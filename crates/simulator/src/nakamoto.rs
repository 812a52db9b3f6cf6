//! The chain that work extends and validators make final, as a subject.

use dtn_consensus::{
    Nakamoto, Pbft,
    nakamoto::{Answer, Ask, Message, NakamotoConfig, Output, Record, Sealed},
};
use dtn_primitives::{Block, CheckpointCertificate, ValidatorIndex};

use crate::{
    Chain, Members, Miners, Notice, Progress, Reply, Request, Scenario, Statement, Subject,
    adversary::{Adversary, Kind},
    forensics::Signed,
};

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

    fn asks(ask: Ask) -> Request {
        match ask {
            Ask::Propose { height, parent } => Request::Template { height, parent },
            Ask::Validate(block) => Request::Validate(block),
            Ask::Mine(puzzle) => Request::Mine(puzzle),
        }
    }

    fn answer(reply: Reply) -> Option<Answer> {
        Some(match reply {
            Reply::Proposal(block) => Answer::Proposal(block),
            Reply::Validated { block_hash, valid } => Answer::Validated { block_hash, valid },
            Reply::Mined { block_hash, nonce } => Answer::Mined { block_hash, nonce },
            Reply::CaughtUp { certificate, base, decided } => Answer::CaughtUp { certificate, base, decided },
            Reply::Checkpoint { height, state_root } => Answer::Checkpoint { height, state_root },
            // Blocks are mined whether or not anything waits.
            Reply::Waiting(_) => return None,
        })
    }

    fn output(output: Output) -> Progress {
        match output {
            Output::Finality(output) => output.into(),
            Output::Notice(notice) => Progress::Notice(Notice::Chain(notice)),
        }
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

    fn signed(message: &Message, epoch: u64) -> Vec<Signed> {
        if let Message::Pbft(message) = message { Pbft::signed(message, epoch) } else { Vec::new() }
    }

    fn view(&self) -> u64 {
        self.finality().view()
    }

    fn adversary(kind: Kind, scenario: &Scenario) -> Box<dyn Adversary<Message>> {
        let Miners { confirmations, secret, .. } = scenario.mining.clone().unwrap_or_default();
        kind.create_miner(confirmations, secret)
    }
}
