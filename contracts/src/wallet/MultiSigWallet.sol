// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Councils} from "./Council.sol";
import {Wallet} from "./Wallet.sol";

/// @title The code that every wallet runs
contract WalletCode is Wallet {}

/// @title A wallet of which k of n owners dispose together
/// @notice See {Wallet}, which is all that it does once it is deployed.
contract MultiSigWallet is Wallet {
    /// @notice The first owners must be in strictly ascending order, and none of them zero.
    error OwnersNotAscending(address owner, address next);

    /// @dev Deploys {WalletCode} with the founders at its end, where {Owners} reads them.
    /// @param owners_ The first owners, in ascending order and at most 200. No event names them.
    /// @param threshold_ Confirmations or signatures that a call needs: at least 1, at most the number of owners.
    constructor(address[] memory owners_, uint8 threshold_) {
        if (owners_.length > MAX_OWNERS) revert OwnerLimitReached(MAX_OWNERS);
        _save(Councils.founded(owners_.length), threshold_);

        bytes memory code = type(WalletCode).runtimeCode;
        uint256 size = code.length;
        address last;
        for (uint256 i; i < owners_.length; ++i) {
            address owner = owners_[i];
            if (owner <= last) revert OwnersNotAscending(last, owner);
            if (owner == address(this)) revert InvalidOwner(owner);
            last = owner;
            // The code is what memory was allocated for last, so it can grow.
            assembly ("memory-safe") {
                mstore(add(add(code, 0x20), size), shl(96, owner))
                size := add(size, FOUNDER_SIZE)
            }
        }
        assembly ("memory-safe") {
            return(add(code, 0x20), size)
        }
    }
}
