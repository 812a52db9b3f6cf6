// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {WalletHandler} from "./WalletHandler.sol";

/// @notice What holds of a wallet after any sequence of calls by owners, former owners and strangers.
contract WalletInvariants is Test {
    WalletHandler private handler;
    bool internal cloned;

    function setUp() public {
        handler = new WalletHandler(cloned);
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

/// @notice The same of a clone.
contract CloneInvariants is WalletInvariants {
    constructor() {
        cloned = true;
    }
}
