//! HotStuff-2 (Malkhi & Nayak, "HotStuff-2: Optimal Two-Phase Responsive BFT", eprint 2023/397).
//!
//! In each view one replica leads, and everybody else talks to it alone as long as all is well.
//!
//! - **Propose.** The leader proposes on top of the proposal with the highest certificate that it knows. If it entered the view
//!   because the one before succeeded, that is the certificate of that view, and the leader proposes at once. Otherwise it waits until
//!   it has heard from all correct replicas which certificate they know.
//! - **Vote.** A replica votes for the first proposal of its view's leader if its parent's certificate is not below the one
//!   that the replica is locked on. The leader makes the votes of a quorum a certificate (a notarization) and shows it to all.
//! - **Commit.** A replica that is shown the certificate of its view locks on it, makes that durable, and sends the leader `Commit`.
//!   The leader makes those of a quorum the certificate that the block is final, and shows it to all.
//! - **Pacemaker.** With that a replica enters the next view. If a view lasts too long a replica asks for the next one; what
//!   f + 1 ask for, all ask for; what a quorum asks for begins, and everybody tells its leader what it is locked on.
//!
//! If a quorum commits in a view, f + 1 correct replicas are locked on its certificate, and until they see a higher one,
//! which has to be on top of it, they vote for nothing else. A decision takes 5(n − 1) messages and five delays.
//!
//! # Deviations from the paper
//!
//! - The second vote is `Commit`, which is signed for the block and its height, and not for the certificate.
//! - A leader proposes on top of a block that it knows to be final, or proposes the block of the highest certificate again
//!   and without a new one ([`Rules::WINDOW`] is one): each block gets its own certificate, in a view of its own.
//! - The lock is the highest certificate that a replica has seen in any view, as in the paper's pipelined variant.
//! - Replicas ask for a view over authenticated channels and count for themselves: a time-out certificate convinces nobody
//!   that a quorum of the same words would not.
//! - The leader waits for a fourth of a view's time, where the paper has it wait for Δ.
//! - Certificates are lists of signatures, so what a decision costs is linear in messages and quadratic in bytes.

use std::{sync::Arc, time::Duration};

use crate::{
    chained::{Chained, Effects, Lapse, Notarization, Proposal, Rules},
    pbft::PbftConfig,
};

/// One replica.
pub type HotStuff2 = Chained<HotStuff2Rules>;

/// The rules of HotStuff-2.
#[derive(Debug, Clone, Copy, Default)]
pub struct HotStuff2Rules;

impl Rules for HotStuff2Rules {
    const NAME: &'static str = "hotstuff2";
    const WINDOW: u64 = 1;
    const TURN: u64 = 1;
    const LINEAR: bool = true;
    const NULLIFIES: bool = false;
    const BY_HEIGHT: bool = false;
    const ECHOES: bool = false;
    const LOCKS: bool = true;

    fn patience(config: &PbftConfig) -> Duration {
        config.view_timeout
    }

    fn is_as_good(one: &Proposal, other: &Proposal) -> bool {
        one.view >= other.view
    }

    /// No certificate is above that of the view before.
    fn may_propose(chain: &Chained<Self>) -> bool {
        chain.tip().map_or(0, |tip| tip.view) + 1 == chain.view() || chain.has_waited()
    }

    /// The lock.
    fn may_vote(chain: &Chained<Self>, proposal: &Proposal) -> bool {
        chain.lapses(Lapse::VotesBelow) || chain.tip().is_none_or(|tip| proposal.parent >= tip.view)
    }

    fn notarized(chain: &mut Chained<Self>, notarization: &Arc<Notarization>, effects: &mut Effects<Self>) {
        let view = notarization.proposal.view;
        if view >= chain.view() {
            chain.enter(view, effects);
            chain.commit_to(notarization, effects);
        }
    }

    fn expired(chain: &mut Chained<Self>, effects: &mut Effects<Self>) {
        chain.back_off();
        chain.ask_for_next_view(effects);
    }

    fn decided(chain: &mut Chained<Self>, view: u64, effects: &mut Effects<Self>) {
        chain.enter(view.saturating_add(1), effects);
    }
}
