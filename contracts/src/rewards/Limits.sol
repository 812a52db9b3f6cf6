// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Allotment} from "../formats/Types.sol";
import {IRewardDistributor} from "../interfaces/IRewardDistributor.sol";
import {Buckets} from "./Buckets.sol";
import {Locks} from "./Locks.sol";

/// @title How much may leave, however well it is signed for
/// @notice Of each token there is a bucket, see {Buckets}: whatever takes money that is free, be it a result, a batch or the
/// allotment of a distribution, takes as much from the bucket. So between two looks at it, the distributor loses no more
/// than twice the cap in a period, even if both locks are in wrong hands.
///
/// Beside that, each requester has an allowance, a smaller bucket, for the races that it orders, so that one stolen key does not
/// take what all share. Work of which the chain does not see who has asked for it shares one allowance for each kind.
abstract contract Limits is Locks {
    /// @dev The most seconds of a period. More would not be a limit.
    uint64 private constant MAX_PERIOD = 366 days;

    /// @param fullAt When the allowance is whole again, see {Buckets}.
    /// @param cap What it is then, if the owners have said so.
    /// @param isSet Whether they have.
    struct Allowance {
        uint64 fullAt;
        uint128 cap;
        bool isSet;
    }

    /// @param anyBarred Whether anybody is barred. Hardly ever is anybody, so that is asked once for all results.
    /// @param left What may leave in all.
    /// @param taken What leaves.
    /// @param requester Whose allowance was used last.
    /// @param isLoaded Whether there is one.
    /// @param allowance What is left of it.
    /// @param used What is taken of it.
    struct Till {
        bool anyBarred;
        uint256 left;
        uint256 taken;
        address requester;
        bool isLoaded;
        uint256 allowance;
        uint256 used;
    }

    /// @inheritdoc IRewardDistributor
    uint64 public immutable period;
    /// @inheritdoc IRewardDistributor
    uint128 public immutable requesterCap;

    uint128 private immutable _nativeCap;
    mapping(address token => uint128) private _capOf;
    mapping(address requester => Allowance) private _allowances;

    /// @notice The owners have given a requester another allowance.
    event AllowanceSet(address indexed requester, uint128 cap);

    /// @notice A bucket needs a period, of a year at the most.
    error InvalidPeriod(uint64 period);
    /// @notice The limit leaves less of this token for now.
    error AboveLimit(address token, uint256 available, uint256 given);
    /// @notice The requester's allowance leaves less for now. For work without one, it is that of its kind.
    error AboveAllowance(address requester, uint256 available, uint256 given);

    constructor(uint64 period_, uint128 requesterCap_, Allotment[] memory caps) {
        if (period_ == 0 || period_ > MAX_PERIOD) revert InvalidPeriod(period_);
        period = period_;
        requesterCap = requesterCap_;
        uint128 native;
        for (uint256 i; i < caps.length; ++i) {
            if (caps[i].token == NATIVE) native = caps[i].amount;
            else _capOf[caps[i].token] = caps[i].amount;
        }
        _nativeCap = native;
        // The slot is there, so that the first who is paid does not pay for it.
        reserveOf[NATIVE].fullAt = 1;
    }

    /// @inheritdoc IRewardDistributor
    function setAllowance(address requester, uint128 cap) external onlyMultisig {
        Allowance storage allowance = _allowances[requester];
        (allowance.cap, allowance.isSet) = (cap, true);
        emit AllowanceSet(requester, cap);
    }

    /// @inheritdoc IRewardDistributor
    function capOf(address token) public view returns (uint128) {
        return token == NATIVE ? _nativeCap : _capOf[token];
    }

    /// @inheritdoc IRewardDistributor
    function available(address token) external view returns (uint256) {
        (uint256 left, uint256 there) = (_left(token), free(token));
        return left < there ? left : there;
    }

    /// @inheritdoc IRewardDistributor
    function allowanceOf(address requester) public view returns (uint128 cap, uint256 left) {
        Allowance memory allowance = _allowances[requester];
        cap = allowance.isSet ? allowance.cap : requesterCap;
        return (cap, Buckets.content(allowance.fullAt, cap, period));
    }

    /// @dev Takes free money out of a token's bucket.
    function _take(address token, uint256 amount) internal {
        _checkFree(token, amount);
        (bool ok, uint64 fullAt) = Buckets.take(reserveOf[token].fullAt, amount, capOf(token), period);
        if (!ok) revert AboveLimit(token, _left(token), amount);
        reserveOf[token].fullAt = fullAt;
    }

    /// @dev What there is to pay results with. They are several, and storage is dear.
    function _openTill() internal view returns (Till memory till) {
        uint256 left = _left(NATIVE);
        till.left = free(NATIVE);
        if (left < till.left) till.left = left;
        till.anyBarred = registry.barredCount() != 0;
    }

    /// @dev Takes free native currency out of its bucket and that of a requester, or does nothing.
    function _tryTake(Till memory till, address requester, uint256 amount) internal returns (bool) {
        if (requester != till.requester || !till.isLoaded) _load(till, requester);
        if (amount > till.left || amount > till.allowance) return false;
        unchecked {
            till.left -= amount;
            till.taken += amount;
            till.allowance -= amount;
            till.used += amount;
        }
        return true;
    }

    /// @dev Writes down what was taken. It must come before anything is paid.
    function _closeTill(Till memory till) internal {
        (, reserveOf[NATIVE].fullAt) = Buckets.take(reserveOf[NATIVE].fullAt, till.taken, _nativeCap, period);
        _use(till);
    }

    function _load(Till memory till, address requester) private {
        _use(till);
        (, uint256 left) = allowanceOf(requester);
        (till.requester, till.isLoaded, till.allowance, till.used) = (requester, true, left, 0);
    }

    function _use(Till memory till) private {
        if (till.used == 0) return;
        Allowance storage allowance = _allowances[till.requester];
        uint128 cap = allowance.isSet ? allowance.cap : requesterCap;
        (, allowance.fullAt) = Buckets.take(allowance.fullAt, till.used, cap, period);
    }

    /// @dev Reverts with why {_tryTake} has done nothing, all else being written down.
    function _explain(address requester, uint256 amount) internal view {
        _checkFree(NATIVE, amount);
        (, uint256 left) = allowanceOf(requester);
        if (amount > left) revert AboveAllowance(requester, left, amount);
        revert AboveLimit(NATIVE, _left(NATIVE), amount);
    }

    function _left(address token) private view returns (uint256) {
        return Buckets.content(reserveOf[token].fullAt, capOf(token), period);
    }
}
