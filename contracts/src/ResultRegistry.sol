// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Evidence, Formats, Header, VoteKind} from "./Formats.sol";
import {ValidatorSet} from "./ValidatorSet.sol";

/// @title Finality of one network's blocks, as its validators' commit votes prove it
/// @notice Anyone may post a header together with its commit certificate: the votes that finalized the block on the L1
/// are the signatures that are checked here. A registry serves one network and one validator set; a new set gets a
/// new registry with the next epoch. Heights may be posted in any order and with gaps.
///
/// Anyone may also post the proof that a validator contradicted itself. The registry then bars that validator for good,
/// and who pays for results asks it. A barred validator's votes still count: a quorum already allows for faulty ones.
contract ResultRegistry {
    using Formats for Evidence;
    using Formats for Header;

    /// @notice Below four validators, none may be faulty.
    uint256 public constant MIN_VALIDATORS = 4;
    /// @notice More than these would make a certificate too dear to check one signature at a time.
    uint256 public constant MAX_VALIDATORS = 255;

    uint256 private constant SIGNATURE_LENGTH = 65;

    /// @notice Hash of the network's genesis.
    bytes32 public immutable networkId;
    /// @notice Number of the validator set.
    uint64 public immutable epoch;
    /// @notice Distinct commit votes that a certificate needs.
    uint256 public immutable quorum;
    address private immutable _validators;

    /// @notice The greatest height finalized here.
    uint64 public latestHeight;
    /// @notice Hash of the block finalized at a height, or zero.
    mapping(uint64 height => bytes32 blockHash) public finalizedHash;
    /// @notice Whether a validator is proven to have contradicted itself.
    mapping(address validator => bool) public isBarred;

    /// @notice A block is final.
    event Finalized(uint64 indexed height, bytes32 indexed blockHash, uint64 view_);
    /// @notice A validator is proven to have contradicted itself.
    event ValidatorBarred(address indexed validator, bytes32 evidence);

    /// @notice There are too few or too many validators.
    error InvalidValidatorCount(uint256 count);
    /// @notice The validators are not in strictly ascending order of address, or the first one is zero.
    error ValidatorsNotAscending(uint256 index);
    /// @notice The header belongs to another network.
    error WrongNetwork(bytes32 expected, bytes32 given);
    /// @notice The header settles on another chain.
    error WrongChain(uint256 expected, uint256 given);
    /// @notice The header is for another validator set.
    error WrongEpoch(uint64 expected, uint64 given);
    /// @notice Blocks count from 1.
    error ZeroHeight();
    /// @notice This very block is final already.
    error AlreadyFinalized(uint64 height);
    /// @notice Another block is final at this height.
    error ConflictingHeader(uint64 height, bytes32 stored, bytes32 given);
    /// @notice The signatures are not a whole number of 65-byte signatures.
    error InvalidSignaturesLength(uint256 length);
    /// @notice There are too few signatures.
    error BelowQuorum(uint256 have, uint256 need);
    /// @notice The signature at this index is malformed, malleable (high s), or recovers to nobody.
    error InvalidSignature(uint256 index);
    /// @notice The signer at this index does not follow the one before it: out of order, or there twice.
    error SignersNotAscending(uint256 index);
    /// @notice The signer is no validator. A signature over anything but this commit vote ends here, too.
    error UnknownSigner(address signer);
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

    /// @param networkId_ Hash of the network's genesis.
    /// @param epoch_ Number of the validator set.
    /// @param validators_ 4 to 255 validators in strictly ascending order of address, none of them zero.
    constructor(bytes32 networkId_, uint64 epoch_, address[] memory validators_) {
        uint256 n = validators_.length;
        if (n < MIN_VALIDATORS || n > MAX_VALIDATORS) revert InvalidValidatorCount(n);
        address previous;
        for (uint256 i; i < n; ++i) {
            if (validators_[i] <= previous) revert ValidatorsNotAscending(i);
            previous = validators_[i];
        }

        networkId = networkId_;
        epoch = epoch_;
        _validators = address(new ValidatorSet(validators_));
        // With at most f faulty validators, any two quorums of ⌈(n + f + 1) / 2⌉ share an honest one.
        uint256 f = (n - 1) / 3;
        quorum = (n + f + 2) / 2;
    }

    /// @notice Finalizes a block.
    /// @param header The block's header.
    /// @param view_ The view of the commit votes.
    /// @param signatures At least {quorum} commit votes of 65 bytes each (r, s, v), in strictly ascending order of signer.
    function finalize(Header calldata header, uint64 view_, bytes calldata signatures) external {
        if (header.networkId != networkId) revert WrongNetwork(networkId, header.networkId);
        if (header.chainId != block.chainid) revert WrongChain(block.chainid, header.chainId);
        if (header.epoch != epoch) revert WrongEpoch(epoch, header.epoch);

        uint64 height = header.height;
        if (height == 0) revert ZeroHeight();
        bytes32 blockHash = header.hash();
        bytes32 stored = finalizedHash[height];
        if (stored == blockHash) revert AlreadyFinalized(height);
        if (stored != 0) revert ConflictingHeader(height, stored, blockHash);

        _checkCertificate(Formats.commitDigest(domainSeparator(), epoch, view_, height, blockHash), signatures);

        finalizedHash[height] = blockHash;
        if (height > latestHeight) latestHeight = height;
        emit Finalized(height, blockHash, view_);
    }

    /// @notice Bars a validator that signed two votes of one kind, epoch, view and height for different hashes.
    /// @dev The slot is stated once, so both signatures are checked over the same one.
    /// @param evidence The votes.
    function reportEvidence(Evidence calldata evidence) external {
        if (evidence.epoch != epoch) revert WrongEpoch(epoch, evidence.epoch);
        address[] memory set = validators();
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
        emit ValidatorBarred(validator, evidence.id());
    }

    /// @notice Whether this block is final. False for the zero hash, at every height.
    function isFinalized(uint64 height, bytes32 blockHash) external view returns (bool) {
        return blockHash != 0 && finalizedHash[height] == blockHash;
    }

    /// @notice The validators in ascending order of address.
    function validators() public view returns (address[] memory) {
        return abi.decode(_validators.code, (address[]));
    }

    /// @notice Whether an account is one of the validators.
    function isValidator(address account) external view returns (bool) {
        address[] memory set = validators();
        for (uint256 i; i < set.length; ++i) {
            if (set[i] == account) return true;
        }
        return false;
    }

    /// @notice The EIP-712 domain separator of the votes.
    /// @dev Computed anew each time. It costs some hundred gas, a small part of one signature check, and it stays
    /// right when the chain forks and one side takes a new chain id.
    function domainSeparator() public view returns (bytes32) {
        return Formats.domainSeparator(networkId, block.chainid);
    }

    /// @dev Takes the signature to memory: a second caller of the calldata variant would keep it from being inlined
    /// where a certificate is checked, which costs gas for each signature there.
    function _checkVote(Evidence calldata evidence, address validator, bytes32 hash, bytes memory signature)
        private
        view
    {
        (address signer, ECDSA.RecoverError failure,) =
            ECDSA.tryRecover(evidence.voteDigest(domainSeparator(), hash), signature);
        if (failure != ECDSA.RecoverError.NoError || signer != validator) revert NotSignedBy(validator, hash);
    }

    /// @dev Signers and validators both ascend, so one pass over both lists checks membership and distinctness.
    function _checkCertificate(bytes32 digest, bytes calldata signatures) private view {
        if (signatures.length % SIGNATURE_LENGTH != 0) revert InvalidSignaturesLength(signatures.length);
        uint256 count = signatures.length / SIGNATURE_LENGTH;
        if (count < quorum) revert BelowQuorum(count, quorum);

        address[] memory set = validators();
        uint256 next;
        address previous;
        for (uint256 i; i < count; ++i) {
            uint256 start = i * SIGNATURE_LENGTH;
            (address signer, ECDSA.RecoverError failure,) =
                ECDSA.tryRecoverCalldata(digest, signatures[start:start + SIGNATURE_LENGTH]);
            if (failure != ECDSA.RecoverError.NoError) revert InvalidSignature(i);
            if (signer <= previous) revert SignersNotAscending(i);
            previous = signer;
            while (next < set.length && set[next] < signer) ++next;
            if (next == set.length || set[next] != signer) revert UnknownSigner(signer);
        }
    }
}
