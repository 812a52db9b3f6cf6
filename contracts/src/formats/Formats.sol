// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Distribution, Evidence, Header, Result, Slot, VoteKind} from "./Types.sol";

/// @title Hashes of the structures that the L1 and the contracts share
/// @notice docs/reference/formats.md defines them; the golden vectors beside the Rust implementation pin them.
library Formats {
    /// @notice Type of the network's EIP-712 domain. It names no contract, since votes exist before contracts do.
    bytes32 internal constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,bytes32 salt)");

    /// @notice Type of the vote by which a primary proposes a block.
    bytes32 internal constant PRE_PREPARE_TYPEHASH =
        keccak256("PrePrepare(uint64 epoch,uint64 view,uint64 height,bytes32 blockHash)");

    /// @notice Type of the vote by which a replica accepts a proposal.
    bytes32 internal constant PREPARE_TYPEHASH =
        keccak256("Prepare(uint64 epoch,uint64 view,uint64 height,bytes32 blockHash)");

    /// @notice Type of the vote that finalizes a block.
    bytes32 internal constant COMMIT_TYPEHASH =
        keccak256("Commit(uint64 epoch,uint64 view,uint64 height,bytes32 blockHash)");

    /// @notice Type of the vote on the state after a block. It is bound to no view.
    bytes32 internal constant CHECKPOINT_TYPEHASH =
        keccak256("Checkpoint(uint64 epoch,uint64 height,bytes32 stateRoot)");

    /// @notice Type of the vote by which a replica takes a block for that of its view. It is bound to no height.
    bytes32 internal constant NOTARIZE_TYPEHASH = keccak256("Notarize(uint64 epoch,uint64 view,bytes32 blockHash)");

    /// @notice Type of the vote by which a replica gives a view up.
    bytes32 internal constant NULLIFY_TYPEHASH = keccak256("Nullify(uint64 epoch,uint64 view)");

    /// @notice Type of the message by which a validator set names the next one.
    bytes32 internal constant ROTATION_TYPEHASH = keccak256("Rotation(uint64 epoch,address[] validators)");

    /// @notice Type of the message by which validators certify a distribution of rewards.
    bytes32 internal constant DISTRIBUTION_TYPEHASH =
        keccak256("Distribution(uint64 epoch,uint32 number,bytes32 distributionHash)");

    /// @notice Type of the message by which validators agree to something that a contract asks for by name.
    bytes32 internal constant RESOLUTION_TYPEHASH = keccak256("Resolution(uint64 epoch,bytes32 action)");

    /// @notice Type of the message by which validators of a set whose lock was stolen name others.
    bytes32 internal constant RECOVERY_TYPEHASH = keccak256("Recovery(uint64 epoch,address[] validators)");

    /// @notice Type of the message by which the holder of a BLS key proves to possess its secret.
    bytes32 internal constant KEY_TYPEHASH = keccak256("BlsKey(address account,bytes key)");

    /// @notice Type of what an account asks of the network.
    bytes32 internal constant TRANSACTION_TYPEHASH = keccak256("Transaction(address sender,bytes payload)");

    /// @notice Type of a list of payouts that are made together.
    bytes32 internal constant BATCH_TYPEHASH = keccak256("Batch(address token,bytes32[] payouts)");

    /// @notice The block hash of a header.
    function hash(Header calldata header) internal pure returns (bytes32) {
        return keccak256(abi.encode(header));
    }

    /// @notice The leaf of a result in the results tree. Hashed twice, so that no inner node can pass for a leaf.
    function leaf(Result calldata result) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(result))));
    }

    /// @notice The leaf of what an account has earned of a token since the beginning. Hashed twice like that of a result.
    function rewardLeaf(address account, address token, uint256 cumulative) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(account, token, cumulative))));
    }

    /// @notice The number and the token of a statement of earnings, which are the id of its result.
    function statement(bytes32 id_) internal pure returns (uint32 number, address token) {
        return (uint32(uint256(id_) >> 160), address(uint160(uint256(id_))));
    }

    /// @notice The hash of a distribution, which validators certify.
    function hash(Distribution calldata distribution) internal pure returns (bytes32) {
        return keccak256(abi.encode(distribution));
    }

    /// @notice The EIP-712 hash of a batch of payouts, which is the digest of the result that stands for it.
    function batchHash(address token, bytes32[] calldata payouts) internal pure returns (bytes32) {
        return keccak256(abi.encode(BATCH_TYPEHASH, token, _hashWords(payouts)));
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
        return _voteDigest(separator, COMMIT_TYPEHASH, epoch, view_, height, blockHash);
    }

    /// @notice The digest that a validator of an epoch signs to name the validators of the next.
    function rotationDigest(bytes32 separator, uint64 epoch, address[] calldata validators)
        internal
        pure
        returns (bytes32)
    {
        return _epochDigest(separator, ROTATION_TYPEHASH, epoch, keccak256(abi.encodePacked(validators)));
    }

    /// @notice The digest that a validator signs to agree to an action.
    function resolutionDigest(bytes32 separator, uint64 epoch, bytes32 action_) internal pure returns (bytes32) {
        return _epochDigest(separator, RESOLUTION_TYPEHASH, epoch, action_);
    }

    /// @notice The digest that a validator of an epoch signs to have others put in the place of its set.
    function recoveryDigest(bytes32 separator, uint64 epoch, address[] calldata validators)
        internal
        pure
        returns (bytes32)
    {
        return _epochDigest(separator, RECOVERY_TYPEHASH, epoch, keccak256(abi.encodePacked(validators)));
    }

    /// @notice What is agreed to: what is done, by which contract, and with which number or account.
    function action(string memory what, address target, uint256 value) internal pure returns (bytes32) {
        return keccak256(abi.encode(what, target, value));
    }

    /// @notice The digest that a validator signs to certify a distribution.
    function distributionDigest(bytes32 separator, uint64 epoch, uint32 number, bytes32 distributionHash)
        internal
        pure
        returns (bytes32)
    {
        bytes32 structHash = keccak256(abi.encode(DISTRIBUTION_TYPEHASH, epoch, number, distributionHash));
        return MessageHashUtils.toTypedDataHash(separator, structHash);
    }

    /// @notice The digest that the holder of a BLS key signs with it, for the account whose key it is.
    function keyDigest(bytes32 separator, address account, bytes calldata key) internal pure returns (bytes32) {
        bytes32 structHash = keccak256(abi.encode(KEY_TYPEHASH, account, keccak256(key)));
        return MessageHashUtils.toTypedDataHash(separator, structHash);
    }

    /// @notice The hash of a transaction of the network, which is what its sender signs.
    function transactionHash(bytes32 separator, address sender, bytes calldata payload)
        internal
        pure
        returns (bytes32)
    {
        bytes32 structHash = keccak256(abi.encode(TRANSACTION_TYPEHASH, sender, keccak256(payload)));
        return MessageHashUtils.toTypedDataHash(separator, structHash);
    }

    /// @notice The digest that a validator signs for one of the two votes of an evidence.
    function voteDigest(Evidence calldata evidence, bytes32 separator, bytes32 voted) internal pure returns (bytes32) {
        return slotDigest(Slot(evidence.kind, evidence.epoch, evidence.view_, evidence.height), separator, voted);
    }

    /// @notice The digest that a validator signs for a hash in a slot. For zero in one of {VoteKind-Nullify} it gives the view up,
    /// and for anything else there it commits.
    function slotDigest(Slot memory slot, bytes32 separator, bytes32 voted) internal pure returns (bytes32) {
        VoteKind kind = slot.kind;
        if (kind == VoteKind.Rotation) {
            return _epochDigest(separator, ROTATION_TYPEHASH, slot.epoch, voted);
        }
        if (kind == VoteKind.Distribution) {
            return distributionDigest(separator, slot.epoch, uint32(slot.height), voted);
        }
        if (kind == VoteKind.Checkpoint) {
            bytes32 structHash = keccak256(abi.encode(CHECKPOINT_TYPEHASH, slot.epoch, slot.height, voted));
            return MessageHashUtils.toTypedDataHash(separator, structHash);
        }
        if (kind == VoteKind.Notarize) {
            bytes32 structHash = keccak256(abi.encode(NOTARIZE_TYPEHASH, slot.epoch, slot.view_, voted));
            return MessageHashUtils.toTypedDataHash(separator, structHash);
        }
        if (kind == VoteKind.Nullify && voted == 0) {
            bytes32 structHash = keccak256(abi.encode(NULLIFY_TYPEHASH, slot.epoch, slot.view_));
            return MessageHashUtils.toTypedDataHash(separator, structHash);
        }
        bytes32 typehash = kind == VoteKind.PrePrepare
            ? PRE_PREPARE_TYPEHASH
            : kind == VoteKind.Prepare ? PREPARE_TYPEHASH : COMMIT_TYPEHASH;
        return _voteDigest(separator, typehash, slot.epoch, slot.view_, slot.height, voted);
    }

    /// @notice What identifies a contradiction. The signatures are left out, since one vote has many.
    function id(Evidence calldata evidence) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                evidence.kind,
                evidence.epoch,
                evidence.view_,
                evidence.height,
                evidence.validator,
                evidence.firstHash,
                evidence.secondHash
            )
        );
    }

    /// @notice What identifies the contradiction of several validators at once.
    function id(Slot calldata slot, bytes32 firstHash, bytes32 secondHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(slot, firstHash, secondHash));
    }

    /// @dev What abi.encodePacked does word for word, done at once.
    function _hashWords(bytes32[] calldata words) private pure returns (bytes32 hashed) {
        assembly ("memory-safe") {
            let place := mload(0x40)
            let size := shl(5, words.length)
            calldatacopy(place, words.offset, size)
            hashed := keccak256(place, size)
        }
    }

    /// @dev Of a message about one word in an epoch.
    function _epochDigest(bytes32 separator, bytes32 typehash, uint64 epoch, bytes32 word)
        private
        pure
        returns (bytes32)
    {
        return MessageHashUtils.toTypedDataHash(separator, keccak256(abi.encode(typehash, epoch, word)));
    }

    function _voteDigest(
        bytes32 separator,
        bytes32 typehash,
        uint64 epoch,
        uint64 view_,
        uint64 height,
        bytes32 blockHash
    ) private pure returns (bytes32) {
        bytes32 structHash = keccak256(abi.encode(typehash, epoch, view_, height, blockHash));
        return MessageHashUtils.toTypedDataHash(separator, structHash);
    }
}
