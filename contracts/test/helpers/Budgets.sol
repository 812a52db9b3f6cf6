// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {console} from "forge-std/console.sol";
import {Test} from "forge-std/Test.sol";

/// @notice Holds what a transaction has cost against a budget.
abstract contract Budgets is Test {
    /// @dev The last call over its budget. Noted rather than failed at once, so that one run shows every number.
    string internal over;

    function check(string memory what, uint256 budget) internal {
        uint256 used = vm.lastCallGas().gasTotalUsed;
        console.log(what, used);
        if (used > budget) over = what;
    }
}

