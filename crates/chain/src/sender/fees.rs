//! What a transaction offers for gas.

use alloy::consensus::TxEip1559;

use super::SendError;

/// So many times what the market asks for is not raised any more: command after command would offer an eighth more.
const ENOUGH: u128 = 10;

/// What somebody has said that transactions offer for gas, in place of what would be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offer {
    /// The fee cap, in wei a unit of gas. Nothing is raised above it.
    pub max: Option<u128>,
    /// The tip, in wei a unit of gas.
    pub tip: Option<u128>,
    /// How much gas each may use.
    pub gas_limit: Option<u64>,
}

impl Offer {
    /// What is offered where the market asks for this. A cap that was said holds for the tip as well, unless that was said, too.
    pub(super) fn instead_of(self, market: Fees) -> Result<Fees, SendError> {
        let (max, tip) = (self.max.unwrap_or(market.max), self.tip.unwrap_or(market.tip));
        match self {
            Self { max: Some(_), tip: Some(_), .. } if tip > max => Err(SendError::TipAboveCap { tip, max }),
            Self { max: Some(_), .. } => Ok(Fees { max, tip: tip.min(max) }),
            // What else goes to the maker of the block comes on top.
            Self { max: None, .. } => Ok(Fees { max: max.saturating_sub(market.tip).saturating_add(tip), tip }),
        }
    }
}

/// The fee cap and the tip, in wei a unit of gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fees {
    pub(super) max: u128,
    pub(super) tip: u128,
}

impl Fees {
    /// What a transaction offers.
    pub(super) fn of(transaction: &TxEip1559) -> Self {
        Self { max: transaction.max_fee_per_gas, tip: transaction.max_priority_fee_per_gas }
    }

    /// With a tip of at least `floor`.
    pub(super) fn with_tip_floor(self, floor: u128) -> Self {
        let missing = floor.saturating_sub(self.tip);
        Self { max: self.max + missing, tip: self.tip + missing }
    }

    /// With a fee cap of at most `ceiling`, if that is enough for the base fee and the tip. A ceiling of 0 is none.
    pub(super) fn below(self, ceiling: u128) -> Result<Self, u128> {
        // Twice the base fee and the tip is what is usually offered.
        let least = self.max.saturating_sub(self.tip).div_ceil(2).saturating_add(self.tip);
        match ceiling {
            0 => Ok(self),
            _ if least > ceiling => Err(least),
            _ => Ok(Self { max: self.max.min(ceiling), ..self }),
        }
    }

    /// With a fee cap of at most what was said to be offered.
    pub(super) fn within(self, offer: Offer) -> Self {
        let max = offer.max.map_or(self.max, |most| self.max.min(most));
        Self { max, tip: self.tip.min(max) }
    }

    /// The more of both.
    pub(super) fn max(self, other: Self) -> Self {
        Self { max: self.max.max(other.max), tip: self.tip.max(other.tip) }
    }

    /// Whether it is so far above what the market asks for that something else than the price holds a transaction up.
    pub(super) fn is_enough(self, market: Self) -> bool {
        let far = |fee: u128, asked: u128| fee >= asked.saturating_mul(ENOUGH);
        far(self.max, market.max) || (far(self.tip, market.tip) && self.max >= market.max)
    }

    /// What a node takes in place of a transaction with these fees: an eighth more, or what the market asks for now.
    pub(super) fn raised(self, market: Self) -> Self {
        let raise = |fee: u128| fee + fee.div_ceil(8).max(1);
        Self { max: raise(self.max).max(market.max), tip: raise(self.tip).max(market.tip) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tip_is_at_least_the_floor_and_the_cap_grows_with_it() {
        let fees = |max, tip| Fees { max, tip };
        assert_eq!(fees(1, 1).with_tip_floor(100_000_000), fees(100_000_000, 100_000_000));
        assert_eq!(fees(50, 10).with_tip_floor(4), fees(50, 10));
        assert_eq!(fees(2_000_000_001, 1).with_tip_floor(100), fees(2_000_000_100, 100));
    }

    #[test]
    fn a_ceiling_caps_what_is_offered_and_refuses_what_does_not_suffice() {
        let fees = |max, tip| Fees { max, tip };
        assert_eq!(fees(1_010, 10).below(0), Ok(fees(1_010, 10)));
        assert_eq!(fees(1_010, 10).below(2_000), Ok(fees(1_010, 10)));
        assert_eq!(fees(1_010, 10).below(510), Ok(fees(510, 10)), "enough for the base fee of 500 and the tip");
        assert_eq!(fees(1_010, 10).below(509), Err(510));
        assert_eq!(fees(1, u128::MAX).below(5), Err(u128::MAX), "whatever a node answers");
    }

    #[test]
    fn what_was_said_to_be_offered_takes_the_place_of_what_the_market_asks_for() {
        let (market, none) = (Fees { max: 2_010, tip: 10 }, Offer::default());
        let offered = |offer: Offer| offer.instead_of(market).expect("a tip within the cap");
        assert_eq!(offered(none), market);
        assert_eq!(offered(Offer { max: Some(500), ..none }), Fees { max: 500, tip: 10 });
        assert_eq!(offered(Offer { max: Some(5), ..none }), Fees { max: 5, tip: 5 });
        assert_eq!(offered(Offer { tip: Some(60), ..none }), Fees { max: 2_060, tip: 60 });
        assert_eq!(offered(Offer { max: Some(50), tip: Some(50), ..none }), Fees { max: 50, tip: 50 });
        let above = Offer { max: Some(50), tip: Some(51), ..none }.instead_of(market);
        assert!(matches!(above, Err(SendError::TipAboveCap { tip: 51, max: 50 })));
        assert_eq!(Fees { max: 900, tip: 600 }.within(Offer { max: Some(500), ..none }), Fees { max: 500, tip: 500 });
        assert_eq!(Fees { max: 900, tip: 600 }.within(none), Fees { max: 900, tip: 600 });
    }

    #[test]
    fn nothing_is_raised_to_ten_times_what_the_market_asks_for() {
        let (fees, market) = (|max, tip| Fees { max, tip }, Fees { max: 100, tip: 1 });
        assert!(!fees(999, 9).is_enough(market) && fees(1_000, 9).is_enough(market));
        assert!(fees(100, 10).is_enough(market), "the tip is paid in earnest");
        assert!(!fees(99, 10).is_enough(market), "the market has moved on");
    }

    #[test]
    fn a_replacement_pays_an_eighth_more_at_least() {
        let fees = |max, tip| Fees { max, tip };
        assert_eq!(fees(800, 0).raised(fees(1, 1)), fees(900, 1));
        assert_eq!(fees(801, 9).raised(fees(1, 1)), fees(902, 11));
        assert_eq!(fees(800, 80).raised(fees(5_000, 1)), fees(5_000, 90));
    }
}
