// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {Buckets} from "../../src/rewards/Buckets.sol";

/// @notice Buckets against what they are for: a sum over every window.
contract BucketsTest is Test {
    uint256[] private times;
    uint256[] private amounts;

    /// @dev Whatever is asked for and when, no window of a period sees more than twice the capacity leave.
    function testFuzz_NoWindowSeesMoreThanTwiceTheCapacity(uint128 capacity, uint64 period, uint256 seed) public {
        period = uint64(bound(period, 1, 366 days));
        uint64 fullAt;
        vm.warp(1_700_000_000);
        for (uint256 i; i < 60; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            vm.warp(block.timestamp + random % (period / 4 + 2));
            uint256 amount = random >> 128 >> (random % 8 * 8);
            uint256 content = Buckets.content(fullAt, capacity, period);
            bool ok;
            (ok, fullAt) = Buckets.take(fullAt, amount, capacity, period);
            assertEq(ok, amount <= content, "takes what is there and no more");
            if (!ok) continue;
            times.push(block.timestamp);
            amounts.push(amount);
        }
        for (uint256 i; i < times.length; ++i) {
            uint256 sum;
            for (uint256 k = i; k < times.length && times[k] <= times[i] + period; ++k) {
                sum += amounts[k];
            }
            assertLe(sum, 2 * uint256(capacity));
        }
    }

    /// @dev Sixty times one wei is sixty wei, and rounding is never in the taker's favour.
    function testFuzz_SmallAmountsAreNoCheaper(uint128 capacity, uint64 period) public {
        capacity = uint128(bound(capacity, 60, type(uint128).max));
        period = uint64(bound(period, 1, 366 days));
        (bool ok, uint64 once) = Buckets.take(0, 60, capacity, period);
        assertTrue(ok);
        uint64 fullAt;
        for (uint256 i; i < 60; ++i) {
            (ok, fullAt) = Buckets.take(fullAt, 1, capacity, period);
            if (!ok) break;
        }
        assertTrue(!ok || fullAt >= once);
    }

    function testFuzz_FillsWithinThePeriod(uint128 capacity, uint64 period, uint64 passed) public {
        capacity = uint128(bound(capacity, 1, type(uint128).max));
        period = uint64(bound(period, 1, 366 days));
        passed = uint64(bound(passed, 0, 2 * uint256(period)));
        vm.warp(1_700_000_000);
        (bool ok, uint64 fullAt) = Buckets.take(0, capacity, capacity, period);
        assertTrue(ok);
        assertEq(Buckets.content(fullAt, capacity, period), 0);
        vm.warp(block.timestamp + passed);
        uint256 expected = passed >= period ? capacity : uint256(capacity) * passed / period;
        assertEq(Buckets.content(fullAt, capacity, period), expected);
    }
}
