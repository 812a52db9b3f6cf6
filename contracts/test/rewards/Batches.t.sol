// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Distribution, Header, Result, Solution, VoteKind} from "../../src/formats/Types.sol";
import {Batches} from "../../src/rewards/Batches.sol";
import {Locks} from "../../src/rewards/Locks.sol";
import {Pow} from "../../src/rewards/Pow.sol";
import {Purse} from "../../src/rewards/Purse.sol";
import {Results} from "../../src/rewards/Results.sol";
import {Choosy, ReturnBomb, Stubborn, TrickyToken} from "../helpers/Mocks.sol";
import {payloadHash} from "../helpers/Races.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

/// @notice Results that are paid several at once, batches, and credit for those who do not take what is pushed.
contract BatchesTest is RewardsFixture {
    address private constant NATIVE = address(0);

    function setUp() public {
        deployRewards();
        vm.deal(address(distributor), 100 ether);
    }

    function test_PaysManyResults() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(7);
        vm.expectEmit(address(distributor));
        emit Results.Paid(results[6].id, PAYEE, 1 ether, 1);
        payMany(header, results, proofs);
        assertEq(PAYEE.balance, 7 ether);
        for (uint256 i; i < 7; ++i) {
            assertTrue(distributor.isPaid(results[i].id));
        }
    }

    function test_RevertWhen_ManyAreNotPaidByTheMultisig() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(2);
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.payMany(header, results, proofs, solutionsOf(results));
    }

    function test_RevertWhen_ProofsOrSolutionsAreTooFew() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(2);
        bytes memory reason = abi.encodeWithSelector(Results.LengthMismatch.selector, 2, 1, 2);
        expectManyRefused(header, results, new bytes32[][](1), reason);
        vm.prank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Results.LengthMismatch.selector, 2, 2, 1));
        distributor.payMany(header, results, proofs, new Solution[](1));
    }

    /// @dev One race among others is paid for nothing less than its own work.
    function test_RevertWhen_OneOfManyShowsNoWork() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(3);
        Solution memory own = solutionOf[results[1].id];
        delete solutionOf[results[1].id];
        bytes32 nothing = payloadHash(domainOf(NETWORK, block.chainid), address(0), "");
        bytes memory reason = abi.encodeWithSelector(Pow.WrongOrder.selector, results[1].id, nothing);
        expectManyRefused(header, results, proofs, reason);
        solutionOf[results[1].id] = solutionOf[results[2].id];
        reason = abi.encodeWithSelector(Pow.WrongOrder.selector, results[1].id, results[2].id);
        expectManyRefused(header, results, proofs, reason);
        solutionOf[results[1].id] = own;
        payMany(header, results, proofs);
        assertEq(PAYEE.balance, 3 ether);
    }

    function test_RevertWhen_OneOfManyIsThereTwice() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(3);
        (results[2], proofs[2]) = (results[0], proofs[0]);
        bytes memory reason = abi.encodeWithSelector(Results.AlreadyPaid.selector, results[0].id);
        expectManyRefused(header, results, proofs, reason);
    }

    function test_RevertWhen_OneOfManyIsNotIncluded() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(3);
        results[1].amount = 2 ether;
        bytes memory reason = abi.encodeWithSelector(Locks.NotIncluded.selector, leafOf(results[1]));
        expectManyRefused(header, results, proofs, reason);
    }

    function test_RevertWhen_TheBlockOfManyIsNotFinal() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(3);
        header.timestamp += 1;
        bytes memory reason = abi.encodeWithSelector(Results.NotFinalized.selector, 1, hashOf(header));
        expectManyRefused(header, results, proofs, reason);
    }

    function test_RevertWhen_FundsAreShortForMany() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(3);
        vm.deal(address(distributor), 2.5 ether);
        bytes memory reason = abi.encodeWithSelector(Purse.InsufficientFunds.selector, 0.5 ether, 1 ether);
        expectManyRefused(header, results, proofs, reason);
    }

    /// @dev The one who contradicted itself is passed over, and does not hold up the others.
    function test_ABarredWorkerIsPassedOverAmongMany() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(5);
        registry.reportEvidence(makeEvidence(VoteKind.Commit, validators, 1));
        vm.expectEmit(address(distributor));
        emit Batches.Withheld(results[1].id, validators[1], 1 ether);
        payMany(header, results, proofs);
        assertEq(PAYEE.balance, 4 ether);
        assertFalse(distributor.isPaid(results[1].id));
    }

    function test_APayeeThatRefusesIsCreditedAmongMany() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(3);
        vm.etch(PAYEE, hex"5f5ffd");
        payMany(header, results, proofs);
        assertEq(distributor.creditOf(PAYEE, NATIVE), 3 ether);
        assertTrue(distributor.isPaid(results[0].id));
        vm.etch(PAYEE, "");
        vm.prank(PAYEE);
        distributor.withdraw(NATIVE, PAYEE);
        assertEq(PAYEE.balance, 3 ether);
    }

    function test_ABatchIsApprovedAmongMany() public {
        bytes32[] memory payouts = makePayouts(2, 1 ether);
        Result[] memory results = new Result[](1);
        results[0] = batchResult(NATIVE, payouts, 1);
        payMany(finalizeOnly(results[0], 1), results, new bytes32[][](1));
        distributor.push(results[0].id, NATIVE, payouts);
        assertEq(accountAt(1).balance, 1 ether);
    }

    function test_PushesABatch() public {
        bytes32[] memory payouts = makePayouts(20, 1 ether);
        Result memory result = batchResult(NATIVE, payouts, 1);
        Header memory header = finalizeOnly(result, 1);
        vm.expectEmit(address(distributor));
        emit Batches.BatchApproved(result.id, result.digest, 20 ether);
        vm.prank(address(wallet));
        distributor.pay(header, result, new bytes32[](0), solutionOf[result.id]);
        assertTrue(distributor.isPaid(result.id));
        assertEq(address(distributor).balance, 100 ether);

        vm.expectEmit(address(distributor));
        emit Batches.BatchPaid(result.id, NATIVE, 20 ether);
        distributor.push(result.id, NATIVE, payouts);
        for (uint256 i; i < 20; ++i) {
            assertEq(accountAt(i).balance, 1 ether);
        }
        assertEq(address(distributor).balance, 80 ether);
    }

    function test_PushesABatchOfTokens() public {
        bytes32[] memory payouts = makePayouts(20, 2 ether);
        bytes32 id = approveBatch(address(tokens[0]), payouts, 1);
        distributor.push(id, address(tokens[0]), payouts);
        assertEq(tokens[0].balanceOf(accountAt(19)), 2 ether);
        assertEq(tokens[0].balanceOf(address(distributor)), 960 ether);
    }

    function test_RevertWhen_ABatchIsPushedTwice() public {
        bytes32[] memory payouts = makePayouts(3, 1 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        distributor.push(id, NATIVE, payouts);
        expectNotApproved(id, NATIVE, payouts);
    }

    /// @dev The same list may be paid again, as another result.
    function test_EqualBatchesAreApprovedOneByOne() public {
        bytes32[] memory payouts = makePayouts(3, 1 ether);
        bytes32 first = approveBatch(NATIVE, payouts, 1);
        bytes32 second = approveBatch(NATIVE, payouts, 2);
        distributor.push(first, NATIVE, payouts);
        distributor.push(second, NATIVE, payouts);
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
        bytes32[] memory payouts = makePayouts(3, 40 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        vm.expectRevert(abi.encodeWithSelector(Purse.InsufficientFunds.selector, 100 ether, 120 ether));
        distributor.push(id, NATIVE, payouts);
        vm.deal(address(distributor), 120 ether);
        distributor.push(id, NATIVE, payouts);
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
        distributor.push(id, NATIVE, payouts);
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
        distributor.push(id, NATIVE, payouts);
        assertLt(vm.lastCallGas().gasTotalUsed, 500_000);

        assertEq(accountAt(1).balance, 1 ether);
        assertEq(accountAt(4).balance, 1 ether);
        assertEq(distributor.creditOf(address(reverting), NATIVE), 1 ether);
        assertEq(distributor.creditOf(address(burning), NATIVE), 2 ether);
        assertEq(distributor.free(NATIVE), 92 ether);
    }

    function test_WithdrawsCreditOnce() public {
        Stubborn recipient = credit(2 ether);
        vm.expectEmit(address(distributor));
        emit Purse.Withdrawn(address(recipient), NATIVE, PAYEE, 2 ether);
        vm.prank(address(recipient));
        distributor.withdraw(NATIVE, PAYEE);
        assertEq(PAYEE.balance, 2 ether);
        (, uint128 credited) = distributor.reserveOf(NATIVE);
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
        distributor.push(id, NATIVE, payouts);

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
        distributor.push(approveBatch(NATIVE, payouts, 1), NATIVE, payouts);
        assertEq(distributor.creditOf(address(choosy), NATIVE), 1 ether);

        choosy.demand(distributor.NATIVE_PUSH_GAS());
        bytes32 id = approveBatch(NATIVE, payouts, 2);
        (bool ok,) = address(distributor).call{gas: gas_}(abi.encodeCall(distributor.push, (id, NATIVE, payouts)));
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
            address(distributor).call{gas: gas_}(abi.encodeCall(distributor.push, (id, token, payouts)));
        uint256 balance = inTokens ? tokens[0].balanceOf(accountAt(1)) : accountAt(1).balance;
        assertEq(balance, ok ? 1 ether : 0);
        assertEq(distributor.creditOf(accountAt(1), token), 0);
        if (!ok && reason.length != 0) assertEq(bytes4(reason), Purse.InsufficientGas.selector);
    }

    function test_RevertWhen_GasIsShort() public {
        bytes32[] memory payouts = makePayouts(1, 1 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 1);
        vm.expectPartialRevert(Purse.InsufficientGas.selector);
        distributor.push{gas: 90_000}(id, NATIVE, payouts);
    }

    /// @dev Tokens that refuse by reverting, by returning false, or by using up their gas.
    function test_ATokenThatRefusesIsCredited() public {
        TrickyToken token = new TrickyToken(address(distributor), 100 ether);
        TrickyToken.Trick[3] memory tricks =
            [TrickyToken.Trick.False, TrickyToken.Trick.Reverting, TrickyToken.Trick.Burning];
        bytes32[] memory payouts = makePayouts(1, 1 ether);
        for (uint64 i; i < 3; ++i) {
            token.play(tricks[i]);
            distributor.push(approveBatch(address(token), payouts, i + 1), address(token), payouts);
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
        TrickyToken token = new TrickyToken(address(distributor), 100 ether);
        bytes32[] memory payouts = makePayouts(1, 1 ether);
        token.play(TrickyToken.Trick.Fee);
        distributor.push(approveBatch(address(token), payouts, 1), address(token), payouts);
        token.play(TrickyToken.Trick.Silent);
        distributor.push(approveBatch(address(token), payouts, 2), address(token), payouts);
        assertEq(token.balanceOf(accountAt(0)), 1.99 ether);
        assertEq(token.balanceOf(address(distributor)), 98 ether);
    }

    /// @dev An account without code answers every call with success and nothing.
    function test_RevertWhen_TheTokenIsNoContract() public {
        bytes32[] memory payouts = makePayouts(1, 1 ether);
        bytes32 id = approveBatch(PAYEE, payouts, 1);
        vm.expectRevert();
        distributor.push(id, PAYEE, payouts);
    }

    /// @dev A token that takes more than it is told to must not take what others are owed.
    function test_RevertWhen_ATokenTakesWhatOthersAreOwed() public {
        TrickyToken token = new TrickyToken(address(distributor), 3 ether);
        bytes32[] memory payouts = makePayouts(1, 1 ether);
        token.play(TrickyToken.Trick.False);
        distributor.push(approveBatch(address(token), payouts, 1), address(token), payouts);
        token.play(TrickyToken.Trick.Greedy);
        distributor.push(approveBatch(address(token), payouts, 2), address(token), payouts);
        vm.prank(accountAt(0));
        vm.expectRevert(abi.encodeWithSelector(Purse.TransferFailed.selector, address(token), PAYEE));
        distributor.withdraw(address(token), PAYEE);

        token.play(TrickyToken.Trick.None);
        vm.prank(address(this));
        deal(address(token), address(distributor), 2.5 ether);
        bytes32 id = approveBatch(address(token), payouts, 3);
        token.play(TrickyToken.Trick.Greedy);
        vm.expectRevert(abi.encodeWithSelector(Purse.Insolvent.selector, address(token)));
        distributor.push(id, address(token), payouts);
    }

    /// @dev While payouts are made, nothing else moves money or puts it aside.
    function test_RevertWhen_ATokenReentersAPush() public {
        TrickyToken token = new TrickyToken(address(distributor), 10 ether);
        bytes32[] memory payouts = makePayouts(2, 1 ether);
        Distribution memory none;
        Header memory header;
        Result memory result;
        Solution memory solution;
        bytes[7] memory calls = [
            abi.encodeCall(distributor.push, (0, NATIVE, payouts)),
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
            distributor.push(id, address(token), payouts);
            bytes4 reason = bytes4(token.answer());
            bool locked = reason == ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
            assertTrue(locked || (i > 3 && reason == Locks.OnlyMultisig.selector), vm.toString(i));
            token.play(TrickyToken.Trick.None);
            deal(address(token), address(distributor), 10 ether);
        }
    }

    function credit(uint96 amount) private returns (Stubborn recipient) {
        recipient = new Stubborn();
        recipient.setMood(Stubborn.Mood.Reverting);
        bytes32[] memory payouts = new bytes32[](1);
        payouts[0] = payoutOf(address(recipient), amount);
        distributor.push(approveBatch(NATIVE, payouts, 1), NATIVE, payouts);
    }

    function payMany(Header memory header, Result[] memory results, bytes32[][] memory proofs) private {
        vm.prank(address(wallet));
        distributor.payMany(header, results, proofs, solutionsOf(results));
    }

    function expectManyRefused(
        Header memory header,
        Result[] memory results,
        bytes32[][] memory proofs,
        bytes memory reason
    ) private {
        vm.prank(address(wallet));
        vm.expectRevert(reason);
        distributor.payMany(header, results, proofs, solutionsOf(results));
        assertFalse(distributor.isPaid(results[0].id));
    }

    function expectNotApproved(bytes32 id, address token, bytes32[] memory payouts) private {
        vm.expectRevert(abi.encodeWithSelector(Batches.NotApproved.selector, id));
        distributor.push(id, token, payouts);
    }
}
