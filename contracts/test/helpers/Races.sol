// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @dev What is asked for and claimed in a race, in its wire encoding, written out anew rather than taken from what is
/// under test.

/// @notice An order that asks for work.
struct Order {
    uint64 nonce;
    string dataset;
    string model;
    string metric;
    uint256 reward;
    uint64 expectedHashes;
}

/// @notice A claim of its reward.
struct Claim {
    bytes32 order;
    bytes32 race;
    address payee;
    uint64 nonce;
    bytes32 hash;
    uint64 startedAt;
    uint64 endedAt;
    uint64 duration;
}

/// @notice The encoding of an order.
function encodeOrder(Order memory order) pure returns (bytes memory) {
    bytes memory texts = bytes.concat(encodeText(order.dataset), encodeText(order.model), encodeText(order.metric));
    bytes memory work = bytes.concat(hex"01", encodeNumber(order.expectedHashes));
    return bytes.concat(hex"00", encodeNumber(order.nonce), texts, hex"20", bytes32(order.reward), work);
}

/// @notice The encoding of a claim.
function encodeClaim(Claim memory claim) pure returns (bytes memory) {
    bytes memory names = bytes.concat(hex"0120", claim.order, hex"20", claim.race, hex"14", bytes20(claim.payee));
    bytes memory work = bytes.concat(encodeNumber(claim.nonce), hex"20", claim.hash);
    bytes memory times = bytes.concat(encodeNumber(claim.startedAt), encodeNumber(claim.endedAt));
    return bytes.concat(names, work, times, encodeNumber(claim.duration));
}

function encodeText(string memory text) pure returns (bytes memory) {
    return bytes.concat(encodeNumber(uint64(bytes(text).length)), bytes(text));
}

/// @notice Seven bits a byte, the least significant first; a set top bit says that there is more.
function encodeNumber(uint64 number) pure returns (bytes memory encoded) {
    for (; number >= 128; number /= 128) {
        encoded = bytes.concat(encoded, bytes1(uint8(128 + number % 128)));
    }
    return bytes.concat(encoded, bytes1(uint8(number)));
}

/// @notice What an account signs for a payload in a network.
function payloadHash(bytes32 domain, address sender, bytes memory payload) pure returns (bytes32) {
    bytes32 typehash = keccak256("Transaction(address sender,bytes payload)");
    bytes32 message = keccak256(abi.encode(typehash, sender, keccak256(payload)));
    return keccak256(abi.encodePacked(hex"1901", domain, message));
}

/// @notice The hash of a nonce.
function workHash(bytes32 network, bytes32 race, bytes32 order, address worker, uint64 nonce) pure returns (bytes32) {
    bytes memory where = abi.encodePacked(uint8(10), "DTN/pow/v2", uint8(32), network, uint8(32), race);
    return sha256(abi.encodePacked(where, uint8(32), order, uint8(20), worker, uint8(8), nonce));
}
