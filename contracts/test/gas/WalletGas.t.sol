// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Budgets} from "../helpers/Budgets.sol";
import {artifactOf, newToken} from "../helpers/Deployed.sol";
import {Signed} from "../helpers/Digests.sol";
import {WalletFixture} from "../helpers/WalletFixture.sol";

/// @notice Budgets for what owners and relayers pay, as receipts state it: every call here is a transaction of its own.
/// @dev What an account costs that has never held anything, 25,000 of an execution, is the chain's price for it.
contract WalletGasTest is WalletFixture, Budgets {
    /// @dev The deterministic deployment proxy, by which wallets are deployed.
    address private constant DEPLOYER = 0x4e59b44847b379578588920cA78FbF26c0B4956C;

    function test_GasOfDeployment() public {
        vm.etch(
            DEPLOYER,
            hex"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
        );
        deploy("deploy, 5 owners", 5, 1_342_000);
        deploy("deploy, 30 owners", 30, 1_462_000);
        deploy("deploy, 100 owners", 100, 1_797_000);
        assertEq(over, "");
    }

    function test_GasOnChainToAnExistingAccount() public {
        vm.deal(PAYEE, 1);
        runOnChain(PAYEE, 1 ether, "", 42_600);
    }

    function test_GasOnChainToANewAccount() public {
        runOnChain(PAYEE, 1 ether, "", 67_600);
    }

    /// @dev What is left when the call itself costs next to nothing.
    function test_GasOnChainOfACallWithoutValue() public {
        vm.deal(PAYEE, 1);
        runOnChain(PAYEE, 0, "", 35_800);
    }

    function test_GasOnChainOfTokensToAnExistingHolder() public {
        (address token, bytes memory data) = tokens(PAYEE);
        runOnChain(token, 0, data, 49_400);
    }

    function test_GasOfSignaturesToAnExistingAccount() public {
        vm.deal(PAYEE, 1);
        runSigned(Signed(PAYEE, 1 ether, "", 0), 53_350);
    }

    function test_GasOfSignaturesToANewAccount() public {
        runSigned(Signed(PAYEE, 1 ether, "", 0), 78_350);
    }

    function test_GasOfSignaturesOfACallWithoutValue() public {
        vm.deal(PAYEE, 1);
        runSigned(Signed(PAYEE, 0, "", 0), 46_550);
    }

    function test_GasOfSignaturesOfTokensToAnExistingHolder() public {
        (address token, bytes memory data) = tokens(PAYEE);
        runSigned(Signed(token, 0, data, 0), 60_150);
    }

    function test_GasOfSignaturesOfTokensToANewHolder() public {
        (address token, bytes memory data) = tokens(RELAYER);
        runSigned(Signed(token, 0, data, 0), 77_250);
    }

    function test_GasOfEachFurtherSigner() public {
        vm.deal(PAYEE, 1);
        sign(payment());
        uint256[3] memory used;
        for (uint256 i; i < 3; ++i) {
            send(payment(), signaturesOf(digestOf(payment()), 0, 3 + i));
            used[i] = vm.lastCallGas().gasTotalUsed;
        }
        assertLe(used[1] - used[0], 4_500);
        assertLe(used[2] - used[1], 4_500);
    }

    /// @dev Among many, the founders are searched and not gone through.
    function test_GasAmongManyOwners() public {
        uint256[2] memory sizes = [uint256(30), 100];
        for (uint256 i; i < 2; ++i) {
            owners = makeOwners(sizes[i]);
            wallet = makeWallet(owners, 3);
            vm.prank(owners[0]);
            bytes32 id = wallet.proposeTransaction(PAYEE, 1 ether, "", 0, SALT);
            check("propose, many owners", 50_150);
            vm.prank(owners[sizes[i] - 1]);
            wallet.confirmTransaction(id);
            check("confirm, many owners", 31_100);
        }
        assertEq(over, "");
    }

    function deploy(string memory what, uint256 n, uint256 budget) private {
        owners = makeOwners(n);
        bytes memory code = bytes.concat(vm.getCode(artifactOf("MultiSigWallet")), abi.encode(owners, 3));
        (bool ok,) = DEPLOYER.call(bytes.concat(SALT, code));
        check(what, budget);
        assertTrue(ok);
    }

    function tokens(address holder) private returns (address, bytes memory) {
        IERC20 token = newToken(address(wallet), 100);
        vm.prank(address(wallet));
        assertTrue(token.transfer(PAYEE, 1));
        return (address(token), abi.encodeCall(IERC20.transfer, (holder, 1)));
    }

    function runOnChain(address to, uint256 value, bytes memory data, uint256 budget) private {
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(to, value, data, 0, SALT);
        check("propose", 50_450);
        vm.prank(owners[1]);
        wallet.confirmTransaction(id);
        check("confirm", 31_000);
        vm.prank(owners[2]);
        wallet.executeTransaction(to, value, data, 0, SALT);
        check("confirm and execute", budget);
        assertEq(over, "");
    }

    /// @dev The nonce shares a slot with the owners, so not even the first call pays for a slot of its own.
    function runSigned(Signed memory call, uint256 budget) private {
        bytes memory signatures = signaturesOf(digestOf(call), 0, 3);
        send(call, signatures);
        check("one transaction, 3 signatures", budget);
        assertEq(over, "");
    }
}
