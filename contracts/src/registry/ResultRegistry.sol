// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.31;

import {Formats} from "../formats/Formats.sol";
import {Header} from "../formats/Types.sol";
import {IResultRegistry} from "../interfaces/IResultRegistry.sol";
import {Validators} from "./Validators.sol";

/// @title What one network's validators have certified
/// @notice Anyone may post a header together with its commit certificate: the votes that finalized the block on the L1
/// are the signatures that are checked here. Heights may be posted in any order and with gaps, in the epoch in which
/// their blocks were made. What is final stays final.
///
/// Anyone may also post a certified distribution of rewards. Only the latest is kept: each one holds all that was earned
/// before, so one slot serves for all of them.
contract ResultRegistry is Validators {
    using Formats for Header;

    /// @inheritdoc IResultRegistry
    /// @dev It shares a slot with the validator set, which every certificate reads.
    uint32 public distributionNumber;
    /// @inheritdoc IResultRegistry
    bytes32 public distributionHash;
    /// @inheritdoc IResultRegistry
    uint64 public latestHeight;
    /// @inheritdoc IResultRegistry
    mapping(uint64 height => bytes32 blockHash) public finalizedHash;

    /// @notice A block is final.
    event Finalized(uint64 indexed height, bytes32 indexed blockHash, uint64 view_);
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

    /// @param networkId_ Hash of the network's genesis.
    /// @param epoch_ Number of the first validator set.
    /// @param validators_ 4 to 255 validators in strictly ascending order of address, none of them zero.
    constructor(bytes32 networkId_, uint64 epoch_, address[] memory validators_)
        Validators(networkId_, epoch_, validators_)
    {}

    /// @inheritdoc IResultRegistry
    function finalize(Header calldata header, uint64 view_, bytes calldata certificate) external {
        if (header.networkId != networkId) revert WrongNetwork(networkId, header.networkId);
        if (header.chainId != block.chainid) revert WrongChain(block.chainid, header.chainId);
        if (header.epoch != epoch) revert WrongEpoch(epoch, header.epoch);

        uint64 height = header.height;
        if (height == 0) revert ZeroHeight();
        bytes32 blockHash = header.hash();
        bytes32 stored = finalizedHash[height];
        if (stored == blockHash) revert AlreadyFinalized(height);
        if (stored != 0) revert ConflictingHeader(height, stored, blockHash);

        _checkCertificate(Formats.commitDigest(domainSeparator(), header.epoch, view_, height, blockHash), certificate);

        finalizedHash[height] = blockHash;
        if (height > latestHeight) latestHeight = height;
        emit Finalized(height, blockHash, view_);
    }

    /// @inheritdoc IResultRegistry
    function certify(uint32 number, bytes32 hash, bytes calldata certificate) external {
        if (number <= distributionNumber) revert StaleDistribution(distributionNumber, number);
        _checkCertificate(Formats.distributionDigest(domainSeparator(), epoch, number, hash), certificate);

        distributionNumber = number;
        distributionHash = hash;
        emit Certified(number, hash);
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
