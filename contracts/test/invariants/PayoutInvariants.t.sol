// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {PayoutHandler} from "./PayoutHandler.sol";

/// @notice What holds of the money after any sequence of blocks, payments through the wallet, and attempts around it.
contract PayoutInvariants is Test {
    PayoutHandler private handler;

    function setUp() public {
        handler = new PayoutHandler();
        targetContract(address(handler));
    }

    function invariant_NothingMovesWithoutBothLocks() public view {
        assertEq(handler.breaches(), 0);
    }

    function invariant_EachResultIsPaidAtMostOnceAndInFull() public view {
        handler.checkPayments();
    }

    function invariant_PaidAtMostWhatWasFunded() public view {
        assertLe(handler.paid(), handler.funded());
        assertEq(address(handler.distributor()).balance, handler.funded() - handler.paid());
    }

    function invariant_PaymentsWithBothLocksGoThrough() public view {
        assertEq(handler.wrongRefusals(), 0);
    }

    function afterInvariant() public {
        if (vm.envOr("DTN_INVARIANT_SUMMARY", false)) handler.summary();
    }
}
