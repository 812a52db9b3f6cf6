// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Formats} from "../formats/Formats.sol";
import {Result} from "../formats/Types.sol";
import {IRewardDistributor} from "../interfaces/IRewardDistributor.sol";
import {Locks} from "./Locks.sol";

/// @title Lists of payouts that are approved as one
/// @notice A result of kind {Kinds.BATCH} stands for a batch: its digest is the hash of a list of payouts, and its payee is
/// this contract. To pay it is to approve the list, which anyone may then {push}. No work is behind it that could be checked: for a batch, as
/// for a distribution, the word of the validators and the owners is all there is.
abstract contract Batches is Locks {
    uint256 private constant AMOUNT_BITS = 96;

    /// @inheritdoc IRewardDistributor
    mapping(bytes32 id => bytes32) public batchOf;

    /// @notice A batch may be pushed.
    event BatchApproved(bytes32 indexed id, bytes32 digest, uint256 total);
    /// @notice All payouts of a batch have been made, credited or withheld. They are in the transaction's calldata.
    event BatchPaid(bytes32 indexed id, address indexed token, uint256 total);
    /// @notice An account is barred, or is nobody, and is passed over. In a block of results it is the worker.
    event Withheld(bytes32 indexed id, address indexed account, uint256 amount);

    /// @notice No such batch is approved: never, not with these payouts, or it has been pushed.
    error NotApproved(bytes32 id);

    /// @inheritdoc IRewardDistributor
    /// @dev Hardly ever is anybody barred, so that is asked once for all.
    function push(bytes32 id, address token, bytes32[] calldata payouts) external nonReentrant {
        uint256 total = _total(payouts);
        if (batchOf[id] != keccak256(abi.encode(Formats.batchHash(token, payouts), total))) revert NotApproved(id);
        _checkFree(token, total);

        delete batchOf[id];
        bool anyBarred = registry.barredCount() != 0;
        uint256 balance = _balance(token);
        for (uint256 i; i < payouts.length; ++i) {
            (address account, uint256 amount) = _payout(payouts, i);
            if (account == address(0) || (anyBarred && registry.isBarred(account))) {
                emit Withheld(id, account, amount);
            } else {
                balance = _push(token, account, amount, balance);
            }
        }
        _checkSolvent(token);
        emit BatchPaid(id, token, total);
    }

    function _approve(Result calldata result) internal {
        batchOf[result.id] = keccak256(abi.encode(result.digest, result.amount));
        emit BatchApproved(result.id, result.digest, result.amount);
    }

    /// @dev So many amounts of 96 bits that their sum overflowed would not fit a transaction.
    function _total(bytes32[] calldata payouts) private pure returns (uint256 total) {
        for (uint256 i; i < payouts.length; ++i) {
            (, uint256 amount) = _payout(payouts, i);
            unchecked {
                total += amount;
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
