// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {CloneCode} from "./CloneCode.sol";
import {Founding} from "./Founding.sol";

/// @title A wallet of which k of n owners dispose together, by the code of a template
/// @notice It does what {MultiSigWallet} does, for a tenth of the price to deploy and some 2,900 gas more a call, so that it
/// takes native currency from nobody who hands on 2,300 gas only, as Solidity's `transfer` does. The price is trust: its own code is a minimal proxy (ERC-1167) with the founders behind it, and what it runs, by delegatecall, is the
/// code at the template's address. Whoever checks such a wallet must check that code, too. The address is part of the
/// clone's code and cannot change. There is no function to begin it with: its constructor stores owners and threshold.
contract MultiSigClone is Founding, CloneCode {
    /// @notice There is no code at the template's address.
    error NoTemplate(address template);

    /// @dev Deploys the proxy with the founders at its end.
    /// @param template A WalletTemplate. What is there is not looked at: a wrong one may do anything with the wallet.
    /// @param owners_ The first owners, in ascending order and at most 200. No event names them.
    /// @param threshold_ Confirmations or signatures that a call needs: at least 1, at most the number of owners.
    constructor(address template, address[] memory owners_, uint8 threshold_) {
        if (template.code.length == 0) revert NoTemplate(template);
        _found(
            abi.encodePacked(hex"363d3d373d3d3d363d73", template, hex"5af43d82803e903d91602b57fd5bf3"),
            owners_,
            threshold_
        );
    }
}
