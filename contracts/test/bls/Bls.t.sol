// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Bls} from "../../src/bls/Bls.sol";
import {BlsFixture} from "../helpers/BlsFixture.sol";

contract BlsTest is BlsFixture {
    /// @dev RFC 9380, appendix J.9.1.
    function test_HashToCurveVectors() public view {
        bytes memory dst = "QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";
        assertEq(
            Bls.hashToG1("", dst),
            hex"00000000000000000000000000000000052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a1"
            hex"0000000000000000000000000000000008ba738453bfed09cb546dbb0783dbb3a5f1f566ed67bb6be0e8c67e2e81a4cc68ee29813bb7994998f3eae0c9c6a265"
        );
        assertEq(
            Bls.hashToG1("abc", dst),
            hex"0000000000000000000000000000000003567bc5ef9c690c2ab2ecdf6a96ef1c139cc0b2f284dca0a9a7943388a49a3aee664ba5379a7655d3c68900be2f6903"
            hex"000000000000000000000000000000000b9c15f3fe6e5cf4211f346271d7b01c8f3b28be689c8429c85b67af215533311f0b8dfaaa154fa6b88176c229f2885d"
        );
    }

    /// @dev The generator and the order of the tests, of which the contract knows the first, too.
    function test_GroupsAreTheExpectedOnes() public view {
        assertEq(multiply(address(0x0e), G2_GENERATOR, R), new bytes(256));
        assertEq(multiply(address(0x0e), G2_GENERATOR, R - 1), Bls.negateG2(G2_GENERATOR));
        assertEq(Bls.negateG2(new bytes(256)), new bytes(256));
    }

    /// @dev As on a chain without the precompiles, or with points that are none.
    function test_RevertWhen_APrecompileFails() public {
        bytes memory none = new bytes(256);
        none[255] = 0x01;
        vm.expectRevert(abi.encodeWithSelector(Bls.PrecompileFailed.selector, address(0x0d)));
        this.addG2(none, none);
        vm.expectRevert(abi.encodeWithSelector(Bls.PrecompileFailed.selector, address(0x0d)));
        this.addG2InPlace(bytes.concat(none, none));
    }

    function addG2(bytes memory a, bytes memory b) external view returns (bytes memory) {
        return Bls.addG2(a, b);
    }

    function addG2InPlace(bytes memory points) external view {
        Bls.addG2InPlace(points);
    }
}
