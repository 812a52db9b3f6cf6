// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title Buckets that money is taken from, and that fill again at a steady rate
/// @notice A full bucket holds its capacity, and an empty one is full again after a period. So no more than the capacity is
/// taken at once, and in any period, wherever it begins, no more than twice the capacity.
/// @dev All that is kept of a bucket is when it will be full, in parts of a second of which 2^24 make one.
library Buckets {
    uint256 private constant PARTS = 24;

    /// @notice Takes an amount, if there is as much.
    /// @param fullAt When the bucket will be full.
    /// @param amount How much is taken.
    /// @param capacity What a full bucket holds.
    /// @param period Seconds in which an empty bucket fills; less than 2^32.
    /// @return ok Whether it is taken.
    /// @return fullAt_ When the bucket will be full then.
    function take(uint64 fullAt, uint256 amount, uint128 capacity, uint64 period)
        internal
        view
        returns (bool ok, uint64 fullAt_)
    {
        if (amount == 0) return (true, fullAt);
        if (amount > capacity) return (false, fullAt);
        unchecked {
            uint256 span = uint256(period) << PARTS;
            uint256 present = block.timestamp << PARTS;
            // Rounded up, so that many small amounts are no more than one large one.
            uint256 full = (fullAt > present ? fullAt : present) + (amount * span + capacity - 1) / capacity;
            return full > present + span ? (false, fullAt) : (true, uint64(full));
        }
    }

    /// @notice What is in a bucket.
    function content(uint64 fullAt, uint128 capacity, uint64 period) internal view returns (uint256) {
        unchecked {
            uint256 span = uint256(period) << PARTS;
            uint256 present = block.timestamp << PARTS;
            if (fullAt <= present) return capacity;
            return fullAt - present > span ? 0 : (present + span - fullAt) * capacity / span;
        }
    }
}
