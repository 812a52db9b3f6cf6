// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title The arithmetic of AOW: sequential work that is slow to do and cheap to check
/// @notice The field is the integers modulo {P}. A step of the work is x' = (x - ALPHA)^(1/3); every element has exactly
/// one cube root, since 3 does not divide P - 1. Going back, x = x'^3 + ALPHA, is two multiplications and an addition, and
/// is what a contract does. docs/reference/formats.md defines the start and the packing.
library Aow {
    /// @notice The order of the field, a prime: 2^128 - 45 * 2^40 + 1.
    uint256 internal constant P = 0xffffffffffffffffffffd30000000001;
    /// @notice What a step subtracts before it takes the root.
    uint256 internal constant ALPHA = 5;
    /// @notice Bytes of a packed element, big-endian.
    uint256 internal constant ELEMENT_LENGTH = 16;

    /// @notice Type of what the start of the work is hashed from.
    bytes32 internal constant START_TYPEHASH = keccak256(
        "AowStart(bytes32 networkId,uint256 chainId,uint64 round,bytes32 previousBlockHash,address node,uint64 steps)"
    );

    /// @notice Where a node's work in a round starts. Whoever could choose the start would choose the result instead and
    /// go back from it, so nobody is ever asked for it.
    function start(
        bytes32 networkId,
        uint256 chainId,
        uint64 round,
        bytes32 previousBlockHash,
        address node,
        uint64 steps
    ) internal pure returns (uint128) {
        bytes32 hash = keccak256(abi.encode(START_TYPEHASH, networkId, chainId, round, previousBlockHash, node, steps));
        return uint128(uint256(hash) % P);
    }

    /// @notice The element at an index.
    /// @dev The caller has checked that there is one: past the end this reads what follows in the calldata.
    function element(bytes calldata packed, uint256 index) internal pure returns (uint128 x) {
        assembly ("memory-safe") {
            x := shr(128, calldataload(add(packed.offset, shl(4, index))))
        }
    }

    /// @notice Takes steps of work back: where work that ended here has started.
    /// @dev A value stays below 2^128 throughout, since P + ALPHA is: its square fits a word and needs no reduction, and
    /// the reduction by P that the second multiplication brings is the only one. Thirty-two steps an iteration, so that
    /// the loop itself costs next to nothing.
    function replay(uint128 x, uint256 steps) internal pure returns (uint128) {
        uint256 y = x;
        assembly ("memory-safe") {
            for { let rest := and(steps, 31) } rest { rest := sub(rest, 1) } {
                y := add(mulmod(mul(y, y), y, P), ALPHA)
            }
            for { let blocks := shr(5, steps) } blocks { blocks := sub(blocks, 1) } {
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
                y := add(mulmod(mul(y, y), y, P), ALPHA)
            }
        }
        return uint128(y % P);
    }
}
