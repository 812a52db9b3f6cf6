// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {stdJson} from "forge-std/StdJson.sol";
import {Test} from "forge-std/Test.sol";
import {newDistributor, newRegistry} from "./Deployed.sol";
import {Allotment, Evidence, Formats, Header, Result, VoteKind} from "../src/Formats.sol";
import {Validators} from "../src/Validators.sol";
import {ResultRegistry} from "../src/ResultRegistry.sol";
import {IOutcomes, IRegistry, RewardDistributor} from "../src/RewardDistributor.sol";

/// @notice The structure whose hash is the network id. No contract reads it; only the format is checked here.
struct Genesis {
    string name;
    uint64 chainId;
    uint64 timestamp;
    uint64 maxBlockBytes;
    address[] validators;
    address[] requesters;
}

/// @notice Both languages agree byte by byte on what is signed and proven: these are the vectors of the Rust tests.
contract GoldenVectorsTest is Test {
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

    function test_GoldenVectors_Network() public view {
        Genesis memory genesis = Genesis({
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
        ResultRegistry registry = newRegistry(
            json.readBytes32(".network.network_id"), header.epoch, json.readAddressArray(".network.validators")
        );
        IOutcomes none = IOutcomes(address(registry)); // it is not asked about orders
        RewardDistributor distributor =
            newDistributor(IRegistry(address(registry)), none, address(this), 0, 0, new Allotment[](0));
        vm.deal(address(distributor), 1000 ether);

        registry.finalize(header, uint64(json.readUint(".certificate.view")), json.readBytes(".certificate.signatures"));
        assertTrue(registry.isFinalized(header.height, json.readBytes32(".header.hash")));

        assertEq(header.resultsRoot, json.readBytes32(".results_root"));
        uint256 count;
        for (; json.keyExists(item(".results", count)); ++count) {
            string memory entry = item(".results", count);
            Result memory result = Result({
                id: json.readBytes32(string.concat(entry, ".id")),
                worker: json.readAddress(string.concat(entry, ".worker")),
                payee: json.readAddress(string.concat(entry, ".payee")),
                amount: vm.parseUint(json.readString(string.concat(entry, ".amount"))),
                digest: json.readBytes32(string.concat(entry, ".digest"))
            });
            assertEq(this.leafOf(result), json.readBytes32(string.concat(entry, ".leaf")));
            uint256 before = result.payee.balance;
            distributor.pay(header, result, json.readBytes32Array(item(".proofs", count)));
            assertEq(result.payee.balance - before, result.amount);
        }
        assertGt(count, 0, "the vectors have a result");
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
            assertEq(uint256(evidence.kind), count);
            address accused = json.readAddress(string.concat(entry, ".address"));
            ResultRegistry registry = newRegistry(
                json.readBytes32(".network.network_id"), evidence.epoch, json.readAddressArray(".network.validators")
            );
            vm.expectEmit();
            emit Validators.ValidatorBarred(accused, json.readBytes32(string.concat(entry, ".id")));
            registry.reportEvidence(evidence);
            assertTrue(registry.isBarred(accused));
        }
        assertEq(count, 4, "one of each kind");
    }

    function hashHeader(Header calldata header_) external pure returns (bytes32) {
        return Formats.hash(header_);
    }

    function leafOf(Result calldata result) external pure returns (bytes32) {
        return Formats.leaf(result);
    }

    function item(string memory list, uint256 index) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(index), "]");
    }
}
