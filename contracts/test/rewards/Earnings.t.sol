// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Allotment, Header, Result, Solution} from "../../src/formats/Types.sol";
import {IOutcomes} from "../../src/interfaces/IOutcomes.sol";
import {EarnedState, Terms} from "../../src/interfaces/IRewardDistributor.sol";
import {Batches} from "../../src/rewards/Batches.sol";
import {Distributions} from "../../src/rewards/Distributions.sol";
import {Earnings} from "../../src/rewards/Earnings.sol";
import {Limits} from "../../src/rewards/Limits.sol";
import {Locks} from "../../src/rewards/Locks.sol";
import {Results} from "../../src/rewards/Results.sol";
import {RewardDistributor} from "../../src/rewards/RewardDistributor.sol";
import {newDistributor} from "../helpers/Deployed.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

contract EarningsTest is RewardsFixture {
    address private constant NATIVE = address(0);
    bytes32[] private noProof;

    function setUp() public {
        deployRewards();
        vm.deal(address(distributor), 200 ether);
    }

    function test_WhatTheLedgerStatesIsPaidAfterTheDelayAndOnce() public {
        bytes32 root = rewardLeafOf(PAYEE, NATIVE, 3 ether);
        Result memory statement = makeStatement(1, NATIVE, root, 3 ether);
        Header memory header = finalizeOnly(statement, 1);
        uint64 from = uint64(block.timestamp) + DELAY;
        vm.expectEmit(address(distributor));
        emit Earnings.EarnedScheduled(1, root, 3 ether, from);
        vm.prank(address(wallet));
        distributor.scheduleEarned(header, statement, noProof, 3 ether);
        assertEq(abi.encode(distributor.earned()), abi.encode(EarnedState(0, root, NATIVE, 3 ether, 0, 1, 0, from)));

        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(Locks.TooEarly.selector, from));
        distributor.activateEarned();
        vm.expectRevert(abi.encodeWithSelector(Locks.NotIncluded.selector, root));
        distributor.claimEarned(PAYEE, NATIVE, 3 ether, noProof);
        vm.warp(from);
        vm.expectEmit(address(distributor));
        emit Earnings.EarnedActivated(1, root);
        distributor.activateEarned();
        assertEq(distributor.free(NATIVE), 197 ether);
        assertEq(distributor.expiresAt(), block.timestamp + CLAIM_PERIOD);

        vm.expectEmit(address(distributor));
        emit Distributions.Claimed(PAYEE, NATIVE, 3 ether);
        distributor.claimEarned(PAYEE, NATIVE, 3 ether, noProof);
        assertEq(PAYEE.balance, 3 ether);
        assertEq(distributor.earnedClaimed(PAYEE, NATIVE), 3 ether);
        assertEq(distributor.claimedOf(PAYEE, NATIVE), 0);
        vm.expectRevert(abi.encodeWithSelector(Distributions.NothingToClaim.selector, PAYEE, NATIVE));
        distributor.claimEarned(PAYEE, NATIVE, 3 ether, noProof);
        earn(2, PAYEE, NATIVE, 5 ether);
        distributor.claimEarned(PAYEE, NATIVE, 5 ether, noProof);
        assertEq(PAYEE.balance, 5 ether);
        assertEq(distributor.free(NATIVE), 195 ether);
    }

    function test_TokensAreStatedAlike() public {
        address token = address(tokens[0]);
        earn(1, PAYEE, token, 4 ether);
        distributor.claimEarned(PAYEE, token, 4 ether, noProof);
        assertEq(tokens[0].balanceOf(PAYEE), 4 ether);
        assertEq(distributor.free(token), 996 ether);
    }

    /// @dev Neither the numbers of one nor its roots, totals and claims are those of the other.
    function test_TheLedgerAndThoseByHandNeitherHoldUpNorPayForEachOther() public {
        distribute(single(50, PAYEE, NATIVE, 3 ether, 3 ether));
        earn(1, PAYEE, NATIVE, 5 ether);
        distribute(single(51, PAYEE, NATIVE, 4 ether, 1 ether));
        earn(2, PAYEE, NATIVE, 7 ether);
        (uint96 allotted,,) = distributor.reserveOf(NATIVE);
        assertEq(allotted, 11 ether);
        distributor.claim(PAYEE, NATIVE, 4 ether, noProof);
        distributor.claimEarned(PAYEE, NATIVE, 7 ether, noProof);
        assertEq(PAYEE.balance, 11 ether);
        assertEq(distributor.free(NATIVE), 189 ether);
        vm.expectRevert(abi.encodeWithSelector(Locks.NotIncluded.selector, rewardLeafOf(PAYEE, NATIVE, 7 ether)));
        distributor.claim(PAYEE, NATIVE, 7 ether, noProof);

        // What waits of one is not replaced by the other.
        schedule(single(52, PAYEE, NATIVE, 5 ether, 1 ether));
        scheduleEarned(makeStatement(3, NATIVE, rewardLeafOf(PAYEE, NATIVE, 8 ether), 8 ether), 3, 8 ether);
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        distributor.activate(single(52, PAYEE, NATIVE, 5 ether, 1 ether));
        assertEq(distributor.number(), 52);
        assertEq(distributor.earned().number, 3);
    }

    /// @dev Its claims take no more than was set aside for it, whatever its root says.
    function test_AStatementTakesNothingOfWhatIsAllottedByHand() public {
        distribute(single(1, PAYEE, NATIVE, 3 ether, 3 ether));
        bytes32 wrong = rewardLeafOf(accountAt(1), NATIVE, 4 ether);
        scheduleEarned(makeStatement(1, NATIVE, wrong, 2 ether), 1, 2 ether);
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        vm.expectRevert(abi.encodeWithSelector(Distributions.AllotmentExhausted.selector, NATIVE, 2 ether, 4 ether));
        distributor.claimEarned(accountAt(1), NATIVE, 4 ether, noProof);
        distributor.claim(PAYEE, NATIVE, 3 ether, noProof);
    }

    /// @dev In each order, and by roots that state more than there is.
    function testFuzz_AStatementTakesNothingOfWhatIsAllottedByHand(uint256 allotted, uint256 stated, uint256 given)
        public
    {
        (allotted, given) = (bound(allotted, 1, CAP / 4), bound(given, 1, CAP / 4));
        stated = bound(stated, given, CAP);
        distribute(single(1, PAYEE, NATIVE, allotted, uint128(allotted)));
        bytes32 root = rewardLeafOf(accountAt(1), NATIVE, stated);
        scheduleEarned(makeStatement(1, NATIVE, root, stated), 1, uint96(given));
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        if (stated > given) {
            vm.expectRevert(abi.encodeWithSelector(Distributions.AllotmentExhausted.selector, NATIVE, given, stated));
        }
        distributor.claimEarned(accountAt(1), NATIVE, stated, noProof);
        distributor.claim(PAYEE, NATIVE, allotted, noProof);
        assertEq(PAYEE.balance, allotted);
    }

    /// @dev Both locks have taken back what it was in. The next one need not wait until somebody cancels it.
    function test_RevertWhen_TheBlockOfAStatementWasRetracted() public {
        bytes32 root = rewardLeafOf(PAYEE, NATIVE, 3 ether);
        Result memory statement = makeStatement(1, NATIVE, root, 3 ether);
        scheduleEarned(statement, 1, 3 ether);
        bytes32 blockHash = hashOf(makeHeader(1, leafOf(statement)));
        resolve(registry, actionOf("retract", address(registry), 1), validators);
        vm.prank(address(wallet));
        registry.retract(1);
        vm.warp(block.timestamp + DELAY);
        vm.expectRevert(abi.encodeWithSelector(Batches.NotFinalized.selector, 1, bytes32(bytes24(blockHash))));
        distributor.activateEarned();
        scheduleEarned(makeStatement(1, NATIVE, root, 2 ether), 2, 2 ether);
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        assertEq(distributor.earned().number, 1);
    }

    /// @dev Statements may come faster than the delay, and each would begin it again.
    function test_RevertWhen_AnotherOneWaits() public {
        bytes32 root = rewardLeafOf(PAYEE, NATIVE, 1 ether);
        scheduleEarned(makeStatement(1, NATIVE, root, 1 ether), 1, 1 ether);
        refuse(
            makeStatement(2, NATIVE, root, 1 ether),
            2,
            1 ether,
            abi.encodeWithSelector(Earnings.StillWaiting.selector, 1)
        );
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        vm.expectRevert(Earnings.NothingWaits.selector);
        distributor.activateEarned();
    }

    function test_RevertWhen_TheNumberIsStale() public {
        earn(3, PAYEE, NATIVE, 2 ether);
        bytes32 root = rewardLeafOf(PAYEE, NATIVE, 2 ether);
        for (uint32 number = 2; number < 4; ++number) {
            bytes memory stale = abi.encodeWithSelector(Distributions.StaleNumber.selector, 3, number);
            refuse(makeStatement(number, NATIVE, root, 2 ether), 3 + number, 2 ether, stale);
        }
    }

    /// @dev The owners may have a reason, and whatever runs for them by itself must not undo it.
    function test_WhatWasCancelledIsNotScheduledAgain() public {
        bytes32 root = rewardLeafOf(PAYEE, NATIVE, 1 ether);
        vm.startPrank(address(wallet));
        vm.expectRevert(Earnings.NothingWaits.selector);
        distributor.cancelEarned();
        vm.stopPrank();
        scheduleEarned(makeStatement(2, NATIVE, root, 1 ether), 1, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.cancelEarned();
        vm.expectEmit(address(distributor));
        emit Earnings.EarnedCancelled(2);
        vm.prank(address(wallet));
        distributor.cancelEarned();
        vm.warp(block.timestamp + DELAY);
        vm.expectRevert(Earnings.NothingWaits.selector);
        distributor.activateEarned();
        bytes memory stale = abi.encodeWithSelector(Distributions.StaleNumber.selector, 0, 2);
        refuse(makeStatement(2, NATIVE, root, 1 ether), 2, 1 ether, stale);
        earn(3, PAYEE, NATIVE, 1 ether);
    }

    /// @dev More was earned than may leave at once: it is paid in parts, and no statement is stuck for good.
    function test_WhatIsAboveTheCapIsGivenInParts() public {
        bytes32 root = rewardLeafOf(PAYEE, NATIVE, 150 ether);
        Result memory statement = makeStatement(1, NATIVE, root, 150 ether);
        bytes memory above = abi.encodeWithSelector(Distributions.AboveCap.selector, NATIVE, CAP, CAP + 1);
        refuse(statement, 1, uint96(CAP + 1), above);
        scheduleAt(statement, 1, uint96(CAP));
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        vm.expectRevert(abi.encodeWithSelector(Distributions.AllotmentExhausted.selector, NATIVE, CAP, 150 ether));
        distributor.claimEarned(PAYEE, NATIVE, 150 ether, noProof);
        scheduleAt(statement, 1, 150 ether);
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        distributor.claimEarned(PAYEE, NATIVE, 150 ether, noProof);
        assertEq(PAYEE.balance, 150 ether);
        bytes memory stale = abi.encodeWithSelector(Distributions.StaleNumber.selector, 1, 1);
        refuseAt(statement, 1, 150 ether, stale);
    }

    function test_RevertWhen_MoreIsGivenThanWasEarned() public {
        bytes32 root = rewardLeafOf(PAYEE, NATIVE, 1 ether);
        bytes memory above = abi.encodeWithSelector(Earnings.AboveEarned.selector, 1 ether, 1 ether + 1);
        refuse(makeStatement(1, NATIVE, root, 1 ether), 1, 1 ether + 1, above);
    }

    function test_RevertWhen_OneOfTheLocksIsShut() public {
        bytes32 root = rewardLeafOf(PAYEE, NATIVE, 1 ether);
        Result memory statement = makeStatement(1, NATIVE, root, 1 ether);
        Header memory header = makeHeader(1, leafOf(statement));
        vm.prank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Batches.NotFinalized.selector, 1, hashOf(header)));
        distributor.scheduleEarned(header, statement, noProof, 1 ether);
        finalizeOnly(statement, 1);
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.scheduleEarned(header, statement, noProof, 1 ether);

        Result memory other = makeStatement(1, NATIVE, root, 2 ether);
        refuseAt(other, 1, 1 ether, abi.encodeWithSelector(Locks.NotIncluded.selector, leafOf(other)), header);
    }

    /// @dev Nothing that an account's own work was paid for becomes everybody's, and the other way round.
    function test_RevertWhen_TheKindIsAnother() public {
        Result memory race = makeRace(1, validators[0], PAYEE, 1 ether);
        refuse(race, 1, 1 ether, abi.encodeWithSelector(Results.UnknownKind.selector, race.id, KIND_RACE));
        Result memory statement = makeStatement(1, NATIVE, rewardLeafOf(PAYEE, NATIVE, 1 ether), 1 ether);
        statement.payee = PAYEE;
        Header memory header = finalizeOnly(statement, 2);
        Solution memory none;
        bytes memory unknown = abi.encodeWithSelector(Results.UnknownKind.selector, statement.id, KIND_EARNINGS);
        vm.startPrank(address(wallet));
        vm.expectRevert(unknown);
        distributor.pay(header, statement, noProof, none);
        Result[] memory results = new Result[](1);
        results[0] = statement;
        vm.expectRevert(unknown);
        distributor.payMany(header, results, new bytes32[][](1), new Solution[](1));
        vm.stopPrank();
    }

    function test_RevertWhen_TheAccountIsBarred() public {
        earn(1, validators[0], NATIVE, 1 ether);
        vm.mockCall(address(registry), abi.encodeCall(registry.isBarred, (validators[0])), abi.encode(true));
        vm.expectRevert(abi.encodeWithSelector(Distributions.AccountBarred.selector, validators[0]));
        distributor.claimEarned(validators[0], NATIVE, 1 ether, noProof);
    }

    function test_AClaimerClaimsElsewhere() public {
        earn(1, PAYEE, NATIVE, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(Distributions.NotClaimer.selector, PAYEE, address(this)));
        distributor.claimEarnedTo(PAYEE, NATIVE, 1 ether, noProof, accountAt(1));
        vm.prank(PAYEE);
        distributor.claimEarnedTo(PAYEE, NATIVE, 1 ether, noProof, accountAt(1));
        assertEq(accountAt(1).balance, 1 ether);
    }

    /// @dev What is swept is owed still, and is given again.
    function test_WhatIsSweptCanBeGivenAgain() public {
        distribute(single(1, PAYEE, NATIVE, 2 ether, 2 ether));
        bytes32 root = rewardLeafOf(PAYEE, NATIVE, 3 ether);
        Result memory statement = makeStatement(1, NATIVE, root, 3 ether);
        scheduleEarned(statement, 1, 3 ether);
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        vm.warp(block.timestamp + CLAIM_PERIOD);
        vm.prank(address(wallet));
        distributor.sweep(NATIVE);
        assertEq(address(wallet).balance, 5 ether);
        assertEq(distributor.totalAllotted(NATIVE), 0);
        (uint128 total, uint96 left) = distributor.earnedOf(NATIVE);
        assertEq(total + left, 0);
        scheduleAt(statement, 1, 3 ether);
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        distributor.claimEarned(PAYEE, NATIVE, 3 ether, noProof);
        assertEq(PAYEE.balance, 3 ether);
    }

    /// @dev Totals count from the beginning of the network, and so does what was paid: at whichever distributor.
    function test_TheNextDistributorGoesOnAndPaysNothingAgain() public {
        earn(1, PAYEE, NATIVE, 5 ether);
        distributor.claimEarned(PAYEE, NATIVE, 5 ether, noProof);
        bytes32 two = pairOf(rewardLeafOf(PAYEE, NATIVE, 6 ether), rewardLeafOf(accountAt(1), NATIVE, 2 ether));
        Result memory second = makeStatement(2, NATIVE, two, 8 ether);
        scheduleEarned(second, 2, 8 ether);
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        vm.prank(address(wallet));
        distributor.close(10);
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = rewardLeafOf(PAYEE, NATIVE, 6 ether);
        vm.expectRevert(Earnings.EarnedElsewhere.selector);
        distributor.claimEarned(accountAt(1), NATIVE, 2 ether, proof);

        Terms memory terms = makeTerms(new Allotment[](1));
        terms.caps[0] = Allotment(NATIVE, CAP);
        (terms.predecessor, terms.firstHeight) = (address(distributor), 11);
        RewardDistributor before = distributor;
        distributor = newDistributor(registry, IOutcomes(address(outcomes)), address(wallet), terms);
        vm.deal(address(distributor), 3 ether);
        assertEq(distributor.earnedClaimed(PAYEE, NATIVE), 5 ether);
        scheduleAt(second, 2, 8 ether);
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        assertEq(distributor.free(NATIVE), 0, "what was paid before is not set aside again");
        distributor.claimEarned(accountAt(1), NATIVE, 2 ether, proof);
        proof[0] = rewardLeafOf(accountAt(1), NATIVE, 2 ether);
        distributor.claimEarned(PAYEE, NATIVE, 6 ether, proof);
        assertEq(PAYEE.balance, 6 ether);
        assertEq(accountAt(1).balance, 2 ether);
        vm.expectRevert(Earnings.EarnedElsewhere.selector);
        before.claimEarned(PAYEE, NATIVE, 6 ether, proof);
        assertEq(before.free(NATIVE), 192 ether);
    }

    /// @dev What was set aside in a closed distributor goes on with the rest.
    function test_WhatWasSetAsideMovesOn() public {
        earn(1, PAYEE, NATIVE, 5 ether);
        bytes32 action = keccak256(abi.encode("move on", address(distributor), uint256(uint160(accountAt(1)))));
        vm.mockCall(address(registry), abi.encodeCall(registry.announcedAt, (action)), abi.encode(block.timestamp));
        vm.warp(block.timestamp + 2 days);
        vm.startPrank(address(wallet));
        distributor.close(10);
        distributor.moveOn(NATIVE, accountAt(1));
        vm.stopPrank();
        assertEq(accountAt(1).balance, 200 ether);
    }

    /// @dev A distributor of an earlier version has paid none of it.
    function test_ADistributorBeforeThatKnowsNoEarningsIsNotAsked() public {
        vm.prank(address(wallet));
        distributor.close(10);
        vm.mockCallRevert(address(distributor), abi.encodeCall(distributor.earned, ()), "");
        vm.mockCallRevert(address(distributor), abi.encodeCall(distributor.earnedClaimed, (PAYEE, NATIVE)), "");
        Terms memory terms = makeTerms(new Allotment[](1));
        terms.caps[0] = Allotment(NATIVE, CAP);
        (terms.predecessor, terms.firstHeight) = (address(distributor), 11);
        distributor = newDistributor(registry, IOutcomes(address(outcomes)), address(wallet), terms);
        vm.deal(address(distributor), 3 ether);
        earn(1, PAYEE, NATIVE, 3 ether);
        distributor.claimEarned(PAYEE, NATIVE, 3 ether, noProof);
        assertEq(PAYEE.balance, 3 ether);
    }

    /// @dev A limit holds back what would take effect too fast, and it can be tried again.
    function test_WhatTakesEffectIsWithinTheLimits() public {
        vm.deal(address(distributor), 500 ether);
        distribute(single(1, PAYEE, NATIVE, 60 ether, 60 ether));
        bytes32 root = rewardLeafOf(PAYEE, NATIVE, 100 ether);
        scheduleEarned(makeStatement(1, NATIVE, root, 100 ether), 1, 100 ether);
        schedule(single(2, PAYEE, NATIVE, 120 ether, 60 ether));
        vm.warp(block.timestamp + DELAY);
        distributor.activate(single(2, PAYEE, NATIVE, 120 ether, 60 ether));
        vm.expectPartialRevert(Limits.AboveLimit.selector);
        distributor.activateEarned();
        vm.warp(block.timestamp + PERIOD);
        distributor.activateEarned();
    }

    function scheduleAt(Result memory statement, uint64 height, uint96 amount) private {
        vm.prank(address(wallet));
        distributor.scheduleEarned(makeHeader(height, leafOf(statement)), statement, noProof, amount);
    }

    function refuse(Result memory statement, uint64 height, uint96 amount, bytes memory reason) private {
        refuseAt(statement, height, amount, reason, finalizeOnly(statement, height));
    }

    function refuseAt(Result memory statement, uint64 height, uint96 amount, bytes memory reason) private {
        refuseAt(statement, height, amount, reason, makeHeader(height, leafOf(statement)));
    }

    function refuseAt(Result memory statement, uint64, uint96 amount, bytes memory reason, Header memory header)
        private
    {
        vm.prank(address(wallet));
        vm.expectRevert(reason);
        distributor.scheduleEarned(header, statement, noProof, amount);
    }
}
