// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {CloneCode} from "./CloneCode.sol";
import {Councils} from "./Council.sol";
import {Wallet} from "./Wallet.sol";

/// @title The code that clones share
/// @notice It has no owner, nobody can change it, and it is no wallet itself: nobody can make it call anything, and it
/// takes no money.
contract WalletTemplate is Wallet, CloneCode {
    address private immutable _self = address(this);

    /// @notice This is the template of wallets, and none.
    error NoWallet();

    /// @dev A threshold that no number of owners meets, and no owners.
    constructor() {
        _council = Councils.founded(0).withThreshold(type(uint8).max);
    }

    /// @dev The clones take native currency, the template does not.
    function _checkDeposit() internal view override {
        if (address(this) == _self) revert NoWallet();
    }
}
