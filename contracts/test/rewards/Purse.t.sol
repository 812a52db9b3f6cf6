// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Claim} from "../../src/interfaces/IAowChallenge.sol";
import {Purse} from "../../src/rewards/Purse.sol";
import {TrickyToken} from "../helpers/Mocks.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

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
        token = new TrickyToken(address(this), 100 ether);
        address[] memory list = new address[](1);
        list[0] = address(token);
        distributor = deployDistributor(registry, address(outcomes), address(wallet), list);
        assertTrue(token.transfer(address(distributor), 100 ether));

        payouts = [payoutOf(recipientOf(Exit.Withdraw), 4 ether)];
        batchId = approveBatch(address(token), payouts, 1);
        token.play(TrickyToken.Trick.False);
        distributor.push(batchId, address(token), payouts);
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
        for (uint8 i = 1; i < 4; ++i) {
            expectPaid(Exit(i), TrickyToken.Trick.Bomb);
        }
    }

    /// @dev An account without code answers with success and nothing.
    function test_RevertWhen_ATokensCodeIsGone() public {
        vm.etch(address(token), "");
        for (uint8 i = 1; i < 4; ++i) {
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

    /// @dev Whom a push cannot pay is credited; everything else reverts, and works once the token does.
    function expectRefused(TrickyToken.Trick trick) private {
        token.play(trick);
        expectCredited();
        for (uint8 i = 1; i < 4; ++i) {
            Exit exit = Exit(i);
            address to = recipientOf(exit);
            attempt(exit, abi.encodeWithSelector(Purse.TransferFailed.selector, address(token), to));
            assertEq(token.balanceOf(to), 0);
            expectPaid(exit, TrickyToken.Trick.None);
        }
    }

    function expectCredited() private {
        uint256 state = vm.snapshotState();
        attempt(Exit.Push, "");
        assertEq(distributor.creditOf(recipientOf(Exit.Push), address(token)), 4 ether);
        assertEq(token.balanceOf(address(distributor)), 100 ether);
        vm.revertToState(state);
    }

    function attempt(Exit exit, bytes memory reason) private {
        vm.prank(exit == Exit.Sweep ? address(wallet) : recipientOf(exit));
        (bool ok, bytes memory answer) = address(distributor).call{gas: GAS}(callOf(exit));
        assertEq(ok, reason.length == 0);
        assertEq(answer, reason);
    }

    function callOf(Exit exit) private view returns (bytes memory) {
        if (exit == Exit.Push) return abi.encodeCall(distributor.push, (batchId, address(token), payouts));
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
