// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {console} from "forge-std/console.sol";
import {Header, Result, Solution} from "../../src/formats/Types.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {RewardDistributor} from "../../src/rewards/RewardDistributor.sol";
import {MultiSigWallet} from "../../src/wallet/MultiSigWallet.sol";
import {newRegistry, newWallet} from "../helpers/Deployed.sol";
import {Fixture} from "../helpers/Fixture.sol";
import {Outcomes} from "../helpers/Mocks.sol";

/// @notice Makes blocks, finalizes some of them, and tries to get rewards out of a distributor: by the book, with one
/// of the two locks missing, twice, with results that are not in the block, for rounds that came to something else, and
/// for races without the winner's work.
contract PayoutHandler is Fixture {
    struct Block {
        Header header;
        Result[] results;
        bool certified;
    }

    MultiSigWallet public immutable wallet;
    ResultRegistry public immutable registry;
    Outcomes public immutable outcomes;
    RewardDistributor public immutable distributor;
    uint256 public funded;
    uint256 public paid;
    uint256 public breaches;
    uint256 public wrongRefusals;

    address[] private owners;
    address[] private validators;
    mapping(uint64 => bytes32) private finalHash;
    Block[] private blocks;
    bytes32[] private paidIds;
    mapping(bytes32 => uint256) private payments;
    mapping(bytes32 => bytes32) private outcomeAt;
    /// @dev By the digest of the claim, since an order may have several.
    mapping(bytes32 => Solution) private solutionTo;
    mapping(bytes32 => bool) private isWorked;
    mapping(address => uint256) private received;
    address[] private payees;
    uint256[4] private done;

    constructor() {
        owners = makeOwners(5);
        validators = makeValidators(4);
        wallet = newWallet(owners, 3);
        registry = newRegistry(NETWORK, EPOCH, validators);
        outcomes = new Outcomes();
        distributor = deployDistributor(registry, address(outcomes), address(wallet), new address[](0));
        for (uint256 i; i < 4; ++i) {
            payees.push(address(uint160(0x2000 + i)));
        }
        fund(10 ether);
    }

    function fund(uint256 amount) public {
        amount = bound(amount, 0, 10 ether);
        vm.deal(address(this), amount);
        (bool ok,) = address(distributor).call{value: amount}("");
        assertTrue(ok);
        funded += amount;
    }

    /// @dev Few heights and few ids, so that blocks conflict and results come again.
    function makeBlock(uint256 height, uint256 size, uint256 seed) external {
        if (blocks.length > 40) return;
        size = bound(size, 1, 5);
        Block storage made = blocks.push();
        bytes32[] memory leaves = new bytes32[](size);
        for (uint256 i; i < size; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            Result memory result = resultOf(random);
            made.results.push(result);
            leaves[i] = leafOf(result);
        }
        (bytes32 root,) = merkle(leaves, 0);
        made.header = makeHeader(uint64(1 + height % 8), root);
    }

    /// @dev A round comes to one of the digests that results state, or to something else. Once and for all.
    function decide(uint256 which, uint256 outcome) external {
        bytes32 id = roundOf(which % 12 & ~uint256(1));
        if (outcomeAt[id] != 0) return;
        outcomeAt[id] = bytes32(1 + outcome % 3);
        outcomes.set(id, outcomeAt[id]);
    }

    /// @dev A certificate of 0 to 4 votes; the registry must take those of at least 3.
    function finalize(uint256 which, uint256 votes) external {
        if (blocks.length == 0) return;
        Block storage chosen = blocks[which % blocks.length];
        votes = votes % 8 > 4 ? 3 : votes % 8;
        uint64 height = chosen.header.height;
        bytes32 hash = hashOf(chosen.header);
        try registry.finalize(chosen.header, VIEW, certificate(chosen.header, validators, 0, votes)) {
            if (votes < 3 || finalHash[height] != 0) ++breaches;
            finalHash[height] = hash;
            ++done[0];
        } catch {
            if (votes >= 3 && finalHash[height] == 0) ++wrongRefusals;
        }
    }

    /// @dev Through the wallet, with 1 to 5 confirmations.
    function payThroughWallet(uint256 which, uint256 index, uint256 confirmations, bool forged) external {
        if (blocks.length == 0) return;
        (Header memory header, Result memory result, bytes32[] memory proof) = claim(which, index, forged);
        Solution memory solution = solutionTo[forged ? bytes32(confirmations) : result.digest];
        confirmations = 1 + confirmations % 5;
        bytes memory data = abi.encodeCall(distributor.pay, (header, result, proof, solution));
        bytes32 salt = bytes32(++done[3]);
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(address(distributor), 0, data, 0, salt);
        for (uint256 i = 1; i < confirmations; ++i) {
            vm.prank(owners[i]);
            wallet.confirmTransaction(id);
        }
        bool open = confirmations >= 3 && finalHash[header.height] == hashOf(header) && !forged;
        open = open && (result.kind == KIND_RACE ? isWorked[result.digest] : outcomeAt[result.id] == result.digest);
        bool payable_ = payments[result.id] == 0 && result.amount <= address(distributor).balance;
        uint256 before = address(distributor).balance;
        vm.prank(owners[0]);
        try wallet.executeTransaction(address(distributor), 0, data, 0, salt) {
            if (!open) ++breaches;
            note(result, before);
        } catch {
            if (open && payable_) ++wrongRefusals;
            if (address(distributor).balance != before) ++breaches;
            ++done[2];
        }
    }

    /// @dev Around the wallet: by an owner, a validator, the payee or anybody.
    function payDirectly(uint256 which, uint256 index, uint256 by) external {
        if (blocks.length == 0) return;
        (Header memory header, Result memory result, bytes32[] memory proof) = claim(which, index, false);
        address[4] memory callers = [owners[0], validators[0], result.payee, address(this)];
        vm.prank(callers[by % 4]);
        try distributor.pay(header, result, proof, solutionTo[result.digest]) {
            ++breaches;
        } catch {}
    }

    function claim(uint256 which, uint256 index, bool forged)
        private
        view
        returns (Header memory header, Result memory result, bytes32[] memory proof)
    {
        Block storage chosen = blocks[which % blocks.length];
        index %= chosen.results.length;
        bytes32[] memory leaves = new bytes32[](chosen.results.length);
        for (uint256 i; i < leaves.length; ++i) {
            leaves[i] = leafOf(chosen.results[i]);
        }
        (, proof) = merkle(leaves, index);
        (header, result) = (chosen.header, chosen.results[index]);
        if (forged) result.amount += 1;
    }

    /// @dev Half of the results are of rounds, half of races, some of which ask for more work than anybody has done.
    function resultOf(uint256 random) private returns (Result memory result) {
        (uint256 index, address worker, address payee) = (random % 12, validators[random % 5 % 4], payees[random % 4]);
        if (index % 2 == 0) {
            worker = validators[index % 4];
            return Result(KIND_ROUND, roundOf(index), worker, payee, random % 3 ether, bytes32(1 + random % 2));
        }
        bool isEasy = index < 9;
        result = makeRace(index, worker, payee, index * 0.25 ether, isEasy ? 1 : type(uint64).max);
        (solutionTo[result.digest], isWorked[result.digest]) = (solutionOf[result.id], isEasy);
    }

    function roundOf(uint256 index) private view returns (bytes32) {
        return bytes32(index << 160 | uint160(validators[index % 4]));
    }

    function note(Result memory result, uint256 before) private {
        if (before - address(distributor).balance != result.amount) ++breaches;
        ++payments[result.id];
        if (payments[result.id] == 1) paidIds.push(result.id);
        received[result.payee] += result.amount;
        paid += result.amount;
        ++done[1];
    }

    function checkPayments() external view {
        for (uint256 i; i < paidIds.length; ++i) {
            assertEq(payments[paidIds[i]], 1, "paid once");
            assertTrue(distributor.isPaid(paidIds[i]));
        }
        for (uint256 i; i < payees.length; ++i) {
            assertEq(payees[i].balance, received[payees[i]], "received what was paid");
        }
    }

    function summary() external view {
        console.log("finalized %s, paid %s, refused %s", done[0], done[1], done[2]);
    }
}
