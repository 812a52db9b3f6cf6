// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Header, Result} from "../../src/formats/Types.sol";
import {Purse} from "../../src/rewards/Purse.sol";
import {Choosy, Stubborn, TrickyToken} from "../helpers/Mocks.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

/// @notice Pushes that nobody holds up, and credit for those who do not take what is pushed.
contract PurseTest is RewardsFixture {
    address private constant NATIVE = address(0);

    function setUp() public {
        deployRewards();
        vm.deal(address(distributor), 100 ether);
    }

    function test_TakesFunds() public {
        vm.deal(address(this), 1 ether);
        vm.expectEmit(address(distributor));
        emit Purse.Funded(address(this), 1 ether);
        payable(address(distributor)).transfer(1 ether);
        assertEq(address(distributor).balance, 101 ether);
    }

    function test_WithdrawsCreditOnce() public {
        Stubborn recipient = credit(2 ether);
        vm.expectEmit(address(distributor));
        emit Purse.Withdrawn(address(recipient), NATIVE, PAYEE, 2 ether);
        vm.prank(address(recipient));
        distributor.withdraw(NATIVE, PAYEE);
        assertEq(PAYEE.balance, 2 ether);
        (, uint96 credited,) = distributor.reserveOf(NATIVE);
        assertEq(credited, 0);
        vm.prank(address(recipient));
        vm.expectRevert(abi.encodeWithSelector(Purse.NoCredit.selector, address(recipient), NATIVE));
        distributor.withdraw(NATIVE, PAYEE);
    }

    function test_AFailedWithdrawalChangesNothing() public {
        Stubborn recipient = credit(2 ether);
        vm.prank(address(recipient));
        vm.expectRevert(abi.encodeWithSelector(Purse.TransferFailed.selector, NATIVE, address(recipient)));
        distributor.withdraw(NATIVE, address(recipient));
        assertEq(distributor.creditOf(address(recipient), NATIVE), 2 ether);
    }

    /// @dev What is credited is no longer there for others.
    function test_RevertWhen_CreditIsAllThereIs() public {
        credit(99 ether);
        bytes32[] memory payouts = makePayouts(2, 1 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 2);
        vm.expectRevert(abi.encodeWithSelector(Purse.InsufficientFunds.selector, 1 ether, 2 ether));
        distributor.push(id, NATIVE, payouts, payouts.length);

        Result memory result = makeRace(0, validators[0], PAYEE, 2 ether);
        Header memory header = finalizeOnly(result, 3);
        vm.prank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Purse.InsufficientFunds.selector, 1 ether, 2 ether));
        distributor.pay(header, result, new bytes32[](0), solutionOf[result.id]);
    }

    /// @dev Whatever gas the transaction brings, a recipient that demands nearly its whole bound is paid and not
    /// credited, or nothing happens at all. It has credit already, so to credit it again would be cheap.
    function testFuzz_NobodyIsStarvedIntoCredit(uint256 gas_) public {
        gas_ = bound(gas_, 20_000, 120_000);
        Choosy choosy = new Choosy();
        bytes32[] memory payouts = new bytes32[](1);
        payouts[0] = payoutOf(address(choosy), 1 ether);
        distributor.push(approveBatch(NATIVE, payouts, 1), NATIVE, payouts, payouts.length);
        assertEq(distributor.creditOf(address(choosy), NATIVE), 1 ether);

        choosy.demand(distributor.NATIVE_PUSH_GAS());
        bytes32 id = approveBatch(NATIVE, payouts, 2);
        (bool ok,) = address(distributor).call{gas: gas_}(
            abi.encodeCall(distributor.push, (id, NATIVE, payouts, payouts.length))
        );
        assertEq(address(choosy).balance, ok ? 1 ether : 0);
        assertEq(distributor.creditOf(address(choosy), NATIVE), 1 ether);
    }

    /// @dev The recipient is an account that does not exist yet, which is dearest to call, or a token's.
    function testFuzz_RevertWhen_GasIsShort(uint256 gas_, bool inTokens) public {
        gas_ = bound(gas_, 20_000, 400_000);
        address token = inTokens ? address(tokens[0]) : NATIVE;
        bytes32[] memory payouts = makePayouts(2, 1 ether);
        bytes32 id = approveBatch(token, payouts, 1);
        (bool ok, bytes memory reason) =
            address(distributor).call{gas: gas_}(abi.encodeCall(distributor.push, (id, token, payouts, payouts.length)));
        uint256 balance = inTokens ? tokens[0].balanceOf(accountAt(1)) : accountAt(1).balance;
        assertEq(balance, ok ? 1 ether : 0);
        assertEq(distributor.creditOf(accountAt(1), token), 0);
        if (!ok && reason.length != 0) assertEq(bytes4(reason), Purse.InsufficientGas.selector);
    }

    function test_RevertWhen_GasIsShort() public {
        bytes32[] memory payouts = makePayouts(1, 1 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        vm.expectPartialRevert(Purse.InsufficientGas.selector);
        distributor.push{gas: 90_000}(id, NATIVE, payouts, payouts.length);
    }

    /// @dev Tokens that refuse by reverting, by returning false, or by using up their gas.
    function test_ATokenThatRefusesIsCredited() public {
        TrickyToken token = deployTricky(100 ether);
        TrickyToken.Trick[3] memory tricks =
            [TrickyToken.Trick.False, TrickyToken.Trick.Reverting, TrickyToken.Trick.Burning];
        bytes32[] memory payouts = makePayouts(1, 1 ether);
        for (uint64 i; i < 3; ++i) {
            token.play(tricks[i]);
            distributor.push(approveBatch(address(token), payouts, i + 1), address(token), payouts, payouts.length);
            assertEq(distributor.creditOf(accountAt(0), address(token)), uint256(i + 1) * 1 ether);
        }
        vm.startPrank(accountAt(0));
        token.play(TrickyToken.Trick.False);
        vm.expectRevert(abi.encodeWithSelector(Purse.TransferFailed.selector, address(token), PAYEE));
        distributor.withdraw(address(token), PAYEE);
        token.play(TrickyToken.Trick.Silent);
        distributor.withdraw(address(token), PAYEE);
        assertEq(token.balanceOf(PAYEE), 3 ether);
    }

    function test_ATokenMayTakeAFeeFromTheRecipientOrSayNothing() public {
        TrickyToken token = deployTricky(100 ether);
        bytes32[] memory payouts = makePayouts(1, 1 ether);
        token.play(TrickyToken.Trick.Fee);
        distributor.push(approveBatch(address(token), payouts, 1), address(token), payouts, payouts.length);
        token.play(TrickyToken.Trick.Silent);
        distributor.push(approveBatch(address(token), payouts, 2), address(token), payouts, payouts.length);
        assertEq(token.balanceOf(accountAt(0)), 1.99 ether);
        assertEq(token.balanceOf(address(distributor)), 98 ether);
    }

    /// @dev An account without code answers every call with success and nothing.
    function test_RevertWhen_TheTokenIsNoContract() public {
        bytes32[] memory payouts = makePayouts(1, 1 ether);
        bytes32 id = approveBatch(PAYEE, payouts, 1);
        vm.expectRevert();
        distributor.push(id, PAYEE, payouts, payouts.length);
    }

    /// @dev A token that takes more than it is told to must not take what others are owed.
    function test_RevertWhen_ATokenTakesWhatOthersAreOwed() public {
        TrickyToken token = deployTricky(3 ether);
        bytes32[] memory payouts = makePayouts(1, 1 ether);
        token.play(TrickyToken.Trick.False);
        distributor.push(approveBatch(address(token), payouts, 1), address(token), payouts, payouts.length);
        token.play(TrickyToken.Trick.Greedy);
        distributor.push(approveBatch(address(token), payouts, 2), address(token), payouts, payouts.length);
        vm.prank(accountAt(0));
        vm.expectRevert(abi.encodeWithSelector(Purse.TransferFailed.selector, address(token), PAYEE));
        distributor.withdraw(address(token), PAYEE);

        token.play(TrickyToken.Trick.None);
        vm.prank(address(this));
        deal(address(token), address(distributor), 2.5 ether);
        bytes32 id = approveBatch(address(token), payouts, 3);
        token.play(TrickyToken.Trick.Greedy);
        vm.expectRevert(abi.encodeWithSelector(Purse.Insolvent.selector, address(token)));
        distributor.push(id, address(token), payouts, payouts.length);
    }

    function credit(uint96 amount) private returns (Stubborn recipient) {
        recipient = new Stubborn();
        recipient.setMood(Stubborn.Mood.Reverting);
        bytes32[] memory payouts = new bytes32[](1);
        payouts[0] = payoutOf(address(recipient), amount);
        distributor.push(approveBatch(NATIVE, payouts, 1), NATIVE, payouts, payouts.length);
    }
}

/// @notice Every way in which a token misbehaves, on every way out of the distributor.
contract TrickyTokensTest is RewardsFixture {
    enum Exit {
        Push,
        Claim,
        Withdraw,
        Sweep
    }

    bytes32[] private noProof;
    /// @dev What the token may spend, and what is left is not enough to copy a bomb as well.
    uint256 private constant GAS = 6_000_000;

    TrickyToken private token;
    bytes32 private batchId;
    bytes32[] private payouts;

    /// @dev All exits are open: a batch of 4 ether is approved, and there are a claim of 4 ether of 12 that are allotted
    /// and may be swept, and a credit of 4 ether.
    function setUp() public {
        vm.warp(1_700_000_000);
        deployRewards();
        token = deployTricky(100 ether);

        payouts = [payoutOf(recipientOf(Exit.Withdraw), 4 ether)];
        batchId = approveBatch(address(token), payouts, 1);
        token.play(TrickyToken.Trick.False);
        distributor.push(batchId, address(token), payouts, payouts.length);
        token.play(TrickyToken.Trick.None);

        distribute(single(1, recipientOf(Exit.Claim), address(token), 4 ether, 12 ether));
        payouts = [payoutOf(recipientOf(Exit.Push), 4 ether)];
        batchId = approveBatch(address(token), payouts, 2);
        vm.warp(block.timestamp + CLAIM_PERIOD);
    }

    function test_WellBehavedTokensLeaveByEveryExit() public {
        expectPaid(TrickyToken.Trick.None);
    }

    function test_SilentTokensLeaveByEveryExit() public {
        expectPaid(TrickyToken.Trick.Silent);
    }

    function test_TokensWithAFeeLeaveByEveryExit() public {
        expectPaid(TrickyToken.Trick.Fee);
    }

    function test_RevertWhen_ATokenSaysFalse() public {
        expectRefused(TrickyToken.Trick.False);
    }

    function test_RevertWhen_ATokenReverts() public {
        expectRefused(TrickyToken.Trick.Reverting);
    }

    function test_RevertWhen_ATokenBurnsItsGas() public {
        expectRefused(TrickyToken.Trick.Burning);
    }

    function test_RevertWhen_ATokenSaysTwo() public {
        expectRefused(TrickyToken.Trick.Two);
    }

    function test_RevertWhen_ATokenSaysLessThanAWord() public {
        expectRefused(TrickyToken.Trick.Short);
    }

    function test_RevertWhen_ATokenRevertsWithMegabytes() public {
        expectRefused(TrickyToken.Trick.RevertingBomb);
    }

    /// @dev Who pays for the megabytes is the token, within its bound where it has one. Nothing copies them.
    function test_NobodyCopiesMegabytes() public {
        token.play(TrickyToken.Trick.Bomb);
        expectCredited();
        for (uint8 i = 2; i < 4; ++i) {
            expectPaid(Exit(i), TrickyToken.Trick.Bomb);
        }
    }

    /// @dev An account without code answers with success and nothing.
    function test_RevertWhen_ATokensCodeIsGone() public {
        vm.etch(address(token), "");
        for (uint8 i = 2; i < 4; ++i) {
            address to = recipientOf(Exit(i));
            attempt(Exit(i), abi.encodeWithSelector(Purse.TransferFailed.selector, address(token), to));
        }
        vm.expectRevert();
        distributor.push(batchId, address(token), payouts, payouts.length);
        vm.expectRevert();
        distributor.claim(recipientOf(Exit.Claim), address(token), 4 ether, noProof);
    }

    /// @dev To credit its recipient would pay for the same again, out of what others are owed.
    function test_RevertWhen_ATokenMovesAndSaysFalse() public {
        token.play(TrickyToken.Trick.Hypocrite);
        bytes memory reason = abi.encodeWithSelector(Purse.MovedAndRefused.selector, address(token));
        attempt(Exit.Push, reason);
        attempt(Exit.Claim, reason);
        for (uint8 i = 2; i < 4; ++i) {
            address to = recipientOf(Exit(i));
            attempt(Exit(i), abi.encodeWithSelector(Purse.TransferFailed.selector, address(token), to));
        }
    }

    function test_RevertWhen_ATokenTakesWhatOthersAreOwed() public {
        bytes memory insolvent = abi.encodeWithSelector(Purse.Insolvent.selector, address(token));
        for (uint8 i; i < 4; ++i) {
            uint256 state = vm.snapshotState();
            // All that is owed, and for the batch, which is promised only while it is paid, as much again.
            deal(address(token), address(distributor), Exit(i) == Exit.Push ? 20 ether : 16 ether);
            token.play(TrickyToken.Trick.Greedy);
            attempt(Exit(i), insolvent);
            vm.revertToState(state);
        }
    }

    function test_RevertWhen_ATokenReenters() public {
        for (uint8 i; i < 4; ++i) {
            for (uint8 j; j < 4; ++j) {
                uint256 state = vm.snapshotState();
                token.reenter(address(distributor), callOf(Exit(j)));
                attempt(Exit(i), "");
                assertFalse(token.entered());
                assertGt(token.answer().length, 0);
                assertEq(token.balanceOf(recipientOf(Exit(i))), amountOf(Exit(i)));
                assertEq(token.balanceOf(address(distributor)), 100 ether - amountOf(Exit(i)));
                vm.revertToState(state);
            }
        }
    }

    function expectPaid(TrickyToken.Trick trick) private {
        for (uint8 i; i < 4; ++i) {
            expectPaid(Exit(i), trick);
        }
    }

    /// @dev A fee is between the token and who receives it; the books have what left.
    function expectPaid(Exit exit, TrickyToken.Trick trick) private {
        uint256 state = vm.snapshotState();
        token.play(trick);
        uint256 free = distributor.free(address(token));
        attempt(exit, "");
        uint256 amount = amountOf(exit);
        uint256 fee = trick == TrickyToken.Trick.Fee ? amount / 100 : 0;
        assertEq(token.balanceOf(recipientOf(exit)), amount - fee);
        assertEq(token.balanceOf(address(distributor)), 100 ether - amount);
        assertEq(distributor.free(address(token)), exit == Exit.Push ? free - amount : free);
        vm.revertToState(state);
    }

    /// @dev Whom a push or a claim cannot pay is credited; everything else reverts, and works once the token does.
    function expectRefused(TrickyToken.Trick trick) private {
        token.play(trick);
        expectCredited();
        for (uint8 i = 2; i < 4; ++i) {
            Exit exit = Exit(i);
            address to = recipientOf(exit);
            attempt(exit, abi.encodeWithSelector(Purse.TransferFailed.selector, address(token), to));
            assertEq(token.balanceOf(to), 0);
            expectPaid(exit, TrickyToken.Trick.None);
        }
    }

    function expectCredited() private {
        for (uint8 i; i < 2; ++i) {
            uint256 state = vm.snapshotState();
            uint256 free = distributor.free(address(token));
            attempt(Exit(i), "");
            assertEq(distributor.creditOf(recipientOf(Exit(i)), address(token)), 4 ether);
            assertEq(token.balanceOf(address(distributor)), 100 ether);
            assertEq(distributor.free(address(token)), Exit(i) == Exit.Push ? free - 4 ether : free);
            vm.revertToState(state);
        }
    }

    function attempt(Exit exit, bytes memory reason) private {
        vm.prank(exit == Exit.Sweep ? address(wallet) : recipientOf(exit));
        (bool ok, bytes memory answer) = address(distributor).call{gas: GAS}(callOf(exit));
        assertEq(ok, reason.length == 0);
        assertEq(answer, reason);
    }

    function callOf(Exit exit) private view returns (bytes memory) {
        if (exit == Exit.Push) {
            return abi.encodeCall(distributor.push, (batchId, address(token), payouts, payouts.length));
        }
        if (exit == Exit.Sweep) return abi.encodeCall(distributor.sweep, (address(token)));
        address to = recipientOf(exit);
        if (exit == Exit.Withdraw) return abi.encodeCall(distributor.withdraw, (address(token), to));
        return abi.encodeCall(distributor.claim, (to, address(token), 4 ether, noProof));
    }

    function recipientOf(Exit exit) private view returns (address) {
        return exit == Exit.Sweep ? address(wallet) : accountAt(uint256(exit));
    }

    function amountOf(Exit exit) private pure returns (uint256) {
        return exit == Exit.Sweep ? 12 ether : 4 ether;
    }
}
