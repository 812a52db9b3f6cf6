//! Streamlet (Chan & Shi, "Streamlet: Textbook Streamlined Blockchains", AFT 2020, eprint 2020/088).
//!
//! Time is cut into epochs, each with a leader. A block is *notarized* by the votes of a quorum.
//!
//! - **Propose.** In its epoch the leader proposes a block on top of one of the longest notarized chains that it knows.
//! - **Vote.** In each epoch a replica votes for the first proposal of its leader, if that extends one of the longest notarized
//!   chains that the replica knows.
//! - **Finalize.** Of three adjacent blocks of a notarized chain that were proposed in three consecutive epochs, the second
//!   one is final, with all below.
//!
//! Why two final blocks do not conflict is one page in the paper (§3.2, Lemma 2): let blocks of epochs e, e + 1, e + 2 be
//! notarized one on top of the other, the second one of length l. Another notarized block of length l has an epoch below e or
//! above e + 2. If above, a correct replica that voted in e + 2 and voted for it knew a notarized chain of length l, and
//! voted for one on top of a shorter one; if below, then one that voted for it and in e did the same.
//!
//! # What is final settles
//!
//! A final block has no certificate of its own in the paper: who convinces somebody shows three. So a replica says `Commit`
//! for each block that it finds final, in no view, and a quorum of these is the certificate. All correct replicas find
//! the same blocks final, so they say it all, and never for two blocks of a height.
//!
//! # Deviations from the paper
//!
//! - A leader leads [`TURN`] epochs in a row, in the order of the validators. The paper draws each leader by lot; its
//!   liveness (§3.3, Theorem 6) takes five epochs in a row with correct leaders, which lots bring in time, and one in each epoch
//!   in turn does not: n = 4 has three in a row. Lots are an option
//!   ([`crate::chained::ChainedConfig::lots`]), drawn from the network's id and the epoch.
//! - There are no clocks to begin epochs together. A replica leaves an epoch when it has lasted its time and a quorum
//!   has voted in it, which the notarization shows, or asks for the next one. So epochs may drift apart by a message's delay.
//! - After as many epochs in which nothing is notarized as one leads in a row, epochs are twice as long, until something is
//!   decided: the paper's epochs take 2Δ, which replicas here do not know.
//! - A proposal carries its parent's notarization, so who missed votes does not have to fetch anything but blocks. Passing
//!   on every message (the paper's implicit echo, §2) is an option ([`crate::chained::ChainedConfig::relays`]) since
//!   what was lost is said again.
//! - A quiet network has no epochs. One with something to decide, but nothing to put into a block, extends its chain by
//!   proposals without blocks.

use std::{sync::Arc, time::Duration};

use crate::{
    chained::{Chained, Effects, Lapse, Notarization, Proposal, Rules},
    pbft::{PIPELINE, PbftConfig},
};

/// For how many epochs in a row a replica leads: five, and one in which it learns what is the longest chain.
pub const TURN: u64 = 6;

/// One replica.
pub type Streamlet = Chained<StreamletRules>;

/// The rules of Streamlet.
#[derive(Debug, Clone, Copy, Default)]
pub struct StreamletRules;

impl Rules for StreamletRules {
    const NAME: &'static str = "streamlet";
    const WINDOW: u64 = PIPELINE;
    const TURN: u64 = TURN;
    const LINEAR: bool = false;
    const NULLIFIES: bool = false;
    const BY_HEIGHT: bool = true;
    const ECHOES: bool = true;
    const LOCKS: bool = false;

    /// An epoch: half of what a view may take, which is several times what a message does.
    fn patience(config: &PbftConfig) -> Duration {
        config.view_timeout / 2
    }

    fn is_as_good(one: &Proposal, other: &Proposal) -> bool {
        (one.length, one.view) >= (other.length, other.view)
    }

    fn may_propose(_chain: &Chained<Self>) -> bool {
        true
    }

    /// It extends one of the longest notarized chains. Its parent's notarization came with it, so none is shorter than that.
    fn may_vote(chain: &Chained<Self>, proposal: &Proposal) -> bool {
        chain.lapses(Lapse::VotesBelow) || chain.tip().is_none_or(|tip| proposal.length > tip.length)
    }

    fn notarized(chain: &mut Chained<Self>, notarization: &Arc<Notarization>, effects: &mut Effects<Self>) {
        let Proposal { view, .. } = notarization.proposal;
        // Any of the three may be the last one to be known.
        for last in (view..=view.saturating_add(2)).rev() {
            if let Some(middle) = finalized(chain, last).cloned() {
                chain.commit_to(&middle, effects);
                break;
            }
        }
        if view >= chain.view() {
            chain.enter(if view == chain.view() && chain.is_overdue() { view + 1 } else { view }, effects);
        }
    }

    fn expired(chain: &mut Chained<Self>, effects: &mut Effects<Self>) {
        let epoch = chain.view();
        if chain.notarized_in(epoch).is_some() {
            return chain.enter(epoch + 1, effects);
        }
        chain.back_off();
        chain.ask_for_next_view(effects);
    }
}

/// The second of three adjacent proposals of consecutive epochs of which this is the last one, if they are notarized.
fn finalized(chain: &Chained<StreamletRules>, epoch: u64) -> Option<&Arc<Notarization>> {
    let last = chain.notarized_in(epoch)?;
    let second = chain.notarized_in(epoch.checked_sub(1)?).filter(|it| it.proposal.view == last.proposal.parent)?;
    let first = || chain.notarized_in(epoch.checked_sub(2)?).filter(|it| it.proposal.view == second.proposal.parent);
    (chain.lapses(Lapse::CommitsEarly) || first().is_some()).then_some(second)
}
