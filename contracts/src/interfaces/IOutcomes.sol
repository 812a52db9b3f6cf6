// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title What rounds of sequential work came to
interface IOutcomes {
    /// @notice What a final claim comes to, in one word: the hash of its id, its block's height, its steps and its result.
    /// It fails unless the claim is final. The network certifies the same word for a completion that is to be paid.
    function outcomeOf(bytes32 id) external view returns (bytes32);
}
