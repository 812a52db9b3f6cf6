// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Status} from "../../src/interfaces/IMultiSigWallet.sol";
import {Calls} from "../../src/wallet/Calls.sol";
import {Owners} from "../../src/wallet/Owners.sol";
import {Wallet} from "../../src/wallet/Wallet.sol";
import {Signed, proposalDigest} from "../helpers/Digests.sol";
import {Reentrant} from "../helpers/Mocks.sol";
import {WalletFixture} from "../helpers/WalletFixture.sol";

contract WalletTest is WalletFixture {
    address private constant STRANGER = address(0xBAD);

    // Ids

    function test_IdIsTheEip712Hash() public view {
        assertEq(wallet.hashTransaction(PAYEE, 1, hex"1234", 5, SALT), idOf(PAYEE, 1, hex"1234", 5, SALT));
    }

    function testFuzz_IdIsTheEip712Hash(address to, uint256 value, bytes memory data, uint64 expiry, bytes32 salt)
        public
        view
    {
        assertEq(wallet.hashTransaction(to, value, data, expiry, salt), idOf(to, value, data, expiry, salt));
    }

    function test_IdFollowsTheChainId() public {
        bytes32 before = wallet.hashTransaction(PAYEE, 1, "", 0, SALT);
        vm.chainId(4242);
        assertNotEq(wallet.hashTransaction(PAYEE, 1, "", 0, SALT), before);
        assertEq(wallet.hashTransaction(PAYEE, 1, "", 0, SALT), idOf(PAYEE, 1, "", 0, SALT));
    }

    // Propose

    function test_ProposingConfirms() public {
        bytes32 expected = idOf(PAYEE, 1 ether, "", 0, SALT);
        vm.expectEmit(address(wallet));
        emit Wallet.Proposed(expected, owners[1]);
        bytes32 id = proposeBy(1);
        assertEq(id, expected);
        expectState(id, Status.Pending, 1);
        (, uint64 expiry, address proposer,) = wallet.getTransaction(id);
        assertEq(expiry, 0);
        assertEq(proposer, owners[1]);
        assertEq(confirmationsOf(id)[0], owners[1]);
    }

    function test_UnknownIdHasNoState() public view {
        (Status status, uint64 expiry, address proposer, address[] memory confirmations) = wallet.getTransaction(SALT);
        assertEq(uint8(status), uint8(Status.None));
        assertEq(expiry, 0);
        assertEq(proposer, address(0));
        assertEq(confirmations.length, 0);
    }

    function test_RevertWhen_ProposedTwice() public {
        bytes32 id = proposeBy(0);
        for (uint256 i; i < 2; ++i) {
            vm.prank(owners[i]);
            vm.expectRevert(abi.encodeWithSelector(Wallet.AlreadyProposed.selector, id));
            wallet.proposeTransaction(PAYEE, 1 ether, "", 0, SALT);
        }
    }

    function test_RevertWhen_StrangerActs() public {
        bytes32 id = approved();
        bytes memory notOwner = abi.encodeWithSelector(Owners.NotOwner.selector, STRANGER);
        vm.startPrank(STRANGER);
        vm.expectRevert(notOwner);
        wallet.proposeTransaction(PAYEE, 1 ether, "", 0, SALT);
        vm.expectRevert(notOwner);
        wallet.confirmTransaction(id);
        vm.expectRevert(notOwner);
        wallet.revokeConfirmation(id);
        vm.expectRevert(notOwner);
        wallet.cancelTransaction(id);
        vm.expectRevert(notOwner);
        wallet.executeTransaction(PAYEE, 1 ether, "", 0, SALT);
    }

    function test_RevertWhen_ExpiryIsPastOrTooFar() public {
        vm.startPrank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Wallet.Expired.selector, block.timestamp - 1));
        wallet.proposeTransaction(PAYEE, 1, "", uint64(block.timestamp - 1), SALT);
        uint64 far = uint64(type(uint40).max) + 1;
        vm.expectRevert(abi.encodeWithSelector(Wallet.ExpiryTooFar.selector, far));
        wallet.proposeTransaction(PAYEE, 1, "", far, SALT);
        bytes32 id = wallet.proposeTransaction(PAYEE, 1, "", far - 1, SALT);
        (, uint64 expiry,,) = wallet.getTransaction(id);
        assertEq(expiry, far - 1);
    }

    // Confirm and revoke

    function test_Confirms() public {
        bytes32 id = proposeBy(0);
        vm.expectEmit(address(wallet));
        emit Wallet.Confirmed(id, owners[3]);
        confirmBy(id, 3);
        expectState(id, Status.Pending, 2);
        address[] memory who = confirmationsOf(id);
        assertEq(who.length, 2);
        assertEq(who[0], owners[0]);
        assertEq(who[1], owners[3]);
    }

    function test_RevertWhen_ConfirmedTwice() public {
        bytes32 id = proposeBy(0);
        confirmBy(id, 1);
        for (uint256 i; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Wallet.AlreadyConfirmed.selector, id, owners[i]));
            confirmBy(id, i);
        }
        expectState(id, Status.Pending, 2);
    }

    function test_RevertWhen_ConfirmingOrRevokingTheUnknown() public {
        bytes memory reason = abi.encodeWithSelector(Wallet.NotProposed.selector, SALT);
        vm.startPrank(owners[0]);
        vm.expectRevert(reason);
        wallet.confirmTransaction(SALT);
        vm.expectRevert(reason);
        wallet.revokeConfirmation(SALT);
        vm.expectRevert(reason);
        wallet.cancelTransaction(SALT);
    }

    function test_Revokes() public {
        bytes32 id = approved();
        vm.expectEmit(address(wallet));
        emit Wallet.Revoked(id, owners[1]);
        vm.prank(owners[1]);
        wallet.revokeConfirmation(id);
        assertEq(confirmationsOf(id).length, 2);

        expectBelow(2, 3);
        confirmBy(id, 1);
        executeBy(4);
        expectState(id, Status.Executed, 4);
    }

    function test_RevertWhen_RevokingWhatWasNotConfirmed() public {
        bytes32 id = proposeBy(0);
        vm.prank(owners[1]);
        vm.expectRevert(abi.encodeWithSelector(Wallet.NotConfirmed.selector, id, owners[1]));
        wallet.revokeConfirmation(id);
    }

    // Cancel

    function test_ProposerCancelsAlone() public {
        bytes32 id = proposeBy(0);
        vm.expectEmit(address(wallet));
        emit Wallet.Cancelled(id, owners[0]);
        vm.prank(owners[0]);
        wallet.cancelTransaction(id);
        (Status status,,,) = wallet.getTransaction(id);
        assertEq(uint8(status), uint8(Status.Cancelled));

        bytes memory gone = abi.encodeWithSelector(Wallet.NotProposed.selector, id);
        vm.expectRevert(gone);
        confirmBy(id, 1);
        vm.prank(owners[0]);
        vm.expectRevert(gone);
        wallet.cancelTransaction(id);
        vm.prank(owners[0]);
        vm.expectRevert(gone);
        wallet.executeTransaction(PAYEE, 1 ether, "", 0, SALT);
    }

    /// @dev Otherwise one owner could stop a payout, whose id everybody knows, by proposing and cancelling it.
    function test_CancelledIdStartsOver() public {
        bytes32 id = proposeBy(0);
        vm.prank(owners[0]);
        wallet.cancelTransaction(id);
        assertEq(proposeBy(2), id);
        expectState(id, Status.Pending, 1);
        assertEq(confirmationsOf(id)[0], owners[2]);
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Wallet.NotProposer.selector, id, owners[0]));
        wallet.cancelTransaction(id);
        confirmBy(id, 3);
        confirmBy(id, 4);
        executeBy(2);
        assertEq(PAYEE.balance, 1 ether);
    }

    function test_RevertWhen_CancellingWhatOthersConfirm() public {
        bytes32 id = approved();
        vm.startPrank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Wallet.ConfirmedByOthers.selector, id, 2));
        wallet.cancelTransaction(id);
        vm.startPrank(owners[1]);
        vm.expectRevert(abi.encodeWithSelector(Wallet.NotProposer.selector, id, owners[1]));
        wallet.cancelTransaction(id);
        wallet.revokeConfirmation(id);
        vm.startPrank(owners[2]);
        wallet.revokeConfirmation(id);
        vm.startPrank(owners[0]);
        wallet.cancelTransaction(id);
    }

    function test_WalletCancelsAnything() public {
        bytes32 id = approved();
        bytes memory cancel = abi.encodeCall(wallet.cancelTransaction, (id));
        pass(address(wallet), 0, cancel, "cancel");
        (Status status,,,) = wallet.getTransaction(id);
        assertEq(uint8(status), uint8(Status.Cancelled));
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Wallet.NotProposed.selector, id));
        wallet.executeTransaction(PAYEE, 1 ether, "", 0, SALT);
    }

    function test_RevertWhen_CancellingTheExecuted() public {
        bytes32 id = approved();
        executeBy(0);
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Wallet.AlreadyExecuted.selector, id));
        wallet.cancelTransaction(id);
    }

    // Execute

    function test_Executes() public {
        bytes32 id = approved();
        vm.expectEmit(address(wallet));
        emit Calls.Executed(id, owners[4]);
        executeBy(4);
        assertEq(PAYEE.balance, 1 ether);
        assertEq(address(wallet).balance, 99 ether);
        expectState(id, Status.Executed, 4);
    }

    /// @dev The last owner who is needed confirms and executes by one call; the others by two.
    function test_ExecutingConfirms() public {
        bytes32 id = proposeBy(0);
        vm.prank(owners[2]);
        vm.expectRevert(abi.encodeWithSelector(Owners.BelowThreshold.selector, 2, 3));
        wallet.executeTransaction(PAYEE, 1 ether, "", 0, SALT);
        confirmBy(id, 1);
        expectBelow(2, 3);
        executeBy(2);
        assertEq(PAYEE.balance, 1 ether);
        expectState(id, Status.Executed, 3);
        assertEq(confirmationsOf(id)[2], owners[2]);
    }

    function test_ExecutesAboveTheThreshold() public {
        bytes32 id = approved();
        confirmBy(id, 3);
        confirmBy(id, 4);
        executeBy(0);
        assertEq(PAYEE.balance, 1 ether);
    }

    function test_RevertWhen_BelowThreshold() public {
        bytes32 id = proposeBy(0);
        expectBelow(1, 3);
        confirmBy(id, 4);
        expectBelow(2, 3);
        assertEq(PAYEE.balance, 0);
    }

    function test_RevertWhen_ExecutedTwice() public {
        bytes32 id = approved();
        executeBy(0);
        bytes memory done = abi.encodeWithSelector(Wallet.AlreadyExecuted.selector, id);
        vm.expectRevert(done);
        executeBy(0);
        vm.expectRevert(done);
        confirmBy(id, 3);
        vm.expectRevert(done);
        proposeBy(0);
        vm.prank(owners[0]);
        vm.expectRevert(done);
        wallet.revokeConfirmation(id);
        assertEq(PAYEE.balance, 1 ether);
    }

    function test_RevertWhen_CallDiffersFromTheProposal() public {
        approved();
        bytes32 other = idOf(PAYEE, 2 ether, "", 0, SALT);
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Wallet.NotProposed.selector, other));
        wallet.executeTransaction(PAYEE, 2 ether, "", 0, SALT);
    }

    function test_ExpiryEndsEverything() public {
        uint64 expiry = uint64(block.timestamp + 100);
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(PAYEE, 1 ether, "", expiry, SALT);
        confirmBy(id, 1);
        vm.warp(expiry);
        confirmBy(id, 2);
        vm.warp(expiry + 1);
        bytes memory expired = abi.encodeWithSelector(Wallet.Expired.selector, expiry);
        vm.expectRevert(expired);
        confirmBy(id, 3);
        vm.startPrank(owners[0]);
        vm.expectRevert(expired);
        wallet.executeTransaction(PAYEE, 1 ether, "", expiry, SALT);
        vm.expectRevert(expired);
        wallet.proposeTransaction(PAYEE, 1 ether, "", expiry, SALT);
        vm.warp(expiry);
        wallet.executeTransaction(PAYEE, 1 ether, "", expiry, SALT);
        assertEq(PAYEE.balance, 1 ether);
    }

    function test_ReentrantPayeeIsPaidOnce() public {
        Reentrant payee = new Reentrant();
        pass(address(wallet), 0, abi.encodeCall(wallet.addOwner, (address(payee), 3)), "add");
        approve(address(payee), 1 ether, "", SALT);
        payee.prepare(
            address(wallet), abi.encodeCall(wallet.executeTransaction, (address(payee), 1 ether, "", 0, SALT))
        );
        vm.prank(owners[0]);
        wallet.executeTransaction(address(payee), 1 ether, "", 0, SALT);
        assertTrue(payee.attempted());
        assertFalse(payee.succeeded());
        assertEq(payee.answer(), Wallet.AlreadyExecuted.selector);
        assertEq(address(payee).balance, 1 ether);
    }

    /// @dev Proposals are stored at their ids, so that an id may be the place of something else.
    function test_OtherPlacesOfTheStorageAreNoProposals() public {
        address newcomer = address(0xF00D);
        vm.prank(address(wallet));
        wallet.addOwner(newcomer, 3);
        bytes32[3] memory places =
            [bytes32(0), keccak256(abi.encode(newcomer, uint256(1))), keccak256(abi.encode(uint256(5), uint256(2)))];
        for (uint256 i; i < 3; ++i) {
            assertNotEq(vm.load(address(wallet), places[i]), 0);
            (Status status, uint64 expiry, address proposer, address[] memory by) = wallet.getTransaction(places[i]);
            assertEq(uint8(status), uint8(Status.None));
            assertEq(expiry + by.length, 0);
            assertEq(proposer, address(0));
            vm.startPrank(owners[0]);
            bytes memory reason = abi.encodeWithSelector(Wallet.NotProposed.selector, places[i]);
            vm.expectRevert(reason);
            wallet.confirmTransaction(places[i]);
            vm.expectRevert(reason);
            wallet.revokeConfirmation(places[i]);
            vm.expectRevert(reason);
            wallet.cancelTransaction(places[i]);
            vm.stopPrank();
        }
    }

    function test_Receives() public {
        vm.deal(address(this), 2 ether);
        vm.expectEmit(address(wallet));
        emit Wallet.Deposit(address(this), 2 ether);
        // A clone needs more than the 2,300 gas that come with the value.
        (bool ok,) = address(wallet).call{value: 2 ether, gas: cloned ? 5_000 : 0}("");
        assertTrue(ok);
        assertEq(address(wallet).balance, 102 ether);
    }

    // Properties

    /// @dev Whoever confirms: the call goes through exactly when at least the threshold of distinct owners do.
    function testFuzz_ThresholdIsExact(uint8 n, uint8 k, uint256 who) public {
        n = uint8(bound(n, 1, 20));
        k = uint8(bound(k, 1, n));
        owners = makeOwners(n);
        wallet = makeWallet(owners, k);
        vm.deal(address(wallet), 1 ether);
        bytes32 id = proposeBy(0);
        uint256 have = 1;
        for (uint256 i = 1; i < n; ++i) {
            if ((who >> i) & 1 == 0) continue;
            confirmBy(id, i);
            ++have;
        }
        expectState(id, Status.Pending, have);
        if (have < k) {
            expectBelow(have, k);
        } else {
            executeBy(0);
            assertEq(PAYEE.balance, 1 ether);
        }
    }

    // Helpers

    function proposeBy(uint256 owner) private returns (bytes32) {
        vm.prank(owners[owner]);
        return wallet.proposeTransaction(PAYEE, 1 ether, "", 0, SALT);
    }

    function executeBy(uint256 owner) private {
        vm.prank(owners[owner]);
        wallet.executeTransaction(PAYEE, 1 ether, "", 0, SALT);
    }

    /// @dev One ether for the payee, confirmed by owners 0, 1 and 2.
    function approved() private returns (bytes32) {
        return approve(PAYEE, 1 ether, "", SALT);
    }

    function expectBelow(uint256 have, uint256 need) private {
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Owners.BelowThreshold.selector, have, need));
        wallet.executeTransaction(PAYEE, 1 ether, "", 0, SALT);
    }

    function confirmationsOf(bytes32 id) private view returns (address[] memory confirmations) {
        (,,, confirmations) = wallet.getTransaction(id);
    }

    function idOf(address to, uint256 value, bytes memory data, uint64 expiry, bytes32 salt)
        private
        view
        returns (bytes32)
    {
        return proposalDigest(Signed(to, value, data, expiry), salt, address(wallet), block.chainid);
    }
}
