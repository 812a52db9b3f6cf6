// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {console} from "forge-std/console.sol";
import {Header, Result} from "../../src/formats/Types.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {RewardDistributor} from "../../src/rewards/RewardDistributor.sol";
import {MultiSigWallet} from "../../src/wallet/MultiSigWallet.sol";
import {AowFixture} from "../helpers/AowFixture.sol";
import {newRegistry, newWallet} from "../helpers/Deployed.sol";
import {Fixture} from "../helpers/Fixture.sol";

/// @notice Holds what a transaction has cost against a budget.
abstract contract Budgets is Test {
    /// @dev The last call over its budget. Noted rather than failed at once, so that one run shows every number.
    string internal over;

    function check(string memory what, uint256 budget) internal {
        uint256 used = vm.lastCallGas().gasTotalUsed;
        console.log(what, used);
        if (used > budget) over = what;
    }
}

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
        runTransfer(45_000);
        assertEq(over, "");
    }

    function test_GasOfTransferToNewAccount() public {
        runTransfer(70_000);
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
        check("finalize, 3 of 4, first", 93_000);
        header.height = 2;
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
        check("finalize, 3 of 4, later", 76_000);

        bytes memory data = abi.encodeCall(distributor.pay, (header, result, proof, solutionOf[result.id]));
        run(address(distributor), 0, data, 60_700, 103_500);
        assertEq(PAYEE.balance, 1 ether + 1);
        assertEq(over, "");
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
        run(PAYEE, 1 ether, "", 50_200, executeBudget);
    }

    function run(address to, uint256 value, bytes memory data, uint256 proposeBudget, uint256 executeBudget) private {
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(to, value, data, 0, SALT);
        check("propose", proposeBudget);
        vm.prank(owners[1]);
        wallet.confirmTransaction(id);
        check("confirm", 31_200);
        vm.prank(owners[2]);
        wallet.confirmTransaction(id);
        check("confirm", 31_200);
        vm.prank(owners[2]);
        wallet.executeTransaction(to, value, data, 0, SALT);
        check("execute", executeBudget);
    }
}

/// @notice Budgets for claims of sequential work, calldata and its floor price included.
contract AowGasTest is AowFixture, Budgets {
    address private constant CHALLENGER = address(0xCA11);

    function setUp() public {
        deployAow(4);
        vm.deal(CHALLENGER, 1);
    }

    /// @dev What the goals are stated for: 2^20 steps with 256 checkpoints, so segments of 4,096 steps.
    function test_GasOfALongClaim() public {
        bytes memory checkpoints = pack(noise(256));
        vm.prank(nodes[0]);
        bytes32 id = aow.post{value: BOND}(1, HEIGHT, 1 << 20, checkpoints, PROOF);
        check("post, 2^20 steps, 256 checkpoints", 300_000);
        vm.prank(CHALLENGER);
        aow.challenge(id, checkpoints, 200);
        check("challenge, 4,096 steps, 256 checkpoints", 250_000);
        assertEq(over, "");
    }

    /// @dev The poster is looked for in the whole set.
    function test_GasOfALongClaimAmongManyValidators() public {
        deployAow(100);
        vm.prank(nodes[99]);
        aow.post{value: BOND}(1, HEIGHT, 1 << 20, pack(noise(256)), PROOF);
        check("post, 2^20 steps, 256 checkpoints, 100 validators", 300_000);
        assertEq(over, "");
    }

    function test_GasOfAClaimThatIsTakenBackAsAWhole() public {
        uint64 steps = 1 << 14;
        bytes memory checkpoints = pack(checkpointsFrom(startOf(1, nodes[0], steps), 4, 4096));
        vm.prank(nodes[0]);
        bytes32 id = aow.post{value: BOND}(1, HEIGHT, steps, checkpoints, PROOF);
        check("post, 2^14 steps, 4 checkpoints", 150_000);
        aow.verifyWhole(id);
        check("verify whole, 2^14 steps", 650_000);
        aow.release(id);
        check("release", 50_000);
        assertEq(over, "");
    }
}
