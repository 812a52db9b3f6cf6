// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Distribution, Header, Result, Solution, VoteKind} from "../../src/formats/Types.sol";
import {Batches} from "../../src/rewards/Batches.sol";
import {Limits} from "../../src/rewards/Limits.sol";
import {Locks} from "../../src/rewards/Locks.sol";
import {Purse} from "../../src/rewards/Purse.sol";
import {ReturnBomb, Stubborn, TrickyToken} from "../helpers/Mocks.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

/// @notice Batches of payouts, from the approval to the last push.
contract BatchesTest is RewardsFixture {
    address private constant NATIVE = address(0);

    function setUp() public {
        deployRewards();
        vm.deal(address(distributor), 100 ether);
    }

    function test_PushesABatch() public {
        bytes32[] memory payouts = makePayouts(20, 1 ether);
        Result memory result = batchResult(NATIVE, payouts, 1);
        Header memory header = finalizeOnly(result, 1);
        vm.expectEmit(address(distributor));
        emit Batches.BatchApproved(result.id, result.digest, 20 ether, uint64(block.timestamp) + DELAY);
        vm.prank(address(wallet));
        distributor.pay(header, result, new bytes32[](0), solutionOf[result.id]);
        assertTrue(distributor.isPaid(result.id));
        assertEq(address(distributor).balance, 100 ether);

        vm.expectRevert(abi.encodeWithSelector(Locks.TooEarly.selector, block.timestamp + DELAY));
        distributor.push(result.id, NATIVE, payouts, payouts.length);
        vm.warp(block.timestamp + DELAY);
        vm.expectEmit(address(distributor));
        emit Batches.BatchPaid(result.id, NATIVE, 20 ether);
        distributor.push(result.id, NATIVE, payouts, payouts.length);
        for (uint256 i; i < 20; ++i) {
            assertEq(accountAt(i).balance, 1 ether);
        }
        assertEq(address(distributor).balance, 80 ether);
    }

    function test_PushesABatchOfTokens() public {
        bytes32[] memory payouts = makePayouts(20, 2 ether);
        bytes32 id = approveBatch(address(tokens[0]), payouts, 1);
        distributor.push(id, address(tokens[0]), payouts, payouts.length);
        assertEq(tokens[0].balanceOf(accountAt(19)), 2 ether);
        assertEq(tokens[0].balanceOf(address(distributor)), 960 ether);
    }

    function test_RevertWhen_ABatchIsPushedTwice() public {
        bytes32[] memory payouts = makePayouts(3, 1 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        distributor.push(id, NATIVE, payouts, payouts.length);
        expectNotApproved(id, NATIVE, payouts);
    }

    /// @dev The same list may be paid again, as another result.
    /// @dev Both locks have taken back what it was in.
    function test_RevertWhen_TheBlockOfABatchWasRetracted() public {
        bytes32[] memory payouts = makePayouts(2, 1 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        bytes32 blockHash = registry.finalizedHash(1);
        distributor.push(id, NATIVE, payouts, 1);
        resolve(registry, actionOf("retract", address(registry), 1), validators);
        vm.prank(address(wallet));
        registry.retract(1);
        vm.expectRevert(abi.encodeWithSelector(Batches.NotFinalized.selector, 1, bytes32(bytes24(blockHash))));
        distributor.push(id, NATIVE, payouts, 2);
        assertEq(accountAt(1).balance, 0);
    }

    function test_EqualBatchesAreApprovedOneByOne() public {
        bytes32[] memory payouts = makePayouts(3, 1 ether);
        bytes32 first = approveBatch(NATIVE, payouts, 1);
        bytes32 second = approveBatch(NATIVE, payouts, 2);
        distributor.push(first, NATIVE, payouts, payouts.length);
        distributor.push(second, NATIVE, payouts, payouts.length);
        assertEq(accountAt(0).balance, 2 ether);
    }

    function test_RevertWhen_ABatchIsNotTheApprovedOne() public {
        bytes32[] memory payouts = makePayouts(3, 1 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        expectNotApproved(keccak256("another id"), NATIVE, payouts);
        expectNotApproved(id, address(tokens[0]), payouts);
        expectNotApproved(id, NATIVE, makePayouts(2, 1 ether));
        payouts[1] = payoutOf(address(this), 1 ether);
        expectNotApproved(id, NATIVE, payouts);
    }

    /// @dev What the owners see is the total; a list of more is not what they agreed to.
    function test_RevertWhen_TheTotalIsNotTheSum() public {
        bytes32[] memory payouts = makePayouts(3, 1 ether);
        Result memory result = batchResult(NATIVE, payouts, 1);
        result.amount = 1;
        Header memory header = finalizeOnly(result, 1);
        vm.prank(address(wallet));
        distributor.pay(header, result, new bytes32[](0), solutionOf[result.id]);
        expectNotApproved(result.id, NATIVE, payouts);
    }

    function test_RevertWhen_FundsAreShortForABatch() public {
        vm.deal(address(distributor), 50 ether);
        bytes32[] memory payouts = makePayouts(3, 20 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        vm.expectRevert(abi.encodeWithSelector(Purse.InsufficientFunds.selector, 50 ether, 60 ether));
        distributor.push(id, NATIVE, payouts, payouts.length);
        vm.deal(address(distributor), 60 ether);
        distributor.push(id, NATIVE, payouts, payouts.length);
        assertEq(address(distributor).balance, 0);
    }

    function test_ABarredOrMissingAccountIsPassedOver() public {
        bytes32[] memory payouts = makePayouts(4, 1 ether);
        payouts[1] = payoutOf(validators[2], 1 ether);
        payouts[3] = payoutOf(address(0), 1 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        registry.reportEvidence(makeEvidence(VoteKind.Commit, validators, 2));
        vm.expectEmit(address(distributor));
        emit Batches.Withheld(id, validators[2], 1 ether);
        vm.expectEmit(address(distributor));
        emit Batches.Withheld(id, address(0), 1 ether);
        distributor.push(id, NATIVE, payouts, payouts.length);
        assertEq(validators[2].balance, 0);
        assertEq(distributor.creditOf(validators[2], NATIVE), 0);
        assertEq(accountAt(2).balance, 1 ether);
        assertEq(distributor.free(NATIVE), 98 ether);
    }

    /// @dev Recipients that revert, burn all their gas, or return more than anybody wants to pay for.
    function test_NoRecipientHoldsUpTheOthers() public {
        Stubborn reverting = new Stubborn();
        reverting.setMood(Stubborn.Mood.Reverting);
        Stubborn burning = new Stubborn();
        burning.setMood(Stubborn.Mood.Burning);
        bytes32[] memory payouts = makePayouts(5, 1 ether);
        payouts[0] = payoutOf(address(reverting), 1 ether);
        payouts[2] = payoutOf(address(burning), 2 ether);
        payouts[3] = payoutOf(address(new ReturnBomb()), 3 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        vm.expectEmit(address(distributor));
        emit Purse.Credited(address(reverting), NATIVE, 1 ether);
        distributor.push(id, NATIVE, payouts, payouts.length);
        assertLt(vm.lastCallGas().gasTotalUsed, 500_000);

        assertEq(accountAt(1).balance, 1 ether);
        assertEq(accountAt(4).balance, 1 ether);
        assertEq(distributor.creditOf(address(reverting), NATIVE), 1 ether);
        assertEq(distributor.creditOf(address(burning), NATIVE), 2 ether);
        assertEq(distributor.free(NATIVE), 92 ether);
    }

    /// @dev While payouts are made, nothing else moves money or puts it aside.
    function test_RevertWhen_ATokenReentersAPush() public {
        TrickyToken token = deployTricky(10 ether);
        bytes32[] memory payouts = makePayouts(2, 1 ether);
        Distribution memory none;
        Header memory header;
        Result memory result;
        Solution memory solution;
        bytes[7] memory calls = [
            abi.encodeCall(distributor.push, (0, NATIVE, payouts, payouts.length)),
            abi.encodeCall(distributor.claim, (PAYEE, address(token), 1, new bytes32[](0))),
            abi.encodeCall(distributor.activate, (none)),
            abi.encodeCall(distributor.withdraw, (address(token), PAYEE)),
            abi.encodeCall(distributor.sweep, (address(token))),
            abi.encodeCall(distributor.pay, (header, result, new bytes32[](0), solution)),
            abi.encodeCall(distributor.payMany, (header, new Result[](0), new bytes32[][](0), new Solution[](0)))
        ];
        for (uint64 i; i < 7; ++i) {
            bytes32 id = approveBatch(address(token), payouts, i + 1);
            token.reenter(address(distributor), calls[i]);
            distributor.push(id, address(token), payouts, payouts.length);
            bytes4 reason = bytes4(token.answer());
            bool locked = reason == ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
            assertTrue(locked || (i > 3 && reason == Locks.OnlyMultisig.selector), vm.toString(i));
            token.play(TrickyToken.Trick.None);
            deal(address(token), address(distributor), 10 ether);
        }
    }

    /// @dev What one transaction cannot hold is pushed in parts, each payout once, whoever pushes them.
    function testFuzz_ABatchIsPushedInParts(uint256 size, uint256 part) public {
        size = bound(size, 1, 40);
        part = bound(part, 1, 45);
        bytes32[] memory payouts = makePayouts(size, 1 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        for (uint256 i; i < size; i += part) {
            bool isLast = i + part >= size;
            vm.expectEmit(address(distributor));
            if (isLast) emit Batches.BatchPaid(id, NATIVE, size * 1 ether);
            else emit Batches.BatchPushed(id, i + part);
            distributor.push(id, NATIVE, payouts, part);
            (,, uint24 next) = distributor.batchOf(id);
            assertEq(next, isLast ? 0 : i + part);
        }
        for (uint256 i; i < size; ++i) {
            assertEq(accountAt(i).balance, 1 ether);
        }
        assertEq(address(distributor).balance, 100 ether - size * 1 ether);
        expectNotApproved(id, NATIVE, payouts);
    }

    /// @dev The weaker of two exits is the one that gets used: batches have the caps and the limit that distributions have.
    function test_RevertWhen_ABatchIsAboveTheLimit() public {
        vm.deal(address(distributor), 1000 ether);
        bytes32[] memory payouts = makePayouts(3, 40 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        vm.expectRevert(abi.encodeWithSelector(Limits.AboveLimit.selector, NATIVE, CAP, 120 ether));
        distributor.push(id, NATIVE, payouts, 3);
        distributor.push(id, NATIVE, payouts, 2);
        vm.expectRevert(abi.encodeWithSelector(Limits.AboveLimit.selector, NATIVE, 20 ether, 40 ether));
        distributor.push(id, NATIVE, payouts, 3);
        vm.warp(block.timestamp + PERIOD / 5);
        distributor.push(id, NATIVE, payouts, 3);
        assertEq(accountAt(2).balance, 40 ether);
    }

    /// @dev It could never be made, and must not hold up those behind it.
    function test_APayoutAboveTheCapIsPassedOver() public {
        vm.deal(address(distributor), 1000 ether);
        bytes32[] memory payouts = makePayouts(3, 1 ether);
        payouts[1] = payoutOf(accountAt(1), uint96(CAP) + 1);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        vm.expectEmit(address(distributor));
        emit Batches.Withheld(id, accountAt(1), CAP + 1);
        distributor.push(id, NATIVE, payouts, 3);
        assertEq(accountAt(2).balance, 1 ether);
        assertEq(address(distributor).balance, 998 ether);
    }

    function test_TheMultisigCancelsABatchOrItsRest() public {
        bytes32[] memory payouts = makePayouts(3, 1 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.cancelBatch(id);
        distributor.push(id, NATIVE, payouts, 1);
        vm.expectEmit(address(distributor));
        emit Batches.BatchCancelled(id);
        vm.prank(address(wallet));
        distributor.cancelBatch(id);
        expectNotApproved(id, NATIVE, payouts);
        assertTrue(distributor.isPaid(id));
        assertEq(distributor.free(NATIVE), 99 ether);
        vm.prank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Batches.NotApproved.selector, id));
        distributor.cancelBatch(id);
    }

    /// @dev As long as a transaction has room, whatever the recipients do.
    function test_HostileRecipientsCannotMakeABatchImpossible() public {
        uint256 count = 400;
        bytes32[] memory payouts = makePayouts(count, 0.01 ether);
        bytes memory burner = hex"fe";
        for (uint256 i; i < count; ++i) {
            vm.etch(accountOf(payouts[i]), burner);
        }
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        for (uint256 i; i < count; i += 100) {
            distributor.push(id, NATIVE, payouts, 100);
            assertLt(vm.lastCallGas().gasTotalUsed, 1 << 24);
        }
        assertEq(distributor.creditOf(accountOf(payouts[count - 1]), NATIVE), 0.01 ether);
    }

    function expectNotApproved(bytes32 id, address token, bytes32[] memory payouts) private {
        vm.expectRevert(abi.encodeWithSelector(Batches.NotApproved.selector, id));
        distributor.push(id, token, payouts, payouts.length);
    }
}
