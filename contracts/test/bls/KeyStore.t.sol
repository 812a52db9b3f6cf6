// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {KeyStore} from "../../src/bls/KeyStore.sol";

contract KeyStoreTest is Test {
    function testFuzz_TheCodeIsTheBytesBehindAStop(bytes memory keys) public {
        vm.assume(keys.length < 24_576);
        address store = address(new KeyStore(keys));
        assertEq(store.code, bytes.concat(hex"00", keys));
    }

    function test_CallingItDoesNothing() public {
        (bool ok, bytes memory answer) = address(new KeyStore(hex"fe")).call(hex"12345678");
        assertTrue(ok);
        assertEq(answer.length, 0);
    }
}
