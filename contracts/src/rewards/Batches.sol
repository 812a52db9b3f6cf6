// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Formats} from "../formats/Formats.sol";
import {Result} from "../formats/Types.sol";
import {IRewardDistributor} from "../interfaces/IRewardDistributor.sol";
import {Limits} from "./Limits.sol";

/// @title Lists of payouts that are approved as one
/// @notice A result of kind {Kinds.BATCH} stands for a batch: its digest is the hash of a list of payouts, and its payee is
/// this contract. To pay it is to approve the list, which anyone may {push} after a delay, in which people may look at it
/// and the owners may cancel it, in as many parts as one likes. No work is behind it that could be checked: for a batch, as
/// for a distribution, the word of the validators and the owners is all there is, and the same limits hold.
abstract contract Batches is Limits {
    uint256 private constant AMOUNT_BITS = 96;

    /// @param commitment What of the hash of digest and total fits the slot.
    /// @param effectiveAt First second, in Unix time, at which it may be pushed.
    /// @param next How many payouts have been made, credited or withheld.
    struct Batch {
        bytes24 commitment;
        uint40 effectiveAt;
        uint24 next;
    }

    /// @inheritdoc IRewardDistributor
    uint64 public immutable delay;
    /// @inheritdoc IRewardDistributor
    mapping(bytes32 id => Batch) public batchOf;
    /// @dev The blocks of approved batches: 24 bytes of the hash, and the height.
    mapping(bytes32 id => bytes32) private _originOf;

    /// @notice A batch may be pushed from a time on.
    event BatchApproved(bytes32 indexed id, bytes32 digest, uint256 total, uint64 effectiveAt);
    /// @notice The payouts of a batch up to this one have been made, credited or withheld. They are in the transactions'
    /// calldata.
    event BatchPushed(bytes32 indexed id, uint256 next);
    /// @notice All payouts of a batch have been made, credited or withheld.
    event BatchPaid(bytes32 indexed id, address indexed token, uint256 total);
    /// @notice What has not been pushed of a batch never will be.
    event BatchCancelled(bytes32 indexed id);
    /// @notice An account is barred, or is nobody, or would have more than the token's cap, and is passed over. In a block of results it is the worker.
    event Withheld(bytes32 indexed id, address indexed account, uint256 amount);

    /// @notice No such batch is approved: never, not with these payouts, or it has been pushed.
    error NotApproved(bytes32 id);
    /// @notice Nobody could look at what takes effect at once.
    error ZeroDelay();
    /// @notice The registry does not hold this block: it never did, or both locks have retracted it.
    error NotFinalized(uint64 height, bytes32 blockHash);

    constructor(uint64 delay_) {
        if (delay_ == 0) revert ZeroDelay();
        delay = delay_;
    }

    /// @inheritdoc IRewardDistributor
    function push(bytes32 id, address token, bytes32[] calldata payouts, uint256 count) external nonReentrant {
        Batch memory batch = batchOf[id];
        uint256 total = _total(payouts, 0, payouts.length, type(uint256).max);
        if (batch.commitment == 0 || batch.commitment != _commitment(Formats.batchHash(token, payouts), total)) {
            revert NotApproved(id);
        }
        if (block.timestamp < batch.effectiveAt) revert TooEarly(batch.effectiveAt);
        _checkOrigin(_originOf[id]);
        uint256 end = payouts.length;
        if (count < end - batch.next) end = batch.next + count;
        uint256 cap = capOf(token);
        bool isWhole = batch.next == 0 && end == payouts.length && total <= cap;
        _take(token, isWhole ? total : _total(payouts, batch.next, end, cap));

        if (end == payouts.length) {
            delete batchOf[id];
            emit BatchPaid(id, token, total);
        } else {
            batchOf[id].next = uint24(end);
            emit BatchPushed(id, end);
        }
        _pushAll(id, token, payouts, batch.next, end, cap);
        _checkSolvent(token);
    }

    /// @inheritdoc IRewardDistributor
    function cancelBatch(bytes32 id) external onlyMultisigAnytime {
        if (batchOf[id].commitment == 0) revert NotApproved(id);
        delete batchOf[id];
        emit BatchCancelled(id);
    }

    /// @dev What waits for a delay is asked about again: its block may have been retracted.
    function _checkOrigin(bytes32 origin) internal view {
        if (!_isFinal(origin)) revert NotFinalized(uint64(uint256(origin)), bytes24(origin));
    }

    function _isFinal(bytes32 origin) internal view returns (bool) {
        return bytes24(registry.finalizedHash(uint64(uint256(origin)))) == bytes24(origin);
    }

    function _approve(Result calldata result, bytes32 origin) internal {
        uint64 effectiveAt = uint64(block.timestamp) + delay;
        _originOf[result.id] = origin;
        batchOf[result.id] = Batch(_commitment(result.digest, result.amount), uint40(effectiveAt), 0);
        emit BatchApproved(result.id, result.digest, result.amount, effectiveAt);
    }

    /// @dev Hardly ever is anybody barred, so that is asked once for all.
    function _pushAll(bytes32 id, address token, bytes32[] calldata payouts, uint256 i, uint256 end, uint256 cap)
        private
    {
        bool anyBarred = registry.barredCount() != 0;
        uint256 balance = _balance(token);
        for (; i < end; ++i) {
            (address account, uint256 amount) = _payout(payouts, i);
            if (account == address(0) || amount > cap || (anyBarred && registry.isBarred(account))) {
                emit Withheld(id, account, amount);
            } else {
                balance = _push(token, account, amount, balance);
            }
        }
    }

    function _commitment(bytes32 digest, uint256 total) private pure returns (bytes24) {
        return bytes24(keccak256(abi.encode(digest, total)));
    }

    /// @dev So many amounts of 96 bits that their sum overflowed would not fit a transaction.
    function _total(bytes32[] calldata payouts, uint256 i, uint256 end, uint256 most)
        private
        pure
        returns (uint256 total)
    {
        assembly ("memory-safe") {
            let place := add(payouts.offset, shl(5, i))
            for { end := add(payouts.offset, shl(5, end)) } lt(place, end) { place := add(place, 0x20) } {
                let amount := and(calldataload(place), 0xffffffffffffffffffffffff)
                total := add(total, mul(amount, iszero(gt(amount, most))))
            }
        }
    }

    /// @dev Without the check of the index, which every payout would pay for.
    function _payout(bytes32[] calldata payouts, uint256 index) private pure returns (address account, uint256 amount) {
        uint256 word;
        assembly ("memory-safe") {
            word := calldataload(add(payouts.offset, shl(5, index)))
        }
        return (address(uint160(word >> AMOUNT_BITS)), uint96(word));
    }
}
