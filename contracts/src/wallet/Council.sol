// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @notice What a wallet keeps about its owners as a whole, in one storage slot.
/// @dev From the low end: 200 bits of owners (bit i is set while the owner with index i is an owner), 8 bits of
/// threshold, 8 bits for the number of indexes given out, 32 bits of nonce, 8 bits for the number of founders.
type Council is uint256;

using Councils for Council global;

/// @title Access to the fields of a packed council
library Councils {
    uint256 private constant THRESHOLD_SHIFT = 200;
    uint256 private constant USED_SHIFT = 208;
    uint256 private constant NONCE_SHIFT = 216;
    uint256 private constant FOUNDERS_SHIFT = 248;

    /// @notice All the nonces have been used.
    error NoncesUsedUp();

    /// @notice A council of founders, with the threshold still to be set.
    function founded(uint256 count) internal pure returns (Council) {
        return Council.wrap(((1 << count) - 1) | (count << FOUNDERS_SHIFT) | (count << USED_SHIFT));
    }

    /// @notice The council with the next index given out to an owner.
    function withOwner(Council self) internal pure returns (Council) {
        unchecked {
            return Council.wrap((Council.unwrap(self) | (1 << self.used())) + (1 << USED_SHIFT));
        }
    }

    /// @notice The council without the owner that had this index.
    function withoutOwner(Council self, uint256 index) internal pure returns (Council) {
        return Council.wrap(Council.unwrap(self) ^ (1 << index));
    }

    /// @notice The council with another threshold.
    function withThreshold(Council self, uint8 threshold_) internal pure returns (Council) {
        uint256 difference = uint256(threshold_) ^ self.threshold();
        return Council.wrap(Council.unwrap(self) ^ (difference << THRESHOLD_SHIFT));
    }

    /// @notice The council with the next nonce. It reverts after the last one.
    function withNextNonce(Council self) internal pure returns (Council next) {
        unchecked {
            next = Council.wrap(Council.unwrap(self) + (1 << NONCE_SHIFT));
        }
        if (next.nonce() == 0) revert NoncesUsedUp();
    }

    /// @notice The current owners, one bit for each index.
    function active(Council self) internal pure returns (uint256) {
        return uint200(Council.unwrap(self));
    }

    /// @notice Whether the owner with this index is one still.
    function isActive(Council self, uint256 index) internal pure returns (bool) {
        return Council.unwrap(self) & (1 << index) != 0;
    }

    /// @notice Confirmations or signatures that a call needs.
    function threshold(Council self) internal pure returns (uint256) {
        return uint8(Council.unwrap(self) >> THRESHOLD_SHIFT);
    }

    /// @notice How many owners the wallet was deployed with.
    function founders(Council self) internal pure returns (uint256) {
        return Council.unwrap(self) >> FOUNDERS_SHIFT;
    }

    /// @notice How many indexes have been given out.
    function used(Council self) internal pure returns (uint256) {
        return uint8(Council.unwrap(self) >> USED_SHIFT);
    }

    /// @notice How many calls have been executed with signatures.
    function nonce(Council self) internal pure returns (uint256) {
        return uint32(Council.unwrap(self) >> NONCE_SHIFT);
    }
}
