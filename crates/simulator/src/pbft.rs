//! PBFT as a subject.

use dtn_consensus::{
    Message, Pbft, PreparedCertificate, Record, ViewChange,
    pbft::{Answer, Ask, Output},
};
use dtn_primitives::{CheckpointCertificate, ValidatorIndex};

use crate::{
    Chain, Members, Progress, Reply, Request, Scenario, Statement, Subject,
    adversary::{Adversary, Kind},
    forensics::Signed,
};

impl Subject for Pbft {
    fn create(
        members: &Members,
        me: ValidatorIndex,
        chain: &Chain,
        stable: Option<CheckpointCertificate>,
        records: Vec<Record>,
    ) -> Self {
        Pbft::new(members.config(me), chain.last().map(|last| last.certificate.clone()), stable, records)
    }

    fn asks(ask: Ask) -> Request {
        match ask {
            Ask::Propose { height, parent, empty } => Request::Propose { height, parent, empty },
            Ask::Validate { block, .. } => Request::Validate(block),
        }
    }

    fn answer(reply: Reply) -> Option<Answer> {
        Some(match reply {
            Reply::Proposal(block) => Answer::Proposal(block),
            Reply::Validated { block_hash, valid } => Answer::Validated { block_hash, valid },
            Reply::CaughtUp { certificate, .. } => Answer::CaughtUp(certificate),
            Reply::Checkpoint { height, state_root } => Answer::Checkpoint { height, state_root },
            Reply::Waiting(waiting) => Answer::Waiting(waiting),
            // Its blocks need no work, so it asks for none.
            Reply::Mined { .. } => return None,
        })
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
            Message::PrePrepare { vote, block } => {
                let (hash, parent) = (vote.block_hash, block.header.parent_hash);
                vec![Statement::Vote(vote.clone()), Statement::Block { hash, parent }]
            }
            Message::Vote(vote) | Message::Checkpoint(vote) | Message::Announce(vote) => {
                vec![Statement::Vote(vote.clone())]
            }
            Message::ViewChange(change) => vec![Statement::Leave {
                validator: change.validator,
                view: change.view,
                decided: change.decided.clone(),
                prepared: change.prepared.iter().map(PreparedCertificate::prepared).collect(),
            }],
            Message::NewView(new_view) => new_view.proposals.iter().cloned().map(Statement::Vote).collect(),
            Message::Body(block) => {
                let (hash, parent) = (block.header.hash(), block.header.parent_hash);
                vec![Statement::Block { hash, parent }]
            }
            Message::Want(_) | Message::Stable(_) | Message::Recall { .. } | Message::Greeting(_) => Vec::new(),
        }
    }

    fn signed(message: &Message, _epoch: u64) -> Vec<Signed> {
        let left = |change: &ViewChange| {
            let prepared = change.prepared.iter().flat_map(|it| it.prepares.iter().chain([&it.pre_prepare]));
            let decided = change.decided.iter().flat_map(Signed::certificate);
            let signed = prepared.cloned().map(Signed::Vote).chain(decided);
            signed.chain([Signed::Leave(Box::new(change.clone()))]).collect::<Vec<_>>()
        };
        match message {
            Message::PrePrepare { vote, .. }
            | Message::Vote(vote)
            | Message::Checkpoint(vote)
            | Message::Announce(vote) => vec![Signed::Vote(vote.clone())],
            Message::ViewChange(change) => left(change),
            Message::NewView(new_view) => {
                let proposals = new_view.proposals.iter().cloned().map(Signed::Vote);
                new_view.view_changes.iter().flat_map(left).chain(proposals).collect()
            }
            Message::Greeting(greeting) => {
                let decided = greeting.decided.iter().flat_map(Signed::certificate);
                decided.chain(greeting.vote.iter().cloned().map(Signed::Vote)).collect()
            }
            Message::Body(_) | Message::Want(_) | Message::Stable(_) | Message::Recall { .. } => Vec::new(),
        }
    }

    fn view(&self) -> u64 {
        self.view()
    }

    fn adversary(kind: Kind, _scenario: &Scenario) -> Box<dyn Adversary<Message>> {
        kind.create()
    }
}
