// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {BooksHandler} from "./BooksHandler.sol";

/// @notice What holds of what is allotted by hand and what the ledger states, beside each other.
contract BooksInvariants is Test {
    BooksHandler private handler;

    function setUp() public {
        handler = new BooksHandler();
        targetContract(address(handler));
    }

    /// @dev Neither takes what is set aside for the other, however wrong its roots are.
    function invariant_NeitherSideTakesFromTheOther() public view {
        handler.checkBooks();
        assertEq(handler.breaches(), 0);
    }

    function invariant_NeitherSideIsHeldUpByTheOther() public view {
        assertEq(handler.wrongRefusals(), 0);
    }

    function afterInvariant() public {
        if (vm.envOr("DTN_INVARIANT_SUMMARY", false)) handler.summary();
    }
}
