// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title What takes tokens of many kinds
/// @notice A token of ERC-721 or ERC-1155 that is sent safely asks who receives it; the answer is what it has called.
/// `supportsInterface` of ERC-165 says so too.
/// @dev In the fallback, not in functions of their own: every function costs a little to pass by, for all calls, and code.
abstract contract Receiver {
    bytes4 private constant ERC721_RECEIVED = 0x150b7a02;
    bytes4 private constant ERC1155_RECEIVED = 0xf23a6e61;
    bytes4 private constant ERC1155_BATCH_RECEIVED = 0xbc197c81;
    bytes4 private constant SUPPORTS_INTERFACE = 0x01ffc9a7;
    bytes4 private constant ERC1155_RECEIVER = 0x4e2312e0;

    /// @notice There is no such function.
    error UnknownFunction(bytes4 selector);

    fallback() external {
        bytes32 answer = msg.sig;
        if (msg.sig == SUPPORTS_INTERFACE && msg.data.length >= 8) {
            bytes4 asked = bytes4(msg.data[4:8]);
            bool yes = asked == SUPPORTS_INTERFACE || asked == ERC1155_RECEIVER || asked == ERC721_RECEIVED;
            answer = bytes32(uint256(yes ? 1 : 0));
        } else if (msg.sig != ERC721_RECEIVED && msg.sig != ERC1155_RECEIVED && msg.sig != ERC1155_BATCH_RECEIVED) {
            revert UnknownFunction(msg.sig);
        }
        assembly ("memory-safe") {
            mstore(0, answer)
            return(0, 0x20)
        }
    }
}
