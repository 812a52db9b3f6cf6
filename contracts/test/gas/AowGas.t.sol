// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {AowFixture} from "../helpers/AowFixture.sol";
import {Budgets} from "../helpers/Budgets.sol";

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
        aow.commit(aow.commitmentOf(nodes[1], id, 200, SALT));
        check("commit to a challenge", 50_000);
        vm.roll(block.number + 1);
        vm.prank(nodes[1]);
        aow.challenge(id, checkpoints, 200, SALT);
        check("challenge, 4,096 steps, 256 checkpoints, another validator", 270_000);
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
