// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IMultiSigWallet, Status} from "../../src/interfaces/IMultiSigWallet.sol";
import {Calls} from "../../src/wallet/Calls.sol";
import {Owners} from "../../src/wallet/Owners.sol";
import {newToken} from "../helpers/Deployed.sol";
import {Signed} from "../helpers/Digests.sol";
import {AnsweringToken, Choosy, Stubborn} from "../helpers/Mocks.sol";
import {WalletFixture} from "../helpers/WalletFixture.sol";
import {Shouter} from "../helpers/WalletMocks.sol";

contract CallsTest is WalletFixture {
    address private constant STRANGER = address(0xBAD);
    IMultiSigWallet.Call[] private calls;

    function test_RevertWhen_FundsAreShort() public {
        bytes32 id = approve(PAYEE, 101 ether, "", SALT);
        bytes memory reason = abi.encodeWithSelector(Calls.InsufficientFunds.selector, 100 ether, 101 ether);
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Calls.ExecutionFailed.selector, id, reason));
        wallet.executeTransaction(PAYEE, 101 ether, "", 0, SALT);
        expectState(id, Status.Pending, 3);
    }

    function test_RevertWhen_DataGoesToAnAccountWithoutCode() public {
        bytes32 id = approve(PAYEE, 0, hex"12345678", SALT);
        bytes memory reason = abi.encodeWithSelector(Calls.NoCode.selector, PAYEE);
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Calls.ExecutionFailed.selector, id, reason));
        wallet.executeTransaction(PAYEE, 0, hex"12345678", 0, SALT);
    }

    function test_FailedCallCarriesItsReasonAndCanBeTriedAgain() public {
        Stubborn payee = new Stubborn();
        payee.setMood(Stubborn.Mood.Reverting);
        bytes32 id = approve(address(payee), 1 ether, "", SALT);
        bytes memory reason = abi.encodeWithSelector(Stubborn.NotToday.selector, 1 ether);
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Calls.ExecutionFailed.selector, id, reason));
        wallet.executeTransaction(address(payee), 1 ether, "", 0, SALT);
        expectState(id, Status.Pending, 3);

        payee.setMood(Stubborn.Mood.Willing);
        vm.prank(owners[0]);
        wallet.executeTransaction(address(payee), 1 ether, "", 0, SALT);
        assertEq(address(payee).balance, 1 ether);
    }

    function test_MovesTokens() public {
        IERC20 token = newToken(address(wallet), 1000);
        pass(address(token), 0, abi.encodeCall(IERC20.transfer, (PAYEE, 400)), "transfer");
        assertEq(token.balanceOf(PAYEE), 400);
        assertEq(token.balanceOf(address(wallet)), 600);
        pass(address(token), 0, abi.encodeCall(IERC20.approve, (STRANGER, 50)), "approve");
        vm.prank(STRANGER);
        assertTrue(token.transferFrom(address(wallet), STRANGER, 50));
        assertEq(token.balanceOf(STRANGER), 50);
    }

    function test_RevertWhen_TokenReverts() public {
        IERC20 token = newToken(address(wallet), 1000);
        bytes memory data = abi.encodeCall(IERC20.transfer, (PAYEE, 1001));
        bytes32 id = approve(address(token), 0, data, SALT);
        bytes memory reason =
            abi.encodeWithSignature("ERC20InsufficientBalance(address,uint256,uint256)", address(wallet), 1000, 1001);
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Calls.ExecutionFailed.selector, id, reason));
        wallet.executeTransaction(address(token), 0, data, 0, SALT);
    }

    function test_RevertWhen_TokenAnswersAnythingButTrue() public {
        bytes[3] memory asked = [
            abi.encodeCall(IERC20.transfer, (PAYEE, 1)),
            abi.encodeCall(IERC20.transferFrom, (PAYEE, PAYEE, 1)),
            abi.encodeCall(IERC20.approve, (PAYEE, 1))
        ];
        bytes[3] memory answers = [abi.encode(false), abi.encode(uint256(2)), bytes(hex"01")];
        for (uint256 i; i < 3; ++i) {
            AnsweringToken token = new AnsweringToken(answers[i]);
            for (uint256 j; j < 3; ++j) {
                bytes32 id = approve(address(token), 0, asked[j], SALT);
                vm.prank(owners[0]);
                vm.expectRevert(abi.encodeWithSelector(Calls.ExecutionFailed.selector, id, answers[i]));
                wallet.executeTransaction(address(token), 0, asked[j], 0, SALT);
            }
        }
    }

    function test_TokensWithoutAnswerWork() public {
        pass(address(new AnsweringToken("")), 0, abi.encodeCall(IERC20.transfer, (PAYEE, 1)), "quiet");
        // False is a fine answer to any other question.
        pass(address(new AnsweringToken(abi.encode(false))), 0, abi.encodeCall(IERC20.balanceOf, (PAYEE)), "other");
    }

    function test_MakesAllCallsInOrder() public {
        IERC20 token = newToken(address(wallet), 100);
        add(PAYEE, 1 ether, "", false);
        add(address(token), 0, abi.encodeCall(IERC20.transfer, (PAYEE, 40)), false);
        add(address(wallet), 0, abi.encodeCall(wallet.addOwner, (PAYEE, 4)), false);
        add(address(wallet), 0, abi.encodeCall(wallet.removeOwner, (owners[0], 2)), false);
        signSelf(batch());
        assertEq(PAYEE.balance, 1 ether);
        assertEq(token.balanceOf(PAYEE), 40);
        assertTrue(wallet.isOwner(PAYEE));
        assertFalse(wallet.isOwner(owners[0]));
        assertEq(wallet.threshold(), 2);
    }

    function test_WorksOnChainToo() public {
        add(PAYEE, 1 ether, "", false);
        add(PAYEE, 2 ether, "", false);
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(address(wallet), 0, batch(), 0, SALT);
        vm.prank(owners[1]);
        wallet.confirmTransaction(id);
        vm.prank(owners[2]);
        wallet.executeTransaction(address(wallet), 0, batch(), 0, SALT);
        assertEq(PAYEE.balance, 3 ether);
    }

    function test_EmptyBatchDoesNothing() public {
        signSelf(batch());
        assertEq(wallet.nonce(), 1);
    }

    function test_RevertWhen_CalledByAnybodyButTheWallet() public {
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Owners.OnlyWallet.selector, owners[0]));
        wallet.batch(calls);
    }

    function test_AllOrNothing() public {
        add(PAYEE, 1 ether, "", false);
        add(address(unwilling()), 1 ether, "", false);
        expectRefusal(1, abi.encodeWithSelector(Stubborn.NotToday.selector, 1 ether));
        assertEq(PAYEE.balance, 0);
        assertEq(wallet.nonce(), 0);
    }

    function test_CallThatMayFailDoesNotStopTheOthers() public {
        add(PAYEE, 1 ether, "", false);
        add(address(unwilling()), 1 ether, "", true);
        add(PAYEE, 2 ether, "", true);
        vm.expectEmit(address(wallet));
        emit Calls.CallFailed(bytes32(uint256(1)), abi.encodeWithSelector(Stubborn.NotToday.selector, 1 ether));
        signSelf(batch());
        assertEq(PAYEE.balance, 3 ether);
    }

    /// @dev Whatever gas the sender brings, the payee that needs much of it is paid, or the batch is not made at all.
    function testFuzz_NobodyStarvesACallThatMayFail(uint256 gas_) public {
        gas_ = bound(gas_, 60_000, 600_000);
        Choosy payee = new Choosy();
        payee.demand(195_000);
        add(address(payee), 1 ether, "", true);
        Signed memory call = Signed(address(wallet), 0, batch(), 0);
        bytes memory signatures = signaturesOf(digestOf(call), 0, 3);
        (bool ok,) = address(wallet).call{gas: gas_}(
            abi.encodeCall(wallet.executeSignedTransaction, (call.to, call.value, call.data, call.expiry, signatures))
        );
        assertEq(address(payee).balance, ok ? 1 ether : 0);
        assertEq(wallet.nonce(), ok ? 1 : 0);
    }

    /// @dev Whatever keeps a call from being made is a failure of that call.
    function test_EveryFailureMayBeAllowed() public {
        add(PAYEE, 101 ether, "", true);
        add(PAYEE, 0, hex"12345678", true);
        add(address(new AnsweringToken(abi.encode(false))), 0, abi.encodeCall(IERC20.transfer, (PAYEE, 1)), true);
        add(address(wallet), 0, abi.encodeCall(wallet.changeThreshold, (6)), true);
        expectFailure(0, abi.encodeWithSelector(Calls.InsufficientFunds.selector, 100 ether, 101 ether));
        expectFailure(1, abi.encodeWithSelector(Calls.NoCode.selector, PAYEE));
        expectFailure(2, abi.encode(false));
        expectFailure(3, abi.encodeWithSelector(Owners.InvalidThreshold.selector, 6, 5));
        signSelf(batch());
    }

    function test_RevertWhen_AnyOfThoseIsNotAllowed() public {
        add(PAYEE, 101 ether, "", false);
        expectRefusal(0, abi.encodeWithSelector(Calls.InsufficientFunds.selector, 100 ether, 101 ether));
        calls[0] = IMultiSigWallet.Call(PAYEE, 0, hex"12345678", false);
        expectRefusal(0, abi.encodeWithSelector(Calls.NoCode.selector, PAYEE));
        address token = address(new AnsweringToken(abi.encode(false)));
        calls[0] = IMultiSigWallet.Call(token, 0, abi.encodeCall(IERC20.transfer, (PAYEE, 1)), false);
        expectRefusal(0, abi.encode(false));
    }

    function test_BatchesNest() public {
        add(address(unwilling()), 1 ether, "", true);
        bytes memory inner = batch();
        delete calls;
        add(PAYEE, 1 ether, "", false);
        add(address(wallet), 0, inner, false);
        signSelf(batch());
        assertEq(PAYEE.balance, 1 ether);
    }

    /// @dev An account that is called could otherwise make the wallet pay for a reason that fills a block.
    function test_ReasonsAreCutAtOneKilobyte() public {
        Shouter shouter = new Shouter();
        uint256[4] memory sizes = [uint256(0), 1023, 1024, 1_000_000];
        for (uint256 i; i < 4; ++i) {
            delete calls;
            add(address(shouter), 0, abi.encodeWithSignature("shout(uint256)", sizes[i]), true);
            expectFailure(0, new bytes(sizes[i] > 1024 ? 1024 : sizes[i]));
            signSelf(batch());
        }
    }

    function add(address to, uint256 value, bytes memory data, bool mayFail) private {
        calls.push(IMultiSigWallet.Call(to, value, data, mayFail));
    }

    function batch() private view returns (bytes memory) {
        return abi.encodeCall(wallet.batch, (calls));
    }

    function unwilling() private returns (Stubborn payee) {
        payee = new Stubborn();
        payee.setMood(Stubborn.Mood.Reverting);
    }

    function expectFailure(uint256 index, bytes memory reason) private {
        vm.expectEmit(address(wallet));
        emit Calls.CallFailed(bytes32(index), reason);
    }

    /// @dev The reason of the batch is within that of its execution.
    function expectRefusal(uint256 index, bytes memory reason) private {
        Signed memory call = Signed(address(wallet), 0, batch(), 0);
        bytes32 digest = digestOf(call);
        bytes memory signatures = signaturesOf(digest, 0, 3);
        reason = abi.encodeWithSelector(Calls.ExecutionFailed.selector, index, reason);
        vm.prank(RELAYER);
        vm.expectRevert(abi.encodeWithSelector(Calls.ExecutionFailed.selector, digest, reason));
        wallet.executeSignedTransaction(call.to, call.value, call.data, call.expiry, signatures);
    }
}
