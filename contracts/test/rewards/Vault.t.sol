// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Test} from "forge-std/Test.sol";
import {Vault} from "../../src/rewards/Vault.sol";
import {newToken, newVault} from "../helpers/Deployed.sol";
import {Stubborn, TrickyToken} from "../helpers/Mocks.sol";

contract VaultTest is Test {
    address private constant ACCOUNT = address(0xACC0);
    uint96 private constant MINIMUM = 100;

    Stubborn private distributor;
    Vault private vault;

    function setUp() public {
        distributor = new Stubborn();
        vault = newVault(address(distributor), address(0), MINIMUM);
    }

    function test_WhatIsDepositedGoesOnAtOnceUnderANumber() public {
        for (uint64 number; number < 3; ++number) {
            vm.expectEmit(address(vault));
            emit Vault.Deposited(number, ACCOUNT, MINIMUM + number);
            vault.deposit{value: MINIMUM + number}(ACCOUNT);
        }
        assertEq(vault.count(), 3);
        assertEq(address(distributor).balance, 3 * MINIMUM + 3);
        assertEq(address(vault).balance, 0);
    }

    function test_KnowsItsTerms() public {
        IERC20 token = newToken(address(this), 1);
        Vault other = newVault(address(distributor), address(token), 7);
        assertEq(other.distributor(), address(distributor));
        assertEq(other.token(), address(token));
        assertEq(other.minimum(), 7);
    }

    function test_TokensGoOnWithoutAStop() public {
        IERC20 token = newToken(address(this), 1 ether);
        vault = newVault(address(distributor), address(token), MINIMUM);
        token.approve(address(vault), 1 ether);
        vm.expectEmit(address(vault));
        emit Vault.Deposited(0, ACCOUNT, 1 ether);
        vault.deposit(ACCOUNT, 1 ether);
        assertEq(token.balanceOf(address(distributor)), 1 ether);
        assertEq(token.balanceOf(address(vault)), 0);
    }

    function test_RevertWhen_TheTermsAreNone() public {
        vm.expectRevert(abi.encodeWithSelector(Vault.NoCode.selector, ACCOUNT));
        newVault(ACCOUNT, address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(Vault.NoCode.selector, ACCOUNT));
        newVault(address(distributor), ACCOUNT, 1);
    }

    function test_RevertWhen_NobodyWouldBeCredited() public {
        vm.expectRevert(Vault.ZeroAccount.selector);
        vault.deposit{value: 1 ether}(address(0));
    }

    /// @dev A closed one pays no earnings any more, and what came in would wait there for both locks.
    function test_RevertWhen_TheDistributorIsClosed() public {
        IERC20 token = newToken(address(this), 1 ether);
        Vault other = newVault(address(distributor), address(token), MINIMUM);
        token.approve(address(other), 1 ether);
        vm.mockCall(address(distributor), abi.encodeWithSignature("lastHeight()"), abi.encode(uint64(7)));
        vm.expectRevert(Vault.DistributorClosed.selector);
        vault.deposit{value: 1 ether}(ACCOUNT);
        vm.expectRevert(Vault.DistributorClosed.selector);
        other.deposit(ACCOUNT, 1 ether);
    }

    function test_RevertWhen_TheAmountIsDustOrMoreThanThereIs() public {
        uint256 most = type(uint96).max;
        uint256[2] memory amounts = [uint256(MINIMUM - 1), most + 1];
        vm.deal(address(this), most + 1);
        for (uint256 i; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Vault.InvalidAmount.selector, MINIMUM, most, amounts[i]));
            vault.deposit{value: amounts[i]}(ACCOUNT);
        }
        vault.deposit{value: most}(ACCOUNT);
        Vault free = newVault(address(distributor), address(0), 0);
        vm.expectRevert(abi.encodeWithSelector(Vault.InvalidAmount.selector, 0, most, 0));
        free.deposit(ACCOUNT);
    }

    function test_RevertWhen_ItIsTheOtherCurrency() public {
        vm.expectRevert(abi.encodeWithSelector(Vault.WrongCurrency.selector, address(0)));
        vault.deposit(ACCOUNT, 1 ether);
        IERC20 token = newToken(address(this), 1);
        vault = newVault(address(distributor), address(token), MINIMUM);
        vm.expectRevert(abi.encodeWithSelector(Vault.WrongCurrency.selector, address(token)));
        vault.deposit{value: 1 ether}(ACCOUNT);
    }

    function test_RevertWhen_TheDistributorDoesNotTakeIt() public {
        distributor.setMood(Stubborn.Mood.Reverting);
        vm.expectRevert(Vault.NotForwarded.selector);
        vault.deposit{value: 1 ether}(ACCOUNT);
        assertEq(vault.count(), 0);
    }

    /// @dev What did not arrive must not be owed.
    function test_RevertWhen_ATokenTakesAFee() public {
        TrickyToken token = tricky();
        token.play(TrickyToken.Trick.Fee);
        vm.expectRevert(abi.encodeWithSelector(Vault.NotReceived.selector, 0.99 ether, 1 ether));
        vault.deposit(ACCOUNT, 1 ether);
    }

    function test_RevertWhen_ATokenSaysNo() public {
        TrickyToken token = tricky();
        token.play(TrickyToken.Trick.False);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
        vault.deposit(ACCOUNT, 1 ether);
    }

    /// @dev What arrives during a deposit would count for both.
    function test_ATokenThatCallsBackIsRefused() public {
        TrickyToken token = tricky();
        assertTrue(token.transfer(address(token), 1 ether));
        vm.prank(address(token));
        token.approve(address(vault), 1 ether);
        token.reenter(address(vault), abi.encodeWithSignature("deposit(address,uint256)", ACCOUNT, 1 ether));
        vault.deposit(ACCOUNT, 1 ether);
        assertFalse(token.entered());
        assertEq(vault.count(), 1);
    }

    function tricky() private returns (TrickyToken token) {
        token = new TrickyToken(address(this), 10 ether);
        vault = newVault(address(distributor), address(token), MINIMUM);
        token.approve(address(vault), 10 ether);
    }
}
