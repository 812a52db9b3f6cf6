// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {console} from "forge-std/console.sol";
import {Distribution, Header, Result, Solution} from "../../src/formats/Types.sol";
import {BlsFixture} from "../helpers/BlsFixture.sol";
import {Budgets} from "../helpers/Budgets.sol";
import {deploy, newRegistry} from "../helpers/Deployed.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";
import {PowVerifier} from "../shipped/PowVerifier.sol";

/// @notice Budgets for payouts, as receipts state it: every call here is a transaction of its own.
contract RewardsGasTest is RewardsFixture, BlsFixture, Budgets {
    address private constant RELAYER = address(0x5E1A);

    function setUp() public {
        deployRewards();
        vm.deal(address(distributor), 1000 ether);
    }

    /// @dev All in: the base of the transaction, its calldata, everything.
    function test_GasOfABatch() public {
        bytes32[] memory payouts = makePayouts(50, 0.142857142857142857 ether);
        for (uint256 i; i < payouts.length; ++i) {
            vm.deal(accountOf(payouts[i]), 1);
        }
        bytes32 id = approveBatch(address(0), payouts, 1);
        vm.prank(RELAYER);
        distributor.push(id, address(0), payouts, payouts.length);
        check("push, 50 native payouts to existing accounts", 50 * 11_150);
        assertEq(accountOf(payouts[49]).balance, 1 + 0.142857142857142857 ether);
        assertEq(over, "");
    }

    function test_GasOfCreditAndPull() public {
        bytes32[] memory payouts = makePayouts(1, 1 ether);
        vm.etch(accountOf(payouts[0]), hex"5f5ffd");
        bytes32 id = approveBatch(address(0), payouts, 1);
        distributor.push(id, address(0), payouts, payouts.length);
        check("push, 1 payout that fails and is credited", 100_000);
        vm.etch(accountOf(payouts[0]), "");
        vm.prank(accountOf(payouts[0]));
        distributor.withdraw(address(0), accountOf(payouts[0]));
        check("withdraw, native", 42_000);
        assertEq(over, "");
    }

    /// @dev What is in a payout beside everything else. The solution itself is paid for as calldata, once to propose it and
    /// once to execute it.
    function test_GasOfVerifyingWork() public {
        PowVerifier verifier = PowVerifier(deploy("PowVerifier", ""));
        Result memory result = makeRace(0, validators[0], PAYEE, 1 ether);
        Solution memory solution = solutionOf[result.id];
        uint256 used = verifier.costOf(solution, result, NETWORK, block.chainid);
        console.log("verify a proof of work, execution", used);
        console.log("bytes of the order and the claim", solution.order.length, solution.claim.length);
        assertLt(used, 7_600);
    }

    function test_GasOfManyResults() public {
        vm.deal(PAYEE, 1);
        payFirst();
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(10);
        vm.prank(address(wallet));
        distributor.payMany(header, results, proofs, solutionsOf(results));
        check("pay, 10 results at once to one existing account", 580_000);
        assertEq(over, "");
    }

    /// @dev A requester's first reward makes the slot of its allowance, once and for all.
    function payFirst() private {
        Result memory result = makeRace(100, validators[0], PAYEE, 1);
        Header memory header = finalizeOnly(result, 100);
        vm.prank(address(wallet));
        distributor.pay(header, result, new bytes32[](0), solutionOf[result.id]);
    }

    function test_GasOfADistribution() public {
        IERC20 token = tokens[0];
        address account = accountAt(5);
        vm.deal(account, 1);
        (Distribution memory distribution, bytes32[] memory proof) = distributionAtDepth(1, 1024, 5, 1 ether);
        registry.certify(1, hashOf(distribution), certificateFor(distribution));
        check("certify, 3 of 4, first", 90_000);
        vm.prank(address(wallet));
        distributor.schedule(distribution);
        check("schedule, 2 tokens", 100_000);
        vm.warp(block.timestamp + DELAY);
        distributor.activate(distribution);
        check("activate, 2 tokens", 150_000);
        distributor.claim(account, address(token), 1 ether, proof);
        check("claim, token, depth 10, first, new holder", 107_000);

        (distribution, proof) = distributionAtDepth(2, 1024, 5, 2 ether);
        registry.certify(2, hashOf(distribution), certificateFor(distribution));
        check("certify, 3 of 4, later", 56_500);
        vm.prank(address(wallet));
        distributor.schedule(distribution);
        vm.warp(block.timestamp + DELAY);
        distributor.activate(distribution);
        check("activate, 2 tokens, later", 82_000);
        distributor.claim(account, address(token), 2 ether, proof);
        check("claim, token, depth 10, later", 72_510);

        vm.warp(block.timestamp + CLAIM_PERIOD);
        vm.prank(address(wallet));
        distributor.sweep(address(token));
        check("sweep, token", 80_000);
        assertEq(over, "");
    }

    /// @dev The figures of certificates: ECDSA up to some thirty signers, BLS above.
    function test_GasOfCertificates() public {
        uint256[5] memory sizes = [uint256(40), 45, 50, 55, 90];
        for (uint256 i; i < sizes.length; ++i) {
            address[] memory set = makeValidators(sizes[i]);
            registry = newRegistry(NETWORK, EPOCH, set);
            publish(registry, set);
            registry.certify(1, NETWORK, signatures(digestAt(1), set, 0, registry.quorum()));
            uint256 count = sizes[i] == 90 ? 61 : registry.quorum();
            registry.certify(2, NETWORK, signatures(digestAt(2), set, 0, count));
            check(string.concat("certify, ECDSA, signers: ", vm.toString(count)), 345_000);
            uint256 ecdsa = vm.lastCallGas().gasTotalUsed;
            registry.certify(3, NETWORK, aggregate(digestAt(3), set, (1 << count) - 1));
            check(string.concat("certify, BLS, signers: ", vm.toString(count)), 225_000);
            if (count > 33) assertLt(vm.lastCallGas().gasTotalUsed, ecdsa);
        }
        assertEq(over, "");
    }

    function test_GasOfRotation() public {
        address[] memory next = makeValidators(90);
        register(registry, next[0]);
        check("register a BLS key", 250_000);
        registry.rotate(next, signatures(rotationDigestOf(NETWORK, EPOCH, next), validators, 0, 3));
        check("rotate, 3 of 4, to 90 validators", 1_100_000);
        publish(registry, next);
        check("publish the BLS keys of 90 validators", 6_000_000);
        next = makeValidators(4);
        bytes32 digest = rotationDigestOf(NETWORK, EPOCH + 1, next);
        registry.rotate(next, aggregate(digest, makeValidators(90), (1 << 61) - 1));
        check("rotate, 61 of 90 by BLS, to 4 validators", 450_000);
        assertEq(over, "");
    }

    function digestAt(uint32 number) private view returns (bytes32) {
        return distributionDigestOf(NETWORK, EPOCH, number, NETWORK);
    }

    /// @dev What deploying costs, but for the transaction's base and calldata: 200 gas a byte, and the constructor.
    function test_SizeOfTheContracts() public {
        checkSize("bytes of the registry", address(registry), 24_576);
        checkSize("bytes of the distributor", address(distributor), 24_576);
        assertEq(over, "");
    }

    function checkSize(string memory what, address account, uint256 budget) private {
        console.log(what, account.code.length);
        if (account.code.length > budget) over = what;
    }
}
