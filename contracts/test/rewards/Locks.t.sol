// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Distribution, Header, Result} from "../../src/formats/Types.sol";
import {Resolutions} from "../../src/registry/Resolutions.sol";
import {Locks} from "../../src/rewards/Locks.sol";
import {Stubborn} from "../helpers/Mocks.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

/// @notice The second lock, on each way out. What the first one holds back is in the tests of each.
contract LocksTest is RewardsFixture {
    address private constant NATIVE = address(0);

    function setUp() public {
        deployRewards();
        vm.deal(address(distributor), 100 ether);
    }

    function test_RevertWhen_CallerIsNotTheMultisig() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(2);
        address[3] memory callers = [wallet.owners()[0], validators[0], PAYEE];
        for (uint256 i; i < 3; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, callers[i]));
            distributor.pay(header, results[0], proofs[0], solutionOf[results[0].id]);
        }
    }

    function test_RevertWhen_ManyAreNotPaidByTheMultisig() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(2);
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.payMany(header, results, proofs, solutionsOf(results));
    }

    function test_RevertWhen_NotScheduledByTheMultisig() public {
        Distribution memory distribution = single(1, PAYEE, NATIVE, 1 ether, 1 ether);
        certify(distribution);
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.schedule(distribution);
    }

    function test_TheOwnersHandOverAfterADelay() public {
        address heir = address(new Stubborn());
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.handOver(heir);
        vm.startPrank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Locks.NoCode.selector, PAYEE));
        distributor.handOver(PAYEE);
        uint256 from = block.timestamp + 2 days;
        vm.expectEmit(address(distributor));
        emit Locks.HandingOver(heir, uint64(from));
        distributor.handOver(heir);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(Locks.NotHeir.selector, address(this)));
        distributor.takeOver();
        vm.startPrank(heir);
        vm.expectRevert(abi.encodeWithSelector(Locks.TooEarly.selector, from));
        distributor.takeOver();
        vm.warp(from);
        vm.expectEmit(address(distributor));
        emit Locks.HandedOver(heir);
        distributor.takeOver();
        assertEq(distributor.multisig(), heir);
        distributor.setAllowance(PAYEE, 1);
        vm.expectRevert(abi.encodeWithSelector(Locks.NotHeir.selector, heir));
        distributor.takeOver();
        vm.stopPrank();
        vm.prank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(wallet)));
        distributor.setAllowance(PAYEE, 1);
    }

    /// @dev The keys of the owners are lost: the validators name another wallet, slowly, and the owners can object.
    function test_ValidatorsHandOverALostLock() public {
        address heir = address(new Stubborn());
        bytes32 action = keccak256(abi.encode("hand over", address(distributor), uint256(uint160(heir))));
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        distributor.handOverLost(heir);
        resolve(action);
        // The delay counts from the call that shows who it is, however long ago it was resolved.
        vm.warp(block.timestamp + 365 days);
        uint256 from = block.timestamp + 90 days;
        vm.expectEmit(address(distributor));
        emit Locks.HandingOver(heir, uint64(from));
        distributor.handOverLost(heir);
        assertEq(distributor.heir(), heir);
        assertEq(distributor.heirAt(), from);
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        distributor.handOverLost(heir);
        vm.warp(from - 1);
        vm.prank(heir);
        vm.expectRevert(abi.encodeWithSelector(Locks.TooEarly.selector, from));
        distributor.takeOver();
        vm.warp(from);
        uint256 state = vm.snapshotState();
        vm.prank(heir);
        distributor.takeOver();
        assertEq(distributor.multisig(), heir);
        vm.revertToState(state);
        vm.prank(address(wallet));
        vm.expectEmit(address(distributor));
        emit Locks.HandOverCancelled(heir);
        distributor.cancelHandOver();
        vm.prank(heir);
        vm.expectRevert(abi.encodeWithSelector(Locks.NotHeir.selector, heir));
        distributor.takeOver();
    }

    /// @dev Years later it may be somebody else's.
    function test_AnHeirThatDoesNotTakeOverIsNoneAnyMore() public {
        address heir = address(new Stubborn());
        vm.prank(address(wallet));
        distributor.handOver(heir);
        vm.warp(block.timestamp + 92 days);
        uint256 state = vm.snapshotState();
        vm.prank(heir);
        distributor.takeOver();
        vm.revertToState(state);
        vm.warp(block.timestamp + 1);
        vm.prank(heir);
        vm.expectRevert(abi.encodeWithSelector(Locks.NotHeir.selector, heir));
        distributor.takeOver();
    }

    /// @dev What thieves have resolved does not outlive them: not what nobody has seen, and not what all have.
    function test_ARecoveryVoidsWhatThievesHaveNamed() public {
        vm.warp(1_700_000_000);
        (address heir, address other) = (address(new Stubborn()), address(new Stubborn()));
        resolve(actionOf("hand over", address(distributor), asNumber(heir)));
        bytes32 action = actionOf("hand over", address(distributor), asNumber(other));
        resolve(action);
        distributor.handOverLost(heir);
        recover();
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        distributor.handOverLost(other);
        vm.warp(block.timestamp + 90 days);
        vm.startPrank(heir);
        vm.expectRevert(abi.encodeWithSelector(Locks.NotHeir.selector, heir));
        distributor.takeOver();
        vm.stopPrank();
        // Whom the owners name takes over all the same.
        vm.prank(address(wallet));
        distributor.handOver(heir);
        vm.warp(block.timestamp + 2 days);
        vm.prank(heir);
        distributor.takeOver();
        assertEq(distributor.multisig(), heir);
    }

    /// @dev Owners that are lost are not lost anew with each epoch, and a name that was cancelled can be given again in the next.
    function test_ARotationVoidsWhatIsResolvedAndNotWhatIsNamed() public {
        (address heir, address other) = (address(new Stubborn()), address(new Stubborn()));
        bytes32 action = actionOf("hand over", address(distributor), asNumber(other));
        resolve(action);
        resolve(actionOf("hand over", address(distributor), asNumber(heir)));
        distributor.handOverLost(heir);
        rotate(registry, validators, makeAddresses(4));
        validators = makeAddresses(4);
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        distributor.handOverLost(other);
        vm.prank(address(wallet));
        distributor.cancelHandOver();
        vm.warp(block.timestamp + 1);
        resolve(actionOf("hand over", address(distributor), asNumber(heir)));
        distributor.handOverLost(heir);
        vm.warp(block.timestamp + 90 days);
        vm.prank(heir);
        distributor.takeOver();
        assertEq(distributor.multisig(), heir);
    }

    /// @dev Whoever has the owners' keys must not keep them from being paused: not before it is resolved, nor after.
    function test_NobodyVetoesAPause() public {
        vm.warp(1_700_000_000);
        bytes32 action = actionOf("pause owners", address(distributor), 0);
        vm.prank(address(wallet));
        registry.veto(action);
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        distributor.pauseOwners();
        resolve(action);
        vm.prank(address(wallet));
        registry.veto(action);
        distributor.pauseOwners();
        assertEq(distributor.pausedUntil(), block.timestamp + 7 days);
        action = actionOf("pause owners", address(distributor), 1);
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        distributor.pauseOwners();
    }

    /// @dev Pauses that a stolen quorum has resolved in stock are void with its epoch.
    function test_APauseIsOfItsEpoch() public {
        vm.warp(1_700_000_000);
        bytes32 action = actionOf("pause owners", address(distributor), 0);
        resolve(action);
        rotate(registry, validators, makeAddresses(4));
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        distributor.pauseOwners();
    }

    /// @dev Thieves have made up blocks so high that nothing honest comes after them: both locks say where it ends.
    function test_BothLocksCloseBelowWhatWasMadeUp() public {
        Header memory header = makeHeader(1 << 63, 0);
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
        vm.startPrank(address(wallet));
        bytes memory low =
            abi.encodeWithSelector(Locks.InvalidLastHeight.selector, 1 << 63, type(uint64).max, uint64(100));
        vm.expectRevert(low);
        distributor.close(100);
        bytes32 action = actionOf("close", address(distributor), 100);
        registry.veto(action);
        resolve(action);
        vm.expectRevert(low);
        distributor.close(100);
        action = actionOf("close", address(distributor), 101);
        resolve(action);
        vm.expectEmit(address(distributor));
        emit Locks.Closed(101);
        distributor.close(101);
        vm.expectRevert(abi.encodeWithSelector(Locks.InvalidLastHeight.selector, uint64(101), uint64(101), uint64(101)));
        distributor.close(101);
        vm.stopPrank();
    }

    /// @dev What was retracted holds up no end of a distributor.
    function test_ARetractedHeightCanBeClosedBelow() public {
        Header memory header = makeHeader(1 << 63, 0);
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
        header = makeHeader(7, 0);
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
        resolve(actionOf("retract", address(registry), 1 << 63));
        vm.startPrank(address(wallet));
        registry.retract(1 << 63);
        vm.expectRevert(
            abi.encodeWithSelector(Locks.InvalidLastHeight.selector, uint64(7), type(uint64).max, uint64(6))
        );
        distributor.close(6);
        distributor.close(7);
        vm.stopPrank();
    }

    /// @dev The owners' keys are stolen: what they agree to is stopped for a while, and what only stops something is not.
    function test_ValidatorsPauseTheOwnersForAWhile() public {
        Distribution memory distribution = single(1, PAYEE, NATIVE, 1 ether, 1 ether);
        schedule(distribution);
        vm.warp(1_700_000_000);
        pauseOwners(0);
        uint256 until = block.timestamp + 7 days;
        assertEq(distributor.pausedUntil(), until);
        vm.startPrank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Locks.OwnersPaused.selector, until));
        distributor.setAllowance(PAYEE, 1);
        vm.expectRevert(abi.encodeWithSelector(Locks.OwnersPaused.selector, until));
        distributor.handOver(address(registry));
        distributor.cancel();
        vm.stopPrank();
        bytes32 again = keccak256(abi.encode("pause owners", address(distributor), 1));
        resolve(again);
        vm.warp(until + 21 days - 1);
        vm.expectRevert(abi.encodeWithSelector(Locks.TooEarly.selector, until + 21 days));
        distributor.pauseOwners();
        vm.prank(address(wallet));
        distributor.setAllowance(PAYEE, 1);
        vm.warp(until + 21 days);
        distributor.pauseOwners();
        assertEq(distributor.pauses(), 2);
    }

    /// @dev What a closed distributor has left goes on to the next one, by both locks.
    function test_WhatIsLeftMovesOnToTheNextDistributor() public {
        address next = address(new Stubborn());
        bytes32 action = keccak256(abi.encode("move on", address(distributor), uint256(uint160(next))));
        vm.startPrank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Locks.NotClosed.selector));
        distributor.moveOn(NATIVE, next);
        distributor.close(7);
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        distributor.moveOn(NATIVE, next);
        vm.stopPrank();
        resolve(action);
        // The delay counts from when all can read where it goes.
        vm.warp(block.timestamp + 365 days);
        vm.prank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        distributor.moveOn(NATIVE, next);
        registry.announce("move on", address(distributor), asNumber(next));
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.moveOn(NATIVE, next);
        vm.startPrank(address(wallet));
        vm.expectRevert(abi.encodeWithSelector(Locks.TooEarly.selector, block.timestamp + 2 days));
        distributor.moveOn(NATIVE, next);
        vm.warp(block.timestamp + 2 days);
        vm.expectEmit(address(distributor));
        emit Locks.MovedOn(NATIVE, next, 100 ether);
        distributor.moveOn(NATIVE, next);
        vm.stopPrank();
        assertEq(next.balance, 100 ether);
    }

    function pauseOwners(uint256 number) private {
        resolve(keccak256(abi.encode("pause owners", address(distributor), number)));
        distributor.pauseOwners();
    }

    function resolve(bytes32 action) private {
        resolve(registry, action, validators);
    }

    /// @dev Owners and two of the four put others in the place of thieves.
    function recover() private {
        address[] memory next = makeAddresses(4);
        bytes memory votes = signatures(recoveryDigestOf(EPOCH, next), validators, 2, 2);
        vm.prank(address(wallet));
        registry.proposeRecovery(EPOCH, next, votes);
        vm.warp(block.timestamp + 14 days);
        registry.recover(next);
    }
}
