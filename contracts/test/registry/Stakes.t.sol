// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Evidence, VoteKind} from "../../src/formats/Types.sol";
import {RegistryTerms} from "../../src/interfaces/IResultRegistry.sol";
import {Barring} from "../../src/registry/Barring.sol";
import {Guard} from "../../src/registry/Guard.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {Stakes} from "../../src/registry/Stakes.sol";
import {newRegistry} from "../helpers/Deployed.sol";
import {Fixture} from "../helpers/Fixture.sol";
import {Stubborn, TrickyToken} from "../helpers/Mocks.sol";

/// @notice What validators put at stake, from the first block to the last of their epochs.
contract StakesTest is Fixture {
    uint128 private constant STAKE = 10 ether;
    address private constant NATIVE = address(0);
    address private constant REPORTER = address(0x4E90);

    ResultRegistry private registry;
    address[] private validators;
    address[] private others;
    Stubborn private guardian;

    function setUp() public {
        vm.warp(1_700_000_000);
        (validators, others) = (makeValidators(4), makeOwners(4));
        guardian = new Stubborn();
        registry = newRegistry(NETWORK, EPOCH, validators, RegistryTerms(address(guardian), NATIVE, STAKE));
        for (uint256 i; i < 4; ++i) {
            vm.deal(validators[i], 2 * STAKE);
            vm.deal(others[i], 2 * STAKE);
        }
    }

    /// @dev Nothing is taken before all have staked what the network requires.
    function test_CertificatesAreTakenOnceAllHaveStaked() public {
        assertFalse(registry.isOpen());
        bytes memory votes = certificate(makeHeader(1, 0), validators, 0, 3);
        vm.expectRevert(abi.encodeWithSelector(Guard.NotOpen.selector));
        registry.finalize(makeHeader(1, 0), VIEW, votes);
        for (uint256 i; i < 4; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Stakes.NotStaked.selector, validators[i]));
            registry.open();
            stake(validators[i], STAKE);
        }
        vm.expectEmit(address(registry));
        emit Guard.Opened(EPOCH);
        registry.open();
        registry.finalize(makeHeader(1, 0), VIEW, votes);
        vm.expectRevert(abi.encodeWithSelector(Guard.AlreadyOpen.selector));
        registry.open();
    }

    /// @dev Too little, what is being taken back, and who is barred.
    function test_RevertWhen_TheNextValidatorsHaveNotStaked() public {
        openAll();
        expectNoRotation(abi.encodeWithSelector(Stakes.NotStaked.selector, others[0]));
        for (uint256 i; i < 4; ++i) {
            stake(others[i], i == 3 ? STAKE - 1 : STAKE);
        }
        expectNoRotation(abi.encodeWithSelector(Stakes.NotStaked.selector, others[3]));
        stake(others[3], 1);
        vm.prank(others[1]);
        registry.unstake();
        vm.warp(block.timestamp + 14 days);
        expectNoRotation(abi.encodeWithSelector(Stakes.NotStaked.selector, others[1]));
        stake(others[1], 0);
        rotate();
        assertEq(registry.epoch(), EPOCH + 1);
    }

    /// @dev A stake stays for longer than evidence lives, counted from when its holder has stopped being a validator.
    function test_AStakeIsFreeOnlyAfterEvidenceHasExpired() public {
        assertGt(registry.UNBONDING(), registry.EVIDENCE_LIFE());
        openAll();
        stakeOthers();
        vm.startPrank(validators[0]);
        vm.expectRevert(abi.encodeWithSelector(Stakes.StillValidator.selector, validators[0]));
        registry.unstake();
        vm.stopPrank();
        rotate();
        uint64 freeAt = uint64(block.timestamp) + registry.UNBONDING();
        vm.startPrank(validators[0]);
        vm.expectRevert(abi.encodeWithSelector(Stakes.NotFree.selector, 0));
        registry.reclaim(REPORTER);
        vm.expectEmit(address(registry));
        emit Stakes.Unstaking(validators[0], freeAt);
        registry.unstake();
        vm.expectRevert(abi.encodeWithSelector(Stakes.NotFree.selector, freeAt));
        registry.unstake();
        vm.warp(freeAt - 1);
        vm.expectRevert(abi.encodeWithSelector(Stakes.NotFree.selector, freeAt));
        registry.reclaim(REPORTER);
        vm.stopPrank();
        Evidence memory evidence = makeEvidence(VoteKind.Commit, validators, 0);
        vm.expectRevert(abi.encodeWithSelector(Barring.EvidenceExpired.selector, EPOCH));
        registry.reportEvidence(evidence);
        vm.warp(freeAt);
        vm.startPrank(validators[0]);
        vm.expectEmit(address(registry));
        emit Stakes.Unstaked(validators[0], REPORTER, STAKE);
        registry.reclaim(REPORTER);
        assertEq(REPORTER.balance, STAKE);
        vm.expectRevert(abi.encodeWithSelector(Stakes.NothingThere.selector, validators[0]));
        registry.reclaim(REPORTER);
        vm.stopPrank();
    }

    /// @dev Evidence reaches a stake that is being taken back, to its last day.
    function test_EvidenceTakesAStakeThatIsLeaving() public {
        openAll();
        stakeOthers();
        rotate();
        vm.prank(validators[2]);
        registry.unstake();
        vm.warp(block.timestamp + registry.EVIDENCE_LIFE());
        registry.reportEvidence(makeEvidence(VoteKind.Commit, validators, 2));
        (uint128 amount, uint64 freeAt) = registry.stakeOf(validators[2]);
        assertEq(amount, 0);
        assertEq(freeAt, 0);
        vm.warp(block.timestamp + registry.UNBONDING());
        vm.prank(validators[2]);
        vm.expectRevert(abi.encodeWithSelector(Stakes.NothingThere.selector, validators[2]));
        registry.reclaim(REPORTER);
        assertEq(registry.creditOf(address(guardian)), STAKE);
    }

    /// @dev Who has committed to its report has a quarter, who copies it has nothing, and the accused itself neither.
    function test_TheReporterHasItsShareAndACopyHasNone() public {
        openAll();
        for (uint16 i; i < 3; ++i) {
            uint256 state = vm.snapshotState();
            Evidence memory evidence = makeEvidence(VoteKind.Prepare, validators, 1);
            bytes32 id = evidenceId(evidence);
            registry.commit(registry.commitmentOf(REPORTER, id));
            registry.commit(registry.commitmentOf(validators[1], id));
            vm.roll(block.number + 1);
            address[3] memory reporters = [REPORTER, address(0xC0B1), validators[1]];
            uint256 share = i == 0 ? STAKE / 4 : 0;
            vm.expectEmit(address(registry));
            emit Stakes.StakeTaken(validators[1], STAKE, reporters[i], share);
            vm.prank(reporters[i]);
            registry.reportEvidence(evidence);
            assertEq(registry.creditOf(reporters[i]), share);
            assertEq(registry.creditOf(address(guardian)), STAKE - share);
            if (i == 0) {
                vm.prank(REPORTER);
                registry.collect(REPORTER);
                assertEq(REPORTER.balance, share);
                vm.prank(REPORTER);
                vm.expectRevert(abi.encodeWithSelector(Stakes.NothingThere.selector, REPORTER));
                registry.collect(REPORTER);
            }
            vm.revertToState(state);
        }
    }

    function test_ACommitmentOfTheSameBlockEarnsNoShare() public {
        openAll();
        Evidence memory evidence = makeEvidence(VoteKind.Prepare, validators, 1);
        bytes32 commitment = registry.commitmentOf(REPORTER, evidenceId(evidence));
        registry.commit(commitment);
        vm.prank(REPORTER);
        registry.reportEvidence(evidence);
        assertEq(registry.creditOf(REPORTER), 0);
    }

    /// @dev Whoever commits for another one before it helps it.
    function test_NobodyHoldsUpACommitmentByMakingItFirst() public {
        openAll();
        Evidence memory evidence = makeEvidence(VoteKind.Prepare, validators, 1);
        bytes32 commitment = registry.commitmentOf(REPORTER, evidenceId(evidence));
        registry.commit(commitment);
        uint256 first = registry.committedAt(commitment);
        vm.roll(block.number + 1);
        vm.startPrank(REPORTER);
        registry.commit(commitment);
        assertEq(registry.committedAt(commitment), first);
        registry.reportEvidence(evidence);
        vm.stopPrank();
        assertEq(registry.creditOf(REPORTER), STAKE / 4);
    }

    /// @dev The others have signed, and a second rotation of the epoch would be evidence against them.
    function test_WhoIsNamedDoesNotUndoARotationByLeaving() public {
        openAll();
        stakeOthers();
        vm.prank(others[2]);
        registry.unstake();
        uint256 since = block.timestamp;
        vm.warp(since + 14 days);
        expectNoRotation(abi.encodeWithSelector(Stakes.NotStaked.selector, others[2]));
        vm.warp(since + 14 days - 1);
        rotate();
        // It is a validator now, and what it had asked for is not coming.
        (uint128 amount, uint64 freeAt) = registry.stakeOf(others[2]);
        assertEq(amount, STAKE);
        assertEq(freeAt, 0);
        vm.warp(since + 22 days);
        vm.startPrank(others[2]);
        vm.expectRevert(abi.encodeWithSelector(Stakes.NotFree.selector, 0));
        registry.reclaim(REPORTER);
        vm.expectRevert(abi.encodeWithSelector(Stakes.StillValidator.selector, others[2]));
        registry.unstake();
        vm.stopPrank();
        rotate(registry, others, validators);
        vm.startPrank(others[2]);
        registry.unstake();
        vm.warp(block.timestamp + 21 days);
        registry.reclaim(REPORTER);
        vm.stopPrank();
        assertEq(REPORTER.balance, STAKE);
    }

    function test_RevertWhen_TheValueIsNotTheStake() public {
        vm.startPrank(validators[0]);
        vm.expectRevert(abi.encodeWithSelector(Stakes.WrongValue.selector, 1, 2));
        registry.stake{value: 1}(2);
        vm.expectRevert(abi.encodeWithSelector(Stakes.NothingThere.selector, validators[0]));
        registry.unstake();
        vm.stopPrank();
    }

    function test_RevertWhen_WhoCollectsRefusesTheMoney() public {
        openAll();
        registry.reportEvidence(makeEvidence(VoteKind.Prepare, validators, 1));
        guardian.setMood(Stubborn.Mood.Reverting);
        vm.startPrank(address(guardian));
        vm.expectRevert(abi.encodeWithSelector(Stakes.PaymentFailed.selector, address(guardian)));
        registry.collect(address(guardian));
        registry.collect(REPORTER);
        vm.stopPrank();
        assertEq(REPORTER.balance, STAKE);
    }

    function test_StakesInTokensToo() public {
        TrickyToken token = new TrickyToken(validators[0], 100 ether);
        registry = newRegistry(NETWORK, EPOCH, validators, RegistryTerms(address(guardian), address(token), STAKE));
        vm.startPrank(validators[0]);
        token.approve(address(registry), 100 ether);
        vm.expectRevert(abi.encodeWithSelector(Stakes.WrongValue.selector, 1, 0));
        registry.stake{value: 1}(STAKE);
        registry.stake(STAKE);
        vm.stopPrank();
        assertEq(token.balanceOf(address(registry)), STAKE);
        registry.reportEvidence(makeEvidence(VoteKind.Commit, validators, 0));
        vm.prank(address(guardian));
        registry.collect(REPORTER);
        assertEq(token.balanceOf(REPORTER), STAKE);
    }

    function stake(address account, uint128 amount) private {
        vm.prank(account);
        registry.stake{value: amount}(amount);
    }

    function stakeOthers() private {
        for (uint256 i; i < 4; ++i) {
            stake(others[i], STAKE);
        }
    }

    function openAll() private {
        for (uint256 i; i < 4; ++i) {
            stake(validators[i], STAKE);
        }
        registry.open();
    }

    function rotate() private {
        registry.rotate(others, signatures(rotationDigestOf(NETWORK, EPOCH, others), validators, 0, 3));
    }

    function expectNoRotation(bytes memory reason) private {
        bytes memory votes = signatures(rotationDigestOf(NETWORK, EPOCH, others), validators, 0, 3);
        vm.expectRevert(reason);
        registry.rotate(others, votes);
    }
}
