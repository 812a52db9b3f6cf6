// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title A validator set, kept as the code of a contract of its own
/// @notice The set of one registry never changes, and a certificate is checked against all of it at once. Reading it
/// as code costs one cold account access, whatever its size; reading storage would cost one cold slot per signer.
/// @dev The code is `abi.encode(validators)`. Its first byte is zero, which is the STOP instruction: calling the
/// contract does nothing. The registry that deploys it checks the set.
contract ValidatorSet {
    /// @param validators The validators.
    constructor(address[] memory validators) {
        bytes memory code = abi.encode(validators);
        assembly ("memory-safe") {
            return(add(code, 0x20), mload(code))
        }
    }
}
