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
    pub const ALL: [Self; 18] = [
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
            | Self::AgreementUnverifiedShares => Property::Agreement,
            Self::BroadcastNoAmplification => Property::Totality,
            Self::BroadcastAnybodyBegins | Self::ChainUnverified | Self::AgreementEchoesAnything => Property::Validity,
            Self::BroadcastWaitsForAll
            | Self::LockStepWaits
            | Self::AgreementCoinKnown
            | Self::AgreementStopsAtOnce => Property::Termination,
            Self::AgreementNotBinding => Property::Binding,
            Self::BroadcastAccusesEchoes | Self::LockStepAccusesSecondValues | Self::AgreementAccusesEchoes => {
                Property::Innocence
            }
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
            Self::Lapse(protocol, lapse) => chains::name(*protocol, *lapse),
        })
    }
}
