// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @notice The part of an L1 block that its validators sign and that contracts read.
/// @param networkId Hash of the network's genesis.
/// @param chainId The chain on which the network settles.
/// @param epoch Number of the validator set that signs.
/// @param height Position of the block; 1 for the first one after genesis.
/// @param timestamp Milliseconds since the Unix epoch, as the proposer states it.
/// @param proposer Validator that proposed the block.
/// @param parentHash Hash of the block before; the network id at height 1.
/// @param transactionsRoot Merkle root of the transactions with their places and number.
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
/// @param kind Which kind of work it is, see {Kinds}.
/// @param id What is being paid for: in a race the hash of the order. It is paid at most once.
/// @param worker Account that did the work: in a race the signer of the winning claim.
/// @param payee Account that receives the reward.
/// @param amount Reward in wei.
/// @param digest What came of it: in a race the hash of the winning claim.
struct Result {
    uint32 kind;
    bytes32 id;
    address worker;
    address payee;
    uint256 amount;
    bytes32 digest;
}

/// @notice What a race was about and who has won it, as it was signed: enough to check the winner's work.
/// @param requester Account that signed the order.
/// @param order The order, in its wire encoding.
/// @param claim The winning claim, in its wire encoding. The result names who signed it.
struct Solution {
    address requester;
    bytes order;
    bytes claim;
}

/// @notice Money of one token that distributions make available.
/// @param token The token; zero for the native currency.
/// @param amount What has been made available since the beginning, this distribution's part included. What it adds is the
/// difference to what there has been.
struct Allotment {
    address token;
    uint128 amount;
}

/// @notice What accounts have earned up to some point, all in one root.
/// @param distributor The contract that pays.
/// @param number Position of the distribution; later ones have greater numbers.
/// @param root Merkle root of what each account has earned of each token since the beginning.
/// @param allotments What claims of all roots up to this one may take, in strictly ascending order of token.
struct Distribution {
    address distributor;
    uint32 number;
    bytes32 root;
    Allotment[] allotments;
}

/// @notice What a vote says. The order is part of the format.
enum VoteKind {
    PrePrepare,
    Prepare,
    Commit,
    Checkpoint,
    Rotation,
    Distribution,
    Notarize,
    Nullify
}

/// @notice What a vote is about, in which no correct validator casts two for different hashes.
/// @param kind What the vote says. That of {VoteKind-Nullify} is a view which a validator has given up, for the hash zero, and in
/// which it has committed all the same, for another.
/// @param epoch The validator set's epoch.
/// @param view_ The view in which it is cast; 0 for checkpoints, rotations and distributions.
/// @param height The height that it is about; the number of a distribution, and 0 for a rotation and a notarization. Of a view that
/// was given up, the height of the commit.
struct Slot {
    VoteKind kind;
    uint64 epoch;
    uint64 view_;
    uint64 height;
}

/// @notice Two votes of one validator for the same slot that no correct validator casts together.
/// @param kind What both votes say; where it is {VoteKind-Nullify}, the second is a commit.
/// @param epoch The validator set's epoch.
/// @param view_ The view in which both are cast; 0 for checkpoints, rotations and distributions.
/// @param height The height that both are about; the number of distributions, and 0 for rotations and notarizations. Where the
/// first has given the view up, which is for no height, that of the second.
/// @param validator The validator's place in the set, in ascending order of address.
/// @param firstHash The block hash of one vote, or its state root, or the hash of the validators or of the distribution that it
/// names; the lower of the two. Zero where it has given the view up.
/// @param secondHash That of the other vote.
/// @param firstSignature The validator's signature of the first vote: r, s, v.
/// @param secondSignature The validator's signature of the second vote.
struct Evidence {
    VoteKind kind;
    uint64 epoch;
    uint64 view_;
    uint64 height;
    uint16 validator;
    bytes32 firstHash;
    bytes32 secondHash;
    bytes firstSignature;
    bytes secondSignature;
}
