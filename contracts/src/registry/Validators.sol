// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.31;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {BlsKeys} from "../bls/BlsKeys.sol";
import {Evidence, Formats, VoteKind} from "../formats/Formats.sol";
import {ValidatorSet} from "./ValidatorSet.sol";

/// @title The validators of one network, from epoch to epoch, and what they certify
/// @notice A certificate is made of signatures of distinct current validators, a quorum at least, over one message of
/// the network, this chain and the current epoch: either ECDSA signatures of 65 bytes each (r, s, v), in strictly
/// ascending order of signer, or who signed, in 32 bytes of which bit i is the validator at place i, and one aggregate
/// BLS signature. The first set is given at deployment; each one names the next by its
/// own certificate, and certifies nothing any more once the next has taken over.
///
/// Anyone may post the proof that a validator contradicted itself, in the current epoch or in one before. The validator
/// is then barred for good, in every epoch, and who pays for results asks for that. A barred validator's signatures
/// still count: a quorum already allows for faulty ones.
abstract contract Validators is BlsKeys {
    using Formats for Evidence;

    /// @notice Below four validators, none may be faulty.
    uint256 public constant MIN_VALIDATORS = 4;
    /// @notice More than these would make a certificate too dear to check one signature at a time.
    uint256 public constant MAX_VALIDATORS = 255;

    uint256 private constant SIGNATURE_LENGTH = 65;

    /// @notice Hash of the network's genesis.
    bytes32 public immutable networkId;

    /// @notice Whether a validator is proven to have contradicted itself.
    mapping(address validator => bool) public isBarred;
    mapping(uint64 epoch => address set) private _pastSets;
    /// @notice How many validators are barred.
    uint256 public barredCount;
    address private _set;
    /// @notice Number of the validator set.
    uint64 public epoch;

    /// @notice A new validator set has taken over.
    event Rotated(uint64 indexed epoch, bytes32 validatorsHash);
    /// @notice A validator is proven to have contradicted itself.
    event ValidatorBarred(address indexed validator, bytes32 evidence);

    /// @notice There are too few or too many validators.
    error InvalidValidatorCount(uint256 count);
    /// @notice The validators are not in strictly ascending order of address, or the first one is zero.
    error ValidatorsNotAscending(uint256 index);
    /// @notice The header or the evidence is for another validator set.
    error WrongEpoch(uint64 expected, uint64 given);
    /// @notice The signatures are not a whole number of 65-byte signatures.
    error InvalidSignaturesLength(uint256 length);
    /// @notice There are too few signatures.
    error BelowQuorum(uint256 have, uint256 need);
    /// @notice The signature at this index is malformed, malleable (high s), or recovers to nobody.
    error InvalidSignature(uint256 index);
    /// @notice The signer at this index does not follow the one before it: out of order, or there twice.
    error SignersNotAscending(uint256 index);
    /// @notice The signer is no validator. A signature over anything but this message ends here, too.
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

    constructor(bytes32 networkId_, uint64 epoch_, address[] memory validators_) {
        networkId = networkId_;
        epoch = epoch_;
        _set = _deploySet(validators_);
    }

    /// @notice Hands over to the next epoch's validators.
    /// @param next 4 to 255 validators in strictly ascending order of address, none of them zero.
    /// @param certificate Signatures of the current validators over the rotation.
    function rotate(address[] calldata next, bytes calldata certificate) external {
        uint64 last = epoch;
        _checkCertificate(Formats.rotationDigest(domainSeparator(), last, next), certificate);

        _pastSets[last] = _set;
        epoch = last + 1;
        _set = _deploySet(next);
        emit Rotated(last + 1, keccak256(abi.encodePacked(next)));
    }

    /// @notice Bars a validator that signed two votes of one kind, epoch, view and height for different hashes.
    /// @dev The slot is stated once, so both signatures are checked over the same one.
    /// @param evidence The votes.
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

    /// @notice Publishes the keys of current validators, with which they can sign together in this epoch.
    /// @param keyed Whose keys these are: bit i for the validator at place i. More than are published so far.
    /// @param keys Their registered keys of 256 bytes each, in the order of their places.
    function publishKeys(uint256 keyed, bytes calldata keys) external {
        _publishKeys(epoch, validators(), keyed, keys);
    }

    /// @notice Whether an account is one of the current validators.
    function isValidator(address account) external view returns (bool) {
        address[] memory set = validators();
        for (uint256 i; i < set.length; ++i) {
            if (set[i] == account) return true;
        }
        return false;
    }

    /// @notice Distinct signatures that a certificate needs.
    function quorum() external view returns (uint256) {
        return _quorum(validators().length);
    }

    /// @notice The current validators in ascending order of address.
    function validators() public view returns (address[] memory) {
        return _members(_set);
    }

    /// @notice The validators of an epoch that is or has been, in ascending order of address.
    function validatorsOf(uint64 epoch_) public view returns (address[] memory) {
        if (epoch_ == epoch) return validators();
        address set = _pastSets[epoch_];
        if (set == address(0)) revert WrongEpoch(epoch, epoch_);
        return _members(set);
    }

    /// @notice The EIP-712 domain separator of the votes.
    /// @dev Computed anew each time. It costs some hundred gas, a small part of one signature check, and it stays
    /// right when the chain forks and one side takes a new chain id.
    function domainSeparator() public view override returns (bytes32) {
        return Formats.domainSeparator(networkId, block.chainid);
    }

    function _checkCertificate(bytes32 digest, bytes calldata certificate) internal view {
        address[] memory set = validators();
        uint256 need = _quorum(set.length);
        if (certificate.length != AGGREGATE_LENGTH) return _checkSignatures(digest, certificate, set, need);
        uint256 signers = uint256(bytes32(certificate));
        uint256 count = _countBits(signers);
        if (count < need) revert BelowQuorum(count, need);
        _checkAggregate(epoch, digest, signers, certificate[0x20:]);
    }

    /// @dev Signers and validators both ascend, so one pass over both lists checks membership and distinctness.
    function _checkSignatures(bytes32 digest, bytes calldata signatures, address[] memory set, uint256 need)
        private
        pure
    {
        if (signatures.length % SIGNATURE_LENGTH != 0) revert InvalidSignaturesLength(signatures.length);
        uint256 count = signatures.length / SIGNATURE_LENGTH;
        if (count < need) revert BelowQuorum(count, need);

        uint256 next;
        address member;
        address previous;
        for (uint256 i; i < count; ++i) {
            address signer = _recover(digest, signatures, i);
            if (signer == address(0)) revert InvalidSignature(i);
            if (signer <= previous) revert SignersNotAscending(i);
            previous = signer;
            while (member < signer && next < set.length) member = _at(set, next++);
            if (member != signer) revert UnknownSigner(signer);
        }
    }

    /// @dev An item of an array without the check of the index, which would cost as much again for every validator.
    function _at(address[] memory list, uint256 index) private pure returns (address item) {
        assembly ("memory-safe") {
            item := mload(add(add(list, 0x20), shl(5, index)))
        }
    }

    /// @dev With at most f faulty validators, any two quorums of ⌈(n + f + 1) / 2⌉ share an honest one. There are 4 to
    /// 255 validators, so nothing overflows.
    function _quorum(uint256 n) private pure returns (uint256) {
        unchecked {
            uint256 f = (n - 1) / 3;
            return (n + f + 2) / 2;
        }
    }

    function _deploySet(address[] memory set) private returns (address) {
        uint256 n = set.length;
        if (n < MIN_VALIDATORS || n > MAX_VALIDATORS) revert InvalidValidatorCount(n);
        address previous;
        for (uint256 i; i < n; ++i) {
            if (set[i] <= previous) revert ValidatorsNotAscending(i);
            previous = set[i];
        }
        return address(new ValidatorSet(set));
    }

    /// @dev The code is an offset and then, word for word, what memory holds of an array.
    function _members(address set) private view returns (address[] memory members) {
        assembly ("memory-safe") {
            members := mload(0x40)
            let size := sub(extcodesize(set), 0x20)
            extcodecopy(set, members, 0x20, size)
            mstore(0x40, add(members, size))
        }
    }

    /// @dev Zero for what is not a signature of anybody.
    function _recover(bytes32 digest, bytes calldata signatures, uint256 index) private pure returns (address signer) {
        bytes32 r;
        bytes32 s;
        uint8 v;
        assembly ("memory-safe") {
            let start := add(signatures.offset, mul(index, SIGNATURE_LENGTH))
            r := calldataload(start)
            s := calldataload(add(start, 0x20))
            v := byte(0, calldataload(add(start, 0x40)))
        }
        (signer,,) = ECDSA.tryRecover(digest, v, r, s);
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
