// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Councils} from "./Council.sol";
import {Wallet} from "./Wallet.sol";

/// @title How a wallet comes to be: all at once, so that there is nothing to begin and nobody who could do so first
abstract contract Founding is Wallet {
    /// @notice The first owners must be in strictly ascending order, and none of them zero.
    error OwnersNotAscending(address owner, address next);

    /// @dev Ends a constructor: deploys code with the founders at its end, where {_founderAt} reads them.
    /// @param code The code, for which memory was allocated last, so that it can grow.
    function _found(bytes memory code, address[] memory owners_, uint8 threshold_) internal {
        if (owners_.length > MAX_OWNERS) revert OwnerLimitReached(MAX_OWNERS);
        _save(Councils.founded(owners_.length), threshold_);

        uint256 size = code.length;
        address last;
        for (uint256 i; i < owners_.length; ++i) {
            address owner = owners_[i];
            if (owner <= last) revert OwnersNotAscending(last, owner);
            if (owner == address(this)) revert InvalidOwner(owner);
            last = owner;
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
