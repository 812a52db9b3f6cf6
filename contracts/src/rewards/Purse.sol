// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IRewardDistributor} from "../interfaces/IRewardDistributor.sol";

/// @notice Money of one token that is spoken for, and when more may be. Amounts above 96 bits are no token's.
/// @param allotted What claims of distributions may still take.
/// @param credited What accounts may withdraw.
/// @param fullAt When the token's bucket is full again, see {Buckets}.
struct Reserve {
    uint96 allotted;
    uint96 credited;
    uint64 fullAt;
}

/// @title Money of many tokens, with books of what is owed
/// @notice What is neither allotted nor credited is free. Only free money is promised to anybody, so what is owed of a
/// token never exceeds what there is of it. The books of one token do not depend on any other token.
///
/// A push is a payment that no recipient can hold up: it runs on bounded gas, nothing that it returns is copied, and
/// when it fails, the account is credited and may withdraw. Nor can who sends the transaction make it fail by sending
/// little gas: without enough for the whole bound the transaction reverts, so a recipient always has all of it.
abstract contract Purse is IRewardDistributor, ReentrancyGuardTransient {
    /// @notice What stands for the native currency where a token is named.
    address public constant NATIVE = address(0);
    /// @notice Gas for a recipient to whom native currency is pushed.
    uint256 public constant NATIVE_PUSH_GAS = 30_000;
    /// @notice Gas for a token that is asked to push, with what it may hand on to the recipient.
    uint256 public constant TOKEN_PUSH_GAS = 150_000;

    /// @dev More than a call costs besides the gas that it hands on: a cold account and its delegate (2,600 each), the
    /// value (9,000) and a new account (25,000).
    uint256 private constant CALL_OVERHEAD = 45_000;
    /// @dev A call hands on at most 63/64 of what is left, and silently less than it was told to.
    uint256 private constant NATIVE_PUSH_NEED = NATIVE_PUSH_GAS * 64 / 63 + CALL_OVERHEAD;
    uint256 private constant TOKEN_PUSH_NEED = TOKEN_PUSH_GAS * 64 / 63 + CALL_OVERHEAD;

    /// @inheritdoc IRewardDistributor
    mapping(address token => Reserve) public reserveOf;
    /// @inheritdoc IRewardDistributor
    mapping(address account => mapping(address token => uint256)) public creditOf;

    /// @notice Native currency has arrived.
    event Funded(address indexed from, uint256 amount);
    /// @notice A push failed, and the account may withdraw.
    event Credited(address indexed account, address indexed token, uint256 amount);
    /// @notice An account has withdrawn its credit.
    event Withdrawn(address indexed account, address indexed token, address to, uint256 amount);

    /// @notice There is less that is free than what is needed.
    error InsufficientFunds(uint256 have, uint256 need);
    /// @notice The transaction brings too little gas to be fair to the recipient.
    error InsufficientGas(uint256 have, uint256 need);
    /// @notice The account has no credit.
    error NoCredit(address account, address token);
    /// @notice The account or the token refused. Nothing has changed, and it can be tried again.
    error TransferFailed(address token, address to);
    /// @notice The token took more than it was told to move, which others are owed.
    error Insolvent(address token);
    /// @notice The token moved what it was told to and said that it had not. Such tokens cannot be paid out here.
    error MovedAndRefused(address token);

    /// @notice Takes native currency. Tokens are simply transferred here.
    receive() external payable {
        emit Funded(msg.sender, msg.value);
    }

    /// @inheritdoc IRewardDistributor
    function withdraw(address token, address to) external nonReentrant {
        _withdraw(msg.sender, token, to);
    }

    /// @inheritdoc IRewardDistributor
    function free(address token) public view returns (uint256) {
        Reserve memory reserve = reserveOf[token];
        uint256 owed = uint256(reserve.allotted) + reserve.credited;
        uint256 balance = _balance(token);
        return balance > owed ? balance - owed : 0;
    }

    function _withdraw(address account, address token, address to) internal {
        uint256 amount = creditOf[account][token];
        if (amount == 0) revert NoCredit(account, token);

        delete creditOf[account][token];
        reserveOf[token].credited -= uint96(amount);
        emit Withdrawn(account, token, to, amount);
        _transfer(token, to, amount);
    }

    function _checkFree(address token, uint256 amount) internal view {
        uint256 available = free(token);
        if (amount > available) revert InsufficientFunds(available, amount);
    }

    /// @dev A token may take more than it is told to. Once its balance is below what is owed, all has to be undone.
    function _checkSolvent(address token) internal view {
        if (token == NATIVE) return;
        Reserve storage reserve = reserveOf[token];
        if (_balance(token) < uint256(reserve.allotted) + reserve.credited) revert Insolvent(token);
    }

    /// @dev Pays, or fails as a whole.
    function _transfer(address token, address to, uint256 amount) internal {
        bool ok = token == NATIVE ? _sendNative(to, amount, gasleft()) : _sendToken(token, to, amount, gasleft());
        if (!ok) revert TransferFailed(token, to);
        _checkSolvent(token);
    }

    /// @dev Pays money that was free or allotted, or credits it. The caller has seen that it is there and fits 96 bits, and
    /// asks {_checkSolvent} after all of its pushes.
    /// @param balance What this contract has of the token before the push; of the native currency nobody asks.
    /// @return What it has of a token after it.
    function _push(address token, address to, uint256 amount, uint256 balance) internal returns (uint256) {
        if (token == NATIVE) {
            if (gasleft() < NATIVE_PUSH_NEED) revert InsufficientGas(gasleft(), NATIVE_PUSH_NEED);
            if (_sendNative(to, amount, NATIVE_PUSH_GAS)) return balance;
        } else {
            if (gasleft() < TOKEN_PUSH_NEED) revert InsufficientGas(gasleft(), TOKEN_PUSH_NEED);
            unchecked {
                if (_sendToken(token, to, amount, TOKEN_PUSH_GAS)) return balance - amount;
            }
            // A token that moves and says no would have its recipient paid twice.
            if (_balance(token) < balance) revert MovedAndRefused(token);
        }

        creditOf[to][token] += amount;
        reserveOf[token].credited += uint96(amount);
        emit Credited(to, token, amount);
        return balance;
    }

    /// @dev Nothing of what is returned is copied, or recipients could make their payer pay for memory.
    function _sendNative(address to, uint256 amount, uint256 limit) private returns (bool ok) {
        assembly ("memory-safe") {
            ok := call(limit, to, amount, 0, 0, 0, 0)
        }
    }

    /// @dev At most a word of what is returned is copied.
    function _sendToken(address token, address to, uint256 amount, uint256 limit) private returns (bool ok) {
        bytes memory data = abi.encodeCall(IERC20.transfer, (to, amount));
        assembly ("memory-safe") {
            ok := call(limit, token, 0, add(data, 0x20), mload(data), 0, 0x20)
            // Tokens answer with true, or with nothing at all. An account without code answers with nothing, too.
            let silent := and(iszero(returndatasize()), gt(extcodesize(token), 0))
            let true_ := and(gt(returndatasize(), 0x1f), eq(mload(0), 1))
            ok := and(ok, or(silent, true_))
        }
    }

    function _balance(address token) internal view returns (uint256) {
        return token == NATIVE ? address(this).balance : IERC20(token).balanceOf(address(this));
    }
}
