// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {Vm} from "forge-std/Vm.sol";
import {Vault} from "../../src/rewards/Vault.sol";
import {newVault} from "../helpers/Deployed.sol";
import {Stubborn, TrickyToken} from "../helpers/Mocks.sol";

/// @notice Deposits native currency and a token that misbehaves, and adds up what the vaults' events say.
contract VaultHandler is Test {
    Stubborn private distributor = new Stubborn();
    TrickyToken private token = new TrickyToken(address(this), 1e30);
    Vault[2] private vaults;
    uint256[2] private said;
    uint64[2] private next;

    constructor() {
        vaults = [newVault(address(distributor), address(0), 5), newVault(address(distributor), address(token), 5)];
        token.approve(address(vaults[1]), type(uint256).max);
    }

    function depositNative(address account, uint96 amount, uint8 mood) external {
        distributor.setMood(Stubborn.Mood(mood % 4));
        vm.deal(address(this), amount);
        vm.recordLogs();
        try vaults[0].deposit{value: amount}(account) {} catch {}
        addUp(0);
    }

    function depositToken(address account, uint96 amount, uint8 trick) external {
        TrickyToken.Trick[4] memory tricks =
            [TrickyToken.Trick.None, TrickyToken.Trick.Fee, TrickyToken.Trick.False, TrickyToken.Trick.Reentering];
        token.reenter(address(vaults[1]), abi.encodeWithSignature("deposit(address,uint256)", account, amount));
        token.play(tricks[trick % 4]);
        vm.recordLogs();
        try vaults[1].deposit(account, amount % 1e20) {} catch {}
        addUp(1);
    }

    function addUp(uint256 which) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter != address(vaults[which])) continue;
            assertEq(uint256(logs[i].topics[1]), next[which]++, "numbers have no gap");
            said[which] += abi.decode(logs[i].data, (uint256));
        }
        assertEq(vaults[which].count(), next[which]);
    }

    function checkReceived() external view {
        assertEq(address(distributor).balance, said[0]);
        assertEq(token.balanceOf(address(distributor)), said[1]);
    }

    function checkEmpty() external view {
        assertEq(address(vaults[0]).balance, 0);
        assertEq(token.balanceOf(address(vaults[1])), 0);
    }
}
