// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Formats} from "../formats/Formats.sol";
import {Kinds} from "../formats/Kinds.sol";
import {Allotment, Header, Result} from "../formats/Types.sol";
import {EarnedReserve, EarnedState, IRewardDistributor} from "../interfaces/IRewardDistributor.sol";
import {Distributions} from "./Distributions.sol";
import {Results} from "./Results.sol";

/// @title What the ledger states of earnings
/// @notice The ledger states from time to time what all accounts have earned in it since the beginning: a result of kind
/// {Kinds.EARNINGS}, whose digest is a root like that of a distribution. So the commit votes of its block certify it, and nobody
/// signs a second time. The multisig schedules it, and after the delay anyone may {activateEarned} it and {claimEarned} for anyone.
///
/// It has books beside those of the distributions that validators certify by hand: a number, a root, a total and what accounts
/// have claimed, each of its own. So neither holds the other up, and what an account is owed by one is not taken for what it has
/// had of the other. A statement that waits is not replaced by the next one, which would begin its delay again: statements may come
/// faster than that. One out of a block that was retracted meanwhile takes no effect, and is replaced.
///
/// A statement owes more than may leave at once if much was earned: it is scheduled with a part of its money, and again with
/// the rest once it is in effect.
///
/// A closed distributor pays nothing of this any more, and the one after it goes on from what accounts have had.
abstract contract Earnings is Results, Distributions {
    /// @dev The distributor before this one, if it has paid such earnings.
    IRewardDistributor private immutable _before;

    EarnedState private _earned;
    /// @dev The block of the statement that waits.
    bytes32 private _origin;
    mapping(address account => mapping(address token => uint256)) private _claimed;

    /// @notice What the ledger states can take effect from a time on.
    event EarnedScheduled(uint32 indexed number, bytes32 root, uint256 amount, uint64 effectiveAt);
    /// @notice The statement that waited is off the table.
    event EarnedCancelled(uint32 indexed number);
    /// @notice What the ledger states is in effect.
    event EarnedActivated(uint32 indexed number, bytes32 root);

    /// @notice Another distributor goes on with what the ledger states.
    error EarnedElsewhere();
    /// @notice A statement waits already.
    error StillWaiting(uint32 number);
    /// @notice No statement waits.
    error NothingWaits();
    /// @notice The statement says that less was earned.
    error AboveEarned(uint256 earned, uint256 given);

    /// @dev The distributor before is closed by now, so what it has paid changes no more.
    constructor(address predecessor, Allotment[] memory caps) {
        bool hasEarned = predecessor != address(0) && _hasEarned(predecessor);
        _before = IRewardDistributor(hasEarned ? predecessor : address(0));
        for (uint256 i; hasEarned && i < caps.length; ++i) {
            (uint128 total, uint96 left) = IRewardDistributor(predecessor).earnedOf(caps[i].token);
            earnedOf[caps[i].token].total = total - left;
        }
    }

    /// @inheritdoc IRewardDistributor
    function scheduleEarned(Header calldata header, Result calldata result, bytes32[] calldata proof, uint96 amount)
        external
        onlyMultisig
    {
        _checkOpen();
        bytes32 origin = _checkFinal(header);
        if (result.kind != Kinds.EARNINGS) revert UnknownKind(result.id, result.kind);
        _checkIncluded(header, result, proof);
        if (amount > result.amount) revert AboveEarned(result.amount, amount);

        (uint32 number_, address token) = Formats.statement(result.id);
        EarnedState memory state = _earned;
        if (state.effectiveAt != 0 && _isFinal(_origin)) revert StillWaiting(state.waiting);
        uint256 added = _addedEarned(token, amount);
        bool isNews = number_ > state.number || (number_ == state.number && added != 0);
        if (!isNews || number_ <= state.refused) revert StaleNumber(state.number, number_);
        if (added > capOf(token)) revert AboveCap(token, capOf(token), added);

        (state.waitingRoot, state.token, state.amount) = (result.digest, token, amount);
        (state.waiting, state.effectiveAt) = (number_, uint64(block.timestamp) + delay);
        _earned = state;
        _origin = origin;
        emit EarnedScheduled(number_, result.digest, amount, state.effectiveAt);
    }

    /// @inheritdoc IRewardDistributor
    function cancelEarned() external onlyMultisigAnytime {
        if (_earned.effectiveAt == 0) revert NothingWaits();
        emit EarnedCancelled(_earned.waiting);
        (_earned.refused, _earned.effectiveAt) = (_earned.waiting, 0);
    }

    /// @inheritdoc IRewardDistributor
    function activateEarned() external nonReentrant {
        _checkOpen();
        EarnedState memory state = _earned;
        if (state.effectiveAt == 0) revert NothingWaits();
        if (block.timestamp < state.effectiveAt) revert TooEarly(state.effectiveAt);
        _checkOrigin(_origin);

        uint256 added = _addedEarned(state.token, state.amount);
        if (added != 0) {
            _take(state.token, added);
            EarnedReserve storage reserve = earnedOf[state.token];
            (reserve.total, reserve.left) = (state.amount, reserve.left + SafeCast.toUint96(added));
            reserveOf[state.token].allotted += SafeCast.toUint96(added);
        }
        (_earned.root, _earned.number, _earned.effectiveAt) = (state.waitingRoot, state.waiting, 0);
        expiresAt = uint64(block.timestamp) + claimPeriod;
        emit EarnedActivated(state.waiting, state.waitingRoot);
    }

    /// @inheritdoc IRewardDistributor
    function claimEarned(address account, address token, uint256 cumulative, bytes32[] calldata proof)
        external
        nonReentrant
    {
        _claimEarned(account, token, cumulative, proof, account);
    }

    /// @inheritdoc IRewardDistributor
    function claimEarnedTo(address account, address token, uint256 cumulative, bytes32[] calldata proof, address to)
        external
        nonReentrant
    {
        _checkClaimer(account);
        _claimEarned(account, token, cumulative, proof, to);
    }

    /// @inheritdoc IRewardDistributor
    function earned() external view returns (EarnedState memory) {
        return _earned;
    }

    /// @inheritdoc IRewardDistributor
    /// @dev Whoever has claimed here has claimed all that it had before, and more.
    function earnedClaimed(address account, address token) public view returns (uint256 claimed) {
        claimed = _claimed[account][token];
        if (claimed == 0 && address(_before) != address(0)) claimed = _before.earnedClaimed(account, token);
    }

    function _claimEarned(address account, address token, uint256 cumulative, bytes32[] calldata proof, address to)
        private
    {
        _checkOpen();
        bytes32 leaf = Formats.rewardLeaf(account, token, cumulative);
        if (!MerkleProof.verifyCalldata(proof, _earned.root, leaf)) revert NotIncluded(leaf);
        if (registry.isBarred(account)) revert AccountBarred(account);
        uint256 claimed = earnedClaimed(account, token);
        if (cumulative <= claimed) revert NothingToClaim(account, token);
        uint256 amount = cumulative - claimed;
        uint96 left = earnedOf[token].left;
        if (amount > left) revert AllotmentExhausted(token, left, amount);

        _claimed[account][token] = cumulative;
        earnedOf[token].left = left - uint96(amount);
        reserveOf[token].allotted -= uint96(amount);
        emit Claimed(account, token, amount);
        _push(token, to, amount, _balance(token));
        _checkSolvent(token);
    }

    function _checkOpen() private view {
        if (lastHeight != type(uint64).max) revert EarnedElsewhere();
    }

    function _addedEarned(address token, uint256 amount) private view returns (uint256) {
        uint256 before = earnedOf[token].total;
        return amount > before ? amount - before : 0;
    }

    /// @dev Distributors of earlier versions have not.
    function _hasEarned(address predecessor) private view returns (bool) {
        try IRewardDistributor(predecessor).earned() {
            return true;
        } catch {
            return false;
        }
    }
}
