// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Header, Result} from "../../src/formats/Types.sol";
import {Vault} from "../../src/rewards/Vault.sol";
import {Budgets} from "../helpers/Budgets.sol";
import {newVault} from "../helpers/Deployed.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

/// @notice Budgets for the ledger's money, as receipts state it: every call here is a transaction of its own.
contract EarningsGasTest is RewardsFixture, Budgets {
    function setUp() public {
        deployRewards();
        vm.deal(address(distributor), 1000 ether);
    }

    function test_GasOfDeposits() public {
        Vault vault = newVault(address(distributor), address(0), 1);
        vault.deposit{value: 1 ether}(PAYEE);
        check("deposit, native, first", 60_000);
        vault.deposit{value: 1 ether}(PAYEE);
        check("deposit, native, later", 43_000);
        vault = newVault(address(distributor), address(tokens[0]), 1);
        tokens[0].approve(address(vault), 10 ether);
        vault.deposit(PAYEE, 1 ether);
        vault.deposit(PAYEE, 1 ether);
        check("deposit, token, later", 57_500);
        assertEq(over, "");
    }

    function test_GasOfAStatement() public {
        vm.deal(PAYEE, 1);
        state(1, 1 ether);
        check("schedule a statement, first", 150_000);
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        check("activate a statement, first", 130_000);
        distributor.claimEarned(PAYEE, address(0), 1 ether, new bytes32[](0));
        check("claim of a statement, native, first", 90_000);
        state(2, 2 ether);
        check("schedule a statement, later", 75_000);
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        check("activate a statement, later", 69_000);
        distributor.claimEarned(PAYEE, address(0), 2 ether, new bytes32[](0));
        check("claim of a statement, native, later", 66_000);
        assertEq(over, "");
    }

    function state(uint32 number, uint96 amount) private {
        bytes32 root = rewardLeafOf(PAYEE, address(0), amount);
        scheduleEarned(makeStatement(number, address(0), root, amount), number, amount);
    }
}
