// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {AowHandler} from "./AowHandler.sol";
import {PayoutHandler} from "./PayoutHandler.sol";
import {WalletHandler} from "./WalletHandler.sol";
import {Test} from "forge-std/Test.sol";

/// @notice What holds of a wallet after any sequence of calls by owners, former owners and strangers.
contract WalletInvariants is Test {
    WalletHandler private handler;

    function setUp() public {
        handler = new WalletHandler();
        targetContract(address(handler));
    }

    /// @dev The wallet and a plain model of it, with owners as accounts and confirmations as lists, agree throughout: on
    /// owners, threshold and nonce, and on who confirms what. A removed owner's confirmation is in no list.
    function invariant_WalletMatchesTheModel() public view {
        handler.checkAgainstModel();
    }

    /// @dev Each execution, of a proposal or with signatures, had by the model at least the threshold of distinct owners
    /// of that moment behind it, and had not been made before.
    function invariant_ExecutedOnlyWithTheThreshold() public view {
        assertEq(handler.unapprovedExecutions(), 0);
    }

    function invariant_ApprovedCallsAreNotRefused() public view {
        assertEq(handler.wrongRefusals(), 0);
    }

    function invariant_BalanceIsConserved() public view {
        assertEq(address(handler.wallet()).balance + handler.sent(), handler.deposited());
    }

    function invariant_ThresholdCanBeMet() public view {
        uint256 threshold = handler.wallet().threshold();
        assertGe(threshold, 1);
        assertLe(threshold, handler.wallet().owners().length);
    }

    /// @dev Shows that the runs do what they are for; a campaign in which nothing is executed proves nothing.
    function afterInvariant() public {
        if (vm.envOr("DTN_INVARIANT_SUMMARY", false)) handler.summary();
    }
}

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

/// @notice What holds of bonds and claims after any sequence of posts, challenges, verifications and waiting.
contract AowInvariants is Test {
    AowHandler private handler;

    function setUp() public {
        handler = new AowHandler();
        targetContract(address(handler));
    }

    /// @dev What the contract holds is the bonds of open claims and of final ones that have not asked for theirs, and the
    /// burned halves of those that were slashed.
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
