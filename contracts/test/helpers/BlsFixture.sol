// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Bls} from "../../src/bls/Bls.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {Fixture} from "./Fixture.sol";

/// @notice BLS keys and signatures, made by the precompiles for products.
abstract contract BlsFixture is Fixture {
    /// @dev The order of the groups.
    uint256 internal constant R = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;
    bytes internal constant SIGNATURE_DST = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    bytes internal constant POSSESSION_DST = "BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    bytes internal constant G2_GENERATOR = hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
        hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        hex"000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351aadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801"
        hex"000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be";

    function secretOf(address account) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode("bls", account))) % R;
    }

    function blsKey(uint256 secret) internal view returns (bytes memory) {
        return multiply(address(0x0e), G2_GENERATOR, secret);
    }

    function blsSign(uint256 secret, bytes32 digest, bytes memory dst) internal view returns (bytes memory) {
        return multiply(address(0x0c), Bls.hashToG1(abi.encode(digest), dst), secret);
    }

    function multiply(address precompile, bytes memory point, uint256 scalar) internal view returns (bytes memory) {
        (bool ok, bytes memory product) = precompile.staticcall(bytes.concat(point, bytes32(scalar)));
        require(ok, "no product");
        return product;
    }

    /// @dev Written out anew rather than taken from the library under test.
    function possessionDigest(bytes32 network, address account, bytes memory key) internal view returns (bytes32) {
        bytes32 message = keccak256(abi.encode(keccak256("BlsKey(address account,bytes key)"), account, keccak256(key)));
        return keccak256(abi.encodePacked(hex"1901", domainOf(network, block.chainid), message));
    }

    function possession(address account) internal view returns (bytes memory key, bytes memory proof) {
        key = blsKey(secretOf(account));
        proof = blsSign(secretOf(account), possessionDigest(NETWORK, account, key), POSSESSION_DST);
    }

    function register(ResultRegistry registry, address account) internal {
        (bytes memory key, bytes memory proof) = possession(account);
        vm.prank(account);
        registry.registerKey(key, proof);
    }

    function keysOf(address[] memory set, uint256 keyed) internal view returns (bytes memory keys) {
        for (uint256 i; i < set.length; ++i) {
            if (keyed >> i & 1 == 1) keys = bytes.concat(keys, blsKey(secretOf(set[i])));
        }
    }

    function publish(ResultRegistry registry, address[] memory set) internal {
        for (uint256 i; i < set.length; ++i) {
            if (registry.keyHashOf(set[i]) == 0) register(registry, set[i]);
        }
        uint256 keyed = (1 << set.length) - 1;
        registry.publishKeys(keyed, keysOf(set, keyed));
    }

    /// @dev The sum of signatures is the signature by the sum of secrets.
    function aggregate(bytes32 digest, address[] memory set, uint256 signers) internal view returns (bytes memory) {
        uint256 secret;
        for (uint256 i; i < set.length; ++i) {
            if (signers >> i & 1 == 1) secret = addmod(secret, secretOf(set[i]), R);
        }
        return bytes.concat(bytes32(signers), blsSign(secret, digest, SIGNATURE_DST));
    }
}
