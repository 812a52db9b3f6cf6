// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {VaultHandler} from "./VaultHandler.sol";

/// @notice What holds of deposits whoever makes them, and with whatever.
contract VaultInvariants is Test {
    VaultHandler private handler;

    function setUp() public {
        handler = new VaultHandler();
        targetContract(address(handler));
    }

    function invariant_WhatWasSaidToBeDepositedIsWithTheDistributor() public view {
        handler.checkReceived();
    }

    function invariant_VaultsHoldNothing() public view {
        handler.checkEmpty();
    }
}
