// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {console} from "forge-std/console.sol";
import {Allotment, Distribution, Header, Result, VoteKind} from "../../src/formats/Types.sol";
import {Stubborn} from "../helpers/Mocks.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

/// @notice Certifies, schedules, activates and cancels distributions, claims from them, pushes batches, withdraws,
/// sweeps, bars accounts and rotates the validators, in any order: by the book and against it. Keeps books of its own.
contract DistributionHandler is RewardsFixture {
    address private constant NATIVE = address(0);
    uint256 private constant ACCOUNTS = 6;

    uint256 public breaches;
    uint256 public wrongRefusals;
    /// @dev By token: 0 is the native currency, 1 the first token.
    uint256[2] public funded;
    uint256[2] public paid;
    uint256[2] public allotted;
    uint256[2] public credited;
    uint256[2] public activatedTotal;
    uint256 public activations;

    address[] private accounts;
    Stubborn private stubborn;
    Distribution[] private made;
    uint256[ACCOUNTS][2][] private earned;
    uint256[ACCOUNTS][2] private claimed;
    /// @dev What distributions have allotted, less what was swept.
    uint256[2] private totals;
    /// @dev What has been taken of what was free, and when.
    uint256[][2] private takenAt;
    uint256[][2] private taken;
    uint256 private certified;
    uint256 private waiting;
    uint256 private waitingUntil;
    uint256 private active;
    uint256 private expiry;
    uint64 private height;
    uint256 private firstEpochEndedAt;
    address[] private members;
    bytes32[] private batchIds;
    bytes32[][] private batches;
    bool[] private pushed;
    uint256[6] private done;

    constructor() {
        deployRewards();
        members = validators;
        funded[1] = 1000 ether;
        // Two validators among the accounts, who may be barred, and one who often does not take money.
        stubborn = new Stubborn();
        accounts.push(validators[0]);
        accounts.push(validators[1]);
        accounts.push(address(stubborn));
        for (uint256 i = 3; i < ACCOUNTS; ++i) {
            accounts.push(accountAt(i));
        }
        made.push();
        earned.push();
        fund(40 ether);
        fund(40 ether);
    }

    /// @dev By the book, so that there is something to claim.
    function distributeNext(uint256 seed) external {
        certifyNext(seed, false);
        scheduleAny(1, false);
        vm.warp(block.timestamp + DELAY);
        activateAny(1);
    }

    function fund(uint256 amount) public {
        amount = bound(amount, 0, 40 ether);
        vm.deal(address(this), amount);
        (bool ok,) = address(distributor).call{value: amount}("");
        assertTrue(ok);
        funded[0] += amount;
    }

    function setMood(uint256 mood) external {
        stubborn.setMood(Stubborn.Mood(mood % 4));
    }

    function pass(uint256 time) external {
        vm.warp(block.timestamp + (time % 8 == 0 ? CLAIM_PERIOD : bound(time, 1, 2 * DELAY)));
    }

    /// @dev The validators certify what all have earned, sometimes less than before and sometimes with too few votes. At
    /// times the allotments have nothing to do with it.
    function certifyNext(uint256 seed, bool few) public {
        uint256 last = earned.length - 1;
        uint256[ACCOUNTS][2] memory now_ = earned[last];
        uint128[2] memory fresh;
        for (uint256 t; t < 2; ++t) {
            for (uint256 i; i < ACCOUNTS; ++i) {
                uint256 random = uint256(keccak256(abi.encode(seed, t, i))) % 10 ether;
                if (random < 1 ether) now_[t][i] /= 2;
                else if (random > 5 ether) (now_[t][i], fresh[t]) = (now_[t][i] + random, fresh[t] + uint128(random));
            }
            if (seed % 8 == t) fresh[t] = uint128(seed % (2 * CAP));
        }
        made.push();
        earned.push(now_);
        uint256 which = made.length - 1;
        Distribution storage next = made[which];
        (next.distributor, next.number) = (address(distributor), uint32(which));
        (next.root,) = merkle(leavesOf(which), 0);
        for (uint256 t; t < 2; ++t) {
            // At times less than there has been, which adds nothing and takes nothing back.
            uint128 total = uint128(totals[t]) + fresh[t];
            next.allotments.push(Allotment(tokenAt(t), seed % 16 == 15 ? total / 2 : total));
        }

        bytes32 digest = distributionDigestOf(NETWORK, registry.epoch(), next.number, hashOf(next));
        bytes memory votes = signatures(digest, members, 0, registry.quorum() - (few ? 1 : 0));
        try registry.certify(next.number, hashOf(next), votes) {
            if (few) ++breaches;
            certified = which;
        } catch {
            if (!few) ++wrongRefusals;
        }
    }

    function scheduleAny(uint256 which, bool byStranger) public {
        which = which % 3 == 0 ? which % made.length : certified;
        Distribution memory distribution = made[which];
        bool open = !byStranger && which != 0 && which == certified && which > active;
        for (uint256 t; open && t < 2; ++t) {
            open = addedBy(which, t) <= CAP;
        }
        vm.prank(byStranger ? validators[0] : address(wallet));
        try distributor.schedule(distribution) {
            if (!open) ++breaches;
            (waiting, waitingUntil) = (which, block.timestamp + DELAY);
        } catch {
            if (open) ++wrongRefusals;
        }
    }

    function cancel(uint256 seed) external {
        if (seed % 8 != 0 || waiting == 0) return;
        vm.prank(address(wallet));
        distributor.cancel();
        waiting = 0;
    }

    function activateAny(uint256 which) public {
        which = which % 3 == 0 ? which % made.length : waiting;
        Distribution memory distribution = made[which];
        bool open = which != 0 && which == waiting && block.timestamp >= waitingUntil && which == certified;
        for (uint256 t; open && t < 2; ++t) {
            open = allotted[t] + credited[t] + addedBy(which, t) <= funded[t] - paid[t];
            open = open && addedBy(which, t) <= distributor.available(tokenAt(t));
        }
        try distributor.activate(distribution) {
            if (!open) ++breaches;
            for (uint256 t; t < 2; ++t) {
                uint256 added = addedBy(which, t);
                allotted[t] += added;
                activatedTotal[t] += added;
                totals[t] += added;
                take(t, added);
            }
            (active, waiting, expiry) = (which, 0, block.timestamp + CLAIM_PERIOD);
            ++activations;
        } catch {
            if (open) ++wrongRefusals;
        }
    }

    /// @dev From any root, for any account; only the active one's leaves may pay.
    function claimEach(uint256 t) external {
        for (uint256 i; i < ACCOUNTS; ++i) {
            claimAny(1, t % 2, i);
        }
    }

    function claimAny(uint256 which, uint256 t, uint256 i) public {
        bool forged = which % 7 == 0;
        which = which % 4 == 0 ? which % made.length : active;
        (t, i) = (t % 2, i % ACCOUNTS);
        if (which == 0) return;
        uint256 cumulative = earned[which][t][i] + (forged ? 1 : 0);
        (, bytes32[] memory proof) = merkle(leavesOf(which), t * ACCOUNTS + i);
        uint256 amount = cumulative > claimed[t][i] ? cumulative - claimed[t][i] : 0;
        bool open = !forged && made[which].root == made[active].root && active != 0 && amount != 0;
        open = open && amount <= allotted[t] && !registry.isBarred(accounts[i]);
        uint256[2] memory before = [balanceOf(t, accounts[i]), distributor.creditOf(accounts[i], tokenAt(t))];
        try distributor.claim(accounts[i], tokenAt(t), cumulative, proof) {
            if (!open) ++breaches;
            noteClaim(t, i, amount, before);
            (claimed[t][i], allotted[t]) = (cumulative, allotted[t] - amount);
            ++done[0];
        } catch {
            if (open) ++wrongRefusals;
        }
    }

    /// @dev Who takes no money, and nobody else, is credited.
    function noteClaim(uint256 t, uint256 i, uint256 amount, uint256[2] memory before) private {
        uint256 got = balanceOf(t, accounts[i]) - before[0];
        uint256 owed = distributor.creditOf(accounts[i], tokenAt(t)) - before[1];
        bool takes = t == 1 || i != 2 || stubborn.mood() == Stubborn.Mood.Willing;
        if (got + owed != amount || takes != (owed == 0)) ++breaches;
        (paid[t], credited[t]) = (paid[t] + got, credited[t] + owed);
    }

    function approveAny(uint256 seed) public {
        seed = uint128(seed);
        uint256 t = seed % 2;
        bytes32[] memory payouts = new bytes32[](1 + seed % 5);
        for (uint256 k; k < payouts.length; ++k) {
            payouts[k] =
                payoutOf(accounts[(seed + k) % ACCOUNTS], uint96(uint256(keccak256(abi.encode(seed, k))) % 4e18));
        }
        Result memory result = batchResult(tokenAt(t), payouts, ++height);
        Header memory header = makeHeader(height, leafOf(result));
        header.epoch = registry.epoch();
        registry.finalize(header, VIEW, certificate(header, members, 0, registry.quorum()));
        vm.prank(address(wallet));
        distributor.pay(header, result, new bytes32[](0), solutionOf[result.id]);
        vm.warp(block.timestamp + DELAY);
        batchIds.push(result.id);
        batches.push(payouts);
        pushed.push();
    }

    function pushAny(uint256 which, uint256 t) external {
        if (which % 4 != 0) approveAny(which);
        if (batches.length == 0) return;
        if (which % 4 != 0) (which, t) = (batches.length - 1, which % 2);
        (which, t) = (which % batches.length, t % 2);
        bytes32[] memory payouts = batches[which];
        bool open = !pushed[which] && totalOf(payouts) + allotted[t] + credited[t] <= funded[t] - paid[t];
        open = open && totalOf(payouts) <= distributor.available(tokenAt(t));
        uint256[ACCOUNTS] memory before = balances(t);
        uint256[ACCOUNTS] memory creditBefore = credits(t);
        try distributor.push(batchIds[which], tokenAt(t), payouts, payouts.length) {
            if (!open) ++breaches;
            pushed[which] = true;
            ++done[1];
            notePush(payouts, t, before, creditBefore);
            take(t, totalOf(payouts));
        } catch {
            // The batch is of the other token half of the time.
            (bytes24 commitment,,) = distributor.batchOf(batchIds[which]);
            if (open && commitment == bytes24(approvalOf(tokenAt(t), payouts))) ++wrongRefusals;
        }
    }

    function withdrawAny(uint256 t, uint256 i) external {
        (t, i) = (t % 2, i % ACCOUNTS);
        uint256 amount = distributor.creditOf(accounts[i], tokenAt(t));
        vm.prank(accounts[i]);
        try distributor.withdraw(tokenAt(t), address(0xD00D)) {
            if (amount == 0) ++breaches;
            (credited[t], paid[t]) = (credited[t] - amount, paid[t] + amount);
            ++done[2];
        } catch {
            if (amount != 0) ++wrongRefusals;
        }
    }

    function sweepAny(uint256 t, bool byStranger) external {
        t %= 2;
        bool open = !byStranger && block.timestamp >= expiry && allotted[t] != 0;
        vm.prank(byStranger ? validators[0] : address(wallet));
        try distributor.sweep(tokenAt(t)) {
            if (!open) ++breaches;
            (allotted[t], paid[t], totals[t]) = (0, paid[t] + allotted[t], totals[t] - allotted[t]);
            ++done[3];
        } catch {
            if (open) ++wrongRefusals;
        }
    }

    function bar(uint256 seed, uint16 which) external {
        which %= 2;
        if (seed % 64 != 0 || registry.isBarred(validators[which])) return;
        bool isLate = firstEpochEndedAt != 0 && block.timestamp > firstEpochEndedAt + registry.EVIDENCE_LIFE();
        try registry.reportEvidence(makeEvidence(VoteKind.Commit, validators, which)) {
            if (isLate) ++breaches;
            ++done[4];
        } catch {
            if (!isLate) ++wrongRefusals;
        }
    }

    /// @dev To the set of five and back to the set of four. Who has left certifies nothing.
    function rotate(uint256 seed) external {
        if (seed % 4 != 0) return;
        uint64 epoch = registry.epoch();
        address[] memory next = makeValidators(members.length == 4 ? 5 : 4);
        for (uint256 i; i < next.length; ++i) {
            if (registry.isBarred(next[i])) return;
        }
        if (epoch == EPOCH) firstEpochEndedAt = block.timestamp;
        uint256 quorum = registry.quorum();
        bytes32 digest = rotationDigestOf(NETWORK, epoch, next);
        registry.rotate(next, signatures(digest, members, 0, quorum));
        address[] memory last = members;
        members = next;
        ++done[5];
        bytes32 hash = keccak256("late");
        bytes memory votes =
            signatures(distributionDigestOf(NETWORK, epoch, uint32(made.length), hash), last, 0, quorum);
        try registry.certify(uint32(made.length), hash, votes) {
            ++breaches;
        } catch {}
    }

    function checkBooks() external view {
        for (uint256 t; t < 2; ++t) {
            (uint96 allotted_, uint96 credited_,) = distributor.reserveOf(tokenAt(t));
            assertEq(allotted_, allotted[t], "allotted");
            assertEq(credited_, credited[t], "credited");
            uint256 balance = balanceOf(t, address(distributor));
            assertEq(balance, funded[t] - paid[t], "what was funded and not paid is there");
            assertGe(balance, allotted[t] + credited[t], "solvent");
            uint256 sum;
            uint256 creditSum;
            for (uint256 i; i < ACCOUNTS; ++i) {
                assertEq(distributor.claimedOf(accounts[i], tokenAt(t)), claimed[t][i], "claimed");
                sum += claimed[t][i];
                creditSum += distributor.creditOf(accounts[i], tokenAt(t));
            }
            assertEq(creditSum, credited[t], "credits add up");
            assertLe(sum, activatedTotal[t], "claimed what was allotted");
            assertLe(activatedTotal[t], activations * CAP, "allotted within the caps");
        }
    }

    /// @dev Wherever a window of a period begins, no more than twice the cap is taken in it.
    function checkWindows() external view {
        for (uint256 t; t < 2; ++t) {
            for (uint256 i; i < taken[t].length; ++i) {
                uint256 sum;
                for (uint256 k = i; k < taken[t].length && takenAt[t][k] <= takenAt[t][i] + PERIOD; ++k) {
                    sum += taken[t][k];
                }
                assertLe(sum, 2 * uint256(CAP), "taken in a period");
            }
        }
    }

    function take(uint256 t, uint256 amount) private {
        takenAt[t].push(block.timestamp);
        taken[t].push(amount);
    }

    function addedBy(uint256 which, uint256 t) private view returns (uint256) {
        uint256 stated = made[which].allotments[t].amount;
        return stated > totals[t] ? stated - totals[t] : 0;
    }

    function summary() external view {
        console.log("activated %s, claims %s, pushed %s", activations, done[0], done[1]);
        console.log("withdrawn %s, swept %s, barred %s", done[2], done[3], done[4]);
        console.log("rotated %s", done[5]);
    }

    function notePush(
        bytes32[] memory payouts,
        uint256 t,
        uint256[ACCOUNTS] memory before,
        uint256[ACCOUNTS] memory creditBefore
    ) private {
        uint256[ACCOUNTS] memory now_ = balances(t);
        uint256[ACCOUNTS] memory creditNow = credits(t);
        for (uint256 i; i < ACCOUNTS; ++i) {
            uint256 due;
            for (uint256 k; k < payouts.length; ++k) {
                if (accountOf(payouts[k]) == accounts[i]) due += uint96(uint256(payouts[k]));
            }
            if (registry.isBarred(accounts[i])) due = 0;
            uint256 got = now_[i] - before[i];
            uint256 owed = creditNow[i] - creditBefore[i];
            if (got + owed != due || (owed != 0 && (i != 2 || t == 1))) ++breaches;
            (paid[t], credited[t]) = (paid[t] + got, credited[t] + owed);
        }
    }

    function leavesOf(uint256 which) private view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](2 * ACCOUNTS);
        for (uint256 k; k < leaves.length; ++k) {
            (uint256 t, uint256 i) = (k / ACCOUNTS, k % ACCOUNTS);
            leaves[k] = rewardLeafOf(accounts[i], tokenAt(t), earned[which][t][i]);
        }
    }

    function approvalOf(address token, bytes32[] memory payouts) private pure returns (bytes32) {
        return keccak256(abi.encode(batchHashOf(token, payouts), totalOf(payouts)));
    }

    function balances(uint256 t) private view returns (uint256[ACCOUNTS] memory list) {
        for (uint256 i; i < ACCOUNTS; ++i) {
            list[i] = balanceOf(t, accounts[i]);
        }
    }

    function credits(uint256 t) private view returns (uint256[ACCOUNTS] memory list) {
        for (uint256 i; i < ACCOUNTS; ++i) {
            list[i] = distributor.creditOf(accounts[i], tokenAt(t));
        }
    }

    function balanceOf(uint256 t, address account) private view returns (uint256) {
        return t == 0 ? account.balance : tokens[0].balanceOf(account);
    }

    function tokenAt(uint256 t) private view returns (address) {
        return t == 0 ? NATIVE : address(tokens[0]);
    }
}
