//! Simplex (Chan & Pass, "Simplex Consensus: A Simple and Fast Consensus Protocol", TCC 2023, eprint 2023/463).
//!
//! In each view one replica leads.
//!
//! - **Propose.** The leader proposes on top of a notarized proposal, if all views since then are *nullified*.
//! - **Notarize.** A replica votes for the first proposal of its view's leader, if its parent is notarized and all views since
//!   then are nullified. The votes of a quorum notarize it.
//! - **Nullify.** A replica whose view has lasted its time votes against it. The votes of a quorum nullify it.
//! - **Finalize.** A replica that sees the proposal of its view notarized, and has not voted against that view, says `Commit`.
//!   Those of a quorum make it final, with all below.
//! - A replica enters the next view once its view is notarized or nullified.
//!
//! If a quorum commits in a view, that view is not nullified: the two quorums would have a correct replica in common, which
//! does not do both (the *skip lemma*). So every later proposal has this one below it. A block takes three delays of a
//! message until it is final and two until the next one is proposed; a leader that fails costs one time-out.
//!
//! # Deviations from the paper
//!
//! - There is no dummy block: what the paper has replicas vote for when their time is over, and the certificate of that, is
//!   `Nullify`, as in later accounts of the protocol.
//! - Who is asked for it by f + 1 nullifies, too: one of these is correct. So a replica in whose view nothing waits to be
//!   decided, whose timer does not run, stands in nobody's way.
//! - `Commit` is said for all undecided blocks below, in the same view, so each has a certificate of its own that settles.
//! - A replica commits once it has executed the block, which may be after it has entered the next view, but never in a view
//!   that it has nullified.
//! - A proposal carries its parent's notarization and the nullifications since then, instead of all that its leader knows.
//!   A replica passes on certificates when it enters a view only if that option is taken
//!   ([`crate::chained::ChainedConfig::relays`]). Otherwise it says again where it is, and who knows better shows it the
//!   certificates: under loss the protocol is not live without that.
//! - The time of a view doubles while nothing is decided; the paper knows Δ and waits for 3Δ.
//! - A leader lets no more than [`Rules::WINDOW`] blocks be undecided: above these it proposes without a block.

use std::{sync::Arc, time::Duration};

use crate::{
    chained::{Chained, Effects, Lapse, Notarization, Proposal, Rules},
    pbft::{PIPELINE, PbftConfig},
};

/// One replica.
pub type Simplex = Chained<SimplexRules>;

/// The rules of Simplex.
#[derive(Debug, Clone, Copy, Default)]
pub struct SimplexRules;

impl Rules for SimplexRules {
    const NAME: &'static str = "simplex";
    const WINDOW: u64 = PIPELINE;
    const TURN: u64 = 1;
    const LINEAR: bool = false;
    const NULLIFIES: bool = true;
    const BY_HEIGHT: bool = false;
    const ECHOES: bool = false;
    const LOCKS: bool = false;

    fn patience(config: &PbftConfig) -> Duration {
        config.view_timeout
    }

    fn is_as_good(one: &Proposal, other: &Proposal) -> bool {
        one.view >= other.view
    }

    /// The best notarized proposal is the latest one. If a view since then is neither, as far as this replica knows, none
    /// below it will do.
    fn may_propose(chain: &Chained<Self>) -> bool {
        chain.nullified_between(chain.tip().map_or(0, |tip| tip.view), chain.view())
    }

    fn may_vote(chain: &Chained<Self>, proposal: &Proposal) -> bool {
        chain.lapses(Lapse::VotesBelow) || chain.nullified_between(proposal.parent, proposal.view)
    }

    fn notarized(chain: &mut Chained<Self>, notarization: &Arc<Notarization>, effects: &mut Effects<Self>) {
        let view = notarization.proposal.view;
        if view < chain.view() {
            return;
        }
        let given_up = chain.has_given_up(view) && !chain.lapses(Lapse::CommitsEarly);
        // What is said of the view left is durable together with that it was left: nobody comes back to give it up.
        chain.enter(view + 1, effects);
        if !given_up {
            chain.commit_to(notarization, effects);
        }
    }

    fn expired(chain: &mut Chained<Self>, effects: &mut Effects<Self>) {
        chain.back_off();
        chain.nullify(effects);
    }

    /// A quorum has committed in that view, so it is over.
    fn decided(chain: &mut Chained<Self>, view: u64, effects: &mut Effects<Self>) {
        chain.enter(view.saturating_add(1), effects);
    }
}
