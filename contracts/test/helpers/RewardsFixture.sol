// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Allotment, Distribution, Header, Result} from "../../src/formats/Types.sol";
import {RegistryTerms} from "../../src/interfaces/IResultRegistry.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {RewardDistributor} from "../../src/rewards/RewardDistributor.sol";
import {MultiSigWallet} from "../../src/wallet/MultiSigWallet.sol";
import {newRegistry, newToken, newWallet} from "./Deployed.sol";
import {Fixture} from "./Fixture.sol";
import {Outcomes, TrickyToken} from "./Mocks.sol";

/// @notice What the tests of rewards share: a distributor with both locks, two tokens, batches and distributions.
abstract contract RewardsFixture is Fixture {
    address internal constant PAYEE = address(0xCAFE);

    MultiSigWallet internal wallet;
    ResultRegistry internal registry;
    Outcomes internal outcomes;
    RewardDistributor internal distributor;
    address[] internal validators;
    /// @dev In ascending order of address.
    IERC20[2] internal tokens;

    function deployRewards() internal {
        validators = makeValidators(4);
        wallet = newWallet(makeOwners(5), 3);
        registry = newRegistry(NETWORK, EPOCH, validators, RegistryTerms(address(wallet), address(0), 0));
        outcomes = new Outcomes();
        tokens = [newToken(address(this), 1e30), newToken(address(this), 1e30)];
        if (tokens[0] > tokens[1]) (tokens[0], tokens[1]) = (tokens[1], tokens[0]);
        address[] memory list = new address[](2);
        (list[0], list[1]) = (address(tokens[0]), address(tokens[1]));
        distributor = deployDistributor(registry, address(outcomes), address(wallet), list);
        bool ok = tokens[0].transfer(address(distributor), 1000 ether);
        ok = ok && tokens[1].transfer(address(distributor), 1000 ether);
        assertTrue(ok);
    }

    /// @dev A token that can misbehave, and a distributor that may pay it out and has so much of it.
    function deployTricky(uint256 amount) internal returns (TrickyToken token) {
        token = new TrickyToken(address(this), amount);
        address[] memory list = new address[](1);
        list[0] = address(token);
        distributor = deployDistributor(registry, address(outcomes), address(wallet), list);
        assertTrue(token.transfer(address(distributor), amount));
    }

    function accountAt(uint256 i) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("account", i)))));
    }

    function makePayouts(uint256 count, uint96 amount) internal pure returns (bytes32[] memory payouts) {
        payouts = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            payouts[i] = payoutOf(accountAt(i), amount);
        }
    }

    function payoutOf(address account, uint96 amount) internal pure returns (bytes32) {
        return bytes32(bytes.concat(bytes20(account), bytes12(amount)));
    }

    function accountOf(bytes32 payout) internal pure returns (address) {
        return address(bytes20(payout));
    }

    /// @dev Written out anew rather than taken from the library under test.
    function batchHashOf(address token, bytes32[] memory payouts) internal pure returns (bytes32) {
        bytes memory items;
        for (uint256 i; i < payouts.length; ++i) {
            items = bytes.concat(items, payouts[i]);
        }
        return keccak256(abi.encode(keccak256("Batch(address token,bytes32[] payouts)"), token, keccak256(items)));
    }

    function totalOf(bytes32[] memory payouts) internal pure returns (uint256 total) {
        for (uint256 i; i < payouts.length; ++i) {
            total += uint96(uint256(payouts[i]));
        }
    }

    function batchResult(address token, bytes32[] memory payouts, uint64 height) internal view returns (Result memory) {
        bytes32 id = keccak256(abi.encode("batch", height));
        return Result({
            kind: KIND_BATCH,
            id: id,
            worker: address(0),
            payee: address(distributor),
            amount: totalOf(payouts),
            digest: batchHashOf(token, payouts)
        });
    }

    /// @dev Through both locks and the delay.
    function approveBatch(address token, bytes32[] memory payouts, uint64 height) internal returns (bytes32 id) {
        Result memory result = batchResult(token, payouts, height);
        Header memory header = finalizeOnly(result, height);
        vm.prank(address(wallet));
        distributor.pay(header, result, new bytes32[](0), solutionOf[result.id]);
        vm.warp(block.timestamp + DELAY);
        return result.id;
    }

    function finalizeOnly(Result memory result, uint64 height) internal returns (Header memory header) {
        header = makeHeader(height, leafOf(result));
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
    }

    /// @dev A final block with so many results of one ether each for one payee.
    function finalizedMany(uint256 count)
        internal
        returns (Header memory header, Result[] memory results, bytes32[][] memory proofs)
    {
        results = new Result[](count);
        proofs = new bytes32[][](count);
        bytes32[] memory leaves = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            results[i] = makeRace(i, validators[i % 4], PAYEE, 1 ether);
            leaves[i] = leafOf(results[i]);
        }
        bytes32 root;
        for (uint256 i; i < count; ++i) {
            (root, proofs[i]) = merkle(leaves, i);
        }
        header = makeHeader(1, root);
        registry.finalize(header, VIEW, certificate(header, validators, 0, 3));
    }

    /// @dev What the ledger states, in a block of its own.
    function makeStatement(uint32 number, address token, bytes32 root_, uint256 total)
        internal
        pure
        returns (Result memory)
    {
        bytes32 id = bytes32((uint256(number) << 160) | uint160(token));
        return Result(KIND_EARNINGS, id, address(0), address(0), total, root_);
    }

    function scheduleEarned(Result memory statement, uint64 height, uint96 amount) internal {
        Header memory header = finalizeOnly(statement, height);
        vm.prank(address(wallet));
        distributor.scheduleEarned(header, statement, new bytes32[](0), amount);
    }

    /// @dev One account's earnings, through both locks and the delay.
    function earn(uint32 number, address account, address token, uint96 cumulative) internal {
        bytes32 root_ = rewardLeafOf(account, token, cumulative);
        scheduleEarned(makeStatement(number, token, root_, cumulative), number, cumulative);
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
    }

    function hashOf(Distribution memory distribution) internal pure returns (bytes32) {
        return keccak256(abi.encode(distribution));
    }

    function certificateFor(Distribution memory distribution) internal view returns (bytes memory) {
        uint64 epoch = registry.epoch();
        bytes32 digest = distributionDigestOf(NETWORK, epoch, distribution.number, hashOf(distribution));
        return signatures(digest, validators, 0, 3);
    }

    /// @dev So much more than has been allotted before.
    function allot(address token, uint128 amount) internal view returns (Allotment[] memory allotments) {
        allotments = new Allotment[](1);
        allotments[0] = Allotment(token, distributor.totalAllotted(token) + amount);
    }

    /// @dev Of two tokens, in a tree of so many leaves of which one is of interest.
    function distributionAtDepth(uint32 number, uint256 leafCount, uint256 index, uint256 cumulative)
        internal
        view
        returns (Distribution memory distribution, bytes32[] memory proof)
    {
        bytes32[] memory leaves = new bytes32[](leafCount);
        for (uint256 i; i < leafCount; ++i) {
            leaves[i] = rewardLeafOf(accountAt(i), address(tokens[0]), i == index ? cumulative : i);
        }
        Allotment[] memory allotments = new Allotment[](2);
        allotments[0] = allot(address(0), 10 ether)[0];
        allotments[1] = allot(address(tokens[0]), 10 ether)[0];
        bytes32 root;
        (root, proof) = merkle(leaves, index);
        distribution = Distribution(address(distributor), number, root, allotments);
    }

    /// @dev One leaf is the whole tree, so its proof is empty.
    function single(uint32 number, address account, address token, uint256 cumulative, uint128 amount)
        internal
        view
        returns (Distribution memory)
    {
        bytes32 root = rewardLeafOf(account, token, cumulative);
        return Distribution(address(distributor), number, root, allot(token, amount));
    }

    function certify(Distribution memory distribution) internal {
        registry.certify(distribution.number, hashOf(distribution), certificateFor(distribution));
    }

    function schedule(Distribution memory distribution) internal {
        certify(distribution);
        vm.prank(address(wallet));
        distributor.schedule(distribution);
    }

    /// @dev Through both locks and the delay.
    function distribute(Distribution memory distribution) internal {
        schedule(distribution);
        vm.warp(block.timestamp + DELAY);
        distributor.activate(distribution);
    }
}
