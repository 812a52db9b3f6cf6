// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {console} from "forge-std/console.sol";
import {Distribution} from "../../src/formats/Types.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

/// @notice Distributions by hand and statements of the ledger about the same accounts and tokens, by roots that have nothing to do
/// with what they set aside; claims of both and sweeps in any order. Each side has books of its own here.
contract BooksHandler is RewardsFixture {
    uint256 private constant ACCOUNTS = 3;

    /// @dev 0 is what is by hand, 1 is the ledger's; by token.
    uint256[2][2] public left;
    uint256 public breaches;
    uint256 public wrongRefusals;
    uint256[2] private totals;
    uint256[ACCOUNTS][2][2] private stated;
    uint256[ACCOUNTS][2][2] private had;
    bytes32[][2] private trees;
    uint32[2] private numbers;
    uint64 private height;
    uint256[5] private done;

    constructor() {
        vm.warp(1_700_000_000);
        deployRewards();
        vm.deal(address(distributor), 10_000 ether);
    }

    /// @dev By hand.
    function distributeAny(uint256 seed) external {
        vm.warp(block.timestamp + 2 * PERIOD);
        uint256 t = seed % 2;
        uint128 added = uint128(bound(uint256(keccak256(abi.encode(seed))), 0, 10 ether));
        trees[0] = makeTree(0, seed);
        (bytes32 root,) = merkle(trees[0], 0);
        distribute(Distribution(address(distributor), ++numbers[0], root, allot(tokenAt(t), added)));
        left[0][t] += added;
        ++done[0];
    }

    /// @dev The ledger's, of one token. A statement that gives less than the one before gives nothing.
    function stateAny(uint256 seed) external {
        vm.warp(block.timestamp + 2 * PERIOD);
        uint256 t = seed % 2;
        uint256 amount = totals[t] + uint256(keccak256(abi.encode(seed))) % 10 ether;
        trees[1] = makeTree(1, seed);
        (bytes32 root,) = merkle(trees[1], 0);
        scheduleEarned(makeStatement(++numbers[1], tokenAt(t), root, amount), ++height, uint96(amount));
        vm.warp(block.timestamp + DELAY);
        distributor.activateEarned();
        left[1][t] += amount - totals[t];
        totals[t] = amount;
        ++done[1];
    }

    /// @dev All of one side, so that much is asked for.
    function claimEach(uint256 side, uint256 t) external {
        for (uint256 i; i < ACCOUNTS; ++i) {
            claimAny(side, t, i);
        }
    }

    function claimAny(uint256 side, uint256 t, uint256 i) public {
        (side, t, i) = (side % 2, t % 2, i % ACCOUNTS);
        if (trees[side].length == 0) return;
        (, bytes32[] memory proof) = merkle(trees[side], t * ACCOUNTS + i);
        uint256 cumulative = stated[side][t][i];
        bool good = cumulative > had[side][t][i] && cumulative - had[side][t][i] <= left[side][t];
        function(address, address, uint256, bytes32[] memory) external claim =
            side == 0 ? distributor.claim : distributor.claimEarned;
        try claim(accountAt(i), tokenAt(t), cumulative, proof) {
            if (!good) ++breaches;
            left[side][t] -= cumulative - had[side][t][i];
            had[side][t][i] = cumulative;
            ++done[2];
        } catch {
            if (good) ++wrongRefusals;
            ++done[3];
        }
    }

    function sweepAny(uint256 t) external {
        bool isRare = t % 8 > 1;
        t %= 2;
        if (isRare || left[0][t] + left[1][t] == 0) return;
        vm.warp(distributor.expiresAt());
        vm.prank(address(wallet));
        distributor.sweep(tokenAt(t));
        totals[t] -= left[1][t];
        (left[0][t], left[1][t]) = (0, 0);
        ++done[4];
    }

    function checkBooks() external view {
        for (uint256 t; t < 2; ++t) {
            (uint96 allotted,,) = distributor.reserveOf(tokenAt(t));
            (uint128 total, uint96 earned) = distributor.earnedOf(tokenAt(t));
            assertEq(allotted, left[0][t] + left[1][t], "what is set aside is that of both");
            assertEq(earned, left[1][t], "the ledger's");
            assertEq(total, totals[t], "the ledger's since the beginning");
        }
    }

    function makeTree(uint256 side, uint256 seed) private returns (bytes32[] memory leaves) {
        leaves = new bytes32[](2 * ACCOUNTS);
        for (uint256 k; k < leaves.length; ++k) {
            (uint256 t, uint256 i) = (k / ACCOUNTS, k % ACCOUNTS);
            stated[side][t][i] += uint256(keccak256(abi.encode(side, seed, k))) % 3 ether;
            leaves[k] = rewardLeafOf(accountAt(i), tokenAt(t), stated[side][t][i]);
        }
    }

    function tokenAt(uint256 t) private view returns (address) {
        return t == 0 ? address(0) : address(tokens[0]);
    }

    function summary() external view {
        console.log("distributed %s, stated %s", done[0], done[1]);
        console.log("claimed %s, refused %s, swept %s", done[2], done[3], done[4]);
    }
}
