// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {DistributionHandler} from "./DistributionHandler.sol";

/// @notice What holds of the money after any sequence of distributions, claims, batches, sweeps, bars and rotations.
contract RewardsInvariants is Test {
    DistributionHandler private handler;

    function setUp() public {
        handler = new DistributionHandler();
        targetContract(address(handler));
    }

    /// @dev Solvent, paid at most what was funded, claimed within the allotments, allotted within the caps.
    function invariant_TheBooksAgree() public view {
        handler.checkBooks();
    }

    /// @dev Whatever leaves, by whichever way.
    function invariant_NoPeriodSeesMoreThanTwoCapsLeave() public view {
        handler.checkWindows();
    }

    /// @dev No lock, delay, cap or bar is passed by, nothing is paid twice, and every payment is exact.
    function invariant_OnlyWhatTheBooksAllowSucceeds() public view {
        assertEq(handler.breaches(), 0);
    }

    function invariant_WhatTheBooksAllowIsNotRefused() public view {
        assertEq(handler.wrongRefusals(), 0);
    }

    function afterInvariant() public {
        if (vm.envOr("DTN_INVARIANT_SUMMARY", false)) handler.summary();
    }
}
