//! What the liar says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dtn_consensus::{Message, NewView, PreparedCertificate, ViewChange, required};
use dtn_primitives::{B256, Certificate, Domain, SecretKey, ValidatorIndex, Vote, VoteKind};

use super::{Height, State, Tables};

impl Height {
    /// What the liar can say without the others.
    pub(super) fn free_lies(&self, tables: &mut Tables, height: u64) -> Vec<usize> {
        let (liar, members) = (ValidatorIndex(self.liar as u16), &self.members);
        let mut lies = Vec::new();
        for (view, salt) in (0..2).flat_map(|view| (0..3).map(move |salt| (view, salt))) {
            let block = self.block(height, salt);
            let vote = |kind| members.vote(kind, (view, height), block.header.hash(), liar);
            lies.push(Message::Vote(vote(VoteKind::Commit)));
            if self.primary(view, height) == self.liar {
                if salt < 2 {
                    lies.push(Message::PrePrepare { vote: vote(VoteKind::PrePrepare), block });
                }
            } else {
                lies.push(Message::Vote(vote(VoteKind::Prepare)));
            }
        }
        lies.push(Message::ViewChange(self.change(self.decided_below(height), vec![])));
        lies.into_iter().map(|lie| self.number(tables, self.liar, lie)).collect()
    }

    fn signer(&self) -> (&SecretKey, &Domain, u64) {
        let liar = ValidatorIndex(self.liar as u16);
        (self.members.key(liar), self.members.domain(), self.members.validators().epoch())
    }

    /// The liar's request for view 1.
    fn change(&self, decided: Option<Certificate>, prepared: Vec<PreparedCertificate>) -> ViewChange {
        ViewChange::sign(1, ValidatorIndex(self.liar as u16), decided, prepared, self.signer())
    }

    fn decided_below(&self, height: u64) -> Option<Certificate> {
        self.base(height).map(|base| base.certificate.clone())
    }

    /// What the liar can prove with what the others have said: that a block is prepared or decided in view 0; and, if it
    /// is the primary of view 1, that a quorum asked for it.
    pub(super) fn proven_lies(&self, tables: &mut Tables, state: &State) -> Vec<usize> {
        let State { sent, height, .. } = state;
        if let Some(known) = tables.lies.get(&(*height, *sent)) {
            return known.clone();
        }
        let quorum = self.members.validators().quorum();
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
            let (block, decided) = (self.block(*height, salt), self.decided_below(*height));
            let hash = block.header.hash();
            let of = |kind| votes.get(&(hash, kind)).cloned().unwrap_or_default();
            let (pre_prepare, prepares) = (of(VoteKind::PrePrepare), of(VoteKind::Prepare));
            if let Some(pre_prepare) = pre_prepare.into_values().next().filter(|_| prepares.len() + 1 >= quorum) {
                let prepares = prepares.into_values().take(quorum - 1).collect();
                let prepared = PreparedCertificate { header: block.header.clone(), pre_prepare, prepares };
                lies.push(Message::ViewChange(self.change(decided, vec![prepared])));
            }
            let commits = of(VoteKind::Commit);
            if commits.len() >= quorum {
                let decided = Certificate::from_votes(commits.values().take(quorum).map(Arc::as_ref));
                lies.push(Message::ViewChange(self.change(decided, vec![])));
            }
        }
        let mut numbers: Vec<_> = lies.into_iter().map(|lie| self.number(tables, self.liar, lie)).collect();
        if self.primary(1, *height) == self.liar {
            let own = numbers.iter().filter_map(|number| match &tables.messages[*number].1 {
                Message::ViewChange(change) => Some(change.clone()),
                _ => None,
            });
            changes.extend(own);
            numbers.extend(self.new_views(tables, *height, &changes));
        }
        tables.lies.insert((*height, *sent), numbers.clone());
        numbers
    }

    /// The new views that these requests justify, one for each that requires something else.
    fn new_views(&self, tables: &mut Tables, height: u64, changes: &[ViewChange]) -> BTreeSet<usize> {
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
            // Whether it counts may depend on who is furthest behind.
            let lowest = chosen.iter().map(ViewChange::height).min().unwrap_or_default();
            let kind = (floor, lowest, blocks.clone());
            let known = tables.new_views.get(&kind).copied();
            let number = known.unwrap_or_else(|| {
                let propose = |hash: &B256| members.vote(VoteKind::PrePrepare, (1, height), *hash, liar);
                let proposals = blocks.iter().map(propose).collect();
                self.number(tables, self.liar, Message::NewView(NewView::sign(1, chosen, proposals, self.signer())))
            });
            tables.new_views.insert(kind, number);
            found.insert(number);
        }
        found
    }
}
