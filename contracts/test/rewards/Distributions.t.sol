// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Allotment, Distribution, VoteKind} from "../../src/formats/Types.sol";
import {Distributions} from "../../src/rewards/Distributions.sol";
import {Locks} from "../../src/rewards/Locks.sol";
import {Purse} from "../../src/rewards/Purse.sol";
import {Reentrant, Stubborn, TrickyToken} from "../helpers/Mocks.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

/// @notice Roots of what accounts have earned since the beginning, from the certificate to the claim and the sweep.
contract DistributionsTest is RewardsFixture {
    address private constant NATIVE = address(0);
    bytes32[] private NO_PROOF;

    function setUp() public {
        deployRewards();
        vm.deal(address(distributor), 200 ether);
    }

    /// @dev The way a distribution takes in earnest: certificate, proposal, confirmations, execution, delay, claim.
    function test_GoesThroughBothLocksAndTheDelay() public {
        (Distribution memory distribution, bytes32[] memory proof) = distributionAtDepth(1, 9, 4, 3 ether);
        certify(distribution);
        bytes memory data = abi.encodeCall(distributor.schedule, (distribution));
        address[] memory owners = wallet.owners();
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(address(distributor), 0, data, 0, 0);
        for (uint256 i = 1; i < 3; ++i) {
            vm.prank(owners[i]);
            wallet.confirmTransaction(id);
        }
        vm.expectEmit(address(distributor));
        emit Distributions.Scheduled(1, hashOf(distribution), distribution.root, uint64(block.timestamp) + DELAY);
        vm.prank(owners[0]);
        wallet.executeTransaction(address(distributor), 0, data, 0, 0);
        assertEq(distributor.scheduled(), hashOf(distribution));

        vm.warp(block.timestamp + DELAY);
        vm.expectEmit(address(distributor));
        emit Distributions.Activated(1, distribution.root);
        distributor.activate(distribution);
        assertEq(distributor.root(), distribution.root);
        assertEq(distributor.number(), 1);
        assertEq(distributor.scheduled(), 0);
        assertEq(distributor.free(NATIVE), 190 ether);

        vm.expectEmit(address(distributor));
        emit Distributions.Claimed(accountAt(4), address(tokens[0]), 3 ether);
        distributor.claim(accountAt(4), address(tokens[0]), 3 ether, proof);
        assertEq(tokens[0].balanceOf(accountAt(4)), 3 ether);
        (uint96 allotted,,) = distributor.reserveOf(address(tokens[0]));
        assertEq(allotted, 7 ether);
    }

    function test_RevertWhen_NotCertified() public {
        Distribution memory distribution = single(1, PAYEE, NATIVE, 1 ether, 1 ether);
        expectNotScheduled(
            distribution, abi.encodeWithSelector(Distributions.NotCertified.selector, 1, hashOf(distribution))
        );
        certify(distribution);
        distribution.root = keccak256("another root");
        expectNotScheduled(
            distribution, abi.encodeWithSelector(Distributions.NotCertified.selector, 1, hashOf(distribution))
        );
    }

    /// @dev Only the latest one counts: it holds all that was earned before.
    function test_RevertWhen_ALaterOneIsCertified() public {
        Distribution memory distribution = single(1, PAYEE, NATIVE, 1 ether, 1 ether);
        certify(distribution);
        certify(single(2, PAYEE, NATIVE, 2 ether, 2 ether));
        expectNotScheduled(
            distribution, abi.encodeWithSelector(Distributions.NotCertified.selector, 1, hashOf(distribution))
        );
    }

    function test_RevertWhen_ForAnotherDistributor() public {
        Distribution memory distribution = single(1, PAYEE, NATIVE, 1 ether, 1 ether);
        distribution.distributor = PAYEE;
        certify(distribution);
        expectNotScheduled(distribution, abi.encodeWithSelector(Distributions.WrongDistributor.selector, PAYEE));
    }

    function test_RevertWhen_NumberIsStale() public {
        Distribution memory distribution = single(3, PAYEE, NATIVE, 1 ether, 1 ether);
        distribute(distribution);
        expectNotScheduled(distribution, abi.encodeWithSelector(Distributions.StaleNumber.selector, 3, 3));
    }

    function test_RevertWhen_AboveTheCap() public {
        Distribution memory distribution = single(1, PAYEE, NATIVE, 1 ether, CAP + 1);
        certify(distribution);
        expectNotScheduled(distribution, abi.encodeWithSelector(Distributions.AboveCap.selector, NATIVE, CAP, CAP + 1));
        distribution = single(2, PAYEE, PAYEE, 1, 1);
        certify(distribution);
        expectNotScheduled(distribution, abi.encodeWithSelector(Distributions.AboveCap.selector, PAYEE, 0, 1));
        schedule(single(3, PAYEE, NATIVE, 1 ether, CAP));
    }

    /// @dev A token there twice would have twice its cap.
    function test_RevertWhen_TokensDoNotAscend() public {
        Distribution memory distribution = single(1, PAYEE, NATIVE, 1 ether, 1);
        distribution.allotments = new Allotment[](2);
        (distribution.allotments[0], distribution.allotments[1]) = (Allotment(NATIVE, CAP), Allotment(NATIVE, CAP));
        certify(distribution);
        expectNotScheduled(distribution, abi.encodeWithSelector(Distributions.TokensNotAscending.selector, 1));
    }

    function test_RevertWhen_TheDelayIsNotOver() public {
        Distribution memory distribution = single(1, PAYEE, NATIVE, 1 ether, 1 ether);
        schedule(distribution);
        uint256 until = block.timestamp + DELAY;
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(Locks.TooEarly.selector, until));
        distributor.activate(distribution);
        vm.expectRevert(abi.encodeWithSelector(Locks.NotIncluded.selector, rewardLeafOf(PAYEE, NATIVE, 1 ether)));
        distributor.claim(PAYEE, NATIVE, 1 ether, NO_PROOF);
        vm.warp(until);
        distributor.activate(distribution);
    }

    /// @dev What the validators have replaced meanwhile is off the table, though nobody has cancelled it.
    function test_RevertWhen_ALaterOneIsCertifiedDuringTheDelay() public {
        Distribution memory first = single(1, PAYEE, NATIVE, 5 ether, 5 ether);
        schedule(first);
        certify(single(2, PAYEE, NATIVE, 4 ether, 4 ether));
        vm.warp(block.timestamp + DELAY);
        vm.expectRevert(abi.encodeWithSelector(Distributions.NotCertified.selector, 1, hashOf(first)));
        distributor.activate(first);
    }

    /// @dev Totals leave nobody uncovered whichever distributions take effect, and cover nothing twice.
    function test_ASkippedDistributionLeavesNoClaimUncovered() public {
        Allotment[] memory total = new Allotment[](1);
        bytes32 one = rewardLeafOf(PAYEE, NATIVE, 10 ether);
        bytes32 two = rewardLeafOf(accountAt(1), NATIVE, 5 ether);
        total[0] = Allotment(NATIVE, 10 ether);
        certify(Distribution(address(distributor), 1, one, total));
        total[0] = Allotment(NATIVE, 15 ether);
        distribute(Distribution(address(distributor), 2, pairOf(one, two), total));
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = two;
        distributor.claim(PAYEE, NATIVE, 10 ether, proof);
        proof[0] = one;
        distributor.claim(accountAt(1), NATIVE, 5 ether, proof);
        assertEq(accountAt(1).balance, 5 ether);
        assertEq(distributor.free(NATIVE), 185 ether);
    }

    /// @dev 10, then 5, then 12 sets aside 12 in all.
    function test_ALowerTotalSetsNothingAsideAndLocksNothing() public {
        uint128[3] memory totals = [uint128(10 ether), 5 ether, 12 ether];
        for (uint32 i; i < 3; ++i) {
            Allotment[] memory total = new Allotment[](1);
            total[0] = Allotment(NATIVE, totals[i]);
            distribute(Distribution(address(distributor), i + 1, rewardLeafOf(PAYEE, NATIVE, totals[i]), total));
        }
        assertEq(distributor.totalAllotted(NATIVE), 12 ether);
        (uint96 allotted,,) = distributor.reserveOf(NATIVE);
        assertEq(allotted, 12 ether);
        distributor.claim(PAYEE, NATIVE, 12 ether, NO_PROOF);
        assertEq(distributor.free(NATIVE), 188 ether);
    }

    /// @dev A contract that cannot ask for itself names who does, or an account that does not want its money there.
    function test_AClaimerClaimsAndWithdrawsElsewhere() public {
        Stubborn account = new Stubborn();
        account.setMood(Stubborn.Mood.Reverting);
        distribute(single(1, address(account), NATIVE, 3 ether, 3 ether));
        vm.expectRevert(abi.encodeWithSelector(Distributions.NotClaimer.selector, address(account), address(this)));
        distributor.claimTo(address(account), NATIVE, 3 ether, NO_PROOF, PAYEE);
        vm.expectEmit(address(distributor));
        emit Distributions.ClaimerSet(address(account), address(this));
        vm.prank(address(account));
        distributor.setClaimer(address(this));
        distributor.claimTo(address(account), NATIVE, 3 ether, NO_PROOF, PAYEE);
        assertEq(PAYEE.balance, 3 ether);
        assertEq(distributor.claimedOf(address(account), NATIVE), 3 ether);

        distribute(single(2, address(account), NATIVE, 4 ether, 1 ether));
        distributor.claim(address(account), NATIVE, 4 ether, NO_PROOF);
        vm.prank(PAYEE);
        vm.expectRevert(abi.encodeWithSelector(Distributions.NotClaimer.selector, address(account), PAYEE));
        distributor.withdrawFor(address(account), NATIVE, PAYEE);
        distributor.withdrawFor(address(account), NATIVE, PAYEE);
        assertEq(PAYEE.balance, 4 ether);
    }

    /// @dev One wei that is missing must not stop the claims of all others.
    function test_WhatATokenHasLostIsWrittenOff() public {
        TrickyToken token = deployTricky(10 ether);
        distribute(single(1, PAYEE, address(token), 5 ether, 10 ether));
        vm.startPrank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Distributions.NothingToWriteOff.selector, address(token)));
        distributor.writeOff(address(token));
        vm.stopPrank();
        deal(address(token), address(distributor), 9 ether);
        expectNotClaimed(
            PAYEE, address(token), 5 ether, abi.encodeWithSelector(Purse.Insolvent.selector, address(token))
        );
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.writeOff(address(token));
        vm.expectEmit(address(distributor));
        emit Distributions.WrittenOff(address(token), 1 ether);
        vm.prank(address(wallet));
        distributor.writeOff(address(token));
        distributor.claim(PAYEE, address(token), 5 ether, NO_PROOF);
        assertEq(token.balanceOf(PAYEE), 5 ether);
        assertEq(distributor.totalAllotted(address(token)), 9 ether);
    }

    function test_RevertWhen_NotTheScheduledOne() public {
        Distribution memory distribution = single(1, PAYEE, NATIVE, 1 ether, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(Distributions.NotScheduled.selector, hashOf(distribution)));
        distributor.activate(distribution);
        distribute(distribution);
        vm.expectRevert(abi.encodeWithSelector(Distributions.NotScheduled.selector, hashOf(distribution)));
        distributor.activate(distribution);
    }

    /// @dev A distribution that replaces a waiting one waits anew.
    function test_ALaterOneReplacesTheScheduledOne() public {
        Distribution memory first = single(1, PAYEE, NATIVE, 5 ether, 5 ether);
        schedule(first);
        vm.warp(block.timestamp + DELAY);
        Distribution memory second = single(2, PAYEE, NATIVE, 1 ether, 1 ether);
        schedule(second);
        vm.expectRevert(abi.encodeWithSelector(Distributions.NotScheduled.selector, hashOf(first)));
        distributor.activate(first);
        vm.expectRevert(abi.encodeWithSelector(Locks.TooEarly.selector, block.timestamp + DELAY));
        distributor.activate(second);
    }

    function test_TheMultisigCancels() public {
        Distribution memory distribution = single(1, PAYEE, NATIVE, 5 ether, 5 ether);
        schedule(distribution);
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.cancel();
        vm.expectEmit(address(distributor));
        emit Distributions.Cancelled(hashOf(distribution));
        vm.prank(address(wallet));
        distributor.cancel();
        vm.warp(block.timestamp + DELAY);
        vm.expectRevert(abi.encodeWithSelector(Distributions.NotScheduled.selector, hashOf(distribution)));
        distributor.activate(distribution);
        vm.prank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Distributions.NotScheduled.selector, bytes32(0)));
        distributor.cancel();
    }

    /// @dev Nothing is promised that is not there, and what is missing can still be brought.
    function test_RevertWhen_TheAllotmentsAreNotFunded() public {
        vm.deal(address(distributor), 1 ether);
        Distribution memory distribution = single(1, PAYEE, NATIVE, 5 ether, 5 ether);
        schedule(distribution);
        vm.warp(block.timestamp + DELAY);
        vm.expectRevert(abi.encodeWithSelector(Purse.InsufficientFunds.selector, 1 ether, 5 ether));
        distributor.activate(distribution);
        vm.deal(address(distributor), 5 ether);
        distributor.activate(distribution);
        assertEq(distributor.free(NATIVE), 0);
    }

    function test_PaysWhatHasBeenEarnedSinceTheLastClaim() public {
        distribute(single(1, PAYEE, NATIVE, 1 ether, 1 ether));
        distributor.claim(PAYEE, NATIVE, 1 ether, NO_PROOF);
        distribute(single(2, PAYEE, NATIVE, 4 ether, 3 ether));
        distribute(single(3, PAYEE, NATIVE, 6 ether, 2 ether));
        distributor.claim(PAYEE, NATIVE, 6 ether, NO_PROOF);
        assertEq(PAYEE.balance, 6 ether);
        assertEq(distributor.claimedOf(PAYEE, NATIVE), 6 ether);
        assertEq(distributor.free(NATIVE), 194 ether);
    }

    function test_RevertWhen_ClaimedTwice() public {
        distribute(single(1, PAYEE, NATIVE, 1 ether, 2 ether));
        distributor.claim(PAYEE, NATIVE, 1 ether, NO_PROOF);
        expectNotClaimed(
            PAYEE, NATIVE, 1 ether, abi.encodeWithSelector(Distributions.NothingToClaim.selector, PAYEE, NATIVE)
        );
        assertEq(PAYEE.balance, 1 ether);
    }

    function testFuzz_RevertWhen_TheLeafIsNotInTheRoot(uint8 field, uint256 delta) public {
        delta = bound(delta, 1, 1 ether);
        distribute(single(1, PAYEE, NATIVE, 1 ether, 1 ether));
        address account = field % 3 == 0 ? address(uint160(PAYEE) ^ uint160(delta)) : PAYEE;
        address token = field % 3 == 1 ? address(uint160(delta)) : NATIVE;
        uint256 cumulative = field % 3 == 2 ? 1 ether + delta : 1 ether;
        bytes32 leaf = rewardLeafOf(account, token, cumulative);
        expectNotClaimed(account, token, cumulative, abi.encodeWithSelector(Locks.NotIncluded.selector, leaf));
    }

    /// @dev A root that is replaced pays nothing any more; what it stated is in the next one.
    function test_RevertWhen_TheRootIsReplaced() public {
        distribute(single(1, PAYEE, NATIVE, 1 ether, 1 ether));
        distribute(single(2, PAYEE, NATIVE, 2 ether, 1 ether));
        bytes32 leaf = rewardLeafOf(PAYEE, NATIVE, 1 ether);
        expectNotClaimed(PAYEE, NATIVE, 1 ether, abi.encodeWithSelector(Locks.NotIncluded.selector, leaf));
    }

    /// @dev Who is slashed by a later root is paid nothing more, keeps what it had, and takes nothing from the others.
    function test_ALowerRootSlashesOneAndNoOther() public {
        bytes32[] memory leaves = new bytes32[](2);
        (leaves[0], leaves[1]) = (rewardLeafOf(PAYEE, NATIVE, 10 ether), rewardLeafOf(accountAt(1), NATIVE, 5 ether));
        distribute(Distribution(address(distributor), 1, pairOf(leaves[0], leaves[1]), allot(NATIVE, 15 ether)));
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = leaves[1];
        distributor.claim(PAYEE, NATIVE, 10 ether, proof);

        (leaves[0], leaves[1]) = (rewardLeafOf(PAYEE, NATIVE, 4 ether), rewardLeafOf(accountAt(1), NATIVE, 9 ether));
        distribute(Distribution(address(distributor), 2, pairOf(leaves[0], leaves[1]), allot(NATIVE, 4 ether)));
        proof[0] = leaves[1];
        vm.expectRevert(abi.encodeWithSelector(Distributions.NothingToClaim.selector, PAYEE, NATIVE));
        distributor.claim(PAYEE, NATIVE, 4 ether, proof);
        proof[0] = leaves[0];
        distributor.claim(accountAt(1), NATIVE, 9 ether, proof);
        assertEq(accountAt(1).balance, 9 ether);
        assertEq(PAYEE.balance, 10 ether);
    }

    /// @dev However much a root states, its claims take what was allotted and no more.
    function testFuzz_RevertWhen_TheRootStatesMoreThanItAllots(uint256 cumulative) public {
        cumulative = bound(cumulative, 5 ether + 1, type(uint256).max);
        distribute(single(1, PAYEE, NATIVE, cumulative, 5 ether));
        expectNotClaimed(
            PAYEE,
            NATIVE,
            cumulative,
            abi.encodeWithSelector(Distributions.AllotmentExhausted.selector, NATIVE, 5 ether, cumulative)
        );
    }

    /// @dev What is set aside for the ledger's earnings is theirs, however much a root states.
    function testFuzz_ClaimsByHandTakeNothingOfTheLedgers(uint256 allotted, uint256 stated, uint256 earned) public {
        (allotted, earned) = (bound(allotted, 0, CAP / 4), bound(earned, 1, CAP / 4));
        stated = bound(stated, 1, CAP);
        bytes32[] memory noProof = new bytes32[](0);
        earn(1, PAYEE, NATIVE, uint96(earned));
        distribute(single(1, accountAt(1), NATIVE, stated, uint128(allotted)));
        if (stated > allotted) {
            vm.expectRevert(abi.encodeWithSelector(Distributions.AllotmentExhausted.selector, NATIVE, allotted, stated));
        }
        distributor.claim(accountAt(1), NATIVE, stated, noProof);
        assertEq(accountAt(1).balance, stated > allotted ? 0 : stated);
        distributor.claimEarned(PAYEE, NATIVE, earned, noProof);
        assertEq(PAYEE.balance, earned);
    }

    function test_RevertWhen_TheAccountIsBarred() public {
        distribute(single(1, validators[1], NATIVE, 1 ether, 1 ether));
        registry.reportEvidence(makeEvidence(VoteKind.Prepare, validators, 1));
        expectNotClaimed(
            validators[1], NATIVE, 1 ether, abi.encodeWithSelector(Distributions.AccountBarred.selector, validators[1])
        );
    }

    /// @dev Whoever claims for others pays a bound for what they do, and nothing twice.
    function test_AnAccountThatRefusesItsClaimIsCredited() public {
        Stubborn account = new Stubborn();
        account.setMood(Stubborn.Mood.Burning);
        distribute(single(1, address(account), NATIVE, 1 ether, 1 ether));
        vm.expectEmit(address(distributor));
        emit Purse.Credited(address(account), NATIVE, 1 ether);
        distributor.claim(address(account), NATIVE, 1 ether, NO_PROOF);
        assertLt(vm.lastCallGas().gasTotalUsed, 200_000);
        expectNotClaimed(
            address(account),
            NATIVE,
            1 ether,
            abi.encodeWithSelector(Distributions.NothingToClaim.selector, address(account), NATIVE)
        );
        vm.prank(address(account));
        distributor.withdraw(NATIVE, PAYEE);
        assertEq(PAYEE.balance, 1 ether);
    }

    function test_ReentrantClaimIsPaidOnce() public {
        Reentrant account = new Reentrant();
        distribute(single(1, address(account), NATIVE, 1 ether, 3 ether));
        account.prepare(
            address(distributor), abi.encodeCall(distributor.claim, (address(account), NATIVE, 1 ether, NO_PROOF))
        );
        distributor.claim(address(account), NATIVE, 1 ether, NO_PROOF);
        assertTrue(account.attempted());
        assertFalse(account.succeeded());
        assertEq(account.answer(), ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        assertEq(address(account).balance, 1 ether);
    }

    /// @dev Each way in which tokens misbehave hurts that token's claims alone.
    function test_TrickyTokensHurtNobodyElse() public {
        TrickyToken token = deployTricky(10 ether);
        TrickyToken.Trick[3] memory refusing =
            [TrickyToken.Trick.False, TrickyToken.Trick.Reverting, TrickyToken.Trick.Burning];
        for (uint32 i; i < 3; ++i) {
            distribute(single(i + 1, PAYEE, address(token), 2 ether * (i + 1), 2 ether));
            token.play(refusing[i]);
            distributor.claim(PAYEE, address(token), 2 ether * (i + 1), NO_PROOF);
            assertLt(vm.lastCallGas().gasTotalUsed, 400_000);
            assertEq(distributor.creditOf(PAYEE, address(token)), 2 ether * (i + 1));
        }
        distribute(single(4, PAYEE, address(token), 10 ether, 4 ether));
        token.play(TrickyToken.Trick.Fee);
        distributor.claim(PAYEE, address(token), 10 ether, NO_PROOF);
        assertEq(token.balanceOf(PAYEE), 3.96 ether);
        assertEq(distributor.free(address(token)), 0);
    }

    function test_RevertWhen_AClaimTakesWhatOthersAreOwed() public {
        TrickyToken token = deployTricky(10 ether);
        distribute(single(1, PAYEE, address(token), 5 ether, 10 ether));
        token.play(TrickyToken.Trick.Greedy);
        expectNotClaimed(
            PAYEE, address(token), 5 ether, abi.encodeWithSelector(Purse.Insolvent.selector, address(token))
        );
    }

    /// @dev The token shrank by itself. Nothing is free then, and nothing more is promised.
    function test_NothingIsFreeWhenLessIsThereThanIsOwed() public {
        TrickyToken token = deployTricky(10 ether);
        distribute(single(1, PAYEE, address(token), 5 ether, 10 ether));
        deal(address(token), address(distributor), 9 ether);
        assertEq(distributor.free(address(token)), 0);
    }

    function test_SweepsTheUnclaimedAfterThePeriod() public {
        distribute(single(1, PAYEE, NATIVE, 5 ether, 8 ether));
        distributor.claim(PAYEE, NATIVE, 5 ether, NO_PROOF);
        uint256 until = block.timestamp + CLAIM_PERIOD;
        assertEq(distributor.expiresAt(), until);
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.sweep(NATIVE);
        vm.startPrank(address(wallet));
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(Locks.TooEarly.selector, until));
        distributor.sweep(NATIVE);
        vm.warp(until);
        vm.expectEmit(address(distributor));
        emit Distributions.Swept(NATIVE, 3 ether);
        distributor.sweep(NATIVE);
        assertEq(address(wallet).balance, 3 ether);
        assertEq(address(distributor).balance, 192 ether);
        vm.expectRevert(abi.encodeWithSelector(Distributions.NothingToSweep.selector, NATIVE));
        distributor.sweep(NATIVE);
    }

    /// @dev What is owed to others, and what is free, is not swept.
    function test_SweepsNothingElse() public {
        vm.startPrank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Distributions.NothingToSweep.selector, NATIVE));
        distributor.sweep(NATIVE);
        vm.stopPrank();
        distribute(single(1, PAYEE, address(tokens[0]), 5 ether, 8 ether));
        vm.warp(block.timestamp + CLAIM_PERIOD);
        vm.prank(address(wallet));
        distributor.sweep(address(tokens[0]));
        assertEq(tokens[0].balanceOf(address(wallet)), 8 ether);
        assertEq(address(distributor).balance, 200 ether);
    }

    function test_RevertWhen_ClaimedAfterTheSweep() public {
        distribute(single(1, PAYEE, NATIVE, 5 ether, 5 ether));
        vm.warp(block.timestamp + CLAIM_PERIOD);
        vm.prank(address(wallet));
        distributor.sweep(NATIVE);
        bytes memory reason = abi.encodeWithSelector(Distributions.AllotmentExhausted.selector, NATIVE, 0, 5 ether);
        expectNotClaimed(PAYEE, NATIVE, 5 ether, reason);
        distribute(single(2, PAYEE, NATIVE, 5 ether, 5 ether));
        distributor.claim(PAYEE, NATIVE, 5 ether, NO_PROOF);
        assertEq(PAYEE.balance, 5 ether);
    }

    /// @dev For trees of any size every leaf can be claimed, in any order.
    function testFuzz_EveryLeafCanBeClaimed(uint8 size, uint8 first) public {
        size = uint8(bound(size, 1, 20));
        bytes32[] memory leaves = new bytes32[](size);
        for (uint256 i; i < size; ++i) {
            leaves[i] = rewardLeafOf(accountAt(i), NATIVE, (i + 1) * 1e17);
        }
        (bytes32 root,) = merkle(leaves, 0);
        uint128 total = uint128(size) * (uint128(size) + 1) / 2 * 1e17;
        distribute(Distribution(address(distributor), 1, root, allot(NATIVE, total)));
        for (uint256 k; k < size; ++k) {
            uint256 i = (k + first) % size;
            (, bytes32[] memory proof) = merkle(leaves, i);
            distributor.claim(accountAt(i), NATIVE, (i + 1) * 1e17, proof);
            assertEq(accountAt(i).balance, (i + 1) * 1e17);
        }
        assertEq(address(distributor).balance, distributor.free(NATIVE));
    }

    function expectNotScheduled(Distribution memory distribution, bytes memory reason) private {
        vm.prank(address(wallet));
        vm.expectRevert(reason);
        distributor.schedule(distribution);
        assertEq(distributor.scheduled(), 0);
    }

    function expectNotClaimed(address account, address token, uint256 cumulative, bytes memory reason) private {
        uint256 before = distributor.claimedOf(account, token);
        vm.expectRevert(reason);
        distributor.claim(account, token, cumulative, NO_PROOF);
        assertEq(distributor.claimedOf(account, token), before);
    }
}
