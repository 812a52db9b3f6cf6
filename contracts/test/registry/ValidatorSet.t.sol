// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {ValidatorSet} from "../../src/registry/ValidatorSet.sol";

contract ValidatorSetTest is Test {
    function testFuzz_TheCodeIsTheEncodedList(address[] memory validators) public {
        vm.assume(validators.length <= 255);
        address set = address(new ValidatorSet(validators));
        assertEq(abi.decode(set.code, (address[])), validators);
    }

    function test_CallingItDoesNothing() public {
        (bool ok, bytes memory answer) = address(new ValidatorSet(new address[](4))).call(hex"12345678");
        assertTrue(ok);
        assertEq(answer.length, 0);
    }
}
