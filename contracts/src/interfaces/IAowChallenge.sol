// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IOutcomes} from "./IOutcomes.sol";
import {IResultRegistry} from "./IResultRegistry.sol";

/// @notice Where a claim stands. Whether an unchallenged one is final is for the clock to say.
enum ClaimStatus {
    None,
    Posted,
    Upheld,
    Slashed
}

/// @notice All that is kept about one claim, in three storage slots.
/// @param commitment Hash of the packed checkpoints; zero once slashed.
/// @param start Where the work starts; zero once slashed.
/// @param result Where the work ends, by the claim; zero once slashed.
/// @param bond Wei that vouch for the claim; zero once they have been paid out.
/// @param height The final block from whose hash the work starts.
/// @param deadline Last second, in Unix time, at which the claim can be challenged.
/// @param steps Steps of the work.
/// @param segmentLength Steps from one checkpoint to the next.
/// @param status Where the claim stands.
struct Claim {
    bytes32 commitment;
    uint128 start;
    uint128 result;
    uint96 bond;
    uint64 height;
    uint40 deadline;
    uint32 steps;
    uint16 segmentLength;
    ClaimStatus status;
}

/// @title Rounds of sequential work, taken at their word unless somebody shows them wrong
/// @notice See {AowChallenge} for the rules.
interface IAowChallenge is IOutcomes {
    /// @notice Claims the result of the caller's work in a round, with a bond of at least {bondFor} these checkpoints.
    /// @param round Number of the round. Each validator, of this epoch or the one before, may claim it once.
    /// @param height The block before the round, which the registry must hold.
    /// @param steps Steps of the work.
    /// @param checkpoints Elements of 16 bytes each at even distances, the start left out, the result last.
    /// @param proofDigest Hash of the proof that peers check off chain. It is only repeated in the event.
    /// @return id What the claim is known by, see {idOf}.
    function post(uint64 round, uint64 height, uint64 steps, bytes calldata checkpoints, bytes32 proofDigest)
        external
        payable
        returns (bytes32 id);

    /// @notice Says that the caller, or somebody, has found a wrong segment, and not which.
    /// @param commitment See {commitmentOf}.
    function commit(bytes32 commitment) external;

    /// @notice Shows that a segment of a claim is wrong, to which the caller has committed in an earlier block.
    /// @param id The claim.
    /// @param checkpoints The claim's checkpoints, as they were posted.
    /// @param segment Index of the checkpoint in which the wrong segment ends; 0 for the one from the start.
    /// @param salt What has hidden the segment in the commitment.
    function challenge(bytes32 id, bytes calldata checkpoints, uint256 segment, bytes32 salt) external;

    /// @notice Sends the caller's credit to an account.
    function withdraw(address to) external;

    /// @notice Takes the whole work of a claim of at most {MAX_WHOLE} steps back. If it holds, the claim is final.
    /// @param id The claim.
    function verifyWhole(bytes32 id) external;

    /// @notice Returns the bond of a final claim to its node. Anyone may ask for it.
    /// @param id The claim.
    function release(bytes32 id) external;

    /// @notice Whether a node's result in a round is final: taken back as a whole, or unchallenged for the window.
    function isFinal(uint64 round, address node) external view returns (bool);

    /// @notice A node's result in a round. Fails unless it is final.
    function resultOf(uint64 round, address node) external view returns (uint128);

    /// @notice All that is kept about a claim; zeros if there is none.
    function claimOf(bytes32 id) external view returns (Claim memory);

    /// @notice Where a node's work of so many steps starts in a round that follows a block.
    function startOf(uint64 round, uint64 height, address node, uint64 steps) external view returns (uint128);

    /// @notice What a challenge computes: where work that ended in a value has started, so many steps before.
    function replay(uint128 value, uint256 steps) external pure returns (uint128);

    /// @notice What a challenger commits to before it challenges.
    function commitmentOf(address challenger, bytes32 id, uint256 segment, bytes32 salt) external pure returns (bytes32);

    /// @notice The settlement chain's block in which a commitment was made, or zero.
    function committedAt(bytes32 commitment) external view returns (uint256);

    /// @notice What an account may withdraw.
    function creditOf(address account) external view returns (uint256);

    /// @notice The least bond, in wei, of a claim with so many checkpoints so many steps apart: {minimumBond}, or what a
    /// challenge of it costs several times.
    function bondFor(uint256 count, uint256 segmentLength) external view returns (uint256);

    /// @notice Wei of a unit of gas for which a bond has to cover a challenge.
    function gasPrice() external view returns (uint256);

    /// @notice What a claim is known by: the round and the node, side by side.
    function idOf(uint64 round, address node) external pure returns (bytes32);

    /// @notice It knows the validators and which blocks are final.
    function registry() external view returns (IResultRegistry);

    /// @notice Hash of the network's genesis, as the registry has it.
    function networkId() external view returns (bytes32);

    /// @notice The least bond of any claim, in wei.
    function minimumBond() external view returns (uint256);

    /// @notice Seconds for which a claim can be challenged.
    function window() external view returns (uint32);
}
