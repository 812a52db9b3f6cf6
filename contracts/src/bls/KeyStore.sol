// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title Bytes, kept as the code of a contract of its own
/// @dev The first byte is zero, which is the STOP instruction: calling the contract does nothing.
contract KeyStore {
    /// @param keys The bytes.
    constructor(bytes memory keys) {
        bytes memory code = bytes.concat(hex"00", keys);
        assembly ("memory-safe") {
            return(add(code, 0x20), mload(code))
        }
    }
}
