// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Formats} from "../formats/Formats.sol";
import {Allotment, Distribution} from "../formats/Types.sol";
import {EarnedReserve, IRewardDistributor} from "../interfaces/IRewardDistributor.sol";
import {Batches} from "./Batches.sol";
import {Reserve} from "./Purse.sol";

/// @title What accounts have earned since the beginning, in one root
/// @notice The validators certify a distribution, the multisig schedules it, and after a delay, in which people may look
/// at it and the multisig may cancel it, anyone may {activate} it and {claim} for anyone. A claim pays what the account
/// has not had yet. A later root may state less for an account, which then is paid nothing more. However wrong a root is,
/// its claims take no more than was allotted, and no distribution adds more to that than the token's cap.
///
/// What a distribution allots is stated as a total since the beginning, and what it adds is the difference to what there
/// has been. So it does not matter which of the distributions before have taken effect: none is covered twice, none not at all.
///
/// What is allotted and not claimed may be swept to the multisig, if for long no further distribution has come.
///
/// What the ledger states of earnings has books of its own, see {Earnings}: numbers, roots, totals and claims. Neither overtakes
/// the other, and what one has allotted is not counted by the other.
abstract contract Distributions is Batches {
    using Formats for Distribution;

    /// @notice The shortest claim period.
    uint64 public constant MIN_CLAIM_PERIOD = 1 days;

    /// @inheritdoc IRewardDistributor
    uint64 public immutable claimPeriod;

    /// @inheritdoc IRewardDistributor
    mapping(address token => uint128) public totalAllotted;
    /// @inheritdoc IRewardDistributor
    mapping(address account => address) public claimerOf;
    /// @inheritdoc IRewardDistributor
    mapping(address account => mapping(address token => uint256)) public claimedOf;

    /// @inheritdoc IRewardDistributor
    mapping(address token => EarnedReserve) public earnedOf;

    /// @inheritdoc IRewardDistributor
    bytes32 public root;
    /// @inheritdoc IRewardDistributor
    bytes32 public scheduled;
    /// @inheritdoc IRewardDistributor
    uint32 public number;
    /// @inheritdoc IRewardDistributor
    uint64 public effectiveAt;
    /// @inheritdoc IRewardDistributor
    uint64 public expiresAt;

    /// @notice A distribution can take effect from a time on.
    event Scheduled(uint32 indexed number, bytes32 hash, bytes32 root, uint64 effectiveAt);
    /// @notice The scheduled distribution is off the table.
    event Cancelled(bytes32 hash);
    /// @notice A distribution has taken effect.
    event Activated(uint32 indexed number, bytes32 root);
    /// @notice An account has been paid what it had earned and not had.
    event Claimed(address indexed account, address indexed token, uint256 amount);
    /// @notice Another account may claim and withdraw for this one.
    event ClaimerSet(address indexed account, address indexed claimer);
    /// @notice The token has less than is owed of it, and claims may take so much less.
    event WrittenOff(address indexed token, uint256 amount);
    /// @notice What nobody has claimed is back with the multisig.
    event Swept(address indexed token, uint256 amount);

    /// @notice The distribution is for another contract.
    error WrongDistributor(address distributor);
    /// @notice A distribution at least as late is in effect.
    error StaleNumber(uint32 current, uint32 given);
    /// @notice The validators' latest certificate is not for this distribution.
    error NotCertified(uint32 number, bytes32 hash);
    /// @notice The tokens are not in strictly ascending order.
    error TokensNotAscending(uint256 index);
    /// @notice The distribution adds more of a token than one may.
    error AboveCap(address token, uint256 cap, uint256 given);
    /// @notice Nobody could claim in so short a time.
    error ClaimPeriodTooShort(uint64 claimPeriod);
    /// @notice The caller is neither the account nor its claimer.
    error NotClaimer(address account, address caller);
    /// @notice The token has all that is owed of it.
    error NothingToWriteOff(address token);
    /// @notice This is not the scheduled distribution.
    error NotScheduled(bytes32 hash);
    /// @notice The account is a validator that is proven to have contradicted itself.
    error AccountBarred(address account);
    /// @notice The account has had all that the root states.
    error NothingToClaim(address account, address token);
    /// @notice The claims of this token have taken all that was allotted, or the rest was swept.
    error AllotmentExhausted(address token, uint256 have, uint256 need);
    /// @notice Nothing of this token is left to be swept.
    error NothingToSweep(address token);

    constructor(uint64 claimPeriod_) {
        if (claimPeriod_ < MIN_CLAIM_PERIOD) revert ClaimPeriodTooShort(claimPeriod_);
        claimPeriod = claimPeriod_;
    }

    /// @inheritdoc IRewardDistributor
    function schedule(Distribution calldata distribution) external onlyMultisig {
        if (distribution.distributor != address(this)) revert WrongDistributor(distribution.distributor);
        if (distribution.number <= number) revert StaleNumber(number, distribution.number);
        bytes32 hash = distribution.hash();
        if (!registry.isCertified(distribution.number, hash)) revert NotCertified(distribution.number, hash);
        _checkCaps(distribution.allotments);

        scheduled = hash;
        effectiveAt = uint64(block.timestamp) + delay;
        emit Scheduled(distribution.number, hash, distribution.root, effectiveAt);
    }

    /// @inheritdoc IRewardDistributor
    function cancel() external onlyMultisigAnytime {
        if (scheduled == 0) revert NotScheduled(0);
        emit Cancelled(scheduled);
        delete scheduled;
    }

    /// @inheritdoc IRewardDistributor
    /// @dev The validators are asked again: what they have replaced meanwhile must not take effect.
    function activate(Distribution calldata distribution) external nonReentrant {
        bytes32 hash = distribution.hash();
        if (hash != scheduled) revert NotScheduled(hash);
        if (block.timestamp < effectiveAt) revert TooEarly(effectiveAt);
        if (!registry.isCertified(distribution.number, hash)) revert NotCertified(distribution.number, hash);

        for (uint256 i; i < distribution.allotments.length; ++i) {
            Allotment calldata allotment = distribution.allotments[i];
            uint256 added = _added(allotment);
            if (added == 0) continue;
            _take(allotment.token, added);
            totalAllotted[allotment.token] = allotment.amount;
            reserveOf[allotment.token].allotted += SafeCast.toUint96(added);
        }
        delete scheduled;
        root = distribution.root;
        number = distribution.number;
        expiresAt = uint64(block.timestamp) + claimPeriod;
        emit Activated(distribution.number, distribution.root);
    }

    /// @inheritdoc IRewardDistributor
    function claim(address account, address token, uint256 cumulative, bytes32[] calldata proof) external nonReentrant {
        _claim(account, token, cumulative, proof, account);
    }

    /// @inheritdoc IRewardDistributor
    function claimTo(address account, address token, uint256 cumulative, bytes32[] calldata proof, address to)
        external
        nonReentrant
    {
        _checkClaimer(account);
        _claim(account, token, cumulative, proof, to);
    }

    /// @inheritdoc IRewardDistributor
    function withdrawFor(address account, address token, address to) external nonReentrant {
        _checkClaimer(account);
        _withdraw(account, token, to);
    }

    /// @inheritdoc IRewardDistributor
    function setClaimer(address claimer) external {
        claimerOf[msg.sender] = claimer;
        emit ClaimerSet(msg.sender, claimer);
    }

    /// @inheritdoc IRewardDistributor
    function writeOff(address token) external onlyMultisig nonReentrant {
        Reserve memory reserve = reserveOf[token];
        uint256 balance = _balance(token);
        uint256 owed = uint256(reserve.allotted) + reserve.credited;
        if (balance >= owed || reserve.allotted == 0) revert NothingToWriteOff(token);
        uint256 amount = owed - balance < reserve.allotted ? owed - balance : reserve.allotted;
        _release(token, amount);
        emit WrittenOff(token, amount);
    }

    function _claim(address account, address token, uint256 cumulative, bytes32[] calldata proof, address to) private {
        bytes32 leaf = Formats.rewardLeaf(account, token, cumulative);
        if (!MerkleProof.verifyCalldata(proof, root, leaf)) revert NotIncluded(leaf);
        if (registry.isBarred(account)) revert AccountBarred(account);
        mapping(address => uint256) storage had = claimedOf[account];
        uint256 claimed = had[token];
        if (cumulative <= claimed) revert NothingToClaim(account, token);
        uint256 amount = cumulative - claimed;
        Reserve storage reserve = reserveOf[token];
        uint256 allotted = reserve.allotted;
        unchecked {
            // What the ledger's earnings may take is part of what is allotted, and theirs alone.
            uint256 own = allotted - earnedOf[token].left;
            if (amount > own) revert AllotmentExhausted(token, own, amount);
            reserve.allotted = uint96(allotted - amount);
        }
        had[token] = cumulative;
        emit Claimed(account, token, amount);
        _push(token, to, amount, _balance(token));
        _checkSolvent(token);
    }

    /// @inheritdoc IRewardDistributor
    /// @dev The root stays. What a later distribution allots must cover again what its root still owes from before.
    function sweep(address token) external onlyMultisig nonReentrant {
        if (block.timestamp < expiresAt) revert TooEarly(expiresAt);
        uint256 amount = reserveOf[token].allotted;
        if (amount == 0) revert NothingToSweep(token);

        _release(token, amount);
        emit Swept(token, amount);
        _transfer(token, multisig, amount);
    }

    /// @dev What is allotted no more, a later distribution has to allot again if its root still owes it. What the ledger's
    /// earnings may take comes last.
    function _release(address token, uint256 amount) private {
        EarnedReserve memory earned = earnedOf[token];
        uint256 byHand = reserveOf[token].allotted - earned.left;
        if (byHand > amount) byHand = amount;
        totalAllotted[token] -= uint128(byHand);
        if (amount > byHand) _releaseEarned(token, uint96(amount - byHand));
        reserveOf[token].allotted -= uint96(byHand);
    }

    /// @dev What the ledger's earnings may take no more, a statement may have allotted again.
    function _releaseEarned(address token, uint96 amount) private {
        EarnedReserve storage earned = earnedOf[token];
        (earned.total, earned.left) = (earned.total - amount, earned.left - amount);
        reserveOf[token].allotted -= amount;
    }

    /// @dev What the ledger has stated goes on at the distributor after this one.
    function _settleBeforeMovingOn(address token) internal override {
        _releaseEarned(token, earnedOf[token].left);
    }

    function _added(Allotment calldata allotment) private view returns (uint256) {
        uint256 before = totalAllotted[allotment.token];
        return allotment.amount > before ? allotment.amount - before : 0;
    }

    function _checkClaimer(address account) internal view {
        if (msg.sender != account && msg.sender != claimerOf[account]) revert NotClaimer(account, msg.sender);
    }

    /// @dev A token that came twice would have its cap twice.
    function _checkCaps(Allotment[] calldata allotments) private view {
        for (uint256 i; i < allotments.length; ++i) {
            address token = allotments[i].token;
            if (i != 0 && token <= allotments[i - 1].token) revert TokensNotAscending(i);
            uint256 added = _added(allotments[i]);
            if (added > capOf(token)) revert AboveCap(token, capOf(token), added);
        }
    }
}
