// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Founding} from "./Founding.sol";
import {OwnCode} from "./OwnCode.sol";
import {Wallet} from "./Wallet.sol";

/// @title The code that every wallet with code of its own runs
contract WalletCode is Wallet, OwnCode {}

/// @title A wallet of which k of n owners dispose together
/// @notice See {Wallet}, which is all that it does once it is deployed. Its code is its own, and all of it is at its address:
/// nothing else is trusted. {MultiSigClone} costs a tenth to deploy, and more with each call.
contract MultiSigWallet is Founding, OwnCode {
    /// @dev Deploys {WalletCode} with the founders at its end.
    /// @param owners_ The first owners, in ascending order and at most 200. No event names them.
    /// @param threshold_ Confirmations or signatures that a call needs: at least 1, at most the number of owners.
    constructor(address[] memory owners_, uint8 threshold_) {
        _found(type(WalletCode).runtimeCode, owners_, threshold_);
    }
}
