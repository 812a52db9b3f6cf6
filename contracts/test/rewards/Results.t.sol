// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Allotment, Header, Result, Solution, VoteKind} from "../../src/formats/Types.sol";
import {Batches} from "../../src/rewards/Batches.sol";
import {Locks} from "../../src/rewards/Locks.sol";
import {Pow} from "../../src/rewards/Pow.sol";
import {Purse} from "../../src/rewards/Purse.sol";
import {Results} from "../../src/rewards/Results.sol";
import {RewardDistributor} from "../../src/rewards/RewardDistributor.sol";
import {Calls} from "../../src/wallet/Calls.sol";
import {Outcomes, Reentrant, ReturnBomb, Stubborn} from "../helpers/Mocks.sol";
import {payloadHash} from "../helpers/Races.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

contract ResultsTest is RewardsFixture {
    address private constant NATIVE = address(0);
    address[] private owners;

    function setUp() public {
        deployRewards();
        owners = makeOwners(5);
        vm.deal(address(distributor), 100 ether);
    }

    /// @dev The way a reward takes in earnest: certificate, proposal, confirmations, execution.
    function test_PaysThroughBothLocks() public {
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(PAYEE, 2 ether, 5, 3);
        bytes memory data = abi.encodeCall(distributor.pay, (header, result, proof, solutionOf[result.id]));
        approve(data, result.id);
        vm.expectEmit(address(distributor));
        emit Results.Paid(result.id, PAYEE, 2 ether, 1);
        vm.prank(owners[4]);
        wallet.executeTransaction(address(distributor), 0, data, 0, result.id);
        assertEq(PAYEE.balance, 2 ether);
        assertEq(address(distributor).balance, 98 ether);
        assertTrue(distributor.isPaid(result.id));
    }

    function test_PaysASingleResult() public {
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(PAYEE, 2 ether, 1, 0);
        assertEq(proof.length, 0);
        pay(header, result, proof);
        assertEq(PAYEE.balance, 2 ether);
    }

    function test_RevertWhen_PaidTwice() public {
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(PAYEE, 2 ether, 5, 3);
        pay(header, result, proof);
        expectRefusal(header, result, proof, abi.encodeWithSelector(Results.AlreadyPaid.selector, result.id));
        assertEq(PAYEE.balance, 2 ether);
    }

    /// @dev The worker counts, whoever is paid. Others go on being paid, and what was paid before stays.
    function test_RevertWhen_WorkerIsBarred() public {
        bytes32[] memory leaves = new bytes32[](5);
        for (uint256 i; i < 5; ++i) {
            leaves[i] = leafOf(resultAt(i, PAYEE, 1 ether));
        }
        (bytes32 root,) = merkle(leaves, 0);
        Header memory header = makeHeader(1, root);
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
        (, bytes32[] memory proof) = merkle(leaves, 0);
        pay(header, resultAt(0, PAYEE, 1 ether), proof);

        registry.reportEvidence(makeEvidence(VoteKind.Commit, validators, 0));
        for (uint256 i = 1; i < 5; ++i) {
            (, proof) = merkle(leaves, i);
            Result memory result = resultAt(i, PAYEE, 1 ether);
            if (i == 4) {
                assertEq(result.worker, validators[0]);
                bytes memory reason = abi.encodeWithSelector(Results.WorkerBarred.selector, result.id, result.worker);
                expectRefusal(header, result, proof, reason);
                assertFalse(distributor.isPaid(result.id));
            } else {
                pay(header, result, proof);
            }
        }
        assertEq(PAYEE.balance, 4 ether);
    }

    /// @dev Barring comes in time even when the owners have agreed to pay before.
    function test_RevertWhen_WorkerIsBarredAfterTheOwnersAgreed() public {
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(PAYEE, 2 ether, 5, 3);
        bytes memory data = abi.encodeCall(distributor.pay, (header, result, proof, solutionOf[result.id]));
        bytes32 id = approve(data, result.id);
        registry.reportEvidence(makeEvidence(VoteKind.Prepare, validators, 3));
        bytes memory inner = abi.encodeWithSelector(Results.WorkerBarred.selector, result.id, validators[3]);
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Calls.ExecutionFailed.selector, id, inner));
        wallet.executeTransaction(address(distributor), 0, data, 0, result.id);
        assertEq(PAYEE.balance, 0);
    }

    /// @dev The id counts, whatever else the second result says and whichever block it is in.
    function test_RevertWhen_IdIsPaidInAnotherBlock() public {
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(PAYEE, 2 ether, 5, 3);
        pay(header, result, proof);
        Result memory again =
            Result(KIND_RACE, result.id, validators[0], address(0xD00D), 3 ether, keccak256("another claim"));
        bytes32[] memory leaves = new bytes32[](1);
        leaves[0] = leafOf(again);
        Header memory later = makeHeader(2, leaves[0]);
        registry.finalize(later, VIEW, certificate(later, validators, 0, 3));
        expectRefusal(later, again, new bytes32[](0), abi.encodeWithSelector(Results.AlreadyPaid.selector, result.id));
    }

    function test_RevertWhen_BlockIsNotFinalized() public {
        (Header memory header, Result memory result, bytes32[] memory proof) = block_(PAYEE, 2 ether, 5, 3);
        expectRefusal(header, result, proof, abi.encodeWithSelector(Batches.NotFinalized.selector, 1, hashOf(header)));
    }

    function test_RevertWhen_AnotherBlockIsFinalized() public {
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(PAYEE, 2 ether, 5, 3);
        header.timestamp += 1;
        expectRefusal(header, result, proof, abi.encodeWithSelector(Batches.NotFinalized.selector, 1, hashOf(header)));
    }

    function testFuzz_RevertWhen_ResultIsNotTheProvenOne(uint8 field, uint256 delta) public {
        delta = bound(delta, 1, 10 ether);
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(PAYEE, 2 ether, 5, 3);
        field = field % 5;
        if (field == 0) result.id = keccak256(abi.encode(result.id, delta));
        else if (field == 1) result.payee = address(uint160(result.payee) + uint160(delta));
        else if (field == 2) result.amount += delta;
        else if (field == 3) result.worker = address(uint160(result.worker) ^ uint160(delta));
        else result.digest = keccak256(abi.encode(result.digest, delta));
        expectRefusal(header, result, proof, abi.encodeWithSelector(Locks.NotIncluded.selector, leafOf(result)));
    }

    function test_RevertWhen_ProofIsWrong() public {
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(PAYEE, 2 ether, 5, 3);
        bytes memory reason = abi.encodeWithSelector(Locks.NotIncluded.selector, leafOf(result));
        expectRefusal(header, result, new bytes32[](0), reason);
        bytes32[] memory longer = new bytes32[](proof.length + 1);
        for (uint256 i; i < proof.length; ++i) {
            longer[i] = proof[i];
        }
        expectRefusal(header, result, longer, reason);
        proof[0] = keccak256("wrong");
        expectRefusal(header, result, proof, reason);
    }

    function test_RevertWhen_BlockHasNoResults() public {
        Header memory header = makeHeader(1, 0);
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
        Result memory result = Result(KIND_RACE, keccak256("order"), validators[0], PAYEE, 1, 0);
        expectRefusal(
            header, result, new bytes32[](0), abi.encodeWithSelector(Locks.NotIncluded.selector, leafOf(result))
        );
    }

    function test_RevertWhen_PayeeIsZero() public {
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(address(0), 2 ether, 5, 3);
        expectRefusal(header, result, proof, abi.encodeWithSelector(Results.ZeroPayee.selector, result.id));
    }

    function test_RevertWhen_FundsAreShort() public {
        vm.deal(address(distributor), 50 ether);
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(PAYEE, 51 ether, 5, 3);
        expectRefusal(
            header, result, proof, abi.encodeWithSelector(Purse.InsufficientFunds.selector, 50 ether, 51 ether)
        );
        vm.deal(address(distributor), 51 ether);
        pay(header, result, proof);
        assertEq(PAYEE.balance, 51 ether);
    }

    /// @dev Whatever a payee does, its share of the gas is bounded, the payment is done, and the money waits for it. So
    /// nobody sends the same payment again and again, each time for all the gas of a transaction.
    function test_APayeeThatFailsCostsABoundAndIsCredited() public {
        address[4] memory payees = [stubborn(1), stubborn(2), stubborn(3), address(new ReturnBomb())];
        for (uint256 i; i < 4; ++i) {
            Result memory result = resultAt(i, payees[i], 2 ether);
            Header memory header = makeHeader(uint64(i + 1), leafOf(result));
            registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
            vm.expectEmit(address(distributor));
            emit Purse.Credited(payees[i], NATIVE, 2 ether);
            pay(header, result, new bytes32[](0));
            assertLt(vm.lastCallGas().gasTotalUsed, 220_000);
            assertTrue(distributor.isPaid(result.id));
            assertEq(distributor.creditOf(payees[i], NATIVE), 2 ether);
        }
        assertEq(address(distributor).balance, 100 ether);
        vm.prank(payees[0]);
        distributor.withdraw(NATIVE, PAYEE);
        assertEq(PAYEE.balance, 2 ether);
    }

    /// @dev The payee is the multisig itself here, the strongest position from which to call back.
    function test_ReentrantMultisigIsPaidOnce() public {
        Reentrant payee = new Reentrant();
        distributor = deployDistributor(address(payee));
        vm.deal(address(distributor), 100 ether);
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(address(payee), 2 ether, 5, 3);
        payee.prepare(
            address(distributor), abi.encodeCall(distributor.pay, (header, result, proof, solutionOf[result.id]))
        );
        vm.prank(address(payee));
        distributor.pay(header, result, proof, solutionOf[result.id]);
        assertTrue(payee.attempted());
        assertFalse(payee.succeeded());
        assertEq(payee.answer(), ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        assertEq(address(payee).balance, 2 ether);
    }

    function testFuzz_PaysEveryResultOfABlock(uint8 size, uint96 amount) public {
        size = uint8(bound(size, 1, 33));
        amount = uint96(bound(amount, 0, 1 ether));
        bytes32[] memory leaves = new bytes32[](size);
        for (uint256 i; i < size; ++i) {
            leaves[i] = leafOf(resultAt(i, PAYEE, amount));
        }
        (bytes32 root,) = merkle(leaves, 0);
        Header memory header = makeHeader(1, root);
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
        for (uint256 i; i < size; ++i) {
            (, bytes32[] memory proof) = merkle(leaves, i);
            pay(header, resultAt(i, PAYEE, amount), proof);
        }
        assertEq(PAYEE.balance, uint256(amount) * size);
    }

    /// @dev Who is barred is asked by the worker, so a result must not name another one than its round has.
    function test_RevertWhen_ARoundNamesAnotherWorker() public {
        bytes32 id = bytes32(uint256(7) << 160 | uint160(validators[2]));
        outcomes.set(id, keccak256("outcome"));
        (Header memory header, Result memory result, bytes32[] memory proof) =
            finalizedOnly(KIND_ROUND, id, keccak256("outcome"));
        expectRefusal(header, result, proof, abi.encodeWithSelector(Results.ForeignWorker.selector, id, validators[1]));
    }

    function testFuzz_ARoundIsPaidOnceItsOutcomeStandsAndForThatAlone(uint64 round, bytes32 other) public {
        bytes32 id = bytes32(uint256(round) << 160 | uint160(validators[1]));
        bytes32 outcome = keccak256(abi.encode("outcome", round));
        vm.assume(other != outcome && other != 0);
        (Header memory header, Result memory result, bytes32[] memory proof) = finalizedOnly(KIND_ROUND, id, outcome);
        expectRefusal(header, result, proof, abi.encodeWithSelector(Outcomes.NotFinal.selector, id));
        outcomes.set(id, other);
        expectRefusal(header, result, proof, abi.encodeWithSelector(Results.NotUpheld.selector, id));
        assertFalse(distributor.isPaid(id));
        outcomes.set(id, outcome);
        pay(header, result, proof);
        assertEq(PAYEE.balance, 2 ether);
        expectRefusal(header, result, proof, abi.encodeWithSelector(Results.AlreadyPaid.selector, id));
    }

    /// @dev What a result must show follows from its kind, whatever its id looks like.
    function testFuzz_TheKindSaysWhatAResultMustShow(bytes32 id) public {
        id = bytes32(uint256(id) >> 160 << 160 | uint160(validators[1]));
        bytes32 nothing = payloadHash(domainOf(NETWORK, block.chainid), address(0), "");
        expectRefusalOfKind(KIND_RACE, id, abi.encodeWithSelector(Pow.WrongOrder.selector, id, nothing));
        expectRefusalOfKind(KIND_ROUND, id, abi.encodeWithSelector(Outcomes.NotFinal.selector, id));
        expectRefusalOfKind(KIND_BATCH, id, abi.encodeWithSelector(Results.ForeignBatch.selector, id, PAYEE));
    }

    /// @dev The certificate is all that shows custom work, and it is asked for no less.
    function test_ACustomKindIsPaidByTheCertificateAloneAndOnce() public {
        bytes32 id = keccak256("a product");
        (Header memory header, Result memory result, bytes32[] memory proof) =
            finalizedOnly(KIND_CUSTOM, id, keccak256("it"));
        pay(header, result, proof);
        assertEq(PAYEE.balance, 2 ether);
        expectRefusal(header, result, proof, abi.encodeWithSelector(Results.AlreadyPaid.selector, id));
        result.digest = 0;
        result.id = keccak256("another");
        expectRefusal(header, result, proof, abi.encodeWithSelector(Locks.NotIncluded.selector, leafOf(result)));
    }

    function testFuzz_RevertWhen_TheKindIsNeitherOursNorTaken(uint32 kind) public {
        vm.assume(kind != KIND_CUSTOM && (kind == 0 || kind > KIND_BATCH));
        expectRefusalOfKind(kind, "id", abi.encodeWithSelector(Results.UnknownKind.selector, bytes32("id"), kind));
    }

    /// @dev A leaf that is certified as one kind is no leaf of another.
    function test_RevertWhen_TheKindIsAnotherThanCertified() public {
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(PAYEE, 2 ether, 5, 3);
        result.kind = KIND_CUSTOM;
        expectRefusal(header, result, proof, abi.encodeWithSelector(Locks.NotIncluded.selector, leafOf(result)));
    }

    /// @dev Another distributor has paid what is below the first height of this one.
    function testFuzz_ADistributorPaysFromItsFirstHeightOn(uint64 firstHeight) public {
        firstHeight = uint64(bound(firstHeight, 2, type(uint32).max));
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(PAYEE, 2 ether, 5, 3);
        Allotment[] memory caps = new Allotment[](1);
        caps[0] = Allotment(NATIVE, CAP);
        distributor = deployDistributor(registry, address(outcomes), address(wallet), firstHeight, caps);
        vm.deal(address(distributor), 2 ether);
        bytes memory reason = abi.encodeWithSelector(Results.BelowFirstHeight.selector, 1, firstHeight);
        expectRefusal(header, result, proof, reason);
        vm.prank(address(wallet));
        vm.expectRevert(reason);
        distributor.payMany(header, new Result[](0), new bytes32[][](0), new Solution[](0));

        header = makeHeader(firstHeight, leafOf(result));
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
        pay(header, result, new bytes32[](0));
        assertEq(PAYEE.balance, 2 ether);
    }

    /// @dev Its worker has named the distributor as the payee: that makes it no batch.
    function test_ARaceThatPaysTheDistributorIsStillARace() public {
        (Header memory header, Result memory result, bytes32[] memory proof) =
            finalized(address(distributor), 2 ether, 5, 3);
        uint256 before = address(distributor).balance;
        pay(header, result, proof);
        (bytes24 commitment,,) = distributor.batchOf(result.id);
        assertEq(commitment, 0);
        assertEq(address(distributor).balance, before);
    }

    /// @dev Two locks are open, and the work was not done: by nobody, by another worker, or too little of it.
    function test_RevertWhen_TheWorkIsNotShown() public {
        (Header memory header, Result memory result, bytes32[] memory proof) = finalized(PAYEE, 2 ether, 5, 3);
        Solution memory own = solutionOf[result.id];
        delete solutionOf[result.id];
        bytes32 nothing = payloadHash(domainOf(NETWORK, block.chainid), address(0), "");
        expectRefusal(header, result, proof, abi.encodeWithSelector(Pow.WrongOrder.selector, result.id, nothing));
        makeRace(3, validators[0], PAYEE, 2 ether);
        bytes32 other = payloadHash(domainOf(NETWORK, block.chainid), validators[3], solutionOf[result.id].claim);
        expectRefusal(header, result, proof, abi.encodeWithSelector(Pow.WrongClaim.selector, result.digest, other));
        solutionOf[result.id] = own;
        pay(header, result, proof);
        assertEq(PAYEE.balance, 2 ether);

        result = makeRace(4, validators[0], PAYEE, 2 ether, type(uint64).max);
        header = makeHeader(2, leafOf(result));
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
        vm.prank(address(wallet));
        vm.expectPartialRevert(Pow.WorkMissing.selector);
        distributor.pay(header, result, new bytes32[](0), solutionOf[result.id]);
        assertFalse(distributor.isPaid(result.id));
    }

    function test_RevertWhen_TheWorkerOfARoundIsBarred() public {
        bytes32 id = bytes32(uint256(7) << 160 | uint160(validators[1]));
        (Header memory header, Result memory result, bytes32[] memory proof) =
            finalizedOnly(KIND_ROUND, id, keccak256("outcome"));
        outcomes.set(id, keccak256("outcome"));
        registry.reportEvidence(makeEvidence(VoteKind.Commit, validators, 1));
        expectRefusal(header, result, proof, abi.encodeWithSelector(Results.WorkerBarred.selector, id, validators[1]));
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
        bytes memory reason = abi.encodeWithSelector(Batches.NotFinalized.selector, 1, hashOf(header));
        expectManyRefused(header, results, proofs, reason);
    }

    /// @dev One reward above the funds keeps nobody else waiting, and can be paid later.
    function test_WhatThereIsNoMoneyForIsDeferredAmongMany() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(3);
        vm.deal(address(distributor), 2.5 ether);
        vm.expectEmit(address(distributor));
        emit Results.Deferred(results[2].id);
        payMany(header, results, proofs);
        assertEq(PAYEE.balance, 2 ether);
        assertFalse(distributor.isPaid(results[2].id));

        bytes memory reason = abi.encodeWithSelector(Purse.InsufficientFunds.selector, 0.5 ether, 1 ether);
        expectRefusal(header, results[2], proofs[2], reason);
        vm.deal(address(distributor), 1 ether);
        pay(header, results[2], proofs[2]);
        assertEq(PAYEE.balance, 3 ether);
    }

    /// @dev Or the wallet would count a proposal as executed that has paid nobody.
    function test_RevertWhen_FundsAreShortForAllOfMany() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(3);
        vm.deal(address(distributor), 0.5 ether);
        bytes memory reason = abi.encodeWithSelector(Purse.InsufficientFunds.selector, 0.5 ether, 1 ether);
        expectManyRefused(header, results, proofs, reason);
        registry.reportEvidence(makeEvidence(VoteKind.Commit, validators, 1));
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
        vm.warp(block.timestamp + DELAY);
        distributor.push(results[0].id, NATIVE, payouts, payouts.length);
        assertEq(accountAt(1).balance, 1 ether);
    }

    function stubborn(uint256 mood) private returns (address) {
        Stubborn payee = new Stubborn();
        payee.setMood(Stubborn.Mood(mood));
        return address(payee);
    }

    function deployDistributor(address multisig) private returns (RewardDistributor) {
        return deployDistributor(registry, address(outcomes), multisig, new address[](0));
    }

    /// @dev A final block with one result, of the second validator.
    function finalizedOnly(uint32 kind, bytes32 id, bytes32 digest)
        private
        returns (Header memory header, Result memory result, bytes32[] memory proof)
    {
        result = Result(kind, id, validators[1], PAYEE, 2 ether, digest);
        header = makeHeader(1, leafOf(result));
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
        proof = new bytes32[](0);
    }

    uint64 private nextHeight = 100;

    function expectRefusalOfKind(uint32 kind, bytes32 id, bytes memory reason) private {
        Result memory result = Result(kind, id, validators[1], PAYEE, 2 ether, keccak256("digest"));
        Header memory header = finalizeOnly(result, nextHeight++);
        expectRefusal(header, result, new bytes32[](0), reason);
    }

    function resultAt(uint256 index, address payee, uint256 amount) private returns (Result memory) {
        return makeRace(index, validators[index % 4], payee, amount);
    }

    /// @dev A block with one result of interest among others.
    function block_(address payee, uint256 amount, uint256 size, uint256 index)
        private
        returns (Header memory header, Result memory result, bytes32[] memory proof)
    {
        bytes32[] memory leaves = new bytes32[](size);
        for (uint256 i; i < size; ++i) {
            leaves[i] = leafOf(resultAt(i, address(uint160(1 + i)), 1 ether));
        }
        result = resultAt(index, payee, amount);
        leaves[index] = leafOf(result);
        bytes32 root;
        (root, proof) = merkle(leaves, index);
        header = makeHeader(1, root);
    }

    function finalized(address payee, uint256 amount, uint256 size, uint256 index)
        private
        returns (Header memory header, Result memory result, bytes32[] memory proof)
    {
        (header, result, proof) = block_(payee, amount, size, index);
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
    }

    function approve(bytes memory data, bytes32 salt) private returns (bytes32 id) {
        vm.prank(owners[0]);
        id = wallet.proposeTransaction(address(distributor), 0, data, 0, salt);
        for (uint256 i = 1; i < 3; ++i) {
            vm.prank(owners[i]);
            wallet.confirmTransaction(id);
        }
    }

    function pay(Header memory header, Result memory result, bytes32[] memory proof) private {
        vm.prank(address(wallet));
        distributor.pay(header, result, proof, solutionOf[result.id]);
    }

    function expectRefusal(Header memory header, Result memory result, bytes32[] memory proof, bytes memory reason)
        private
    {
        uint256 before = address(distributor).balance;
        vm.prank(address(wallet));
        vm.expectRevert(reason);
        distributor.pay(header, result, proof, solutionOf[result.id]);
        assertEq(address(distributor).balance, before);
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
}
