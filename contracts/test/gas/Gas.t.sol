// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Header, Result} from "../../src/formats/Types.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {RewardDistributor} from "../../src/rewards/RewardDistributor.sol";
import {MultiSigWallet} from "../../src/wallet/MultiSigWallet.sol";
import {Budgets} from "../helpers/Budgets.sol";
import {newRegistry, newWallet} from "../helpers/Deployed.sol";
import {Fixture} from "../helpers/Fixture.sol";

/// @notice Budgets for what users pay, as receipts state it: every call here is a transaction of its own.
/// @dev The calls run in setUp and the tests only compare, so that each starts from cold storage.
contract GasTest is Fixture, Budgets {
    MultiSigWallet private wallet;
    address[] private owners;
    address private constant PAYEE = address(0xCAFE);
    bytes32 private constant SALT = keccak256("salt");

    function setUp() public {
        owners = makeOwners(5);
        wallet = newWallet(owners, 3);
        vm.deal(address(wallet), 10 ether);
    }

    function test_GasOfTransferToExistingAccount() public {
        vm.deal(PAYEE, 1);
        runTransfer(42_600);
        assertEq(over, "");
    }

    function test_GasOfTransferToNewAccount() public {
        runTransfer(67_600);
        assertEq(over, "");
    }

    function test_GasOfPayout() public {
        address[] memory validators = makeValidators(4);
        ResultRegistry registry = newRegistry(NETWORK, EPOCH, validators);
        address none = address(registry); // it is not asked about orders
        RewardDistributor distributor = deployDistributor(registry, none, address(wallet), new address[](0));
        vm.deal(address(distributor), 10 ether);
        vm.deal(PAYEE, 1);

        bytes32[] memory leaves = new bytes32[](4);
        Result memory result = makeRace(0, validators[0], PAYEE, 1 ether);
        leaves[0] = leafOf(result);
        for (uint256 i = 1; i < 4; ++i) {
            leaves[i] = keccak256(abi.encode(i));
        }
        (bytes32 root, bytes32[] memory proof) = merkle(leaves, 0);
        Header memory header = makeHeader(1, root);

        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
        check("finalize, 3 of 4, first", 93_100);
        header.height = 2;
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
        check("finalize, 3 of 4, later", 78_800);

        payFirst(registry, distributor, validators);
        bytes memory data = abi.encodeCall(distributor.pay, (header, result, proof, solutionOf[result.id]));
        run(address(distributor), 0, data, 61_000, 119_000);
        assertEq(PAYEE.balance, 1 ether + 2);
        assertEq(over, "");
    }

    /// @dev It makes the slot of the requester's allowance, once and for all.
    function payFirst(ResultRegistry registry, RewardDistributor distributor, address[] memory validators) private {
        Result memory first = makeRace(9, validators[0], PAYEE, 1);
        Header memory header = makeHeader(3, leafOf(first));
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
        vm.prank(address(wallet));
        distributor.pay(header, first, new bytes32[](0), solutionOf[first.id]);
        check("pay, first reward of a requester", 150_000);
    }

    function test_GasOfFinalizeByManyValidators() public {
        address[] memory validators = makeValidators(100);
        ResultRegistry registry = newRegistry(NETWORK, EPOCH, validators);
        Header memory header = makeHeader(1, 0);
        registry.finalize(header, VIEW, certificate(header, validators, 0, 67));
        check("finalize, 67 of 100", 446_500);
        assertEq(over, "");
    }

    function runTransfer(uint256 executeBudget) private {
        run(PAYEE, 1 ether, "", 49_800, executeBudget);
    }

    function run(address to, uint256 value, bytes memory data, uint256 proposeBudget, uint256 executeBudget) private {
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(to, value, data, 0, SALT);
        check("propose", proposeBudget);
        vm.prank(owners[1]);
        wallet.confirmTransaction(id);
        check("confirm", 31_000);
        vm.prank(owners[2]);
        wallet.confirmTransaction(id);
        check("confirm", 31_000);
        vm.prank(owners[2]);
        wallet.executeTransaction(to, value, data, 0, SALT);
        check("execute", executeBudget);
    }
}
