// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {SuccessionHandler} from "./SuccessionHandler.sol";

/// @notice What holds of distributors that follow one another, whatever payees do.
contract SuccessionInvariants is Test {
    SuccessionHandler private handler;

    function setUp() public {
        handler = new SuccessionHandler();
        targetContract(address(handler));
    }

    function invariant_EachResultIsPaidInOneDistributorOnly() public view {
        handler.checkPaidOnce();
    }

    /// @dev Each has what it has earned, paid or credited, whatever the others do when they are paid.
    function invariant_NoPayeeChangesAnothersPayment() public view {
        handler.checkPayees();
    }

    function invariant_NoPeriodSeesMoreThanTwoCapsLeave() public view {
        handler.checkWindows();
    }

    function invariant_OnlyWhatTheBooksAllowSucceeds() public view {
        assertEq(handler.breaches(), 0);
    }

    function afterInvariant() public {
        if (vm.envOr("DTN_INVARIANT_SUMMARY", false)) handler.summary();
    }
}
