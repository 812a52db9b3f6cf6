// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Calls} from "../../src/wallet/Calls.sol";
import {Owners} from "../../src/wallet/Owners.sol";
import {Wallet} from "../../src/wallet/Wallet.sol";
import {WalletFixture} from "../helpers/WalletFixture.sol";

contract OwnersTest is WalletFixture {
    address private constant NEWCOMER = address(0xF00D);
    uint256 private passed;

    /// @dev Behind the founders is zero, and the index there is that of the first owner who joins.
    function test_NobodyIsNoOwnerWhoeverJoins() public {
        pass(abi.encodeCall(wallet.addOwner, (NEWCOMER, 3)));
        assertTrue(wallet.isOwner(NEWCOMER));
        assertFalse(wallet.isOwner(address(0)));
        bytes memory reason = abi.encodeWithSelector(Owners.NotOwner.selector, address(0));
        expectRefusal(abi.encodeCall(wallet.removeOwner, (address(0), 3)), reason);
        expectRefusal(abi.encodeCall(wallet.replaceOwner, (address(0), PAYEE)), reason);
    }

    function test_KnowsItsOwners() public view {
        assertEq(wallet.owners(), owners);
        assertEq(wallet.threshold(), 3);
        for (uint256 i; i < 5; ++i) {
            assertTrue(wallet.isOwner(owners[i]));
        }
        assertFalse(wallet.isOwner(NEWCOMER));
        assertFalse(wallet.isOwner(address(0)));
    }

    function test_TwoHundredOwnersAndNoMore() public {
        set200();
        assertEq(wallet.owners(), owners);
        address[] memory many = makeOwners(201);
        vm.expectRevert(abi.encodeWithSelector(Owners.OwnerLimitReached.selector, 200));
        makeWallet(many, 1);

        expectRefusal(
            abi.encodeCall(wallet.addOwner, (NEWCOMER, 1)),
            abi.encodeWithSelector(Owners.OwnerLimitReached.selector, 200)
        );
        expectRefusal(
            abi.encodeCall(wallet.replaceOwner, (owners[7], NEWCOMER)),
            abi.encodeWithSelector(Owners.OwnerLimitReached.selector, 200)
        );
        // The last index works like the first, and owners can still leave.
        vm.startPrank(owners[199]);
        wallet.proposeTransaction(PAYEE, 1 ether, "", 0, SALT);
        wallet.executeTransaction(PAYEE, 1 ether, "", 0, SALT);
        vm.stopPrank();
        assertEq(PAYEE.balance, 1 ether);
        pass(abi.encodeCall(wallet.removeOwner, (owners[199], 1)));
        assertEq(wallet.owners().length, 199);
    }

    function test_RevertWhen_CalledByAnybodyButTheWallet() public {
        address[2] memory callers = [owners[0], address(0xBAD)];
        for (uint256 i; i < 2; ++i) {
            bytes memory reason = abi.encodeWithSelector(Owners.OnlyWallet.selector, callers[i]);
            vm.startPrank(callers[i]);
            vm.expectRevert(reason);
            wallet.addOwner(NEWCOMER, 1);
            vm.expectRevert(reason);
            wallet.removeOwner(owners[1], 1);
            vm.expectRevert(reason);
            wallet.replaceOwner(owners[1], NEWCOMER);
            vm.expectRevert(reason);
            wallet.changeThreshold(1);
            vm.stopPrank();
        }
    }

    function test_AddsAnOwner() public {
        bytes memory data = abi.encodeCall(wallet.addOwner, (NEWCOMER, 4));
        (, bytes32 salt) = prepare(data);
        vm.expectEmit(address(wallet));
        emit Owners.OwnerAdded(NEWCOMER, 5);
        vm.expectEmit(address(wallet));
        emit Owners.ThresholdChanged(4);
        vm.prank(owners[0]);
        wallet.executeTransaction(address(wallet), 0, data, 0, salt);
        assertEq(wallet.owners().length, 6);
        assertEq(wallet.owners()[5], NEWCOMER);
        assertTrue(wallet.isOwner(NEWCOMER));
        assertEq(wallet.threshold(), 4);
    }

    function test_RemovesAnOwner() public {
        bytes memory data = abi.encodeCall(wallet.removeOwner, (owners[2], 2));
        (, bytes32 salt) = prepare(data);
        vm.expectEmit(address(wallet));
        emit Owners.OwnerRemoved(owners[2], 2);
        vm.prank(owners[0]);
        wallet.executeTransaction(address(wallet), 0, data, 0, salt);
        assertEq(wallet.owners().length, 4);
        assertFalse(wallet.isOwner(owners[2]));
        assertEq(wallet.threshold(), 2);
    }

    function test_ReplacesAnOwner() public {
        pass(abi.encodeCall(wallet.replaceOwner, (owners[2], NEWCOMER)));
        assertFalse(wallet.isOwner(owners[2]));
        assertTrue(wallet.isOwner(NEWCOMER));
        assertEq(wallet.owners().length, 5);
        assertEq(wallet.threshold(), 3);
    }

    function test_RevertWhen_ChangeIsInvalid() public {
        expectRefusal(
            abi.encodeCall(wallet.addOwner, (owners[1], 3)),
            abi.encodeWithSelector(Owners.DuplicateOwner.selector, owners[1])
        );
        expectRefusal(
            abi.encodeCall(wallet.addOwner, (address(0), 3)),
            abi.encodeWithSelector(Owners.InvalidOwner.selector, address(0))
        );
        expectRefusal(
            abi.encodeCall(wallet.addOwner, (address(wallet), 3)),
            abi.encodeWithSelector(Owners.InvalidOwner.selector, address(wallet))
        );
        expectRefusal(
            abi.encodeCall(wallet.addOwner, (NEWCOMER, 7)),
            abi.encodeWithSelector(Owners.InvalidThreshold.selector, 7, 6)
        );
        expectRefusal(
            abi.encodeCall(wallet.removeOwner, (NEWCOMER, 3)),
            abi.encodeWithSelector(Owners.NotOwner.selector, NEWCOMER)
        );
        expectRefusal(
            abi.encodeCall(wallet.removeOwner, (owners[1], 5)),
            abi.encodeWithSelector(Owners.InvalidThreshold.selector, 5, 4)
        );
        expectRefusal(
            abi.encodeCall(wallet.replaceOwner, (NEWCOMER, owners[1])),
            abi.encodeWithSelector(Owners.NotOwner.selector, NEWCOMER)
        );
        expectRefusal(
            abi.encodeCall(wallet.replaceOwner, (owners[1], owners[2])),
            abi.encodeWithSelector(Owners.DuplicateOwner.selector, owners[2])
        );
        expectRefusal(
            abi.encodeCall(wallet.changeThreshold, (0)), abi.encodeWithSelector(Owners.InvalidThreshold.selector, 0, 5)
        );
        expectRefusal(
            abi.encodeCall(wallet.changeThreshold, (6)), abi.encodeWithSelector(Owners.InvalidThreshold.selector, 6, 5)
        );
        assertEq(wallet.owners(), owners);
    }

    function test_LastOwnerCannotLeave() public {
        owners = makeOwners(1);
        wallet = makeWallet(owners, 1);
        expectRefusal(
            abi.encodeCall(wallet.removeOwner, (owners[0], 1)),
            abi.encodeWithSelector(Owners.InvalidThreshold.selector, 1, 0)
        );
    }

    function test_RemovedOwnersConfirmationStopsCounting() public {
        bytes32 id = approved();
        pass(abi.encodeCall(wallet.removeOwner, (owners[2], 3)));
        assertEq(count(id), 2);
        expectBelow(2, 3);
        confirm(id, owners[3]);
        execute(owners[0]);
        assertEq(PAYEE.balance, 1 ether);
    }

    function test_RemovedOwnerCannotAct() public {
        bytes32 id = approved();
        pass(abi.encodeCall(wallet.removeOwner, (owners[2], 2)));
        bytes memory reason = abi.encodeWithSelector(Owners.NotOwner.selector, owners[2]);
        vm.startPrank(owners[2]);
        vm.expectRevert(reason);
        wallet.revokeConfirmation(id);
        vm.expectRevert(reason);
        wallet.executeTransaction(PAYEE, 1 ether, "", 0, SALT);
    }

    function test_ReturningOwnerStartsWithNoConfirmations() public {
        bytes32 id = approved();
        pass(abi.encodeCall(wallet.removeOwner, (owners[2], 3)));
        pass(abi.encodeCall(wallet.addOwner, (owners[2], 3)));
        expectBelow(2, 3);
        confirm(id, owners[2]);
        assertEq(count(id), 3);
        execute(owners[0]);
        assertEq(PAYEE.balance, 1 ether);
    }

    /// @dev Who is no founder has a seat of its own, which is another one each time.
    function test_ReturningNewcomerStartsWithNoConfirmations() public {
        pass(abi.encodeCall(wallet.addOwner, (NEWCOMER, 3)));
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(PAYEE, 1 ether, "", 0, SALT);
        confirm(id, owners[1]);
        confirm(id, NEWCOMER);
        pass(abi.encodeCall(wallet.removeOwner, (NEWCOMER, 3)));
        pass(abi.encodeCall(wallet.addOwner, (NEWCOMER, 3)));
        expectBelow(2, 3);
        confirm(id, NEWCOMER);
        execute(NEWCOMER);
        assertEq(PAYEE.balance, 1 ether);
    }

    function test_ReplacementInheritsNoConfirmation() public {
        bytes32 id = approved();
        pass(abi.encodeCall(wallet.replaceOwner, (owners[2], NEWCOMER)));
        expectBelow(2, 3);
        confirm(id, NEWCOMER);
        execute(NEWCOMER);
        assertEq(PAYEE.balance, 1 ether);
    }

    /// @dev The index that came free last is the one that would be given out again first.
    function test_NewOwnerInheritsNothingFromTheLastOneToLeave() public {
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(PAYEE, 1 ether, "", 0, SALT);
        confirm(id, owners[1]);
        confirm(id, owners[4]);
        pass(abi.encodeCall(wallet.removeOwner, (owners[4], 3)));
        pass(abi.encodeCall(wallet.addOwner, (NEWCOMER, 3)));
        expectBelow(2, 3);
    }

    function test_PendingProposalsFollowTheThreshold() public {
        bytes32 id = approved();
        pass(abi.encodeCall(wallet.changeThreshold, (4)));
        expectBelow(3, 4);
        confirm(id, owners[3]);
        execute(owners[0]);
        assertEq(PAYEE.balance, 1 ether);
    }

    /// @dev The proposer keeps the right to cancel only as the same owner, not as the same account.
    function test_ReturningProposerIsNotTheProposer() public {
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(PAYEE, 1 ether, "", 0, SALT);
        owners = [owners[1], owners[2], owners[3], owners[0]];
        pass(abi.encodeCall(wallet.removeOwner, (owners[3], 3)));
        pass(abi.encodeCall(wallet.addOwner, (owners[3], 3)));
        vm.prank(owners[3]);
        vm.expectRevert(abi.encodeWithSelector(Wallet.NotProposer.selector, id, owners[3]));
        wallet.cancelTransaction(id);
        (,, address proposer, address[] memory confirmations) = wallet.getTransaction(id);
        assertEq(proposer, owners[3]);
        assertEq(confirmations.length, 0);
    }

    function test_RemovedOwnersConfirmationDoesNotStopACancel() public {
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(PAYEE, 1 ether, "", 0, SALT);
        confirm(id, owners[4]);
        pass(abi.encodeCall(wallet.removeOwner, (owners[4], 3)));
        vm.prank(owners[0]);
        wallet.cancelTransaction(id);
    }

    function set200() private {
        owners = makeOwners(200);
        wallet = makeWallet(owners, 1);
        vm.deal(address(wallet), 1 ether);
    }

    function confirm(bytes32 id, address owner) private {
        vm.prank(owner);
        wallet.confirmTransaction(id);
    }

    function execute(address owner) private {
        vm.prank(owner);
        wallet.executeTransaction(PAYEE, 1 ether, "", 0, SALT);
    }

    function approved() private returns (bytes32 id) {
        vm.prank(owners[0]);
        id = wallet.proposeTransaction(PAYEE, 1 ether, "", 0, SALT);
        confirm(id, owners[1]);
        confirm(id, owners[2]);
    }

    /// @dev Proposes a call of the wallet to itself and confirms it as often as needed.
    function prepare(bytes memory data) private returns (bytes32 id, bytes32 salt) {
        salt = bytes32(++passed);
        vm.prank(owners[0]);
        id = wallet.proposeTransaction(address(wallet), 0, data, 0, salt);
        uint256 threshold = wallet.threshold();
        for (uint256 i = 1; count(id) < threshold; ++i) {
            if (wallet.isOwner(owners[i])) confirm(id, owners[i]);
        }
    }

    function pass(bytes memory data) private {
        (, bytes32 salt) = prepare(data);
        vm.prank(owners[0]);
        wallet.executeTransaction(address(wallet), 0, data, 0, salt);
    }

    function expectRefusal(bytes memory data, bytes memory reason) private {
        (bytes32 id, bytes32 salt) = prepare(data);
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Calls.ExecutionFailed.selector, id, reason));
        wallet.executeTransaction(address(wallet), 0, data, 0, salt);
    }

    function expectBelow(uint256 have, uint256 need) private {
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Owners.BelowThreshold.selector, have, need));
        wallet.executeTransaction(PAYEE, 1 ether, "", 0, SALT);
    }

    function count(bytes32 id) private view returns (uint256) {
        (,,, address[] memory confirmations) = wallet.getTransaction(id);
        return confirmations.length;
    }
}
