// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {AowChallenge} from "../../src/aow/AowChallenge.sol";
import {Claim, ClaimStatus} from "../../src/interfaces/IAowChallenge.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {AowFixture} from "../helpers/AowFixture.sol";
import {newAow} from "../helpers/Deployed.sol";
import {Reentrant, Stubborn} from "../helpers/Mocks.sol";

contract AowChallengeTest is AowFixture {
    uint64 private constant ROUND = 9;
    uint64 private constant STEPS = 24;
    uint256 private constant SEGMENTS = 4;
    address private constant CHALLENGER = address(0xCA11);

    address private node;
    bytes32 private id;

    function setUp() public {
        deployAow(4);
        node = nodes[1];
        id = idOf(ROUND, node);
    }

    function test_KnowsItsTerms() public view {
        assertEq(address(aow.registry()), address(registry));
        assertEq(aow.networkId(), NETWORK);
        assertEq(aow.minimumBond(), BOND);
        assertEq(aow.window(), WINDOW);
        assertEq(aow.idOf(ROUND, node), id);
    }

    function test_RevertWhen_TheTermsMakeNoSense() public {
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.NoCode.selector, node));
        newAow(ResultRegistry(node), BOND, WINDOW, GAS_PRICE);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.ZeroBond.selector));
        newAow(registry, 0, WINDOW, GAS_PRICE);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.WindowTooShort.selector, 3));
        newAow(registry, BOND, 3, GAS_PRICE);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.ZeroGasPrice.selector));
        newAow(registry, BOND, WINDOW, 0);
    }

    // Posting.

    function test_PostsAClaim() public {
        bytes memory checkpoints = honest();
        vm.expectEmit();
        emit AowChallenge.Posted(id, ROUND, node, HEIGHT, STEPS, PROOF, checkpoints);
        vm.prank(node);
        assertEq(aow.post{value: 2 ether}(ROUND, HEIGHT, STEPS, checkpoints, PROOF), id);

        Claim memory claim = aow.claimOf(id);
        assertEq(claim.commitment, keccak256(checkpoints));
        assertEq(claim.start, startOf(ROUND, node, STEPS));
        assertEq(claim.result, work(claim.start, STEPS));
        assertEq(claim.bond, 2 ether);
        assertEq(claim.height, HEIGHT);
        assertEq(claim.deadline, block.timestamp + WINDOW);
        assertEq(claim.steps, STEPS);
        assertEq(claim.segmentLength, STEPS / SEGMENTS);
        assertEq(uint256(claim.status), uint256(ClaimStatus.Posted));
        assertEq(address(aow).balance, 2 ether);
        assertFalse(aow.isFinal(ROUND, node));
    }

    function test_EachValidatorPostsForEachRound() public {
        for (uint64 round; round < 3; ++round) {
            for (uint256 i; i < nodes.length; ++i) {
                post(nodes[i], round, HEIGHT, STEPS, pack(noise(4)));
            }
        }
        assertEq(address(aow).balance, 12 * BOND);
    }

    function test_RevertWhen_BondIsOutOfRange() public {
        expectNoPost(BOND - 1, HEIGHT, STEPS, honest(), AowChallenge.BondTooSmall.selector, BOND - 1, BOND);
        uint256 huge = uint256(type(uint96).max) + 1;
        vm.deal(node, huge);
        bytes memory checkpoints = honest();
        vm.prank(node);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.BondTooLarge.selector, huge));
        aow.post{value: huge}(ROUND, HEIGHT, STEPS, checkpoints, PROOF);
    }

    function test_RevertWhen_PosterIsNoValidator() public {
        bytes memory checkpoints = honest();
        vm.deal(CHALLENGER, BOND);
        vm.prank(CHALLENGER);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.NotValidator.selector, CHALLENGER));
        aow.post{value: BOND}(ROUND, HEIGHT, STEPS, checkpoints, PROOF);
    }

    function test_RevertWhen_BlockIsUnknown() public {
        bytes memory checkpoints = honest();
        vm.prank(node);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.UnknownBlock.selector, HEIGHT + 1));
        aow.post{value: BOND}(ROUND, HEIGHT + 1, STEPS, checkpoints, PROOF);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.UnknownBlock.selector, 0));
        aow.startOf(ROUND, 0, node, STEPS);
    }

    /// @dev A claim takes its place whatever comes of it, so nobody tries until a lie goes unnoticed.
    function test_RevertWhen_PostedTwice() public {
        bytes memory wrong = pack(noise(4));
        post(node, ROUND, HEIGHT, STEPS, wrong);
        expectNoPost(BOND, HEIGHT, STEPS, honest(), AowChallenge.AlreadyPosted.selector, ROUND, uint160(node));
        slash(wrong, 0);
        expectNoPost(BOND, HEIGHT, STEPS, honest(), AowChallenge.AlreadyPosted.selector, ROUND, uint160(node));
    }

    function test_RevertWhen_StepsAreOutOfRange() public {
        uint64 cap = 1 << 24;
        bytes memory one = pack(noise(1));
        vm.prank(node);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.ZeroSteps.selector));
        aow.post{value: BOND}(ROUND, HEIGHT, 0, one, PROOF);
        expectNoPost(BOND, HEIGHT, cap + 1, one, AowChallenge.TooManySteps.selector, cap + 1, cap);
        uint64 max = type(uint64).max;
        expectNoPost(BOND, HEIGHT, max, one, AowChallenge.TooManySteps.selector, max, cap);
    }

    function test_TakesTheLongestClaim() public {
        post(node, ROUND, HEIGHT, 1 << 24, pack(noise(4096)));
        assertEq(aow.claimOf(id).segmentLength, 4096);
        assertEq(aow.claimOf(id).steps, 1 << 24);
    }

    function testFuzz_RevertWhen_CheckpointsAreNoWholeElements(uint256 length) public {
        length = bound(length, 0, 200);
        if (length % 16 == 0) length = 0;
        bytes memory checkpoints = new bytes(length);
        vm.prank(node);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.InvalidCheckpointsLength.selector, length));
        aow.post{value: BOND}(ROUND, HEIGHT, STEPS, checkpoints, PROOF);
    }

    function test_RevertWhen_CheckpointsDoNotLineUp() public {
        expectNoPost(BOND, HEIGHT, STEPS, pack(noise(5)), AowChallenge.UnevenSegments.selector, STEPS, 5);
        expectNoPost(BOND, HEIGHT, STEPS, pack(noise(25)), AowChallenge.UnevenSegments.selector, STEPS, 25);
        expectNoPost(BOND, HEIGHT, 4097, pack(noise(1)), AowChallenge.SegmentTooLong.selector, 4097, 4096);
        post(node, ROUND, HEIGHT, 4096, pack(noise(1)));
    }

    /// @dev More would fit a block, but not a challenge of it.
    function test_RevertWhen_ThereAreMoreCheckpointsThanTheLongestClaimNeeds() public {
        bytes memory checkpoints = pack(noise(8192));
        expectNoPost(BOND, HEIGHT, 8192, checkpoints, AowChallenge.TooManyCheckpoints.selector, 8192, 4096);
    }

    /// @dev Every place is looked at, and the greatest element is still one.
    function testFuzz_RevertWhen_AnElementIsNotCanonical(uint256 index, uint256 excess) public {
        uint256[] memory list = noise(SEGMENTS);
        index = bound(index, 0, SEGMENTS - 1);
        list[index] = bound(excess, P, type(uint128).max);
        bytes memory checkpoints = pack(list);
        vm.prank(node);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.NonCanonical.selector, index));
        aow.post{value: BOND}(ROUND, HEIGHT, STEPS, checkpoints, PROOF);
        list[index] = P - 1;
        post(node, ROUND, HEIGHT, STEPS, pack(list));
    }

    // Challenging.

    /// @dev Whatever the segments are, long or short, one or many: an honest poster cannot lose its bond.
    function testFuzz_HonestClaimsHoldAtEverySegment(uint256 segments, uint256 length, uint64 round) public {
        segments = bound(segments, 1, 6);
        length = bound(length, 1, 70);
        uint64 steps = uint64(segments * length);
        bytes memory checkpoints = pack(checkpointsFrom(startOf(round, node, steps), segments, length));
        id = idOf(round, node);
        post(node, round, HEIGHT, steps, checkpoints);
        for (uint256 k; k < segments; ++k) {
            expectNoChallenge(checkpoints, k, abi.encodeWithSelector(AowChallenge.SegmentHolds.selector, id, k));
        }
        aow.verifyWhole(id);
        aow.release(id);
        assertEq(node.balance, 100 ether);
    }

    /// @dev One wrong checkpoint is seen from the segment that ends in it and from the one that begins there, and from
    /// no other.
    function testFuzz_AWrongCheckpointIsSlashableExactlyWhereItTouches(
        uint256 segments,
        uint256 length,
        uint256 wrong,
        uint256 delta,
        bool before
    ) public {
        segments = bound(segments, 1, 6);
        length = bound(length, 1, 40);
        wrong = bound(wrong, 0, segments - 1);
        uint64 steps = uint64(segments * length);
        uint256[] memory list = checkpointsFrom(startOf(ROUND, node, steps), segments, length);
        list[wrong] = addmod(list[wrong], bound(delta, 1, P - 1), P);
        bytes memory checkpoints = pack(list);
        post(node, ROUND, HEIGHT, steps, checkpoints);
        for (uint256 k; k < segments; ++k) {
            if (k == wrong || k == wrong + 1) continue;
            expectNoChallenge(checkpoints, k, abi.encodeWithSelector(AowChallenge.SegmentHolds.selector, id, k));
        }
        slash(checkpoints, before || wrong == segments - 1 ? wrong : wrong + 1);
    }

    /// @dev Claims that a cheating worker would make, each wrong where one would look for it first.
    function test_WorkFromAnotherStartIsSlashedAtTheFirstSegment() public {
        bytes32 blockHash = registry.finalizedHash(HEIGHT);
        finalize(HEIGHT + 1);
        bytes32 nextHash = registry.finalizedHash(HEIGHT + 1);
        uint256[8] memory starts = [
            uint256(1234), // chosen
            startOf(ROUND, nodes[0], STEPS), // another node's
            startOf(ROUND - 1, node, STEPS), // last round's
            startOf(ROUND, node, STEPS - 1), // of another length
            startOf(NETWORK, block.chainid, ROUND, nextHash, node, STEPS), // after another block
            startOf(NETWORK, block.chainid + 1, ROUND, blockHash, node, STEPS), // on another chain
            startOf(keccak256("elsewhere"), block.chainid, ROUND, blockHash, node, STEPS), // in another network
            0
        ];
        for (uint256 i; i < starts.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            bytes memory checkpoints = pack(checkpointsFrom(starts[i], SEGMENTS, STEPS / SEGMENTS));
            post(node, ROUND, HEIGHT, STEPS, checkpoints);
            for (uint256 k = 1; k < SEGMENTS; ++k) {
                expectNoChallenge(checkpoints, k, abi.encodeWithSelector(AowChallenge.SegmentHolds.selector, id, k));
            }
            slash(checkpoints, 0);
            vm.revertToState(snapshot);
        }
    }

    /// @dev Whoever picks the result and goes back from it ends somewhere, but not at the start.
    function test_AResultThatWasPickedIsSlashed() public {
        uint256[] memory list = new uint256[](SEGMENTS);
        list[SEGMENTS - 1] = 42;
        for (uint256 i = SEGMENTS - 1; i > 0; --i) {
            list[i - 1] = takeBack(list[i], STEPS / SEGMENTS);
        }
        bytes memory checkpoints = pack(list);
        post(node, ROUND, HEIGHT, STEPS, checkpoints);
        slash(checkpoints, 0);
    }

    function testFuzz_HalfTheWorkIsSlashedAtAnySegment(uint256 segment) public {
        uint256[] memory list = checkpointsFrom(startOf(ROUND, node, STEPS), SEGMENTS, STEPS / SEGMENTS / 2);
        bytes memory checkpoints = pack(list);
        post(node, ROUND, HEIGHT, STEPS, checkpoints);
        slash(checkpoints, bound(segment, 0, SEGMENTS - 1));
    }

    function test_AStepTooFewIsSlashedAtTheLastSegment() public {
        uint256[] memory list = checkpointsFrom(startOf(ROUND, node, STEPS), SEGMENTS, STEPS / SEGMENTS);
        list[SEGMENTS - 1] = work(list[SEGMENTS - 2], STEPS / SEGMENTS - 1);
        bytes memory checkpoints = pack(list);
        post(node, ROUND, HEIGHT, STEPS, checkpoints);
        slash(checkpoints, SEGMENTS - 1);
    }

    function test_AStepTooManyIsSlashedAtTheLastSegment() public {
        uint256[] memory list = checkpointsFrom(startOf(ROUND, node, STEPS), SEGMENTS, STEPS / SEGMENTS);
        list[SEGMENTS - 1] = work(list[SEGMENTS - 1], 1);
        bytes memory checkpoints = pack(list);
        post(node, ROUND, HEIGHT, STEPS, checkpoints);
        slash(checkpoints, SEGMENTS - 1);
    }

    function test_SlashingPaysHalfToAnotherValidatorAndForgetsTheClaim() public {
        bytes memory wrong = pack(noise(4));
        post(node, ROUND, HEIGHT, STEPS, wrong);
        commit(nodes[2], id, 2);
        vm.expectEmit();
        emit AowChallenge.Slashed(id, nodes[2], 2, BOND / 2, BOND / 2);
        vm.prank(nodes[2]);
        aow.challenge(id, wrong, 2, SALT);

        assertEq(nodes[2].balance, 100 ether + BOND / 2);
        assertEq(address(pool).balance, BOND / 2, "the other half is the owners'");
        assertEq(address(aow).balance, 0);
        Claim memory claim = aow.claimOf(id);
        assertEq(uint256(claim.status), uint256(ClaimStatus.Slashed));
        assertEq(claim.bond, 0);
        assertEq(claim.result, 0);
        vm.warp(claim.deadline + 1);
        assertFalse(aow.isFinal(ROUND, node));
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.NotFinal.selector, id));
        aow.resultOf(ROUND, node);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.NotFinal.selector, id));
        aow.outcomeOf(id);
        expectRefusals(AowChallenge.AlreadySlashed.selector);
    }

    /// @dev By its own account or by one that is nobody's: what it has back is no more than the gas that it spends.
    function testFuzz_APosterThatChallengesItselfKeepsNothing(uint96 bond, bool byItself) public {
        bond = uint96(bound(bond, BOND, 50 ether));
        bytes memory wrong = pack(noise(4));
        address challenger = byItself ? node : CHALLENGER;
        vm.prank(node);
        aow.post{value: bond}(ROUND, HEIGHT, STEPS, wrong, PROOF);
        commit(challenger, id, 0);
        vm.prank(challenger);
        aow.challenge(id, wrong, 0, SALT);
        assertEq(node.balance + CHALLENGER.balance, 100 ether - bond);
        assertEq(address(pool).balance, bond);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.AlreadySlashed.selector, id));
        aow.release(id);
    }

    /// @dev What the gas costs at the price that the deployment states, and never more than a quarter of the bond.
    /// forge-config: default.isolate = false
    function testFuzz_AStrangerHasItsGasBackAndNoMore(uint256 price) public {
        price = bound(price, 0, 1000 gwei);
        bytes memory wrong = pack(noise(4));
        post(node, ROUND, HEIGHT, STEPS, wrong);
        commit(CHALLENGER, id, 0);
        vm.txGasPrice(price);
        vm.prank(CHALLENGER);
        aow.challenge(id, wrong, 0, SALT);
        uint256 gas = 150_000 + 720 * SEGMENTS + 40 * STEPS / SEGMENTS;
        assertEq(CHALLENGER.balance, gas * (price < GAS_PRICE ? price : GAS_PRICE));
        assertEq(address(pool).balance, BOND - CHALLENGER.balance);
    }

    /// @dev Whoever commits for another one before it helps it.
    function test_NobodyHoldsUpACommitmentByMakingItFirst() public {
        bytes memory wrong = pack(noise(4));
        post(node, ROUND, HEIGHT, STEPS, wrong);
        bytes32 commitment = aow.commitmentOf(nodes[2], id, 1, SALT);
        vm.prank(nodes[3]);
        aow.commit(commitment);
        uint256 first = aow.committedAt(commitment);
        vm.roll(block.number + 1);
        vm.startPrank(nodes[2]);
        aow.commit(commitment);
        assertEq(aow.committedAt(commitment), first);
        aow.challenge(id, wrong, 1, SALT);
        vm.stopPrank();
    }

    /// @dev A bot that sees a challenge on its way learns the segment too late: it has not committed to it.
    function test_RevertWhen_AChallengeIsCopied() public {
        bytes memory wrong = pack(noise(4));
        post(node, ROUND, HEIGHT, STEPS, wrong);
        commit(nodes[2], id, 1);
        bytes32 copied = aow.commitmentOf(nodes[3], id, 1, SALT);
        vm.startPrank(nodes[3]);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.NotCommitted.selector, copied));
        aow.challenge(id, wrong, 1, SALT);
        aow.commit(copied);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.NotCommitted.selector, copied));
        aow.challenge(id, wrong, 1, SALT);
        vm.stopPrank();
        vm.prank(nodes[2]);
        aow.challenge(id, wrong, 1, SALT);
        assertEq(nodes[2].balance, 100 ether + BOND / 2);
        vm.roll(block.number + 1);
        vm.prank(nodes[3]);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.AlreadySlashed.selector, id));
        aow.challenge(id, wrong, 1, SALT);
    }

    /// @dev The bond follows what a challenge costs: checkpoints, steps between them, and the price of gas.
    /// forge-config: default.isolate = false
    function testFuzz_TheBondCoversAChallengeSeveralTimes(uint256 count, uint256 basefee) public {
        count = bound(count, 1, 4096);
        basefee = bound(basefee, 0, 500 gwei);
        vm.fee(basefee);
        uint256 gas = 150_000 + 720 * count + 40 * 4096;
        uint256 need = 8 * gas * (basefee > GAS_PRICE ? basefee : GAS_PRICE);
        assertEq(aow.bondFor(count, 4096), need > BOND ? need : BOND);
        if (need <= BOND) return;
        bytes memory checkpoints = pack(noise(count));
        expectNoPost(
            need - 1, HEIGHT, uint64(count * 4096), checkpoints, AowChallenge.BondTooSmall.selector, need - 1, need
        );
    }

    /// @dev The longest claim with the most checkpoints costs no more than the bond says.
    function test_AChallengeCostsNoMoreThanTheBondReckonsWith() public {
        uint256[2] memory counts = [uint256(4096), 1];
        for (uint256 i; i < 2; ++i) {
            bytes memory wrong = pack(noise(counts[i]));
            id = idOf(uint64(i), node);
            post(node, uint64(i), HEIGHT, uint64(counts[i] * 4096), wrong);
            aow.commit(aow.commitmentOf(nodes[2], id, 0, SALT));
            uint256 used = vm.lastCallGas().gasTotalUsed;
            vm.roll(block.number + 1);
            vm.prank(nodes[2]);
            aow.challenge(id, wrong, 0, SALT);
            used += vm.lastCallGas().gasTotalUsed;
            assertLe(used, 150_000 + 720 * counts[i] + 40 * 4096);
        }
    }

    /// @dev Others' bonds come back in full beside what is forfeited.
    function test_OnlyItsOwnBondIsForfeited() public {
        bytes memory wrong = pack(noise(4));
        post(node, ROUND, HEIGHT, STEPS, wrong);
        post(nodes[0], ROUND, HEIGHT, STEPS, honestOf(nodes[0]));
        slash(wrong, 0);
        vm.warp(block.timestamp + WINDOW + 1);
        aow.release(idOf(ROUND, nodes[0]));
        assertEq(nodes[0].balance, 100 ether);
        assertEq(address(aow).balance, 0);
    }

    /// @dev Who was rotated out between the work and the claim is paid all the same, and who was long ago is not.
    function test_AValidatorOfTheEpochBeforePosts() public {
        address[] memory others = makeOwners(4);
        address[] memory more = makeAddresses(4);
        registry.rotate(others, signatures(rotationDigestOf(NETWORK, EPOCH, others), nodes, 0, 3));
        post(node, ROUND, HEIGHT, STEPS, honest());
        registry.rotate(more, signatures(rotationDigestOf(NETWORK, EPOCH + 1, more), others, 0, 3));
        bytes memory checkpoints = pack(noise(4));
        vm.prank(node);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.NotValidator.selector, node));
        aow.post{value: BOND}(ROUND + 1, HEIGHT, STEPS, checkpoints, PROOF);
    }

    function test_RevertWhen_ThereIsNoClaim() public {
        expectRefusals(AowChallenge.UnknownClaim.selector);
        post(node, ROUND, HEIGHT, STEPS, honest());
        id = idOf(ROUND + 1, node);
        expectRefusals(AowChallenge.UnknownClaim.selector);
        id = idOf(ROUND, nodes[0]);
        expectRefusals(AowChallenge.UnknownClaim.selector);
        id = bytes32(uint256(idOf(ROUND, node)) | (1 << 255));
        expectRefusals(AowChallenge.UnknownClaim.selector);
    }

    function testFuzz_RevertWhen_CheckpointsAreNotTheClaims(uint256 place, uint8 change) public {
        bytes memory posted = pack(noise(4));
        post(node, ROUND, HEIGHT, STEPS, posted);
        bytes memory other = bytes.concat(posted);
        place = bound(place, 0, other.length - 1);
        other[place] ^= bytes1(uint8(bound(change, 1, 255)));
        expectWrongCheckpoints(posted, other);
        expectWrongCheckpoints(posted, bytes.concat(posted, hex"00"));
        expectWrongCheckpoints(posted, "");
    }

    function testFuzz_RevertWhen_SegmentIsOutOfRange(uint256 segment) public {
        segment = bound(segment, SEGMENTS, type(uint256).max);
        bytes memory wrong = pack(noise(SEGMENTS));
        post(node, ROUND, HEIGHT, STEPS, wrong);
        expectNoChallenge(
            wrong, segment, abi.encodeWithSelector(AowChallenge.SegmentOutOfRange.selector, segment, SEGMENTS)
        );
    }

    function test_ChallengedInTheLastSecondOfTheWindow() public {
        bytes memory wrong = pack(noise(4));
        post(node, ROUND, HEIGHT, STEPS, wrong);
        vm.warp(block.timestamp + WINDOW);
        assertFalse(aow.isFinal(ROUND, node));
        slash(wrong, 3);
    }

    function test_RevertWhen_TheWindowHasClosed() public {
        bytes memory wrong = pack(noise(4));
        post(node, ROUND, HEIGHT, STEPS, wrong);
        uint256 deadline = block.timestamp + WINDOW;
        vm.warp(deadline + 1);
        bytes memory reason = abi.encodeWithSelector(AowChallenge.WindowClosed.selector, id, deadline);
        expectNoChallenge(wrong, 0, reason);
        vm.expectRevert(reason);
        aow.verifyWhole(id);
        assertTrue(aow.isFinal(ROUND, node));
    }

    /// @dev Whoever is paid and does not take it has a credit, and costs a bounded share of gas.
    function test_WhoRefusesTheMoneyIsCredited() public {
        bytes memory wrong = pack(noise(4));
        post(node, ROUND, HEIGHT, STEPS, wrong);
        pool.setMood(Stubborn.Mood.Burning);
        vm.etch(nodes[2], hex"fe");
        slash(wrong, 0);
        assertLt(vm.lastCallGas().gasTotalUsed, 250_000);
        assertEq(aow.creditOf(nodes[2]), BOND / 2);
        assertEq(aow.creditOf(address(pool)), BOND / 2);
        vm.prank(nodes[2]);
        vm.expectEmit();
        emit AowChallenge.Withdrawn(nodes[2], CHALLENGER, BOND / 2);
        aow.withdraw(CHALLENGER);
        assertEq(CHALLENGER.balance, BOND / 2);
        vm.startPrank(address(pool));
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.PaymentFailed.selector, address(pool)));
        aow.withdraw{gas: 200_000}(address(pool));
        aow.withdraw(CHALLENGER);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.NoCredit.selector, address(pool)));
        aow.withdraw(CHALLENGER);
        vm.stopPrank();
        assertEq(CHALLENGER.balance, BOND);
    }

    function test_ANodeThatRefusesItsBondIsCredited() public {
        post(node, ROUND, HEIGHT, STEPS, honest());
        vm.warp(block.timestamp + WINDOW + 1);
        vm.etch(node, hex"fe");
        aow.release(id);
        assertEq(aow.creditOf(node), BOND);
        assertLt(vm.lastCallGas().gasTotalUsed, 150_000);
    }

    function testFuzz_RevertWhen_GasIsShortForWhoIsPaid(uint256 gas_) public {
        gas_ = bound(gas_, 40_000, 400_000);
        post(node, ROUND, HEIGHT, STEPS, honest());
        vm.warp(block.timestamp + WINDOW + 1);
        (bool ok,) = address(aow).call{gas: gas_}(abi.encodeCall(aow.release, (id)));
        assertEq(node.balance, ok ? 100 ether : 99 ether);
        assertEq(aow.creditOf(node), 0);
    }

    function test_AChallengerThatCallsBackIsPaidOnce() public {
        bytes memory wrong = pack(noise(4));
        post(node, ROUND, HEIGHT, STEPS, wrong);
        Reentrant reentrant = new Reentrant();
        vm.etch(nodes[2], address(reentrant).code);
        reentrant = Reentrant(payable(nodes[2]));
        reentrant.prepare(address(aow), abi.encodeCall(aow.release, (id)));
        commit(nodes[2], id, 0);
        vm.prank(nodes[2]);
        aow.challenge(id, wrong, 0, SALT);
        assertTrue(reentrant.attempted());
        assertFalse(reentrant.succeeded());
        assertEq(reentrant.answer(), AowChallenge.AlreadySlashed.selector);
        assertEq(nodes[2].balance, 100 ether + BOND / 2);
        assertEq(address(aow).balance, 0);
    }

    // Taking the whole work back.

    function test_ShortWorkIsFinalAtOnce() public {
        bytes memory checkpoints = honest();
        post(node, ROUND, HEIGHT, STEPS, checkpoints);
        vm.expectEmit();
        emit AowChallenge.Upheld(id);
        vm.prank(CHALLENGER);
        aow.verifyWhole(id);
        assertTrue(aow.isFinal(ROUND, node));
        assertEq(aow.resultOf(ROUND, node), work(startOf(ROUND, node, STEPS), STEPS));

        bytes memory reason = abi.encodeWithSelector(AowChallenge.AlreadyUpheld.selector, id);
        expectNoChallenge(checkpoints, 0, reason);
        vm.expectRevert(reason);
        aow.verifyWhole(id);
        aow.release(id);
        assertEq(node.balance, 100 ether);
        assertTrue(aow.isFinal(ROUND, node));
    }

    function testFuzz_RevertWhen_TheResultIsNotTheWorks(uint256 delta) public {
        uint256[] memory list = checkpointsFrom(startOf(ROUND, node, STEPS), SEGMENTS, STEPS / SEGMENTS);
        list[SEGMENTS - 1] = addmod(list[SEGMENTS - 1], bound(delta, 1, P - 1), P);
        bytes memory checkpoints = pack(list);
        post(node, ROUND, HEIGHT, STEPS, checkpoints);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.WorkDoesNotHold.selector, id));
        aow.verifyWhole(id);
        slash(checkpoints, SEGMENTS - 1);
    }

    /// @dev The result is what is paid for. False checkpoints before it cost the bond only until it is upheld.
    function test_ARightResultIsUpheldWhateverTheCheckpointsSay() public {
        uint256[] memory list = checkpointsFrom(startOf(ROUND, node, STEPS), SEGMENTS, STEPS / SEGMENTS);
        list[1] = 42;
        bytes memory checkpoints = pack(list);
        post(node, ROUND, HEIGHT, STEPS, checkpoints);
        aow.verifyWhole(id);
        expectNoChallenge(checkpoints, 1, abi.encodeWithSelector(AowChallenge.AlreadyUpheld.selector, id));
    }

    function test_RevertWhen_TheWorkIsTooLongToTakeBack() public {
        uint64 steps = 2 * ((1 << 13) + 1);
        post(node, ROUND, HEIGHT, steps, pack(noise(6)));
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.TooLongToVerify.selector, steps, 1 << 14));
        aow.verifyWhole(id);
    }

    // The end.

    function test_AnUnchallengedClaimIsFinalAfterTheWindow() public {
        post(node, ROUND, HEIGHT, STEPS, honest());
        vm.warp(block.timestamp + WINDOW);
        bytes memory reason = abi.encodeWithSelector(AowChallenge.NotFinal.selector, id);
        vm.expectRevert(reason);
        aow.release(id);
        vm.expectRevert(reason);
        aow.resultOf(ROUND, node);

        vm.warp(block.timestamp + 1);
        assertTrue(aow.isFinal(ROUND, node));
        assertEq(aow.resultOf(ROUND, node), work(startOf(ROUND, node, STEPS), STEPS));
        vm.expectEmit();
        emit AowChallenge.Released(id, node, BOND);
        vm.prank(CHALLENGER);
        aow.release(id);
        assertEq(node.balance, 100 ether);
        assertEq(address(aow).balance, 0);

        vm.expectRevert(abi.encodeWithSelector(AowChallenge.AlreadyReleased.selector, id));
        aow.release(id);
        assertTrue(aow.isFinal(ROUND, node));
        assertGt(aow.resultOf(ROUND, node), 0);
    }

    /// @dev The golden work of 4,096 steps, posted and upheld, comes to the outcome that the Rust tests state.
    function test_GoldenVectors_Outcome() public {
        bytes32 network = keccak256("golden network");
        address worker = 0x1111111111111111111111111111111111111111;
        vm.chainId(97);
        vm.mockCall(address(registry), abi.encodeCall(registry.networkId, ()), abi.encode(network));
        vm.mockCall(
            address(registry),
            abi.encodeWithSignature("finalizedHash(uint64)", 5),
            abi.encode(keccak256("golden block"))
        );
        vm.mockCall(address(registry), abi.encodeCall(registry.isRecentValidator, (worker)), abi.encode(true));
        aow = newAow(registry, BOND, WINDOW, GAS_PRICE);
        vm.deal(worker, BOND);
        post(worker, 3, 5, 4096, abi.encodePacked(uint128(0xbc250f38b5f8cb61a4c2d1c65344ad71)));
        id = idOf(3, worker);
        aow.verifyWhole(id);
        assertEq(aow.outcomeOf(id), 0x951da51c331bd3ba86b0196992dc9d8eccbe44c5896161773393627a6d711c63);
    }

    function testFuzz_TheOutcomeIsTheHashOfWhatTheClaimStates(uint64 round, uint256 segments) public {
        segments = bound(segments, 1, 4);
        uint64 steps = uint64(segments * 3);
        uint256[] memory list = checkpointsFrom(startOf(round, node, steps), segments, 3);
        id = idOf(round, node);
        post(node, round, HEIGHT, steps, pack(list));
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.NotFinal.selector, id));
        aow.outcomeOf(id);
        bytes32 expected =
            keccak256(bytes.concat(id, bytes32(uint256(HEIGHT)), bytes32(uint256(steps)), bytes32(list[segments - 1])));
        uint256 snapshot = vm.snapshotState();
        aow.verifyWhole(id);
        assertEq(aow.outcomeOf(id), expected);
        vm.revertToState(snapshot);
        vm.warp(block.timestamp + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.NotFinal.selector, id));
        aow.outcomeOf(id);
        vm.warp(block.timestamp + 1);
        aow.release(id);
        assertEq(aow.outcomeOf(id), expected);
    }

    function test_NothingIsFinalByDefault() public {
        vm.warp(block.timestamp + 365 days);
        assertFalse(aow.isFinal(ROUND, node));
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.NotFinal.selector, id));
        aow.resultOf(ROUND, node);
        vm.expectRevert(abi.encodeWithSelector(AowChallenge.NotFinal.selector, id));
        aow.outcomeOf(id);
        assertEq(aow.claimOf(id).commitment, 0);
    }

    function honest() private view returns (bytes memory) {
        return honestOf(node);
    }

    function honestOf(address worker) private view returns (bytes memory) {
        return pack(checkpointsFrom(startOf(ROUND, worker, STEPS), SEGMENTS, STEPS / SEGMENTS));
    }

    function post(address worker, uint64 round, uint64 height, uint64 steps, bytes memory checkpoints) private {
        vm.prank(worker);
        aow.post{value: BOND}(round, height, steps, checkpoints, PROOF);
    }

    function slash(bytes memory checkpoints, uint256 segment) private {
        uint256 before = nodes[2].balance + aow.creditOf(nodes[2]);
        commit(nodes[2], id, segment);
        vm.prank(nodes[2]);
        aow.challenge(id, checkpoints, segment, SALT);
        assertEq(nodes[2].balance + aow.creditOf(nodes[2]), before + BOND / 2);
    }

    /// @dev For refusals that say two numbers.
    function expectNoPost(
        uint256 bond,
        uint64 height,
        uint64 steps,
        bytes memory checkpoints,
        bytes4 reason,
        uint256 first,
        uint256 second
    ) private {
        uint256 before = address(aow).balance;
        vm.prank(node);
        vm.expectRevert(abi.encodeWithSelector(reason, first, second));
        aow.post{value: bond}(ROUND, height, steps, checkpoints, PROOF);
        assertEq(address(aow).balance, before);
    }

    function expectNoChallenge(bytes memory checkpoints, uint256 segment, bytes memory reason) private {
        commit(CHALLENGER, id, segment);
        vm.prank(CHALLENGER);
        vm.expectRevert(reason);
        aow.challenge(id, checkpoints, segment, SALT);
    }

    function expectWrongCheckpoints(bytes memory posted, bytes memory given) private {
        bytes4 reason = AowChallenge.WrongCheckpoints.selector;
        expectNoChallenge(given, 0, abi.encodeWithSelector(reason, keccak256(posted), keccak256(given)));
    }

    /// @dev Nothing can be done with the claim, for one reason.
    function expectRefusals(bytes4 reason) private {
        expectNoChallenge(pack(noise(4)), 0, abi.encodeWithSelector(reason, id));
        vm.expectRevert(abi.encodeWithSelector(reason, id));
        aow.verifyWhole(id);
        vm.expectRevert(abi.encodeWithSelector(reason, id));
        aow.release(id);
    }
}
