// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Status} from "../interfaces/IMultiSigWallet.sol";

/// @notice All that the wallet keeps about one proposal, in one storage slot.
/// @dev From the low end: 200 bits of confirmations (bit i is the owner with index i), 40 bits of expiry, 8 bits of the
/// proposer's index, 8 bits of status. Nothing else that a wallet stores has one of the three statuses in that place: a
/// {Council} has the number of founders there, which is 200 at most, and the rest has zero.
type Proposal is uint256;

using Proposals for Proposal global;

/// @title Access to the fields of a packed proposal
library Proposals {
    uint256 private constant EXPIRY_SHIFT = 200;
    uint256 private constant PROPOSER_SHIFT = 240;
    uint256 private constant STATUS_SHIFT = 248;
    /// @dev The {Status}, with the six bits above it set.
    uint256 private constant PENDING = 0xfd;
    uint256 private constant EXECUTED = 0xfe;
    uint256 private constant CANCELLED = 0xff;

    /// @notice A pending proposal that its proposer confirms.
    /// @dev The caller has checked that the expiry fits 40 bits.
    function pending(uint256 proposer_, uint256 expiry_) internal pure returns (Proposal) {
        uint256 terms = (proposer_ << PROPOSER_SHIFT) | (expiry_ << EXPIRY_SHIFT);
        return Proposal.wrap((PENDING << STATUS_SHIFT) | terms | (1 << proposer_));
    }

    /// @notice A pending proposal, executed.
    function executed(Proposal self) internal pure returns (Proposal) {
        return Proposal.wrap(Proposal.unwrap(self) ^ ((PENDING ^ EXECUTED) << STATUS_SHIFT));
    }

    /// @notice A pending proposal, cancelled.
    function cancelled(Proposal self) internal pure returns (Proposal) {
        return Proposal.wrap(Proposal.unwrap(self) ^ ((PENDING ^ CANCELLED) << STATUS_SHIFT));
    }

    /// @notice The proposal with one owner's confirmation turned: given if it was missing, taken back if it was there.
    function toggled(Proposal self, uint256 owner) internal pure returns (Proposal) {
        return Proposal.wrap(Proposal.unwrap(self) ^ (1 << owner));
    }

    /// @notice The proposal with one owner's confirmation, whether or not it was there.
    function withConfirmation(Proposal self, uint256 owner) internal pure returns (Proposal) {
        return Proposal.wrap(Proposal.unwrap(self) | (1 << owner));
    }

    /// @notice The status; none for a word that is no proposal.
    function status(Proposal self) internal pure returns (Status status_) {
        assembly ("memory-safe") {
            let field := shr(STATUS_SHIFT, self)
            status_ := mul(and(field, 3), iszero(lt(field, PENDING)))
        }
    }

    /// @notice Whether it is pending.
    function isPending(Proposal self) internal pure returns (bool) {
        return _has(self, PENDING);
    }

    /// @notice Whether it has been executed.
    function isExecuted(Proposal self) internal pure returns (bool) {
        return _has(self, EXECUTED);
    }

    /// @notice The last second at which the proposal can be confirmed or executed; 0 for no end.
    function expiry(Proposal self) internal pure returns (uint256) {
        return uint40(Proposal.unwrap(self) >> EXPIRY_SHIFT);
    }

    /// @notice The index of the owner who proposed.
    function proposer(Proposal self) internal pure returns (uint256) {
        return uint8(Proposal.unwrap(self) >> PROPOSER_SHIFT);
    }

    /// @notice The confirmations, one bit for each owner index.
    function confirmations(Proposal self) internal pure returns (uint256) {
        return uint200(Proposal.unwrap(self));
    }

    /// @notice Whether the owner with this index confirms.
    function confirmedBy(Proposal self, uint256 owner) internal pure returns (bool) {
        return Proposal.unwrap(self) & (1 << owner) != 0;
    }

    function _has(Proposal self, uint256 status_) private pure returns (bool) {
        return Proposal.unwrap(self) >> STATUS_SHIFT == status_;
    }
}
