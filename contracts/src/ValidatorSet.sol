// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title A validator set, kept as the code of a contract of its own
/// @notice The set of one registry never changes, and a certificate is checked against all of it at once. Reading it
/// as code costs one cold account access, whatever its size; reading storage would cost one cold slot per signer.
/// @dev The code is `abi.encode(validators)`. Its first byte is zero, which is the STOP instruction: calling the
/// contract does nothing.
contract ValidatorSet {
    /// @notice Quorums mean something from four validators on; one byte counts them all.
    uint256 public constant MIN_VALIDATORS = 4;
    /// @notice See {MIN_VALIDATORS}.
    uint256 public constant MAX_VALIDATORS = 255;

    /// @notice There are too few or too many validators.
    error InvalidValidatorCount(uint256 count);

    /// @notice The validators are not in strictly ascending order of address, or the first one is zero.
    error ValidatorsNotAscending(uint256 index);

    /// @param validators The validators in strictly ascending order of address.
    constructor(address[] memory validators) {
        if (validators.length < MIN_VALIDATORS || validators.length > MAX_VALIDATORS) {
            revert InvalidValidatorCount(validators.length);
        }
        address previous;
        for (uint256 i; i < validators.length; ++i) {
            if (validators[i] <= previous) revert ValidatorsNotAscending(i);
            previous = validators[i];
        }
        bytes memory code = abi.encode(validators);
        assembly ("memory-safe") {
            return(add(code, 0x20), mload(code))
        }
    }
}
