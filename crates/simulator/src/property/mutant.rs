//! Protocols with a rule left out.

use std::fmt;

use dtn_consensus::chained::Lapse;
use serde::Serialize;

use super::{
    Property, Textbook,
    chains::{self, LAPSES},
};

/// A protocol with one rule left out or changed, which the checker has to catch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mutant {
    /// Broadcast waits for 2n/3, rounded down.
    BroadcastSmallQuorum,
    /// Nobody is ready because others are.
    BroadcastNoAmplification,
    /// Anybody begins the sender's broadcast.
    BroadcastAnybodyBegins,
    /// Broadcast waits for everybody.
    BroadcastWaitsForAll,
    /// Who echoes another value than one's own is called a liar.
    BroadcastAccusesEchoes,
    /// A signature less than rounds is enough.
    ChainOfFewer,
    /// A chain may have one signer twice.
    ChainRepeats,
    /// Signatures are not looked at.
    ChainUnverified,
    /// Who has extracted nothing waits.
    LockStepWaits,
    /// Who tells a second value is called a liar.
    LockStepAccusesSecondValues,
    /// Values are told to few: fewer messages than the bound of Dolev and Reischuk.
    LockStepTellsFew,
    /// Binary agreement waits for 2n/3, rounded down.
    AgreementSmallQuorum,
    /// Crusader agreement that does not bind.
    AgreementNotBinding,
    /// The coin is the hash of the round.
    AgreementCoinKnown,
    /// Shares of the coin are not verified.
    AgreementUnverifiedShares,
    /// Who has decided stops at once.
    AgreementStopsAtOnce,
    /// What one replica says is echoed.
    AgreementEchoesAnything,
    /// Who says echo1 of both values is called a liar.
    AgreementAccusesEchoes,
    /// A common subset waits for everybody.
    SubsetWaitsForAll,
    /// What has not come is left out once one value is in.
    SubsetGivesUpEarly,
    /// What is in is not waited for.
    SubsetTakesNothing,
    /// Who echoes another value in a broadcast of it is called a liar.
    SubsetAccusesEchoes,
    /// A peer reveals when it holds all commitments but one.
    LockstepRevealsEarly,
    /// All rounds have one salt.
    LockstepReusesSalt,
    /// A commitment names neither its round nor its peer.
    LockstepSealsNoPlace,
    /// Events happen in the order of their peers.
    LockstepOrdersByPeer,
    /// The events of the excluded happen, where they are known.
    LockstepKeepsExcluded,
    /// A round is revealed before the one before it.
    LockstepRevealsOutOfOrder,
    /// Peers do not compare which commitments they hold.
    LockstepComparesNoViews,
    /// Who holds another commitment is called a liar.
    LockstepAccusesOtherViews,
    /// Nobody is excluded.
    LockstepExcludesNobody,
    /// A rule of a protocol that chains blocks.
    Lapse(Textbook, Lapse),
}

impl Mutant {
    /// Those of some protocols.
    pub fn of(protocols: &[Textbook]) -> Vec<Self> {
        let chained = LAPSES.into_iter().map(|(protocol, lapse, _)| Self::Lapse(protocol, lapse));
        Self::ALL.into_iter().chain(chained).filter(|mutant| protocols.contains(&mutant.protocol())).collect()
    }

    /// Those of protocols without blocks.
    pub const ALL: [Self; 31] = [
        Self::BroadcastSmallQuorum,
        Self::BroadcastNoAmplification,
        Self::BroadcastAnybodyBegins,
        Self::BroadcastWaitsForAll,
        Self::BroadcastAccusesEchoes,
        Self::ChainOfFewer,
        Self::ChainRepeats,
        Self::ChainUnverified,
        Self::LockStepWaits,
        Self::LockStepAccusesSecondValues,
        Self::LockStepTellsFew,
        Self::AgreementSmallQuorum,
        Self::AgreementNotBinding,
        Self::AgreementCoinKnown,
        Self::AgreementUnverifiedShares,
        Self::AgreementStopsAtOnce,
        Self::AgreementEchoesAnything,
        Self::AgreementAccusesEchoes,
        Self::SubsetWaitsForAll,
        Self::SubsetGivesUpEarly,
        Self::SubsetTakesNothing,
        Self::SubsetAccusesEchoes,
        Self::LockstepRevealsEarly,
        Self::LockstepReusesSalt,
        Self::LockstepSealsNoPlace,
        Self::LockstepOrdersByPeer,
        Self::LockstepKeepsExcluded,
        Self::LockstepRevealsOutOfOrder,
        Self::LockstepComparesNoViews,
        Self::LockstepAccusesOtherViews,
        Self::LockstepExcludesNobody,
    ];

    /// Whose rule it is.
    pub fn protocol(self) -> Textbook {
        match self {
            Self::BroadcastSmallQuorum
            | Self::BroadcastNoAmplification
            | Self::BroadcastAnybodyBegins
            | Self::BroadcastWaitsForAll
            | Self::BroadcastAccusesEchoes => Textbook::Broadcast,
            Self::ChainOfFewer
            | Self::ChainRepeats
            | Self::ChainUnverified
            | Self::LockStepWaits
            | Self::LockStepAccusesSecondValues
            | Self::LockStepTellsFew => Textbook::DolevStrong,
            Self::AgreementSmallQuorum
            | Self::AgreementNotBinding
            | Self::AgreementCoinKnown
            | Self::AgreementUnverifiedShares
            | Self::AgreementStopsAtOnce
            | Self::AgreementEchoesAnything
            | Self::AgreementAccusesEchoes => Textbook::Agreement,
            Self::SubsetWaitsForAll
            | Self::SubsetGivesUpEarly
            | Self::SubsetTakesNothing
            | Self::SubsetAccusesEchoes => Textbook::CommonSubset,
            Self::LockstepRevealsEarly
            | Self::LockstepReusesSalt
            | Self::LockstepSealsNoPlace
            | Self::LockstepOrdersByPeer
            | Self::LockstepKeepsExcluded
            | Self::LockstepRevealsOutOfOrder
            | Self::LockstepComparesNoViews
            | Self::LockstepAccusesOtherViews
            | Self::LockstepExcludesNobody => Textbook::Lockstep,
            Self::Lapse(protocol, _) => protocol,
        }
    }

    /// What it breaks, by which it has to be caught at least.
    pub fn breaks(self) -> Property {
        match self {
            Self::BroadcastSmallQuorum
            | Self::ChainOfFewer
            | Self::ChainRepeats
            | Self::LockStepTellsFew
            | Self::AgreementSmallQuorum
            | Self::AgreementUnverifiedShares
            | Self::SubsetTakesNothing
            | Self::LockstepComparesNoViews => Property::Agreement,
            Self::BroadcastNoAmplification => Property::Totality,
            Self::BroadcastAnybodyBegins
            | Self::ChainUnverified
            | Self::AgreementEchoesAnything
            | Self::SubsetGivesUpEarly
            | Self::LockstepOrdersByPeer
            | Self::LockstepKeepsExcluded => Property::Validity,
            Self::BroadcastWaitsForAll
            | Self::LockStepWaits
            | Self::AgreementCoinKnown
            | Self::AgreementStopsAtOnce
            | Self::SubsetWaitsForAll
            | Self::LockstepExcludesNobody => Property::Termination,
            Self::AgreementNotBinding => Property::Binding,
            Self::LockstepRevealsEarly
            | Self::LockstepReusesSalt
            | Self::LockstepSealsNoPlace
            | Self::LockstepRevealsOutOfOrder => Property::Secrecy,
            Self::BroadcastAccusesEchoes
            | Self::LockStepAccusesSecondValues
            | Self::AgreementAccusesEchoes
            | Self::SubsetAccusesEchoes
            | Self::LockstepAccusesOtherViews => Property::Innocence,
            Self::Lapse(protocol, lapse) => {
                let row = LAPSES.iter().find(|(of, known, _)| (*of, *known) == (protocol, lapse));
                row.map_or(Property::Agreement, |(.., property)| *property)
            }
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BroadcastSmallQuorum => "waits for 2n/3, rounded down",
            Self::BroadcastNoAmplification => "nobody is ready because others are",
            Self::BroadcastAnybodyBegins => "anybody begins",
            Self::BroadcastWaitsForAll => "waits for everybody",
            Self::BroadcastAccusesEchoes => "accuses who echoes another value",
            Self::ChainOfFewer => "accepts r - 1 signatures",
            Self::ChainRepeats => "accepts a repeated signer",
            Self::ChainUnverified => "verifies no signature",
            Self::LockStepWaits => "waits for a value",
            Self::LockStepAccusesSecondValues => "accuses who tells a second value",
            Self::LockStepTellsFew => "tells few",
            Self::AgreementSmallQuorum => "waits for 2n/3, rounded down",
            Self::AgreementNotBinding => "crusader agreement that does not bind",
            Self::AgreementCoinKnown => "coin = hash of the round",
            Self::AgreementUnverifiedShares => "combines without verifying",
            Self::AgreementStopsAtOnce => "no termination gadget",
            Self::AgreementEchoesAnything => "echoes what one says",
            Self::AgreementAccusesEchoes => "accuses who echoes both",
            Self::SubsetWaitsForAll => "waits for everybody",
            Self::SubsetGivesUpEarly => "says no once one value is in",
            Self::SubsetTakesNothing => "does not wait for what is in",
            Self::SubsetAccusesEchoes => "accuses who echoes another value",
            Self::LockstepRevealsEarly => "reveals before the last commitment",
            Self::LockstepReusesSalt => "one salt for all rounds",
            Self::LockstepSealsNoPlace => "commitment without round and peer",
            Self::LockstepOrdersByPeer => "order by peer",
            Self::LockstepKeepsExcluded => "events of the excluded are kept",
            Self::LockstepRevealsOutOfOrder => "reveals r + 1 before r",
            Self::LockstepComparesNoViews => "compares no commitments",
            Self::LockstepAccusesOtherViews => "accuses who holds another commitment",
            Self::LockstepExcludesNobody => "excludes nobody",
            Self::Lapse(protocol, lapse) => chains::name(*protocol, *lapse),
        })
    }
}
