// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title BLS signatures over BLS12-381, by the precompiles of EIP-2537
/// @notice Signatures are points of G1 and keys points of G2: hashing to G1 costs a quarter of hashing to G2, which is
/// more than adding up keys in G2 costs in excess of adding them up in G1. Points are encoded as in EIP-2537, each
/// coordinate in 64 bytes.
library Bls {
    /// @notice Bytes of a point of G1.
    uint256 internal constant G1_LENGTH = 128;
    /// @notice Bytes of a point of G2.
    uint256 internal constant G2_LENGTH = 256;

    address private constant MODEXP = address(0x05);
    address private constant G1_ADD = address(0x0b);
    address private constant G2_ADD = address(0x0d);
    address private constant PAIRING = address(0x0f);
    address private constant MAP_TO_G1 = address(0x10);

    /// @dev The modulus of the coordinates, cut as its encoding is.
    uint256 private constant P_HIGH = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;

    bytes private constant G2_GENERATOR = hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
        hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        hex"000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351aadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801"
        hex"000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be";

    /// @notice A precompile is missing on this chain, or refused a point.
    error PrecompileFailed(address precompile);

    /// @notice Whether a signature of a message is by the key whose negative is given.
    /// @dev True if e(signature, generator) · e(hash, -key) = 1. The pairing refuses points outside of the groups, and
    /// with them all gas that it is given, which is therefore what it costs and a little more.
    /// @param signature A point of G1.
    /// @param hashed The message, hashed to G1.
    /// @param negatedKey A point of G2.
    function verify(bytes memory signature, bytes memory hashed, bytes memory negatedKey) internal view returns (bool) {
        bytes memory input = bytes.concat(signature, G2_GENERATOR, hashed, negatedKey);
        (bool ok, bytes memory output) = PAIRING.staticcall{gas: 110_000}(input);
        return ok && output.length == 32 && bytes32(output) == bytes32(uint256(1));
    }

    /// @notice The suite BLS12381G1_XMD:SHA-256_SSWU_RO_ of RFC 9380.
    /// @param message What is hashed.
    /// @param dst The domain separation tag, of at most 255 bytes.
    function hashToG1(bytes memory message, bytes memory dst) internal view returns (bytes memory) {
        bytes memory dstPrime = bytes.concat(dst, bytes1(uint8(dst.length)));
        // expand_message_xmd to 128 bytes, of which each half is one number.
        bytes32 b0 = sha256(abi.encodePacked(bytes32(0), bytes32(0), message, uint16(128), uint8(0), dstPrime));
        bytes32 b1 = sha256(abi.encodePacked(b0, uint8(1), dstPrime));
        bytes32 b2 = sha256(abi.encodePacked(b0 ^ b1, uint8(2), dstPrime));
        bytes32 b3 = sha256(abi.encodePacked(b0 ^ b2, uint8(3), dstPrime));
        bytes32 b4 = sha256(abi.encodePacked(b0 ^ b3, uint8(4), dstPrime));
        return _call(G1_ADD, bytes.concat(_mapToG1(b1, b2), _mapToG1(b3, b4)), G1_LENGTH);
    }

    /// @notice The sum of two points of G2.
    function addG2(bytes memory a, bytes memory b) internal view returns (bytes memory) {
        return _call(G2_ADD, bytes.concat(a, b), G2_LENGTH);
    }

    /// @notice Adds the second of two points of G2 to the first, where they are. Both have been checked before.
    function addG2InPlace(bytes memory points) internal view {
        address precompile = G2_ADD;
        bool ok;
        assembly ("memory-safe") {
            let place := add(points, 0x20)
            ok := staticcall(gas(), precompile, place, 0x200, place, 0x100)
        }
        if (!ok) revert PrecompileFailed(precompile);
    }

    /// @notice The negative of a point of G2: both parts of y negated. That of infinity is itself.
    function negateG2(bytes memory point) internal pure returns (bytes memory negated) {
        negated = bytes.concat(point);
        for (uint256 place = 0xa0; place <= 0xe0; place += 0x40) {
            assembly ("memory-safe") {
                let high := mload(add(negated, place))
                let low := mload(add(negated, add(place, 0x20)))
                if or(high, low) {
                    mstore(add(negated, place), sub(sub(P_HIGH, high), gt(low, P_LOW)))
                    mstore(add(negated, add(place, 0x20)), sub(P_LOW, low))
                }
            }
        }
    }

    /// @dev The number of 64 bytes is reduced by the precompile for powers, with an exponent of one byte that is 1.
    function _mapToG1(bytes32 high, bytes32 low) private view returns (bytes memory) {
        bytes memory power = abi.encodePacked(uint256(64), uint256(1), uint256(64), high, low, uint8(1), P_HIGH, P_LOW);
        return _call(MAP_TO_G1, _call(MODEXP, power, 64), G1_LENGTH);
    }

    /// @dev A precompile that a chain does not have succeeds and returns nothing.
    function _call(address precompile, bytes memory input, uint256 length) private view returns (bytes memory) {
        (bool ok, bytes memory output) = precompile.staticcall(input);
        if (!ok || output.length != length) revert PrecompileFailed(precompile);
        return output;
    }
}
