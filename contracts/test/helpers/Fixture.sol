// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {Allotment, Evidence, Header, Result, Solution, VoteKind} from "../../src/formats/Types.sol";
import {IOutcomes} from "../../src/interfaces/IOutcomes.sol";
import {Terms} from "../../src/interfaces/IRewardDistributor.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {RewardDistributor} from "../../src/rewards/RewardDistributor.sol";
import {newDistributor} from "./Deployed.sol";
import {Claim, Order, encodeClaim, encodeOrder, payloadHash, workHash} from "./Races.sol";

/// @notice What the tests share: validators with keys, a 3-of-5 wallet, headers, results, trees and certificates.
abstract contract Fixture is Test {
    bytes32 internal constant NETWORK = keccak256("test network");
    uint64 internal constant EPOCH = 7;
    uint64 internal constant VIEW = 2;
    uint64 internal constant DELAY = 2 days;
    uint64 internal constant CLAIM_PERIOD = 365 days;
    uint64 internal constant PERIOD = 1 days;
    uint128 internal constant CAP = 100 ether;
    uint64 internal constant FIRST_HEIGHT = 1;
    uint32 internal constant KIND_RACE = 1;
    uint32 internal constant KIND_ROUND = 2;
    uint32 internal constant KIND_BATCH = 3;
    uint32 internal constant KIND_EARNINGS = 4;
    /// @dev A custom kind that the distributors here take.
    uint32 internal constant KIND_CUSTOM = 0x80000007;
    /// @dev The order of secp256k1.
    uint256 internal constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    address internal constant REQUESTER = address(0x0E0E);

    mapping(address => uint256) internal keyOf;
    /// @dev Of the races that were made; empty for all other results.
    mapping(bytes32 id => Solution) internal solutionOf;

    /// @dev Validators with known keys, in ascending order of address.
    function makeValidators(uint256 n) internal returns (address[] memory) {
        return makeAccounts("validator", n);
    }

    /// @dev Owners with known keys, in ascending order of address.
    function makeOwners(uint256 n) internal returns (address[] memory) {
        return makeAccounts("owner", n);
    }

    function makeAddresses(uint256 n) internal returns (address[] memory) {
        return makeAccounts("address", n);
    }

    function makeAccounts(string memory name, uint256 n) private returns (address[] memory list) {
        list = new address[](n);
        for (uint256 i; i < n; ++i) {
            uint256 key = uint256(keccak256(abi.encode(name, i)));
            address account = vm.addr(key);
            keyOf[account] = key;
            uint256 slot = i;
            for (; slot > 0 && list[slot - 1] > account; --slot) {
                list[slot] = list[slot - 1];
            }
            list[slot] = account;
        }
    }

    /// @dev With a cap on the native currency and on the given tokens.
    function deployDistributor(ResultRegistry registry, address outcomes, address multisig, address[] memory tokens)
        internal
        returns (RewardDistributor)
    {
        Allotment[] memory caps = new Allotment[](tokens.length + 1);
        caps[0] = Allotment(address(0), CAP);
        for (uint256 i; i < tokens.length; ++i) {
            caps[i + 1] = Allotment(tokens[i], CAP);
        }
        return deployDistributor(registry, outcomes, multisig, FIRST_HEIGHT, caps);
    }

    function deployDistributor(
        ResultRegistry registry,
        address outcomes,
        address multisig,
        uint64 firstHeight,
        Allotment[] memory caps
    ) internal returns (RewardDistributor) {
        Terms memory terms = makeTerms(caps);
        terms.firstHeight = firstHeight;
        return newDistributor(registry, IOutcomes(outcomes), multisig, terms);
    }

    /// @dev A requester may have all that leaves at once, where a test says nothing else.
    function makeTerms(Allotment[] memory caps) internal pure returns (Terms memory terms) {
        terms.firstHeight = FIRST_HEIGHT;
        terms.kinds = new uint32[](1);
        terms.kinds[0] = KIND_CUSTOM;
        (terms.delay, terms.claimPeriod) = (DELAY, CLAIM_PERIOD);
        (terms.period, terms.requesterCap, terms.caps) = (PERIOD, CAP, caps);
    }

    /// @dev The result of a race that a worker has won, with its solution noted. Every hash wins.
    function makeRace(uint256 number, address worker, address payee, uint256 amount)
        internal
        returns (Result memory result)
    {
        return makeRace(number, worker, payee, amount, 1);
    }

    /// @dev The same with more work asked for, whether it was done or not.
    function makeRace(uint256 number, address worker, address payee, uint256 amount, uint64 expectedHashes)
        internal
        returns (Result memory result)
    {
        Order memory order = Order(uint64(number), "MNIST", "LeNet-5", "accuracy >= 0.99", amount, expectedHashes);
        bytes memory payload = encodeOrder(order);
        bytes32 domain = domainOf(NETWORK, block.chainid);
        result.kind = KIND_RACE;
        (result.id, result.worker, result.payee) = (payloadHash(domain, REQUESTER, payload), worker, payee);
        result.amount = amount;
        Claim memory claim;
        (claim.order, claim.race, claim.payee) = (result.id, keccak256(abi.encode("race", number)), payee);
        (claim.nonce, claim.startedAt) = (uint64(1 << 40) + uint64(number), 1_700_000_000_000_000);
        (claim.endedAt, claim.duration) = (claim.startedAt + 500_000, 499_998);
        claim.hash = workHash(NETWORK, claim.race, claim.order, worker, claim.nonce);
        solutionOf[result.id] = Solution(REQUESTER, payload, encodeClaim(claim));
        result.digest = payloadHash(domain, worker, solutionOf[result.id].claim);
    }

    function solutionsOf(Result[] memory results) internal view returns (Solution[] memory solutions) {
        solutions = new Solution[](results.length);
        for (uint256 i; i < results.length; ++i) {
            solutions[i] = solutionOf[results[i].id];
        }
    }

    function makeHeader(uint64 height, bytes32 resultsRoot) internal view returns (Header memory) {
        return Header({
            networkId: NETWORK,
            chainId: uint64(block.chainid),
            epoch: EPOCH,
            height: height,
            timestamp: 1_700_000_000_000 + height,
            proposer: address(0xBEEF),
            parentHash: keccak256(abi.encode("parent", height)),
            transactionsRoot: keccak256(abi.encode("transactions", height)),
            resultsRoot: resultsRoot
        });
    }

    function hashOf(Header memory header) internal pure returns (bytes32) {
        return keccak256(abi.encode(header));
    }

    /// @dev Written out anew rather than taken from the library under test.
    function digestOf(Header memory header, uint64 view_) internal pure returns (bytes32) {
        bytes32 domain = domainOf(header.networkId, header.chainId);
        bytes32 vote = keccak256(
            abi.encode(
                keccak256("Commit(uint64 epoch,uint64 view,uint64 height,bytes32 blockHash)"),
                header.epoch,
                view_,
                header.height,
                hashOf(header)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, vote));
    }

    function signatureOf(address signer, bytes32 digest) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[signer], digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev The votes of `count` signers from the given one on.
    function certificate(Header memory header, address[] memory signers, uint256 from, uint256 count)
        internal
        view
        returns (bytes memory)
    {
        return signatures(digestOf(header, VIEW), signers, from, count);
    }

    /// @dev Signatures of `count` signers from the given one on.
    function signatures(bytes32 digest, address[] memory signers, uint256 from, uint256 count)
        internal
        view
        returns (bytes memory list)
    {
        for (uint256 i; i < count; ++i) {
            list = bytes.concat(list, signatureOf(signers[from + i], digest));
        }
    }

    /// @dev Written out anew rather than taken from the library under test.
    function distributionDigestOf(bytes32 network, uint64 epoch, uint32 number, bytes32 hash)
        internal
        view
        returns (bytes32)
    {
        bytes32 typehash = keccak256("Distribution(uint64 epoch,uint32 number,bytes32 distributionHash)");
        bytes32 message = keccak256(abi.encode(typehash, epoch, number, hash));
        return keccak256(abi.encodePacked(hex"1901", domainOf(network, block.chainid), message));
    }

    /// @dev Written out anew rather than taken from the library under test.
    function rotationDigestOf(bytes32 network, uint64 epoch, address[] memory next) internal view returns (bytes32) {
        bytes memory members;
        for (uint256 i; i < next.length; ++i) {
            members = bytes.concat(members, bytes32(uint256(uint160(next[i]))));
        }
        bytes32 typehash = keccak256("Rotation(uint64 epoch,address[] validators)");
        bytes32 message = keccak256(abi.encode(typehash, epoch, keccak256(members)));
        return keccak256(abi.encodePacked(hex"1901", domainOf(network, block.chainid), message));
    }

    /// @dev Written out anew rather than taken from the library under test.
    function actionOf(string memory what, address target, uint256 value) internal pure returns (bytes32) {
        return keccak256(abi.encode(what, target, value));
    }

    function asNumber(address account) internal pure returns (uint256) {
        return uint160(account);
    }

    /// @dev Written out anew rather than taken from the library under test.
    function resolutionDigestOf(uint64 epoch, bytes32 action) internal view returns (bytes32) {
        bytes32 message = keccak256(abi.encode(keccak256("Resolution(uint64 epoch,bytes32 action)"), epoch, action));
        return keccak256(abi.encodePacked(hex"1901", domainOf(NETWORK, block.chainid), message));
    }

    /// @dev Has a quorum of a set of four or more resolve something in the current epoch.
    function resolve(ResultRegistry registry, bytes32 action, address[] memory set) internal {
        registry.resolve(action, signatures(resolutionDigestOf(registry.epoch(), action), set, 0, registry.quorum()));
    }

    /// @dev Has a quorum hand over to another set.
    function rotate(ResultRegistry registry, address[] memory set, address[] memory next) internal {
        bytes32 digest = rotationDigestOf(NETWORK, registry.epoch(), next);
        registry.rotate(next, signatures(digest, set, 0, registry.quorum()));
    }

    /// @dev Written out anew rather than taken from the library under test.
    function recoveryDigestOf(uint64 epoch, address[] memory next) internal view returns (bytes32) {
        bytes memory members;
        for (uint256 i; i < next.length; ++i) {
            members = bytes.concat(members, bytes32(uint256(uint160(next[i]))));
        }
        bytes32 typehash = keccak256("Recovery(uint64 epoch,address[] validators)");
        bytes32 message = keccak256(abi.encode(typehash, epoch, keccak256(members)));
        return keccak256(abi.encodePacked(hex"1901", domainOf(NETWORK, block.chainid), message));
    }

    function rewardLeafOf(address account, address token, uint256 cumulative) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(account, token, cumulative))));
    }

    /// @dev The kinds of which validators cast votes, in the order of the golden vectors.
    function voteKind(uint256 index) internal pure returns (VoteKind) {
        return VoteKind(index % 6 < 4 ? index % 6 : index % 6 + 2);
    }

    /// @dev Two votes of one validator that contradict each other, for a slot that all kinds can have.
    function makeEvidence(VoteKind kind, address[] memory signers, uint16 validator)
        internal
        view
        returns (Evidence memory evidence)
    {
        evidence.kind = kind;
        evidence.epoch = EPOCH;
        evidence.view_ = kind == VoteKind.Checkpoint ? 0 : VIEW;
        evidence.height = kind == VoteKind.Notarize ? 0 : 128;
        evidence.validator = validator;
        (evidence.firstHash, evidence.secondHash) = (bytes32(uint256(1)), bytes32(uint256(2)));
        if (kind == VoteKind.Nullify) evidence.firstHash = 0;
        sign(evidence, signers[validator]);
    }

    /// @dev Signs both votes of the evidence, whatever it says.
    function sign(Evidence memory evidence, address signer) internal view {
        evidence.firstSignature = signatureOf(signer, voteDigestOf(evidence, evidence.firstHash));
        evidence.secondSignature = signatureOf(signer, voteDigestOf(evidence, evidence.secondHash));
    }

    /// @dev Written out anew rather than taken from the library under test.
    function voteDigestOf(Evidence memory evidence, bytes32 hash) internal view returns (bytes32) {
        bytes32 vote;
        if (evidence.kind == VoteKind.Checkpoint) {
            bytes32 typehash = keccak256("Checkpoint(uint64 epoch,uint64 height,bytes32 stateRoot)");
            vote = keccak256(abi.encode(typehash, evidence.epoch, evidence.height, hash));
        } else if (evidence.kind == VoteKind.Notarize) {
            bytes32 typehash = keccak256("Notarize(uint64 epoch,uint64 view,bytes32 blockHash)");
            vote = keccak256(abi.encode(typehash, evidence.epoch, evidence.view_, hash));
        } else if (evidence.kind == VoteKind.Nullify && hash == 0) {
            bytes32 typehash = keccak256("Nullify(uint64 epoch,uint64 view)");
            vote = keccak256(abi.encode(typehash, evidence.epoch, evidence.view_));
        } else {
            string[3] memory names = ["PrePrepare", "Prepare", "Commit"];
            string memory fields = "(uint64 epoch,uint64 view,uint64 height,bytes32 blockHash)";
            bytes32 typehash = keccak256(
                abi.encodePacked(names[evidence.kind == VoteKind.Nullify ? 2 : uint256(evidence.kind)], fields)
            );
            vote = keccak256(abi.encode(typehash, evidence.epoch, evidence.view_, evidence.height, hash));
        }
        return keccak256(abi.encodePacked(hex"1901", domainOf(NETWORK, block.chainid), vote));
    }

    function domainOf(bytes32 network, uint256 chainId) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,bytes32 salt)"),
                keccak256("DTN"),
                keccak256("1"),
                chainId,
                network
            )
        );
    }

    function leafOf(Result memory result) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(result))));
    }

    function pairOf(bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return a < b ? keccak256(bytes.concat(a, b)) : keccak256(bytes.concat(b, a));
    }

    /// @dev The root of a tree whose odd last nodes move up unchanged, and the proof of one leaf.
    function merkle(bytes32[] memory leaves, uint256 index)
        internal
        pure
        returns (bytes32 root, bytes32[] memory proof)
    {
        proof = new bytes32[](0);
        while (leaves.length > 1) {
            uint256 sibling = index ^ 1;
            if (sibling < leaves.length) {
                bytes32[] memory longer = new bytes32[](proof.length + 1);
                for (uint256 i; i < proof.length; ++i) {
                    longer[i] = proof[i];
                }
                longer[proof.length] = leaves[sibling];
                proof = longer;
            }
            bytes32[] memory up = new bytes32[]((leaves.length + 1) / 2);
            for (uint256 i; i < up.length; ++i) {
                up[i] = 2 * i + 1 < leaves.length ? pairOf(leaves[2 * i], leaves[2 * i + 1]) : leaves[2 * i];
            }
            leaves = up;
            index /= 2;
        }
        root = leaves.length == 0 ? bytes32(0) : leaves[0];
    }

    /// @dev What identifies a piece of evidence, written out anew rather than taken from the library under test.
    function evidenceId(Evidence memory evidence) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                uint8(evidence.kind),
                evidence.epoch,
                evidence.view_,
                evidence.height,
                evidence.validator,
                evidence.firstHash,
                evidence.secondHash
            )
        );
    }
}
