// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @dev What owners of a wallet sign, written out anew rather than taken from the contract under test.

/// @notice A call of a wallet.
struct Signed {
    address to;
    uint256 value;
    bytes data;
    uint64 expiry;
}

/// @notice The id of a proposal.
function proposalDigest(Signed memory call, bytes32 salt, address wallet, uint256 chainId) pure returns (bytes32) {
    string memory fields = "Transaction(address to,uint256 value,bytes data,uint64 expiry,bytes32 salt)";
    return walletDigest(fields, call, salt, wallet, chainId);
}

/// @notice What is signed to have a call made without a proposal.
function executionDigest(Signed memory call, uint256 nonce, address wallet, uint256 chainId) pure returns (bytes32) {
    string memory fields = "Execution(address to,uint256 value,bytes data,uint64 expiry,uint256 nonce)";
    return walletDigest(fields, call, bytes32(nonce), wallet, chainId);
}

function walletDigest(string memory fields, Signed memory call, bytes32 last, address wallet, uint256 chainId)
    pure
    returns (bytes32)
{
    bytes32 typehash = keccak256("EIP712Domain(uint256 chainId,address verifyingContract)");
    bytes32 domain = keccak256(abi.encode(typehash, chainId, wallet));
    typehash = keccak256(bytes(fields));
    bytes32 message = keccak256(abi.encode(typehash, call.to, call.value, keccak256(call.data), call.expiry, last));
    return keccak256(abi.encodePacked(hex"1901", domain, message));
}

/// @notice What a contract that is an owner has to show for its signature.
function contractSignature(address owner, bytes memory signature) pure returns (bytes memory) {
    return abi.encodePacked(uint256(uint160(owner)), signature.length, uint8(0), signature);
}
