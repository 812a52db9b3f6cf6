// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Allotment, Header, Result} from "../../src/formats/Types.sol";
import {IOutcomes} from "../../src/interfaces/IOutcomes.sol";
import {Terms} from "../../src/interfaces/IRewardDistributor.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {Batches} from "../../src/rewards/Batches.sol";
import {Distributions} from "../../src/rewards/Distributions.sol";
import {Limits} from "../../src/rewards/Limits.sol";
import {Locks} from "../../src/rewards/Locks.sol";
import {Results} from "../../src/rewards/Results.sol";
import {RewardDistributor} from "../../src/rewards/RewardDistributor.sol";
import {newDistributor} from "../helpers/Deployed.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

contract RewardDistributorTest is RewardsFixture {
    address private constant NATIVE = address(0);

    function setUp() public {
        deployRewards();
    }

    function test_KnowsItsLocks() public view {
        assertEq(address(distributor.registry()), address(registry));
        assertEq(address(distributor.aow()), address(outcomes));
        assertEq(distributor.multisig(), address(wallet));
    }

    function test_RevertWhen_ALockIsNoContract() public {
        Allotment[] memory none = new Allotment[](0);
        vm.expectRevert(abi.encodeWithSelector(Locks.NoCode.selector, address(0)));
        deployDistributor(ResultRegistry(address(0)), address(outcomes), address(wallet), 1, none);
        vm.expectRevert(abi.encodeWithSelector(Locks.NoCode.selector, PAYEE));
        deployDistributor(registry, address(outcomes), PAYEE, new address[](0));
        vm.expectRevert(abi.encodeWithSelector(Locks.NoCode.selector, accountAt(1)));
        deployDistributor(registry, accountAt(1), address(wallet), new address[](0));
    }

    /// @dev Races, rounds and batches are not taken on the validators' word.
    function test_RevertWhen_AKindIsNotCustom() public {
        uint32[3] memory reserved = [0, KIND_RACE, uint32(type(int32).max)];
        for (uint256 i; i < 3; ++i) {
            Terms memory terms = makeTerms(new Allotment[](0));
            terms.kinds = new uint32[](2);
            (terms.kinds[0], terms.kinds[1]) = (KIND_CUSTOM, reserved[i]);
            expectRefused(terms, abi.encodeWithSelector(Results.ReservedKind.selector, reserved[i]));
        }
    }

    /// @dev Terms that would be no limit, or leave nobody time to look or to claim.
    function test_RevertWhen_TheTermsAreNone() public {
        Terms memory terms = makeTerms(new Allotment[](0));
        terms.delay = 0;
        expectRefused(terms, abi.encodeWithSelector(Batches.ZeroDelay.selector));
        (terms.delay, terms.claimPeriod) = (1, 1 days - 1);
        expectRefused(terms, abi.encodeWithSelector(Distributions.ClaimPeriodTooShort.selector, 1 days - 1));
        (terms.claimPeriod, terms.period) = (1 days, 0);
        expectRefused(terms, abi.encodeWithSelector(Limits.InvalidPeriod.selector, 0));
        terms.period = 366 days + 1;
        expectRefused(terms, abi.encodeWithSelector(Limits.InvalidPeriod.selector, 366 days + 1));
        terms.period = 366 days;
        newDistributor(registry, IOutcomes(address(outcomes)), address(wallet), terms);
    }

    /// @dev What one distributor has paid or may pay, the next one does not: by its constructor, not by anybody's care.
    function test_ResultsArePayableInOnePlaceOnly() public {
        Terms memory terms = makeTerms(allotCap());
        (terms.predecessor, terms.firstHeight) = (address(distributor), 4);
        expectRefused(
            terms, abi.encodeWithSelector(Results.PredecessorPays.selector, address(distributor), type(uint64).max)
        );
        Result[4] memory results;
        Header[4] memory headers;
        for (uint64 i; i < 4; ++i) {
            results[i] = makeRace(i, validators[0], PAYEE, 1 ether);
            headers[i] = finalizeOnly(results[i], i + 2);
        }
        vm.startPrank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Locks.InvalidLastHeight.selector, 5, type(uint64).max, 4));
        distributor.close(4);
        vm.expectEmit(address(distributor));
        emit Locks.Closed(5);
        distributor.close(5);
        vm.expectRevert(abi.encodeWithSelector(Locks.InvalidLastHeight.selector, 5, 5, 5));
        distributor.close(5);
        vm.stopPrank();
        expectRefused(terms, abi.encodeWithSelector(Results.PredecessorPays.selector, address(distributor), 5));
        terms.firstHeight = 6;
        RewardDistributor next = newDistributor(registry, IOutcomes(address(outcomes)), address(wallet), terms);

        Result memory late = makeRace(9, validators[0], PAYEE, 1 ether);
        Header memory lateHeader = finalizeOnly(late, 6);
        vm.deal(address(distributor), 10 ether);
        vm.deal(address(next), 10 ether);
        vm.startPrank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Results.BelowFirstHeight.selector, 5, 6));
        next.pay(headers[3], results[3], new bytes32[](0), solutionOf[results[3].id]);
        distributor.pay(headers[3], results[3], new bytes32[](0), solutionOf[results[3].id]);
        vm.expectRevert(abi.encodeWithSelector(Results.AboveLastHeight.selector, 6, 5));
        distributor.pay(lateHeader, late, new bytes32[](0), solutionOf[late.id]);
        next.pay(lateHeader, late, new bytes32[](0), solutionOf[late.id]);
        vm.stopPrank();
        assertEq(PAYEE.balance, 2 ether);
    }

    function test_RevertWhen_AnybodyElseCloses() public {
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.close(5);
    }

    function allotCap() private pure returns (Allotment[] memory caps) {
        caps = new Allotment[](1);
        caps[0] = Allotment(NATIVE, CAP);
    }

    function expectRefused(Terms memory terms, bytes memory reason) private {
        vm.expectRevert(reason);
        newDistributor(registry, IOutcomes(address(outcomes)), address(wallet), terms);
    }

    function test_KnowsItsTerms() public view {
        assertEq(distributor.firstHeight(), FIRST_HEIGHT);
        assertTrue(distributor.takesKind(KIND_CUSTOM));
        assertFalse(distributor.takesKind(KIND_CUSTOM + 1));
        assertEq(distributor.delay(), DELAY);
        assertEq(distributor.period(), PERIOD);
        assertEq(distributor.requesterCap(), CAP);
        assertEq(distributor.lastHeight(), type(uint64).max);
        assertEq(distributor.claimPeriod(), CLAIM_PERIOD);
        assertEq(distributor.capOf(NATIVE), CAP);
        assertEq(distributor.capOf(address(tokens[1])), CAP);
        assertEq(distributor.capOf(PAYEE), 0);
    }
}
