// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IMultiSigWallet} from "../interfaces/IMultiSigWallet.sol";
import {Owners} from "./Owners.sol";

/// @title The calls that a wallet makes, one by one or as a batch
/// @notice A call that fails fails as a whole, and so does one that only looks as if it had succeeded: to an account
/// without code, or of a token that refuses.
abstract contract Calls is Owners {
    /// @dev Gas that a call which may fail has at least. It suffices for payments of any token and to any wallet.
    uint256 private constant MAY_FAIL_GAS = 200_000;
    /// @dev A call hands on at most 63/64 of what is left, and costs up to some 45,000 besides.
    uint256 private constant MAY_FAIL_NEED = MAY_FAIL_GAS * 64 / 63 + 45_000;
    /// @dev Bytes of an answer that are kept. Whoever is called would otherwise choose how much the wallet pays for it.
    uint256 private constant ANSWER_LIMIT = 1024;
    /// @dev Where the compiler keeps a zero, which is an empty list of bytes.
    uint256 private constant EMPTY = 0x60;

    /// @notice A call has been made, and it succeeded. The executor of a proposal confirms it; with signatures, the
    /// executor is whoever has sent them, and the id is the hash that was signed.
    event Executed(bytes32 indexed id, address indexed executor);
    /// @notice A call of a batch, with this number, has failed as it was allowed to.
    event CallFailed(bytes32 id, bytes reason);

    /// @notice The transaction brings too little gas to be fair to a call that may fail.
    error InsufficientGas(uint256 have, uint256 need);
    /// @notice The wallet holds less than the call's value.
    error InsufficientFunds(uint256 have, uint256 need);
    /// @notice The call carries data to an account without code, where it would succeed by doing nothing.
    error NoCode(address to);
    /// @notice A call failed, for the reason that it returned, of which the first 1,024 bytes are here. Nothing has
    /// changed, and it can be tried again. In the reason of a batch, the id is the number of the call that failed.
    error ExecutionFailed(bytes32 id, bytes reason);

    /// @inheritdoc IMultiSigWallet
    /// @dev A call that may fail is for the exception, such as a payee who may refuse. Whoever sends the transaction cannot
    /// make it fail by bringing little gas: without 200,000 for it the batch reverts. A call that needs more than that must
    /// not be one that may fail. Every other failure reverts the batch with the reason.
    function batch(Call[] calldata calls) external onlyWallet {
        for (uint256 i; i < calls.length; ++i) {
            Call calldata call = calls[i];
            if (call.mayFail && gasleft() < MAY_FAIL_NEED) revert InsufficientGas(gasleft(), MAY_FAIL_NEED);
            (bool ok, bytes memory answer) = _call(call.to, call.value, call.data);
            if (ok) continue;
            if (!call.mayFail) _fail(bytes32(i), answer);
            emit CallFailed(bytes32(i), answer);
        }
    }

    function _execute(bytes32 id, address to, uint256 value, bytes calldata data) internal {
        emit Executed(id, msg.sender);
        (bool ok, bytes memory answer) = _call(to, value, data);
        if (!ok) _fail(id, answer);
    }

    /// @dev Fails where the account called does, and where a token refuses.
    function _call(address to, uint256 value, bytes calldata data) private returns (bool ok, bytes memory answer) {
        if (data.length != 0) {
            if (to.code.length == 0) return (false, abi.encodeWithSelector(NoCode.selector, to));
        }
        uint256 size;
        assembly ("memory-safe") {
            answer := mload(0x40)
            calldatacopy(answer, data.offset, data.length)
            ok := call(gas(), to, value, answer, data.length, 0, 0)
            size := returndatasize()
            answer := EMPTY
        }
        if (size != 0) {
            answer = _answer();
            if (ok) ok = !_isRefusal(data, answer);
        } else if (!ok && value > address(this).balance) {
            answer = abi.encodeWithSelector(InsufficientFunds.selector, address(this).balance, value);
        }
    }

    function _answer() private pure returns (bytes memory answer) {
        assembly ("memory-safe") {
            let size := returndatasize()
            if gt(size, ANSWER_LIMIT) { size := ANSWER_LIMIT }
            answer := mload(0x40)
            mstore(answer, size)
            returndatacopy(add(answer, 0x20), 0, size)
            mstore(0x40, add(add(answer, 0x20), size))
        }
    }

    function _fail(bytes32 id, bytes memory reason) private pure {
        revert ExecutionFailed(id, reason);
    }

    /// @dev Some tokens refuse by returning false instead of reverting. A call of an ERC-20 function that moves or
    /// grants tokens must return true or nothing at all, or it would look like a payment that was never made.
    function _isRefusal(bytes calldata data, bytes memory answer) private pure returns (bool) {
        if (bytes32(answer) == bytes32(uint256(1))) return false;
        bytes4 selector = bytes4(data);
        return selector == IERC20.transfer.selector || selector == IERC20.transferFrom.selector
            || selector == IERC20.approve.selector;
    }
}
