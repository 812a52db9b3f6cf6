// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Budgets} from "../helpers/Budgets.sol";
import {artifactOf} from "../helpers/Deployed.sol";
import {WalletFixture} from "../helpers/WalletFixture.sol";

/// @notice Budgets for wallets that run a template's code: cheap to deploy, dearer with each call.
contract CloneGasTest is WalletFixture, Budgets {
    /// @dev The deterministic deployment proxy, by which wallets are deployed.
    address private constant DEPLOYER = 0x4e59b44847b379578588920cA78FbF26c0B4956C;

    constructor() {
        cloned = true;
    }

    function test_GasOfDeployment() public {
        vm.etch(
            DEPLOYER,
            hex"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
        );
        deploy("deploy the template, once for all", vm.getCode(artifactOf("WalletTemplate")), 1_320_000);
        deployClone("deploy a clone, 5 owners", 5, 128_000);
        deployClone("deploy a clone, 30 owners", 30, 248_000);
        deployClone("deploy a clone, 100 owners", 100, 585_000);
        assertEq(over, "");
    }

    function test_GasOnChain() public {
        vm.deal(PAYEE, 1);
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(PAYEE, 1 ether, "", 0, SALT);
        check("propose, clone", 52_700);
        vm.prank(owners[1]);
        wallet.confirmTransaction(id);
        check("confirm, clone", 33_700);
        vm.prank(owners[2]);
        wallet.executeTransaction(PAYEE, 1 ether, "", 0, SALT);
        check("confirm and execute, clone", 45_500);
        assertEq(over, "");
    }

    function test_GasOfSignatures() public {
        vm.deal(PAYEE, 1);
        send(payment(), signaturesOf(digestOf(payment()), 0, 3));
        check("one transaction, 3 signatures, clone", 56_350);
        assertEq(over, "");
    }

    function deployClone(string memory what, uint256 n, uint256 budget) private {
        bytes memory arguments = abi.encode(template, makeOwners(n), 3);
        deploy(what, bytes.concat(vm.getCode(artifactOf("MultiSigClone")), arguments), budget);
    }

    function deploy(string memory what, bytes memory code, uint256 budget) private {
        (bool ok,) = DEPLOYER.call(bytes.concat(SALT, code));
        check(what, budget);
        assertTrue(ok);
    }
}
