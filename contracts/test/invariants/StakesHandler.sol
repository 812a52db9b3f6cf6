// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {console} from "forge-std/console.sol";
import {Evidence, VoteKind} from "../../src/formats/Types.sol";
import {RegistryTerms} from "../../src/interfaces/IResultRegistry.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {newRegistry} from "../helpers/Deployed.sol";
import {Fixture} from "../helpers/Fixture.sol";
import {Outcomes} from "../helpers/Mocks.sol";

/// @notice Stakes, leaves, is reported, with a commitment and without, and collects, in any order; and keeps books of its own.
contract StakesHandler is Fixture {
    uint256 private constant ACCOUNTS = 7;
    uint128 private constant MOST = 100 ether;

    uint256 public breaches;
    ResultRegistry private registry;
    address private guardian = address(new Outcomes());
    /// @dev The first four are validators, the others report and stake as they like.
    address[] private accounts;
    address[] private validators;
    mapping(address account => uint256) private atStake;
    mapping(address account => uint256) private owed;
    mapping(address account => uint256) private has;
    mapping(address account => uint256) private freeAt;
    uint256[4] private done;

    constructor() {
        vm.warp(1_700_000_000);
        validators = makeValidators(4);
        accounts = validators;
        for (uint256 i = 4; i < ACCOUNTS; ++i) {
            accounts.push(address(uint160(0x5000 + i)));
        }
        registry = newRegistry(NETWORK, EPOCH, validators, RegistryTerms(guardian, address(0), 0));
        for (uint256 i; i < ACCOUNTS; ++i) {
            vm.deal(accounts[i], MOST);
            has[accounts[i]] = MOST;
            stake(i, MOST / 4);
        }
    }

    function stake(uint256 by, uint128 amount) public {
        address account = accounts[by % ACCOUNTS];
        amount = uint128(bound(amount, 0, has[account]));
        vm.prank(account);
        registry.stake{value: amount}(amount);
        (has[account], atStake[account], freeAt[account]) = (has[account] - amount, atStake[account] + amount, 0);
    }

    function unstake(uint256 by) public {
        address account = accounts[by % ACCOUNTS];
        bool good = by % ACCOUNTS > 3 && atStake[account] != 0 && freeAt[account] == 0;
        vm.prank(account);
        try registry.unstake() {
            if (!good) ++breaches;
            freeAt[account] = block.timestamp + 21 days;
        } catch {
            if (good) ++breaches;
        }
    }

    function reclaim(uint256 by) public {
        address account = accounts[by % ACCOUNTS];
        bool good = atStake[account] != 0 && freeAt[account] != 0 && block.timestamp >= freeAt[account];
        vm.prank(account);
        try registry.reclaim(account) {
            if (!good) ++breaches;
            (has[account], atStake[account]) = (has[account] + atStake[account], 0);
            ++done[0];
        } catch {
            if (good) ++breaches;
        }
    }

    /// @dev By the book, so that somebody does.
    function depart(uint256 by) external {
        by = 4 + by % 3;
        unstake(by);
        vm.warp(block.timestamp + 21 days);
        reclaim(by);
    }

    /// @dev By another or by itself. Each validator can be barred once.
    function report(uint256 by, uint256 which, uint256 how) external {
        address validator = validators[which % 4];
        address reporter = accounts[by % ACCOUNTS];
        if (how % 2 != 0) return;
        Evidence memory evidence = makeEvidence(VoteKind.Commit, validators, uint16(which % 4));
        bytes32 commitment = registry.commitmentOf(reporter, evidenceId(evidence));
        bool isCommitted = how % 4 == 0 && registry.committedAt(commitment) == 0;
        if (isCommitted) registry.commit(commitment);
        bool isEarly = how % 8 == 0;
        if (!isEarly) vm.roll(block.number + 1);
        uint256 since = registry.committedAt(commitment);
        bool shares = since != 0 && since < block.number && reporter != validator;
        bool good = !registry.isBarred(validator);
        vm.prank(reporter);
        try registry.reportEvidence(evidence) {
            if (!good) ++breaches;
            uint256 share = shares ? atStake[validator] / 4 : 0;
            owed[reporter] += share;
            owed[guardian] += atStake[validator] - share;
            (atStake[validator], freeAt[validator]) = (0, 0);
            ++done[1];
            if (share != 0) ++done[2];
        } catch {
            if (good) ++breaches;
        }
    }

    function collect(uint256 by) external {
        address account = accounts[by % ACCOUNTS];
        vm.prank(account);
        try registry.collect(account) {
            if (owed[account] == 0) ++breaches;
            (has[account], owed[account]) = (has[account] + owed[account], 0);
            ++done[3];
        } catch {
            if (owed[account] != 0) ++breaches;
        }
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 11 days));
    }

    function checkBooks() external view {
        uint256 sum = owed[guardian];
        assertEq(registry.creditOf(guardian), owed[guardian], "the owners'");
        for (uint256 i; i < ACCOUNTS; ++i) {
            (uint128 amount,) = registry.stakeOf(accounts[i]);
            assertEq(amount, atStake[accounts[i]], "at stake");
            assertEq(registry.creditOf(accounts[i]), owed[accounts[i]], "owed");
            assertEq(accounts[i].balance, has[accounts[i]], "paid out once");
            sum += amount + owed[accounts[i]];
        }
        assertEq(address(registry).balance, sum, "all that is at stake or owed is there");
    }

    function summary() external view {
        console.log("reclaimed %s, barred %s, shared %s", done[0], done[1], done[2]);
        console.log("collected %s", done[3]);
    }
}
