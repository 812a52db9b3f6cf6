// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Owners} from "./Owners.sol";

/// @title Founders behind the few instructions that hand each call on to a template
/// @dev What runs is the template, by delegatecall; the wallet's address, and so its code and storage, are the clone's.
abstract contract CloneCode is Owners {
    /// @dev Bytes of those instructions: a minimal proxy by ERC-1167.
    uint256 internal constant PROXY_SIZE = 45;

    /// @inheritdoc Owners
    function _firstFounder(uint256) internal pure override returns (uint256 place) {
        return PROXY_SIZE;
    }

    /// @inheritdoc Owners
    function _founderAt(uint256 place) internal view override returns (uint256 owner) {
        assembly ("memory-safe") {
            extcodecopy(address(), 0, place, FOUNDER_SIZE)
            owner := shr(96, mload(0))
        }
    }
}
