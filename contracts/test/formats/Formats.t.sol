// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {stdJson} from "forge-std/StdJson.sol";
import {Test} from "forge-std/Test.sol";
import {Bls} from "../../src/bls/Bls.sol";
import {Formats} from "../../src/formats/Formats.sol";
import {Kinds} from "../../src/formats/Kinds.sol";
import {Allotment, Distribution, Evidence, Header, Result, Solution, VoteKind} from "../../src/formats/Types.sol";
import {IOutcomes} from "../../src/interfaces/IOutcomes.sol";
import {RegistryTerms} from "../../src/interfaces/IResultRegistry.sol";
import {Terms} from "../../src/interfaces/IRewardDistributor.sol";
import {Barring} from "../../src/registry/Barring.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {Pow} from "../../src/rewards/Pow.sol";
import {RewardDistributor} from "../../src/rewards/RewardDistributor.sol";
import {newDistributor, newRegistry} from "../helpers/Deployed.sol";

/// @notice The structure whose hash is the network id. No contract reads it; only the format is checked here.
struct Genesis {
    uint32 version;
    string name;
    uint64 chainId;
    uint64 timestamp;
    uint64 maxBlockBytes;
    address[] validators;
    address[] requesters;
}

/// @notice Both languages agree byte by byte on what is signed and proven: these are the vectors of the Rust tests.
contract FormatsTest is Test {
    using stdJson for string;

    string private json;
    Header private header;

    function setUp() public {
        json = vm.readFile("crates/primitives/tests/vectors.json");
        vm.chainId(json.readUint(".network.chain_id"));
        header = Header({
            networkId: json.readBytes32(".header.network_id"),
            chainId: uint64(json.readUint(".header.chain_id")),
            epoch: uint64(json.readUint(".header.epoch")),
            height: uint64(json.readUint(".header.height")),
            timestamp: uint64(json.readUint(".header.timestamp")),
            proposer: json.readAddress(".header.proposer"),
            parentHash: json.readBytes32(".header.parent_hash"),
            transactionsRoot: json.readBytes32(".header.transactions_root"),
            resultsRoot: json.readBytes32(".header.results_root")
        });
    }

    /// @dev What the ledger states is a result like any other, whose id is its number and its token.
    function test_GoldenVectors_Statement() public view {
        bytes32 id = json.readBytes32(".distribution.statement.id");
        (uint32 number, address token) = Formats.statement(id);
        assertEq(number, json.readUint(".distribution.statement.number"));
        assertEq(token, json.readAddress(".distribution.statement.token"));
        assertEq(json.readUint(".distribution.statement.kind"), Kinds.EARNINGS);
        uint256 amount = vm.parseUint(json.readString(".distribution.statement.amount"));
        Result memory result = Result(
            Kinds.EARNINGS, id, address(0), address(0), amount, json.readBytes32(".distribution.statement.root")
        );
        assertEq(this.leafOf(result), json.readBytes32(".distribution.statement.leaf"));
    }

    function test_GoldenVectors_Network() public view {
        Genesis memory genesis = Genesis({
            version: uint32(json.readUint(".network.version")),
            name: json.readString(".network.name"),
            chainId: uint64(json.readUint(".network.chain_id")),
            timestamp: uint64(json.readUint(".network.timestamp")),
            maxBlockBytes: uint64(json.readUint(".network.max_block_bytes")),
            validators: json.readAddressArray(".network.validators"),
            requesters: json.readAddressArray(".network.requesters")
        });
        bytes32 networkId = json.readBytes32(".network.network_id");
        assertEq(keccak256(abi.encode(genesis)), networkId);
        assertEq(Formats.domainSeparator(networkId, genesis.chainId), json.readBytes32(".network.domain_separator"));
    }

    function test_GoldenVectors_Header() public view {
        assertEq(this.hashHeader(header), json.readBytes32(".header.hash"));
    }

    function test_GoldenVectors_Commit() public view {
        uint256 commits;
        for (uint256 i; json.keyExists(item(".votes", i)); ++i) {
            string memory vote = item(".votes", i);
            if (keccak256(bytes(json.readString(string.concat(vote, ".kind")))) != keccak256("commit")) continue;
            ++commits;
            bytes32 digest = Formats.commitDigest(
                json.readBytes32(".network.domain_separator"),
                uint64(json.readUint(string.concat(vote, ".epoch"))),
                uint64(json.readUint(string.concat(vote, ".view"))),
                uint64(json.readUint(string.concat(vote, ".height"))),
                json.readBytes32(string.concat(vote, ".block_hash"))
            );
            assertEq(digest, json.readBytes32(string.concat(vote, ".digest")));
        }
        assertGt(commits, 0, "the vectors have a commit vote");
    }

    /// @dev The whole way: the registry takes the certificate, and the distributor pays every result by its proof.
    function test_GoldenVectors_FromCertificateToPayout() public {
        ResultRegistry registry = deployRegistry(header.epoch);
        IOutcomes none = IOutcomes(address(registry)); // it is not asked about orders
        Terms memory terms;
        (terms.delay, terms.claimPeriod, terms.period) = (1, 1 days, 1);
        (terms.requesterCap, terms.caps) = (1000 ether, new Allotment[](1));
        terms.caps[0].amount = 1000 ether;
        RewardDistributor distributor = newDistributor(registry, none, address(this), terms);
        vm.deal(address(distributor), 1000 ether);

        registry.finalize(header, uint64(json.readUint(".certificate.view")), json.readBytes(".certificate.signatures"));
        assertTrue(registry.isFinalized(header.height, json.readBytes32(".header.hash")));

        assertEq(header.resultsRoot, json.readBytes32(".results_root"));
        uint256 count;
        for (; json.keyExists(item(".results", count)); ++count) {
            string memory entry = item(".results", count);
            Result memory result = Result({
                kind: uint32(json.readUint(string.concat(entry, ".kind"))),
                id: json.readBytes32(string.concat(entry, ".id")),
                worker: json.readAddress(string.concat(entry, ".worker")),
                payee: json.readAddress(string.concat(entry, ".payee")),
                amount: vm.parseUint(json.readString(string.concat(entry, ".amount"))),
                digest: json.readBytes32(string.concat(entry, ".digest"))
            });
            assertEq(this.leafOf(result), json.readBytes32(string.concat(entry, ".leaf")));
            uint256 before = result.payee.balance;
            bytes32[] memory proof = json.readBytes32Array(item(".proofs", count));
            distributor.pay(header, result, proof, solutionAt(item(".solutions", count)));
            assertEq(result.payee.balance - before, result.amount);
        }
        assertGt(count, 0, "the vectors have a result");
    }

    /// @dev The work of each race, mined in Rust, by its parts: which hash wins, and which is the greatest that does.
    function test_GoldenVectors_Work() public view {
        bytes32 networkId = json.readBytes32(".network.network_id");
        uint256 count;
        for (; json.keyExists(item(".solutions", count)); ++count) {
            string memory entry = item(".solutions", count);
            bytes32 hash = Pow.hashOf(
                networkId,
                json.readBytes32(string.concat(entry, ".race")),
                json.readBytes32(string.concat(item(".results", count), ".id")),
                json.readAddress(string.concat(item(".results", count), ".worker")),
                uint64(json.readUint(string.concat(entry, ".nonce")))
            );
            assertEq(hash, json.readBytes32(string.concat(entry, ".hash")));
            uint256 target = type(uint256).max / json.readUint(string.concat(entry, ".expected_hashes"));
            assertEq(bytes32(target), json.readBytes32(string.concat(entry, ".target")));
            assertLe(uint256(hash), target);
        }
        assertEq(count, 3, "one for each result");
    }

    function solutionAt(string memory entry) private view returns (Solution memory) {
        return Solution({
            requester: json.readAddress(string.concat(entry, ".requester")),
            order: json.readBytes(string.concat(entry, ".order")),
            claim: json.readBytes(string.concat(entry, ".claim"))
        });
    }

    /// @dev Evidence made in Rust, one of each kind, bars the validator that it accuses.
    function test_GoldenVectors_Evidence() public {
        uint256 count;
        for (; json.keyExists(item(".evidence", count)); ++count) {
            string memory entry = item(".evidence", count);
            Evidence memory evidence = Evidence({
                kind: VoteKind(json.readUint(string.concat(entry, ".kind"))),
                epoch: uint64(json.readUint(string.concat(entry, ".epoch"))),
                view_: uint64(json.readUint(string.concat(entry, ".view"))),
                height: uint64(json.readUint(string.concat(entry, ".height"))),
                validator: uint16(json.readUint(string.concat(entry, ".validator"))),
                firstHash: json.readBytes32(string.concat(entry, ".first_hash")),
                secondHash: json.readBytes32(string.concat(entry, ".second_hash")),
                firstSignature: json.readBytes(string.concat(entry, ".first_signature")),
                secondSignature: json.readBytes(string.concat(entry, ".second_signature"))
            });
            assertEq(uint256(evidence.kind), count < 4 ? count : count + 2, "two kinds are the contracts' own");
            address accused = json.readAddress(string.concat(entry, ".address"));
            ResultRegistry registry = deployRegistry(evidence.epoch);
            vm.expectEmit();
            emit Barring.ValidatorBarred(accused, json.readBytes32(string.concat(entry, ".id")));
            registry.reportEvidence(evidence);
            assertTrue(registry.isBarred(accused));
        }
        assertEq(count, 6, "one of each kind");
    }

    /// @dev What each account has earned is under the root, and the registry takes the validators' certificate of it.
    function test_GoldenVectors_Distribution() public {
        bytes32 root = json.readBytes32(".distribution.root");
        uint256 count;
        for (; json.keyExists(item(".distribution.earnings", count)); ++count) {
            string memory entry = item(".distribution.earnings", count);
            bytes32 leaf = Formats.rewardLeaf(
                json.readAddress(string.concat(entry, ".account")),
                json.readAddress(string.concat(entry, ".token")),
                vm.parseUint(json.readString(string.concat(entry, ".cumulative")))
            );
            assertEq(leaf, json.readBytes32(string.concat(entry, ".leaf")));
            assertTrue(MerkleProof.verify(json.readBytes32Array(string.concat(entry, ".proof")), root, leaf));
        }
        assertEq(count, 4, "the vectors have earnings");

        Allotment[] memory allotments = new Allotment[](2);
        for (uint256 i; i < 2; ++i) {
            string memory entry = item(".distribution.allotments", i);
            allotments[i] = Allotment({
                token: json.readAddress(string.concat(entry, ".token")),
                amount: uint128(vm.parseUint(json.readString(string.concat(entry, ".amount"))))
            });
        }
        uint32 number = uint32(json.readUint(".distribution.number"));
        bytes32 hash = this.hashDistribution(
            Distribution(json.readAddress(".distribution.distributor"), number, root, allotments)
        );
        assertEq(hash, json.readBytes32(".distribution.hash"));
        bytes32 separator = json.readBytes32(".network.domain_separator");
        uint64 epoch = uint64(json.readUint(".distribution.epoch"));
        bytes32 digest = Formats.distributionDigest(separator, epoch, number, hash);
        assertEq(digest, json.readBytes32(".distribution.digest"));

        ResultRegistry registry = deployRegistry(epoch);
        registry.certify(number, hash, json.readBytes(".distribution.certificate"));
        assertTrue(registry.isCertified(number, hash));
    }

    /// @dev The registry hands over to the validators that the certificate names.
    function test_GoldenVectors_Rotation() public {
        uint64 epoch = uint64(json.readUint(".rotation.epoch"));
        address[] memory next = json.readAddressArray(".rotation.validators");
        bytes32 digest = this.digestRotation(json.readBytes32(".network.domain_separator"), epoch, next);
        assertEq(digest, json.readBytes32(".rotation.digest"));
        ResultRegistry registry = deployRegistry(epoch);
        registry.rotate(next, json.readBytes(".rotation.certificate"));
        assertEq(registry.validators(), next);
    }

    /// @dev What the validators agree to is known to the registry by its action, whichever certificate says so.
    function test_GoldenVectors_Resolution() public {
        uint64 epoch = uint64(json.readUint(".resolution.epoch"));
        bytes32 action = Formats.action(
            json.readString(".resolution.what"),
            json.readAddress(".resolution.target"),
            vm.parseUint(json.readString(".resolution.value"))
        );
        assertEq(action, json.readBytes32(".resolution.action"));
        bytes32 digest = Formats.resolutionDigest(json.readBytes32(".network.domain_separator"), epoch, action);
        assertEq(digest, json.readBytes32(".resolution.digest"));
        ResultRegistry registry = deployRegistry(epoch);
        registry.resolve(action, json.readBytes(".resolution.certificate"));
        assertEq(registry.resolvedAt(action), block.timestamp);
    }

    /// @dev One more than may be faulty of the old set put others in its place, and what they sign for it is no rotation.
    function test_GoldenVectors_Recovery() public {
        uint64 epoch = uint64(json.readUint(".recovery.epoch"));
        address[] memory next = json.readAddressArray(".recovery.validators");
        bytes32 digest = this.digestRecovery(json.readBytes32(".network.domain_separator"), epoch, next);
        assertEq(digest, json.readBytes32(".recovery.digest"));
        bytes32 networkId = json.readBytes32(".network.network_id");
        address[] memory set = json.readAddressArray(".network.validators");
        ResultRegistry registry = newRegistry(networkId, epoch, set, RegistryTerms(address(this), address(0), 0));
        vm.expectRevert();
        registry.rotate(next, json.readBytes(".recovery.certificate"));
        registry.proposeRecovery(epoch, next, json.readBytes(".recovery.certificate"));
        skip(registry.RECOVERY_DELAY());
        registry.recover(next);
        assertEq(registry.validators(), next);
    }

    function test_GoldenVectors_Batch() public view {
        bytes32[] memory payouts = json.readBytes32Array(".batch.payouts");
        assertEq(this.hashBatch(json.readAddress(".batch.token"), payouts), json.readBytes32(".batch.hash"));
        uint256 total;
        for (uint256 i; i < payouts.length; ++i) {
            total += uint96(uint256(payouts[i]));
        }
        assertEq(total, vm.parseUint(json.readString(".batch.total")));
    }

    /// @dev Keys and proofs of possession made in Rust are registered, and what the keys sign together certifies a
    /// block, a distribution, a resolution and a rotation.
    function test_GoldenVectors_Bls() public {
        ResultRegistry registry = deployRegistry(header.epoch);
        bytes32 separator = json.readBytes32(".network.domain_separator");
        bytes memory keys;
        uint256 count;
        for (; json.keyExists(item(".bls.keys", count)); ++count) {
            string memory entry = item(".bls.keys", count);
            address account = json.readAddress(string.concat(entry, ".account"));
            bytes memory key = json.readBytes(string.concat(entry, ".key"));
            assertEq(this.digestKey(separator, account, key), json.readBytes32(string.concat(entry, ".digest")));
            bytes memory proof = json.readBytes(string.concat(entry, ".possession"));
            vm.prank(account);
            registry.registerKey(key, proof);
            keys = bytes.concat(keys, key);
        }
        assertEq(count, 4, "the vectors have the keys of all validators");
        registry.publishKeys(0xf, keys);

        bytes memory hashed = Bls.hashToG1(abi.encode(json.readBytes32(".bls.digest")), bytes(registry.SIGNATURE_DST()));
        bytes memory first = json.readBytes(".bls.keys[0].key");
        assertTrue(Bls.verify(json.readBytes(".bls.signature"), hashed, Bls.negateG2(first)));

        registry.finalize(header, uint64(json.readUint(".certificate.view")), json.readBytes(".bls.certificate"));
        assertTrue(registry.isFinalized(header.height, json.readBytes32(".header.hash")));
        uint32 number = uint32(json.readUint(".distribution.number"));
        bytes32 hash = json.readBytes32(".distribution.hash");
        registry.certify(number, hash, json.readBytes(".distribution.aggregate"));
        assertTrue(registry.isCertified(number, hash));
        bytes32 action = json.readBytes32(".resolution.action");
        registry.resolve(action, json.readBytes(".resolution.aggregate"));
        assertEq(registry.resolvedAt(action), block.timestamp);
        registry.rotate(json.readAddressArray(".rotation.validators"), json.readBytes(".rotation.aggregate"));
        assertEq(registry.epoch(), header.epoch + 1);
    }

    function digestKey(bytes32 separator, address account, bytes calldata key) external pure returns (bytes32) {
        return Formats.keyDigest(separator, account, key);
    }

    function hashDistribution(Distribution calldata distribution) external pure returns (bytes32) {
        return Formats.hash(distribution);
    }

    function digestRotation(bytes32 separator, uint64 epoch, address[] calldata next) external pure returns (bytes32) {
        return Formats.rotationDigest(separator, epoch, next);
    }

    function digestRecovery(bytes32 separator, uint64 epoch, address[] calldata next) external pure returns (bytes32) {
        return Formats.recoveryDigest(separator, epoch, next);
    }

    function hashBatch(address token, bytes32[] calldata payouts) external pure returns (bytes32) {
        return Formats.batchHash(token, payouts);
    }

    function hashHeader(Header calldata header_) external pure returns (bytes32) {
        return Formats.hash(header_);
    }

    function leafOf(Result calldata result) external pure returns (bytes32) {
        return Formats.leaf(result);
    }

    function deployRegistry(uint64 epoch) private returns (ResultRegistry) {
        return newRegistry(json.readBytes32(".network.network_id"), epoch, json.readAddressArray(".network.validators"));
    }

    function item(string memory list, uint256 index) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(index), "]");
    }
}
