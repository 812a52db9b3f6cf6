// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Status} from "../../src/interfaces/IMultiSigWallet.sol";
import {Council} from "../../src/wallet/Council.sol";
import {Proposal, Proposals} from "../../src/wallet/Proposal.sol";
import {OwnCode} from "../../src/wallet/OwnCode.sol";
import {Wallet} from "../../src/wallet/Wallet.sol";

/// @notice Properties of the packed words, for halmos, which tries all values at once. See docs/concepts/assurance.md.
contract PackingSymbolic {
    uint256 private constant MAX_OWNERS = 200;

    function check_pendingKeepsItsTerms(uint256 proposer, uint64 expiry, uint256 other) public pure {
        if (proposer >= MAX_OWNERS || expiry > type(uint40).max || other >= MAX_OWNERS) return;
        Proposal proposal = Proposals.pending(proposer, expiry);
        assert(proposal.status() == Status.Pending && proposal.isPending() && !proposal.isExecuted());
        assert(proposal.proposer() == proposer);
        assert(proposal.expiry() == expiry);
        assert(proposal.confirmedBy(other) == (other == proposer));
        assert(proposal.confirmations() == 1 << proposer);
    }

    /// @dev A turned confirmation is one bit, and nothing else of the word.
    function check_confirmationsAreApart(uint256 word, uint256 owner, uint256 other) public pure {
        if (owner >= MAX_OWNERS || other >= MAX_OWNERS) return;
        Proposal before = Proposal.wrap(word);
        Proposal turned = before.toggled(owner);
        Proposal given = before.withConfirmation(owner);
        assert(turned.confirmedBy(owner) != before.confirmedBy(owner));
        assert(given.confirmedBy(owner));
        if (other != owner) {
            assert(turned.confirmedBy(other) == before.confirmedBy(other));
            assert(given.confirmedBy(other) == before.confirmedBy(other));
        }
        assert(word >> MAX_OWNERS == Proposal.unwrap(turned) >> MAX_OWNERS);
        assert(word >> MAX_OWNERS == Proposal.unwrap(given) >> MAX_OWNERS);
    }

    /// @dev What ends a proposal changes its status, and nothing else of the word.
    function check_endsAreFinal(uint256 word) public pure {
        Proposal pending = Proposal.wrap(word);
        if (!pending.isPending()) return;
        Proposal executed = pending.executed();
        Proposal cancelled = pending.cancelled();
        assert(executed.status() == Status.Executed && executed.isExecuted() && !executed.isPending());
        assert(cancelled.status() == Status.Cancelled && !cancelled.isExecuted() && !cancelled.isPending());
        assert(uint248(word) == uint248(Proposal.unwrap(executed)));
        assert(uint248(word) == uint248(Proposal.unwrap(cancelled)));
    }

    function check_thresholdIsApart(uint256 word, uint8 threshold) public pure {
        Council before = Council.wrap(word);
        Council changed = before.withThreshold(threshold);
        assert(changed.threshold() == threshold);
        assert(changed.active() == before.active() && changed.founders() == before.founders());
        assert(changed.used() == before.used() && changed.nonce() == before.nonce());
    }

    /// @dev The index that is given out is the next one, and no index is given twice.
    function check_ownersComeAndGo(uint256 word, uint256 other) public pure {
        Council before = Council.wrap(word);
        uint256 index = before.used();
        if (index >= MAX_OWNERS || other >= MAX_OWNERS || other == index || before.isActive(index)) return;
        Council joined = before.withOwner();
        assert(joined.used() == index + 1 && joined.isActive(index));
        assert(joined.isActive(other) == before.isActive(other));
        Council left = joined.withoutOwner(index);
        assert(left.used() == index + 1 && left.active() == before.active());
        assert(left.threshold() == before.threshold() && left.founders() == before.founders());
        assert(left.nonce() == before.nonce());
    }

    function check_nonceGoesUpAlone(uint256 word) public pure {
        Council before = Council.wrap(word);
        if (before.nonce() == type(uint32).max) return;
        Council next = before.withNextNonce();
        assert(next.nonce() == before.nonce() + 1);
        assert(uint216(Council.unwrap(next)) == uint216(word) && next.founders() == before.founders());
    }

    /// @dev Proposals share their storage with a council and with what later owners have there, and are not apart from it
    /// but by their status.
    function check_nothingElseIsAProposal(uint256 council, address later) public pure {
        if (Council.wrap(council).founders() > MAX_OWNERS) return;
        assert(Proposal.wrap(council).status() == Status.None && !Proposal.wrap(council).isPending());
        Proposal owner = Proposal.wrap(uint160(later));
        assert(owner.status() == Status.None && !owner.isPending());
    }
}

/// @notice The threshold of owners, of whom the lowest few are any, which is what the solver can count.
contract ThresholdSymbolic is Wallet, OwnCode {
    uint256 private constant FEW = 15;

    function save(uint256 active, uint8 threshold_) external {
        _save(Council.wrap(active), threshold_);
    }

    function check_thresholdCanBeMet(uint256 active, uint8 threshold_) public {
        active &= FEW;
        uint256 count = (active & 1) + ((active >> 1) & 1) + ((active >> 2) & 1) + (active >> 3);
        try this.save(active, threshold_) {
            assert(threshold_ > 0 && threshold_ <= count);
            assert(_council.threshold() == threshold_ && _council.active() == active);
        } catch {
            assert(threshold_ == 0 || threshold_ > count);
        }
    }
}
