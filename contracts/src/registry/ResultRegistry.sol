// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.31;

import {Formats} from "../formats/Formats.sol";
import {Header} from "../formats/Types.sol";
import {IResultRegistry, RegistryTerms} from "../interfaces/IResultRegistry.sol";
import {Guard} from "./Guard.sol";
import {Stakes} from "./Stakes.sol";
import {Validators} from "./Validators.sol";

/// @title What one network's validators have certified
/// @notice Anyone may post a header together with its commit certificate: the votes that finalized the block on the L1
/// are the signatures that are checked here. Heights may be posted in any order and with gaps, in the epoch in which
/// their blocks were made and some days longer. What is final stays final, unless both locks retract it.
///
/// Anyone may also post a certified distribution of rewards. Only the latest is kept: each one holds all that was earned
/// before, so one slot serves for all of them.
contract ResultRegistry is Guard {
    using Formats for Header;

    /// @inheritdoc IResultRegistry
    bytes32 public distributionHash;
    /// @notice Numbers of distributions that may be left out at once. More would let a stolen quorum use all of them up.
    uint32 public constant MAX_SKIPPED = 255;
    /// @inheritdoc IResultRegistry
    mapping(uint64 height => bytes32 blockHash) public finalizedHash;

    /// @notice A block is final.
    event Finalized(uint64 indexed height, bytes32 indexed blockHash, uint64 view_);
    /// @notice A block that was final is not any more.
    event Retracted(uint64 indexed height, bytes32 blockHash);
    /// @notice A distribution is certified.
    event Certified(uint32 indexed number, bytes32 indexed distributionHash);

    /// @notice The header belongs to another network.
    error WrongNetwork(bytes32 expected, bytes32 given);
    /// @notice The header settles on another chain.
    error WrongChain(uint256 expected, uint256 given);
    /// @notice Blocks count from 1.
    error ZeroHeight();
    /// @notice This very block is final already.
    error AlreadyFinalized(uint64 height);
    /// @notice Another block is final at this height.
    error ConflictingHeader(uint64 height, bytes32 stored, bytes32 given);
    /// @notice A distribution at least as late is certified.
    error StaleDistribution(uint32 current, uint32 given);
    /// @notice Too many numbers lie between this distribution and the latest.
    error SkippedDistributions(uint32 current, uint32 given);

    /// @param networkId_ Hash of the network's genesis.
    /// @param epoch_ Number of the first validator set.
    /// @param validators_ 4 to 255 validators in strictly ascending order of address, none of them zero.
    /// @param terms Who guards the validators, and what they put at stake.
    constructor(bytes32 networkId_, uint64 epoch_, address[] memory validators_, RegistryTerms memory terms)
        Stakes(terms.stakeToken, terms.stake)
        Validators(networkId_, epoch_, validators_)
        Guard(terms.guardian)
    {}

    /// @inheritdoc IResultRegistry
    function finalize(Header calldata header, uint64 view_, bytes calldata certificate) external {
        if (header.networkId != networkId) revert WrongNetwork(networkId, header.networkId);
        if (header.chainId != block.chainid) revert WrongChain(block.chainid, header.chainId);
        Head memory head = _head;
        _checkLock(head);
        address[] memory voters = _voters(header.epoch);

        uint64 height = header.height;
        if (height == 0) revert ZeroHeight();
        bytes32 blockHash = header.hash();
        bytes32 stored = finalizedHash[height];
        if (stored == blockHash) revert AlreadyFinalized(height);
        if (stored != 0) revert ConflictingHeader(height, stored, blockHash);

        bytes32 digest = Formats.commitDigest(domainSeparator(), header.epoch, view_, height, blockHash);
        _checkCertificate(header.epoch, voters, _quorumOf(voters), digest, certificate);

        finalizedHash[height] = blockHash;
        if (height > head.latestHeight) {
            (head.latestHeight, head.secondHeight) = (height, head.latestHeight);
        } else if (height > head.secondHeight) {
            head.secondHeight = height;
        }
        unchecked {
            ++head.signs;
        }
        _head = head;
        emit Finalized(height, blockHash, view_);
    }

    /// @inheritdoc IResultRegistry
    function certify(uint32 number, bytes32 hash, bytes calldata certificate) external {
        _checkLock();
        uint32 current = distributionNumber;
        if (number <= current) revert StaleDistribution(current, number);
        if (number - current > MAX_SKIPPED + 1) revert SkippedDistributions(current, number);
        _checkCertificate(Formats.distributionDigest(domainSeparator(), epoch, number, hash), certificate);

        distributionNumber = number;
        distributionHash = hash;
        emit Certified(number, hash);
    }

    /// @inheritdoc IResultRegistry
    /// @dev The greatest height goes back to the one below, if that is known: of two in a row it is not, before another block is
    /// final above them.
    function retract(uint64 height) external onlyGuardian {
        _useResolution(Formats.action("retract", address(this), height));
        bytes32 blockHash = finalizedHash[height];
        emit Retracted(height, blockHash);
        delete finalizedHash[height];
        Head memory head = _head;
        if (blockHash == 0 || head.secondHeight == UNKNOWN || height < head.secondHeight) return;
        if (height == head.latestHeight) head.latestHeight = head.secondHeight;
        head.secondHeight = UNKNOWN;
        _head = head;
    }

    /// @inheritdoc IResultRegistry
    function latestHeight() external view returns (uint64) {
        return _head.latestHeight;
    }

    /// @inheritdoc IResultRegistry
    function isFinalized(uint64 height, bytes32 blockHash) external view returns (bool) {
        return blockHash != 0 && finalizedHash[height] == blockHash;
    }

    /// @inheritdoc IResultRegistry
    function isCertified(uint32 number, bytes32 hash) external view returns (bool) {
        return number != 0 && number == distributionNumber && hash == distributionHash;
    }
}
