// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title What validators have resolved, of the times that {IResultRegistry.resolvedAt} tells
library Resolutions {
    /// @notice The time of what the guardian has vetoed.
    uint64 internal constant VETOED = type(uint64).max;

    /// @notice The validators have not resolved this, the guardian has vetoed it, or it has been used.
    error NotResolved(bytes32 action);

    /// @notice The time at which an action was resolved, which must be so.
    function check(uint64 since, bytes32 action) internal pure returns (uint64) {
        if (since == 0 || since == VETOED) revert NotResolved(action);
        return since;
    }
}
