// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Aow} from "../../src/aow/Aow.sol";
import {AowFixture} from "../helpers/AowFixture.sol";

/// @notice The arithmetic, as the contract that takes claims shows it.
contract AowTest is AowFixture {
    uint64 private constant ROUND = 9;
    uint64 private constant STEPS = 24;

    function setUp() public {
        deployAow(4);
    }

    /// @dev Start and result for 1, 2, 10 and 4,096 steps, computed by another program in another language.
    function test_GoldenVectors_Work() public view {
        uint16[4] memory steps = [1, 2, 10, 4096];
        uint128[4] memory starts = [
            0xbd14890b09b418a1e6a1f30efffb4283,
            0x93dd26365b63f35abb95327c425d0820,
            0x94359685a8eb326a1a8ae440d5de16e2,
            0x06558e2094e43307f69db9b58050f6bc
        ];
        uint128[4] memory results = [
            0xb7b9fa2a69406e4d2c1cbd42d7f0ae53,
            0xcbc4075b1abdd3e6d58e9b148624a458,
            0xd84f14209f0d94084d2d33fced42eb98,
            0xbc250f38b5f8cb61a4c2d1c65344ad71
        ];
        bytes32 network = keccak256("golden network");
        bytes32 blockHash = keccak256("golden block");
        address worker = 0x1111111111111111111111111111111111111111;
        for (uint256 i; i < 4; ++i) {
            assertEq(Aow.start(network, 97, 3, blockHash, worker, steps[i]), starts[i], "start");
            assertEq(startOf(network, 97, 3, blockHash, worker, steps[i]), starts[i], "start, plainly");
            assertEq(work(starts[i], steps[i]), results[i], "work");
            assertEq(aow.replay(results[i], steps[i]), starts[i], "replay");
        }
    }

    function testFuzz_ReplayIsWhatThePlainLoopSays(uint128 x, uint256 steps) public view {
        steps = bound(steps, 0, 200);
        assertEq(aow.replay(x, steps), takeBack(x % P, steps));
    }

    /// @dev Around zero, around the order of the field, and beyond it as far as the type goes.
    function test_ReplayIsRightAtTheEdgesOfTheField() public view {
        for (uint256 i; i < 10; ++i) {
            assertEq(aow.replay(uint128(i), 33), takeBack(i, 33));
            assertEq(aow.replay(uint128(P - 5 + i), 33), takeBack((P - 5 + i) % P, 33));
            assertEq(aow.replay(type(uint128).max - uint128(i), 33), takeBack((type(uint128).max - i) % P, 33));
            // What ends around zero, where adding ALPHA last may leave more than the order.
            assertEq(aow.replay(uint128(work(i, 33)), 33), i);
        }
    }

    function testFuzz_ReplayUndoesTheWork(uint128 x, uint256 steps) public view {
        steps = bound(steps, 0, 64);
        assertEq(aow.replay(uint128(work(x % P, steps)), steps), x % P);
    }

    function testFuzz_StartIsHashedFromEverythingThatTellsWorkApart(uint64 round, address worker, uint64 steps)
        public
        view
    {
        assertEq(aow.startOf(round, HEIGHT, worker, steps), startOf(round, worker, steps));
    }

    function test_StartFollowsTheChainId() public {
        vm.chainId(4242);
        bytes32 blockHash = registry.finalizedHash(HEIGHT);
        assertEq(
            aow.startOf(ROUND, HEIGHT, nodes[1], STEPS),
            startOf(NETWORK, 4242, ROUND, blockHash, nodes[1], STEPS),
            "new chain"
        );
    }
}
