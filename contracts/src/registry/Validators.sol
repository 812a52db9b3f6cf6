// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.31;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {BlsKeys} from "../bls/BlsKeys.sol";
import {Formats} from "../formats/Formats.sol";
import {IResultRegistry} from "../interfaces/IResultRegistry.sol";
import {Barring} from "./Barring.sol";
import {ValidatorSet} from "./ValidatorSet.sol";

/// @title The validators of one network, from epoch to epoch, and what they certify
/// @notice A certificate is made of signatures of distinct current validators, a quorum at least, over one message of
/// the network, this chain and the current epoch: either ECDSA signatures of 65 bytes each (r, s, v), in strictly
/// ascending order of signer, or who signed, in 32 bytes of which bit i is the validator at place i, and one aggregate
/// BLS signature. The first set is given at deployment; each one names the next by its own certificate, and certifies
/// nothing any more once the next has taken over, but blocks of its own epoch for {GRACE}: what its validators have earned by
/// then is not lost for having been posted late.
abstract contract Validators is BlsKeys, Barring {
    /// @notice Below four validators, none may be faulty.
    uint256 public constant MIN_VALIDATORS = 4;
    /// @notice More than these would make a certificate too dear to check one signature at a time.
    uint256 public constant MAX_VALIDATORS = 255;

    /// @notice For so long after an epoch its blocks can be finalized.
    uint64 public constant GRACE = 3 days;

    uint256 private constant SIGNATURE_LENGTH = 65;

    /// @dev A set that was, since when it is not any more, and until when its blocks are taken.
    struct Past {
        address set;
        uint40 endedAt;
        uint40 graceUntil;
    }

    /// @inheritdoc IResultRegistry
    bytes32 public immutable networkId;

    mapping(uint64 epoch => Past) private _past;
    address private _set;
    /// @inheritdoc IResultRegistry
    uint64 public epoch;
    /// @inheritdoc IResultRegistry
    /// @dev It shares a slot with the validator set, which every certificate reads.
    uint32 public distributionNumber;

    /// @notice A new validator set has taken over.
    event Rotated(uint64 indexed epoch, bytes32 validatorsHash);

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
    /// @notice A validator that contradicted itself cannot be one of the next set.
    error ValidatorIsBarred(address validator);

    constructor(bytes32 networkId_, uint64 epoch_, address[] memory validators_) {
        networkId = networkId_;
        epoch = epoch_;
        _set = _deploySet(validators_);
    }

    /// @inheritdoc IResultRegistry
    function rotate(address[] calldata next, bytes calldata certificate) external {
        _checkLock();
        _checkCertificate(Formats.rotationDigest(domainSeparator(), epoch, next), certificate);
        for (uint256 i; i < next.length; ++i) {
            if (barredCount != 0 && isBarred[next[i]]) revert ValidatorIsBarred(next[i]);
            _bindStake(next[i]);
        }
        _handOver(next, true);
    }

    /// @inheritdoc IResultRegistry
    function publishKeys(uint256 keyed, bytes calldata keys) external {
        _publishKeys(epoch, validators(), keyed, keys);
    }

    /// @inheritdoc IResultRegistry
    function isValidator(address account) external view returns (bool) {
        return _isMember(account);
    }

    /// @inheritdoc IResultRegistry
    function isRecentValidator(address account) external view returns (bool) {
        if (_isMember(account)) return true;
        unchecked {
            address set = _past[epoch - 1].set;
            return set != address(0) && _isIn(_members(set), account);
        }
    }

    /// @inheritdoc IResultRegistry
    function quorum() external view returns (uint256) {
        return _quorum(validators().length);
    }

    /// @inheritdoc IResultRegistry
    function validators() public view returns (address[] memory) {
        return _members(_set);
    }

    /// @inheritdoc IResultRegistry
    function validatorsOf(uint64 epoch_) public view override(IResultRegistry, Barring) returns (address[] memory) {
        if (epoch_ == epoch) return validators();
        address set = _past[epoch_].set;
        if (set == address(0)) revert WrongEpoch(epoch, epoch_);
        return _members(set);
    }

    /// @inheritdoc IResultRegistry
    /// @dev Computed anew each time. It costs some hundred gas, a small part of one signature check, and it stays
    /// right when the chain forks and one side takes a new chain id.
    function domainSeparator() public view override(BlsKeys, Barring) returns (bytes32) {
        return Formats.domainSeparator(networkId, block.chainid);
    }

    /// @dev Reverts unless what validators certify is taken at present.
    function _checkLock() internal view virtual;

    function _checkCertificate(bytes32 digest, bytes calldata certificate) internal view {
        address[] memory set = validators();
        _checkCertificate(epoch, set, _quorum(set.length), digest, certificate);
    }

    function _checkCertificate(
        uint64 epoch_,
        address[] memory set,
        uint256 need,
        bytes32 digest,
        bytes calldata certificate
    ) internal view {
        if (certificate.length != AGGREGATE_LENGTH) {
            return _checkSignatures(digest, certificate, set, need);
        }
        uint256 signers = uint256(bytes32(certificate));
        uint256 count = _countBits(signers);
        if (count < need) revert BelowQuorum(count, need);
        _checkAggregate(epoch_, digest, signers, certificate[0x20:]);
    }

    /// @dev The validators whose votes for a block are taken: the current ones, or for some days those before.
    function _voters(uint64 epoch_) internal view returns (address[] memory) {
        if (epoch_ == epoch) return validators();
        if (block.timestamp >= _past[epoch_].graceUntil) revert WrongEpoch(epoch, epoch_);
        return _members(_past[epoch_].set);
    }

    /// @dev When an epoch has ended; zero for what has not.
    function _endOf(uint64 epoch_) internal view returns (uint256) {
        return _past[epoch_].endedAt;
    }

    /// @dev The current epoch ends, with or without a grace for its blocks.
    function _handOver(address[] calldata next, bool isOrderly) internal {
        uint64 last = epoch;
        uint40 present = uint40(block.timestamp);
        _past[last] = Past(_set, present, isOrderly ? present + uint40(GRACE) : 0);
        epoch = last + 1;
        _set = _deploySet(next);
        emit Rotated(last + 1, keccak256(abi.encodePacked(next)));
    }

    function _isMember(address account) internal view override returns (bool) {
        return _isIn(validators(), account);
    }

    function _accusable(uint64 epoch_) internal view override returns (address[] memory set) {
        set = validatorsOf(epoch_);
        if (epoch_ != epoch && block.timestamp > _past[epoch_].endedAt + EVIDENCE_LIFE) revert EvidenceExpired(epoch_);
    }

    function _signersOf(uint64 epoch_, address[] memory set, bytes32 digest, bytes calldata certificate)
        internal
        view
        override
        returns (uint256 signers)
    {
        if (certificate.length == AGGREGATE_LENGTH) {
            signers = uint256(bytes32(certificate));
            _checkAggregate(epoch_, digest, signers, certificate[0x20:]);
            return signers;
        }
        if (certificate.length % SIGNATURE_LENGTH != 0) revert InvalidSignaturesLength(certificate.length);
        for (uint256 i; i * SIGNATURE_LENGTH < certificate.length; ++i) {
            address signer = _recover(digest, certificate, i);
            uint256 place;
            while (place < set.length && set[place] != signer) ++place;
            if (place == set.length) revert UnknownSigner(signer);
            signers |= 1 << place;
        }
    }

    function _isIn(address[] memory set, address account) private pure returns (bool) {
        for (uint256 i; i < set.length; ++i) {
            if (_at(set, i) == account) return true;
        }
        return false;
    }

    function _quorumOf(address[] memory set) internal pure returns (uint256) {
        return _quorum(set.length);
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
}
