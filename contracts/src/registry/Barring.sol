// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.31;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Formats} from "../formats/Formats.sol";
import {Evidence, VoteKind} from "../formats/Types.sol";
import {IResultRegistry} from "../interfaces/IResultRegistry.sol";

/// @title Who is barred, because it contradicted itself
/// @notice Anyone may post the proof that a validator contradicted itself, in the current epoch or in one before. The
/// validator is then barred for good, in every epoch, and who pays for results asks for that. A barred validator's
/// signatures still count: a quorum already allows for faulty ones.
abstract contract Barring is IResultRegistry {
    using Formats for Evidence;

    /// @inheritdoc IResultRegistry
    mapping(address validator => bool) public isBarred;
    /// @inheritdoc IResultRegistry
    uint256 public barredCount;

    /// @notice A validator is proven to have contradicted itself.
    event ValidatorBarred(address indexed validator, bytes32 evidence);

    /// @notice No validator has this place in the set.
    error UnknownValidator(uint256 index);
    /// @notice This validator is barred already.
    error AlreadyBarred(address validator);
    /// @notice The two hashes are equal, which is no contradiction, or not in ascending order.
    error NoContradiction(bytes32 firstHash, bytes32 secondHash);
    /// @notice Checkpoints are cast in no view, which is written as view 0.
    error CheckpointInView(uint64 view_);
    /// @notice The vote for this hash is not signed by the validator: forged, malformed, or of another slot or network.
    error NotSignedBy(address validator, bytes32 hash);

    /// @inheritdoc IResultRegistry
    /// @dev The slot is stated once, so both signatures are checked over the same one.
    function reportEvidence(Evidence calldata evidence) external {
        address[] memory set = validatorsOf(evidence.epoch);
        if (evidence.validator >= set.length) revert UnknownValidator(evidence.validator);
        address validator = set[evidence.validator];
        if (isBarred[validator]) revert AlreadyBarred(validator);
        if (evidence.firstHash >= evidence.secondHash) {
            revert NoContradiction(evidence.firstHash, evidence.secondHash);
        }
        if (evidence.kind == VoteKind.Checkpoint && evidence.view_ != 0) revert CheckpointInView(evidence.view_);
        _checkVote(evidence, validator, evidence.firstHash, evidence.firstSignature);
        _checkVote(evidence, validator, evidence.secondHash, evidence.secondSignature);

        isBarred[validator] = true;
        ++barredCount;
        emit ValidatorBarred(validator, evidence.id());
    }

    /// @notice The validators of an epoch that is or has been, in ascending order of address.
    function validatorsOf(uint64 epoch_) public view virtual returns (address[] memory);

    /// @notice The EIP-712 domain separator of the votes.
    function domainSeparator() public view virtual returns (bytes32);

    function _checkVote(Evidence calldata evidence, address validator, bytes32 hash, bytes memory signature)
        private
        view
    {
        (address signer, ECDSA.RecoverError failure,) =
            ECDSA.tryRecover(evidence.voteDigest(domainSeparator(), hash), signature);
        if (failure != ECDSA.RecoverError.NoError || signer != validator) revert NotSignedBy(validator, hash);
    }
}
