// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

/// @notice The part of an L1 block that its validators sign and that contracts read.
/// @param networkId Hash of the network's genesis.
/// @param chainId The chain on which the network settles.
/// @param epoch Number of the validator set that signs.
/// @param height Position of the block; 1 for the first one after genesis.
/// @param timestamp Milliseconds since the Unix epoch, as the proposer states it.
/// @param proposer Validator that proposed the block.
/// @param parentHash Hash of the block before; the network id at height 1.
/// @param transactionsRoot Merkle root of the transaction hashes.
/// @param resultsRoot Merkle root of the results; zero when there are none.
struct Header {
    bytes32 networkId;
    uint64 chainId;
    uint64 epoch;
    uint64 height;
    uint64 timestamp;
    address proposer;
    bytes32 parentHash;
    bytes32 transactionsRoot;
    bytes32 resultsRoot;
}

/// @notice One piece of finished work and what it is worth.
/// @param id What is being paid for: the hash of the order. It is paid at most once.
/// @param payee Account that receives the reward.
/// @param amount Reward in wei.
/// @param digest Evidence: the hash of the winning claim.
struct Result {
    bytes32 id;
    address payee;
    uint256 amount;
    bytes32 digest;
}

/// @title Hashes of the structures that the L1 and the contracts share
/// @notice docs/formats.md defines them; the golden vectors beside the Rust implementation pin them.
library Formats {
    /// @notice Type of the network's EIP-712 domain. It names no contract, since votes exist before contracts do.
    bytes32 internal constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,bytes32 salt)");

    /// @notice Type of the vote that finalizes a block.
    bytes32 internal constant COMMIT_TYPEHASH =
        keccak256("Commit(uint64 epoch,uint64 view,uint64 height,bytes32 blockHash)");

    /// @notice The block hash of a header.
    function hash(Header calldata header) internal pure returns (bytes32) {
        return keccak256(abi.encode(header));
    }

    /// @notice The leaf of a result in the results tree. Hashed twice, so that no inner node can pass for a leaf.
    function leaf(Result calldata result) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(result))));
    }

    /// @notice The EIP-712 domain separator of a network that settles on the given chain.
    function domainSeparator(bytes32 networkId, uint256 chainId) internal pure returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, keccak256("DTN"), keccak256("1"), chainId, networkId));
    }

    /// @notice The digest that a validator signs to commit to a block.
    function commitDigest(bytes32 separator, uint64 epoch, uint64 view_, uint64 height, bytes32 blockHash)
        internal
        pure
        returns (bytes32)
    {
        bytes32 structHash = keccak256(abi.encode(COMMIT_TYPEHASH, epoch, view_, height, blockHash));
        return MessageHashUtils.toTypedDataHash(separator, structHash);
    }
}
