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
        uint256 from = block.timestamp + 90 days;
        distributor.handOverLost(heir);
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
        bytes32 message = keccak256(abi.encode(keccak256("Resolution(uint64 epoch,bytes32 action)"), EPOCH, action));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domainOf(NETWORK, block.chainid), message));
        registry.resolve(action, signatures(digest, validators, 0, 3));
    }
}
