// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Owners} from "../../src/wallet/Owners.sol";
import {MultiSigClone} from "../../src/wallet/MultiSigClone.sol";
import {MultiSigWallet} from "../../src/wallet/MultiSigWallet.sol";
import {WalletTemplate} from "../../src/wallet/WalletTemplate.sol";
import {newClone} from "../helpers/Deployed.sol";
import {Signed, executionDigest} from "../helpers/Digests.sol";
import {WalletFixture} from "../helpers/WalletFixture.sol";
import {CallsTest} from "./Calls.t.sol";
import {MultiSigWalletTest} from "./MultiSigWallet.t.sol";
import {OwnersTest} from "./Owners.t.sol";
import {ReceiverTest} from "./Receiver.t.sol";
import {SignaturesTest} from "./Signatures.t.sol";
import {WalletTest} from "./Wallet.t.sol";

contract CallsOfACloneTest is CallsTest {
    constructor() {
        cloned = true;
    }
}

contract FoundingOfACloneTest is MultiSigWalletTest {
    constructor() {
        cloned = true;
    }
}

contract OwnersOfACloneTest is OwnersTest {
    constructor() {
        cloned = true;
    }
}

contract ReceiverOfACloneTest is ReceiverTest {
    constructor() {
        cloned = true;
    }
}

contract SignaturesOfACloneTest is SignaturesTest {
    constructor() {
        cloned = true;
    }
}

contract WalletOfACloneTest is WalletTest {
    constructor() {
        cloned = true;
    }
}

/// @notice What only a clone has: its template.
contract MultiSigCloneTest is WalletFixture {
    constructor() {
        cloned = true;
    }

    function test_CodeIsAMinimalProxyAndTheFounders() public view {
        bytes memory expected =
            abi.encodePacked(hex"363d3d373d3d3d363d73", template, hex"5af43d82803e903d91602b57fd5bf3");
        for (uint256 i; i < owners.length; ++i) {
            expected = abi.encodePacked(expected, owners[i]);
        }
        assertEq(address(wallet).code, expected);
    }

    function test_ClonesOfOneTemplateAreApart() public {
        address[] memory others = makeValidators(3);
        MultiSigWallet other = newClone(template, others, 2);
        approve(PAYEE, 1 ether, "", SALT);
        assertEq(other.owners(), others);
        assertEq(other.threshold(), 2);
        vm.prank(others[0]);
        vm.expectRevert(abi.encodeWithSelector(Owners.NotOwner.selector, others[0]));
        wallet.proposeTransaction(PAYEE, 1 ether, "", 0, SALT);
    }

    function test_RevertWhen_ThereIsNoTemplate() public {
        vm.expectRevert(abi.encodeWithSelector(MultiSigClone.NoTemplate.selector, PAYEE));
        newClone(PAYEE, owners, 3);
    }

    /// @dev What somebody gives who uses Solidity's `transfer` does not reach a template that the transaction has not used yet.
    function test_RevertWhen_PaidWithNoGasOfItsOwn() public {
        vm.deal(address(this), 1 ether);
        (bool ok,) = address(wallet).call{value: 1 ether, gas: 0}("");
        assertFalse(ok);
    }

    function test_TheTemplateTakesNoMoney() public {
        vm.deal(address(this), 1 ether);
        vm.expectRevert(WalletTemplate.NoWallet.selector);
        (bool refused,) = template.call{value: 1 ether}("");
        assertTrue(refused);
    }

    /// @dev Not even by nobody's signatures, which is what no owners could be taken to have agreed by.
    function test_TheTemplateCallsNobody() public {
        MultiSigWallet none = MultiSigWallet(payable(template));
        assertEq(none.owners().length, 0);
        vm.expectRevert(abi.encodeWithSelector(Owners.BelowThreshold.selector, 0, 255));
        none.executeSignedTransaction(PAYEE, 0, "", 0, "");

        bytes32 digest = executionDigest(Signed(PAYEE, 0, "", 0), 0, template, block.chainid);
        bytes memory signatures = signaturesOf(digest, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Owners.NotOwner.selector, owners[0]));
        none.executeSignedTransaction(PAYEE, 0, "", 0, signatures);

        vm.expectRevert(abi.encodeWithSelector(Owners.BelowThreshold.selector, 0, 255));
        none.isValidSignature(SALT, "");
    }

    /// @dev Behind the place of the founders is the template's own code there, which might be taken for one.
    function test_NobodyIsAnOwnerOfTheTemplate() public {
        MultiSigWallet none = MultiSigWallet(payable(template));
        bytes memory code = template.code;
        for (uint256 place = 45; place + 20 <= code.length; place += 20) {
            bytes20 account;
            for (uint256 i; i < 20; ++i) {
                account |= bytes20(code[place + i]) >> (8 * i);
            }
            assertFalse(none.isOwner(address(account)));
            vm.prank(address(account));
            vm.expectRevert(abi.encodeWithSelector(Owners.NotOwner.selector, address(account)));
            none.proposeTransaction(PAYEE, 0, "", 0, SALT);
        }
    }
}
