// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.31;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Formats} from "../formats/Formats.sol";
import {Evidence, Slot, VoteKind} from "../formats/Types.sol";
import {IResultRegistry} from "../interfaces/IResultRegistry.sol";
import {Stakes} from "./Stakes.sol";

/// @title Who is barred, because it contradicted itself
/// @notice Anyone may post the proof that a validator contradicted itself, in the current epoch or in one that has not ended for
/// long. The validator is then barred for good, in every epoch, and what it has at stake is taken. Who pays for results asks
/// whether it is barred, and no further set may have it. Its signatures still count until then: a quorum already allows for
/// faulty ones.
///
/// One validator's two votes for different hashes in one slot are evidence, and so is a commit in a view that the validator has
/// given up (Chan & Pass, TCC 2023, eprint 2023/463, section 3: whoever finalizes in a view has not skipped it). And so are two certificates for one slot, of however few: by ECDSA signatures, by
/// aggregates, or one by these and one by that. All who have signed both are barred.
abstract contract Barring is Stakes {
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
    /// @notice The two hashes are equal, which is no contradiction, or not in ascending order; or the first is not that of a view
    /// which was given up, and the slot says so.
    error NoContradiction(bytes32 firstHash, bytes32 secondHash);
    /// @notice Checkpoints, rotations and distributions are cast in no view, which is written as view 0.
    error CheckpointInView(uint64 view_);
    /// @notice Rotations and notarizations are for no height, and distributions have numbers of 32 bits.
    error InvalidSlot(uint64 height);
    /// @notice Nobody has signed both, or only who is barred already.
    error NobodyToBar();
    /// @notice The epoch has ended too long ago for evidence of it.
    error EvidenceExpired(uint64 epoch);
    /// @notice The vote for this hash is not signed by the validator: forged, malformed, or of another slot or network.
    error NotSignedBy(address validator, bytes32 hash);

    /// @inheritdoc IResultRegistry
    /// @dev The slot is stated once, so both signatures are checked over the same one.
    function reportEvidence(Evidence calldata evidence) external {
        address[] memory set = _accusable(evidence.epoch);
        if (evidence.validator >= set.length) revert UnknownValidator(evidence.validator);
        address validator = set[evidence.validator];
        if (isBarred[validator]) revert AlreadyBarred(validator);
        Slot memory slot = Slot(evidence.kind, evidence.epoch, evidence.view_, evidence.height);
        _checkSlot(slot, evidence.firstHash, evidence.secondHash);
        _checkVote(evidence, validator, evidence.firstHash, evidence.firstSignature);
        _checkVote(evidence, validator, evidence.secondHash, evidence.secondSignature);
        _bar(validator, evidence.id());
    }

    /// @inheritdoc IResultRegistry
    function reportCertificates(
        Slot calldata slot,
        bytes32 firstHash,
        bytes32 secondHash,
        bytes calldata firstCertificate,
        bytes calldata secondCertificate
    ) external {
        address[] memory set = _accusable(slot.epoch);
        _checkSlot(slot, firstHash, secondHash);
        bytes32 separator = domainSeparator();
        uint256 both = _signersOf(slot.epoch, set, Formats.slotDigest(slot, separator, firstHash), firstCertificate);
        both &= _signersOf(slot.epoch, set, Formats.slotDigest(slot, separator, secondHash), secondCertificate);
        bytes32 evidence = Formats.id(slot, firstHash, secondHash);
        bool anyBarred;
        for (uint256 i; i < set.length; ++i) {
            if ((both >> i) & 1 == 0 || isBarred[set[i]]) continue;
            _bar(set[i], evidence);
            anyBarred = true;
        }
        if (!anyBarred) revert NobodyToBar();
    }

    /// @notice The validators of an epoch that is or has been, in ascending order of address.
    function validatorsOf(uint64 epoch_) public view virtual returns (address[] memory);

    /// @notice The EIP-712 domain separator of the votes.
    function domainSeparator() public view virtual returns (bytes32);

    /// @dev The validators of an epoch of which evidence is taken still.
    function _accusable(uint64 epoch_) internal view virtual returns (address[] memory set);

    /// @dev Which of a set have signed, one bit each. However few they are.
    function _signersOf(uint64 epoch_, address[] memory set, bytes32 digest, bytes calldata certificate)
        internal
        view
        virtual
        returns (uint256 signers);

    function _bar(address validator, bytes32 evidence) private {
        isBarred[validator] = true;
        ++barredCount;
        emit ValidatorBarred(validator, evidence);
        _takeStake(validator, evidence);
    }

    function _checkSlot(Slot memory slot, bytes32 firstHash, bytes32 secondHash) private pure {
        VoteKind kind = slot.kind;
        if (firstHash >= secondHash || (kind == VoteKind.Nullify && firstHash != 0)) {
            revert NoContradiction(firstHash, secondHash);
        }
        bool hasView = kind < VoteKind.Checkpoint || kind > VoteKind.Distribution;
        if (!hasView && slot.view_ != 0) revert CheckpointInView(slot.view_);
        bool isOff = (kind == VoteKind.Rotation || kind == VoteKind.Notarize) && slot.height != 0;
        if (isOff || (kind == VoteKind.Distribution && slot.height > type(uint32).max)) {
            revert InvalidSlot(slot.height);
        }
    }

    function _checkVote(Evidence calldata evidence, address validator, bytes32 hash, bytes memory signature)
        private
        view
    {
        (address signer, ECDSA.RecoverError failure,) =
            ECDSA.tryRecover(evidence.voteDigest(domainSeparator(), hash), signature);
        if (failure != ECDSA.RecoverError.NoError || signer != validator) revert NotSignedBy(validator, hash);
    }
}
