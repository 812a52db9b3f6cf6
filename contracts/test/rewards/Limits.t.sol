// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Header, Result} from "../../src/formats/Types.sol";
import {Distribution} from "../../src/formats/Types.sol";
import {Limits} from "../../src/rewards/Limits.sol";
import {Locks} from "../../src/rewards/Locks.sol";
import {Results} from "../../src/rewards/Results.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

/// @notice How much leaves when both locks are open.
contract LimitsTest is RewardsFixture {
    address private constant NATIVE = address(0);
    uint64 private height;

    function setUp() public {
        vm.warp(1_700_000_000);
        deployRewards();
        vm.deal(address(distributor), 100_000 ether);
    }

    /// @dev An order of one hash for the whole pool, well signed by a requester whose key was stolen.
    function test_RevertWhen_OneRewardIsTheWholePool() public {
        expectRefused(
            makeRace(1, PAYEE, PAYEE, 100_000 ether),
            abi.encodeWithSelector(Limits.AboveAllowance.selector, REQUESTER, CAP, 100_000 ether)
        );
        assertEq(distributor.available(NATIVE), CAP);
    }

    /// @dev Results, batches and distributions take from one bucket, and however they take, two caps a period are the most.
    function test_AllExitsShareOneLimit() public {
        pay(makeRace(1, PAYEE, PAYEE, 30 ether));
        bytes32[] memory payouts = makePayouts(2, 15 ether);
        bytes32 id = approveBatch(NATIVE, payouts, 50);
        schedule(single(1, PAYEE, NATIVE, 35 ether, 35 ether));
        vm.warp(block.timestamp + DELAY);
        assertEq(distributor.available(NATIVE), CAP);
        distributor.push(id, NATIVE, payouts, 2);
        distributor.activate(single(1, PAYEE, NATIVE, 35 ether, 35 ether));
        assertEq(distributor.available(NATIVE), CAP - 65 ether);
        pay(makeRace(2, PAYEE, PAYEE, 35 ether));
        assertEq(distributor.available(NATIVE), 0);
        expectRefused(makeRace(3, PAYEE, PAYEE, 1), abi.encodeWithSelector(Limits.AboveLimit.selector, NATIVE, 0, 1));
        vm.warp(block.timestamp + PERIOD / 2);
        assertEq(distributor.available(NATIVE), CAP / 2);
        pay(makeRace(4, PAYEE, PAYEE, CAP / 2));
    }

    /// @dev What distributions have set aside was counted then, so claims are never held up by the limit.
    function test_ClaimsOfWhatIsSetAsideAreNotLimited() public {
        for (uint32 i = 1; i <= 3; ++i) {
            distribute(single(i, PAYEE, NATIVE, CAP * i, CAP));
        }
        distributor.claim(PAYEE, NATIVE, 3 * CAP, new bytes32[](0));
        assertEq(PAYEE.balance, 3 * CAP);
    }

    function test_RevertWhen_AnActivationIsAboveTheLimit() public {
        schedule(single(1, PAYEE, NATIVE, CAP, CAP));
        vm.warp(block.timestamp + DELAY);
        pay(makeRace(1, PAYEE, PAYEE, 1));
        Distribution memory distribution = single(1, PAYEE, NATIVE, CAP, CAP);
        vm.expectPartialRevert(Limits.AboveLimit.selector);
        distributor.activate(distribution);
        vm.warp(block.timestamp + 1);
        distributor.activate(distribution);
    }

    /// @dev One requester's key takes its own allowance and leaves the others theirs.
    function test_ARequesterHasAnAllowanceOfItsOwn() public {
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.setAllowance(REQUESTER, 5 ether);
        vm.expectEmit(address(distributor));
        emit Limits.AllowanceSet(REQUESTER, 5 ether);
        vm.prank(address(wallet));
        distributor.setAllowance(REQUESTER, 5 ether);
        pay(makeRace(1, PAYEE, PAYEE, 4 ether));
        (uint128 cap, uint256 left) = distributor.allowanceOf(REQUESTER);
        assertEq(cap, 5 ether);
        assertEq(left, 1 ether);
        expectRefused(
            makeRace(2, PAYEE, PAYEE, 2 ether),
            abi.encodeWithSelector(Limits.AboveAllowance.selector, REQUESTER, 1 ether, 2 ether)
        );
        pay(Result(KIND_CUSTOM, "custom", PAYEE, PAYEE, 10 ether, 0));
        vm.warp(block.timestamp + PERIOD / 5);
        pay(makeRace(2, PAYEE, PAYEE, 2 ether));
    }

    /// @dev Who asks for rounds and custom work is nothing that the chain sees: all of a kind share an allowance.
    function test_WorkWithoutARequesterSharesTheAllowanceOfItsKind() public {
        vm.prank(address(wallet));
        distributor.setAllowance(address(uint160(KIND_CUSTOM)), 5 ether);
        pay(Result(KIND_CUSTOM, "one", PAYEE, PAYEE, 5 ether, 0));
        expectRefused(
            Result(KIND_CUSTOM, "two", PAYEE, PAYEE, 1, 0),
            abi.encodeWithSelector(Limits.AboveAllowance.selector, address(uint160(KIND_CUSTOM)), 0, 1)
        );
        pay(makeRace(1, PAYEE, PAYEE, 5 ether));
    }

    /// @dev What is too much for now keeps nobody else waiting.
    function test_WhatIsAboveALimitIsDeferredAmongMany() public {
        vm.prank(address(wallet));
        distributor.setAllowance(REQUESTER, 2.5 ether);
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(4);
        vm.expectEmit(address(distributor));
        emit Results.Deferred(results[2].id);
        vm.prank(address(wallet));
        distributor.payMany(header, results, proofs, solutionsOf(results));
        assertEq(PAYEE.balance, 2 ether);
        assertFalse(distributor.isPaid(results[3].id));
        vm.prank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Limits.AboveAllowance.selector, REQUESTER, 0.5 ether, 1 ether));
        distributor.pay(header, results[2], proofs[2], solutionOf[results[2].id]);
        vm.warp(block.timestamp + PERIOD);
        vm.prank(address(wallet));
        distributor.pay(header, results[2], proofs[2], solutionOf[results[2].id]);
        assertEq(PAYEE.balance, 3 ether);
    }

    function test_RevertWhen_TheTokenHasNoCap() public {
        assertEq(distributor.capOf(PAYEE), 0);
        (uint128 cap,) = distributor.allowanceOf(PAYEE);
        assertEq(cap, CAP);
    }

    function pay(Result memory result) private {
        Header memory header = finalizeOnly(result, ++height);
        vm.prank(address(wallet));
        distributor.pay(header, result, new bytes32[](0), solutionOf[result.id]);
    }

    function expectRefused(Result memory result, bytes memory reason) private {
        Header memory header = finalizeOnly(result, ++height);
        vm.prank(address(wallet));
        vm.expectRevert(reason);
        distributor.pay(header, result, new bytes32[](0), solutionOf[result.id]);
    }
}
