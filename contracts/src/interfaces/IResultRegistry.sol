// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Evidence, Header} from "../formats/Types.sol";

/// @title What one network's validators have certified
/// @notice See {ResultRegistry} for what is final and certified, and {Validators} for who says so.
interface IResultRegistry {
    /// @notice Finalizes a block.
    /// @param header The block's header.
    /// @param view_ The view of the commit votes.
    /// @param certificate Commit votes of the current validators.
    function finalize(Header calldata header, uint64 view_, bytes calldata certificate) external;

    /// @notice Certifies a distribution that is later than the latest one.
    /// @param number The distribution's number.
    /// @param hash The distribution's hash.
    /// @param certificate Signatures of the current validators over both.
    function certify(uint32 number, bytes32 hash, bytes calldata certificate) external;

    /// @notice Hands over to the next epoch's validators.
    /// @param next 4 to 255 validators in strictly ascending order of address, none of them zero.
    /// @param certificate Signatures of the current validators over the rotation.
    function rotate(address[] calldata next, bytes calldata certificate) external;

    /// @notice Bars a validator that signed two votes of one kind, epoch, view and height for different hashes.
    /// @param evidence The votes.
    function reportEvidence(Evidence calldata evidence) external;

    /// @notice Registers the caller's key for good, as a validator of this or of a later epoch.
    /// @param key A point of G2.
    /// @param proof A point of G1: the signature by the key of its account and itself, see docs/reference/formats.md.
    function registerKey(bytes calldata key, bytes calldata proof) external;

    /// @notice Publishes the keys of current validators, with which they can sign together in this epoch.
    /// @param keyed Whose keys these are: bit i for the validator at place i. More than are published so far.
    /// @param keys Their registered keys of 256 bytes each, in the order of their places.
    function publishKeys(uint256 keyed, bytes calldata keys) external;

    /// @notice Whether this block is final. False for the zero hash, at every height.
    function isFinalized(uint64 height, bytes32 blockHash) external view returns (bool);

    /// @notice Hash of the block finalized at a height, or zero.
    function finalizedHash(uint64 height) external view returns (bytes32 blockHash);

    /// @notice The greatest height finalized here.
    function latestHeight() external view returns (uint64);

    /// @notice Whether this is the latest certified distribution.
    function isCertified(uint32 number, bytes32 hash) external view returns (bool);

    /// @notice Number of the latest certified distribution.
    function distributionNumber() external view returns (uint32);

    /// @notice Hash of the latest certified distribution.
    function distributionHash() external view returns (bytes32);

    /// @notice Hash of the network's genesis.
    function networkId() external view returns (bytes32);

    /// @notice Number of the validator set.
    function epoch() external view returns (uint64);

    /// @notice The current validators in ascending order of address.
    function validators() external view returns (address[] memory);

    /// @notice The validators of an epoch that is or has been, in ascending order of address.
    function validatorsOf(uint64 epoch_) external view returns (address[] memory);

    /// @notice Whether an account is one of the current validators.
    function isValidator(address account) external view returns (bool);

    /// @notice Distinct signatures that a certificate needs.
    function quorum() external view returns (uint256);

    /// @notice Whether a validator is proven to have contradicted itself.
    function isBarred(address validator) external view returns (bool);

    /// @notice How many validators are barred.
    function barredCount() external view returns (uint256);

    /// @notice Hash of an account's key, or zero.
    function keyHashOf(address account) external view returns (bytes32);

    /// @notice Who of an epoch's validators has a published key: bit i for the one at place i.
    function keyedOf(uint64 epoch_) external view returns (uint256 keyed);

    /// @notice The EIP-712 domain separator of the votes.
    function domainSeparator() external view returns (bytes32);
}
