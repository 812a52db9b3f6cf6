// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Owners} from "./Owners.sol";

/// @title Founders at the end of the code that runs
abstract contract OwnCode is Owners {
    /// @inheritdoc Owners
    function _firstFounder(uint256 founders) internal pure override returns (uint256 place) {
        assembly ("memory-safe") { place := sub(codesize(), mul(founders, FOUNDER_SIZE)) }
    }

    /// @inheritdoc Owners
    function _founderAt(uint256 place) internal pure override returns (uint256 owner) {
        assembly ("memory-safe") {
            codecopy(0, place, FOUNDER_SIZE)
            owner := shr(96, mload(0))
        }
    }
}
