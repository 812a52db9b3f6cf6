// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {StakesHandler} from "./StakesHandler.sol";

/// @notice What holds of stakes after any sequence of stakes, departures, reports and waiting.
contract StakesInvariants is Test {
    StakesHandler private handler;

    function setUp() public {
        handler = new StakesHandler();
        targetContract(address(handler));
    }

    function invariant_AStakeIsPaidOutOnce() public view {
        handler.checkBooks();
    }

    function invariant_OnlyWhatTheBooksAllowSucceeds() public view {
        assertEq(handler.breaches(), 0);
    }

    function afterInvariant() public {
        if (vm.envOr("DTN_INVARIANT_SUMMARY", false)) handler.summary();
    }
}
