// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {AowHandler} from "./AowHandler.sol";

/// @notice What holds of bonds and claims after any sequence of posts, challenges, verifications and waiting.
contract AowInvariants is Test {
    AowHandler private handler;

    function setUp() public {
        handler = new AowHandler();
        targetContract(address(handler));
    }

    /// @dev What the contract holds is the bonds of open claims and of final ones that have not asked for theirs, and what
    /// the pool did not take of those that were slashed.
    function invariant_BondsAreConserved() public view {
        handler.checkBalances();
    }

    /// @dev Above all: nobody is slashed at a segment that is right.
    function invariant_OnlyWhatTheBooksAllowSucceeds() public view {
        assertEq(handler.breaches(), 0);
    }

    function invariant_WhatTheBooksAllowIsNotRefused() public view {
        assertEq(handler.wrongRefusals(), 0);
    }

    function invariant_FinalIsWhatWasUpheldOrOutlivedTheWindow() public view {
        handler.checkFinality();
    }

    function afterInvariant() public {
        if (vm.envOr("DTN_INVARIANT_SUMMARY", false)) handler.summary();
    }
}
