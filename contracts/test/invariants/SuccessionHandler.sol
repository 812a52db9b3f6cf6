// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {console} from "forge-std/console.sol";
import {Allotment, Header, Result, Solution} from "../../src/formats/Types.sol";
import {IOutcomes} from "../../src/interfaces/IOutcomes.sol";
import {Terms} from "../../src/interfaces/IRewardDistributor.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {RewardDistributor} from "../../src/rewards/RewardDistributor.sol";
import {newDistributor, newRegistry} from "../helpers/Deployed.sol";
import {Fixture} from "../helpers/Fixture.sol";
import {Outcomes, Stubborn} from "../helpers/Mocks.sol";

/// @notice A payee that calls its payer back.
contract Meddler {
    receive() external payable {
        RewardDistributor payer = RewardDistributor(payable(msg.sender));
        try payer.withdraw(address(0), address(this)) {} catch {}
    }
}

/// @notice Distributors that follow one another, each of which is asked to pay the blocks of all, to payees who take their
/// money, refuse it, burn gas, call back and call by themselves. Keeps books of who is owed what, and of what has left.
contract SuccessionHandler is Fixture {
    address private constant NATIVE = address(0);
    uint256 private constant PAYEES = 5;
    uint128 private constant SMALL_CAP = 5 ether;
    uint256 private constant MOST = 4;

    struct Made {
        Header header;
        Result[] results;
    }

    uint256 public breaches;
    RewardDistributor[] private chain;
    ResultRegistry private registry;
    Outcomes private outcomes;
    address private owners = address(new Outcomes());
    address[] private validators;
    address[PAYEES] private payees;
    Made[] private blocks;
    mapping(address payee => uint256) private earned;
    mapping(address payee => uint256) private withdrawn;
    mapping(uint256 place => uint256[]) private leftAt;
    mapping(uint256 place => uint256[]) private left;
    uint256[5] private done;

    constructor() {
        validators = makeValidators(4);
        registry = newRegistry(NETWORK, EPOCH, validators);
        outcomes = new Outcomes();
        deployNext(1);
        for (uint256 i; i < PAYEES; ++i) {
            payees[i] = i < 2 ? address(new Stubborn()) : i == 2 ? address(new Meddler()) : address(uint160(0x4000 + i));
        }
    }

    function setMood(uint256 which, uint256 mood) external {
        Stubborn(payable(payees[which % 2])).setMood(Stubborn.Mood(mood % 4));
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, PERIOD / 8));
    }

    function makeBlock(uint256 seed) public {
        if (blocks.length == 32) return;
        Made storage made = blocks.push();
        bytes32[] memory leaves = new bytes32[](1 + seed % 4);
        for (uint256 i; i < leaves.length; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            bytes32 id = keccak256(abi.encode(blocks.length, i));
            made.results.push(Result(KIND_CUSTOM, id, validators[0], payees[random % PAYEES], random % 3 ether, id));
            leaves[i] = leafOf(made.results[i]);
        }
        (bytes32 root,) = merkle(leaves, 0);
        made.header = makeHeader(uint64(blocks.length), root);
        registry.finalize(made.header, VIEW, certificate(made.header, validators, 0, 3));
    }

    /// @dev The owners close the last distributor and deploy another: by the book, or so that both would pay a height.
    function goOn(uint256 above, uint256 first) external {
        if (chain.length == MOST || blocks.length < 4 * chain.length) return;
        RewardDistributor last = chain[chain.length - 1];
        if (above % 4 != 0 && last.lastHeight() == type(uint64).max) {
            uint64 height = uint64(registry.latestHeight() + above % 3);
            vm.prank(owners);
            last.close(height);
        }
        uint64 firstHeight = uint64(registry.latestHeight() + first % 4);
        bool good = firstHeight > last.lastHeight();
        try this.deployNext(firstHeight) {
            if (!good) ++breaches;
            ++done[0];
        } catch {
            if (good) ++breaches;
        }
    }

    /// @dev Not for the fuzzer.
    function deployNext(uint64 firstHeight) public {
        if (chain.length != 0 && msg.sender != address(this)) return;
        Allotment[] memory caps = new Allotment[](1);
        caps[0] = Allotment(NATIVE, SMALL_CAP);
        Terms memory terms = makeTerms(caps);
        (terms.firstHeight, terms.requesterCap) = (firstHeight, CAP);
        if (chain.length != 0) terms.predecessor = address(chain[chain.length - 1]);
        RewardDistributor next = newDistributor(registry, IOutcomes(address(outcomes)), owners, terms);
        vm.deal(address(next), 1000 ether);
        chain.push(next);
    }

    /// @dev All results of a block, by any of the distributors. What a payee does changes nothing of what is paid.
    function payBlock(uint256 which, uint256 place) external {
        bool isNew = which % 2 == 0 || blocks.length == 0;
        if (isNew) makeBlock(which);
        Made storage made = blocks[isNew ? blocks.length - 1 : which % blocks.length];
        place = place % 2 == 0 ? placeOf(made.header.height) : place % chain.length;
        RewardDistributor payer = chain[place];
        (bool[] memory due, uint256 total) = dueOf(made, payer);
        (bytes32[][] memory proofs, Solution[] memory solutions) = proofsOf(made);
        vm.prank(owners);
        try payer.payMany(made.header, made.results, proofs, solutions) {
            for (uint256 i; i < due.length; ++i) {
                if (due[i]) earned[made.results[i].payee] += made.results[i].amount;
                if (due[i] && !payer.isPaid(made.results[i].id)) ++breaches;
            }
            leftAt[place].push(block.timestamp);
            left[place].push(total);
            ++done[1];
        } catch {
            if (total != 0) ++breaches;
            ++done[2];
        }
    }

    /// @dev A payee withdraws, or tries to have what is another's.
    function act(uint256 which, uint256 place, uint256 other) external {
        (address payee, address victim) = (payees[which % PAYEES], payees[other % PAYEES]);
        RewardDistributor payer = chain[place % chain.length];
        uint256 credit = payer.creditOf(payee, NATIVE);
        vm.prank(payee);
        try payer.withdraw(NATIVE, address(0xD00D)) {
            if (credit == 0) ++breaches;
            withdrawn[payee] += credit;
            ++done[3];
        } catch {
            if (credit != 0) ++breaches;
        }
        if (payee == victim) return;
        vm.prank(payee);
        try payer.withdrawFor(victim, NATIVE, payee) {
            ++breaches;
        } catch {}
        if (blocks.length == 0) return;
        Made storage made = blocks[other % blocks.length];
        (bytes32[][] memory proofs, Solution[] memory solutions) = proofsOf(made);
        vm.prank(payee);
        try payer.payMany(made.header, made.results, proofs, solutions) {
            ++breaches;
        } catch {}
    }

    /// @dev Of the distributor that pays a height, if any does.
    function placeOf(uint64 height) private view returns (uint256 place) {
        while (place + 1 < chain.length && height > chain[place].lastHeight()) ++place;
    }

    /// @dev By the heights that a distributor pays, and then by what the limits leave, one result after the other.
    function dueOf(Made storage made, RewardDistributor payer) private view returns (bool[] memory due, uint256 total) {
        due = new bool[](made.results.length);
        uint64 height = made.header.height;
        if (height < payer.firstHeight() || height > payer.lastHeight()) return (due, 0);
        for (uint256 i; i < due.length; ++i) {
            if (payer.isPaid(made.results[i].id)) return (new bool[](due.length), 0);
        }
        uint256 most = payer.available(NATIVE);
        (, uint256 allowance) = payer.allowanceOf(address(uint160(KIND_CUSTOM)));
        if (allowance < most) most = allowance;
        for (uint256 i; i < due.length; ++i) {
            uint256 amount = made.results[i].amount;
            due[i] = total + amount <= most;
            if (due[i]) total += amount;
        }
    }

    function proofsOf(Made storage made) private view returns (bytes32[][] memory proofs, Solution[] memory solutions) {
        bytes32[] memory leaves = new bytes32[](made.results.length);
        for (uint256 i; i < leaves.length; ++i) {
            leaves[i] = leafOf(made.results[i]);
        }
        (proofs, solutions) = (new bytes32[][](leaves.length), new Solution[](leaves.length));
        for (uint256 i; i < leaves.length; ++i) {
            (, proofs[i]) = merkle(leaves, i);
        }
    }

    function checkPaidOnce() external view {
        for (uint256 b; b < blocks.length; ++b) {
            for (uint256 i; i < blocks[b].results.length; ++i) {
                uint256 times;
                for (uint256 d; d < chain.length; ++d) {
                    if (chain[d].isPaid(blocks[b].results[i].id)) ++times;
                }
                assertLe(times, 1, "paid in one distributor only");
            }
        }
    }

    function checkPayees() external view {
        for (uint256 i; i < PAYEES; ++i) {
            uint256 has = payees[i].balance + withdrawn[payees[i]];
            for (uint256 d; d < chain.length; ++d) {
                has += chain[d].creditOf(payees[i], NATIVE);
            }
            assertEq(has, earned[payees[i]], "paid or credited what was earned");
        }
    }

    /// @dev Wherever a window of a period begins.
    function checkWindows() external view {
        for (uint256 d; d < chain.length; ++d) {
            for (uint256 i; i < left[d].length; ++i) {
                uint256 sum;
                for (uint256 k = i; k < left[d].length && leftAt[d][k] <= leftAt[d][i] + PERIOD; ++k) {
                    sum += left[d][k];
                }
                assertLe(sum, 2 * uint256(SMALL_CAP), "left in a period");
            }
        }
    }

    function summary() external view {
        console.log("successors %s, paid %s, refused %s", done[0], done[1], done[2]);
        console.log("withdrawn %s, blocks %s", done[3], blocks.length);
    }
}
