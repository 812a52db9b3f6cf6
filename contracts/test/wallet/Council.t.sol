// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {PackingSymbolic} from "../symbolic/Symbolic.t.sol";

/// @notice By chance what halmos proves for all values.
contract CouncilTest is Test {
    PackingSymbolic private packing = new PackingSymbolic();

    function testFuzz_ThresholdIsApart(uint256 word, uint8 threshold) public view {
        packing.check_thresholdIsApart(word, threshold);
    }

    /// @dev With an index that is free, since most words have none.
    function testFuzz_OwnersComeAndGo(uint256 word, uint8 used, uint256 other) public view {
        used = uint8(bound(used, 0, 199));
        word = word & ~(uint256(0xff) << 208) & ~(uint256(1) << used) | uint256(used) << 208;
        packing.check_ownersComeAndGo(word, bound(other, 0, 199));
    }

    function testFuzz_NonceGoesUpAlone(uint256 word) public view {
        packing.check_nonceGoesUpAlone(word);
    }
}
