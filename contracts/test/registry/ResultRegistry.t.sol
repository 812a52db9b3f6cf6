// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Header} from "../../src/formats/Types.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {Validators} from "../../src/registry/Validators.sol";
import {newRegistry} from "../helpers/Deployed.sol";
import {Fixture} from "../helpers/Fixture.sol";

contract ResultRegistryTest is Fixture {
    ResultRegistry private registry;
    address[] private validators;

    function setUp() public {
        validators = makeValidators(7);
        registry = newRegistry(NETWORK, EPOCH, validators);
    }

    function test_Finalizes() public {
        Header memory header = makeHeader(3, 0);
        vm.expectEmit();
        emit ResultRegistry.Finalized(3, hashOf(header), VIEW);
        finalize(header);
        assertEq(registry.finalizedHash(3), hashOf(header));
        assertTrue(registry.isFinalized(3, hashOf(header)));
        assertFalse(registry.isFinalized(3, keccak256("another block")));
        assertEq(registry.latestHeight(), 3);
    }

    function test_LatestHeightIsTheGreatest() public {
        finalize(makeHeader(9, 0));
        finalize(makeHeader(4, 0));
        assertEq(registry.latestHeight(), 9);
        assertTrue(registry.isFinalized(4, hashOf(makeHeader(4, 0))));
    }

    function test_NothingIsFinalByDefault() public view {
        assertFalse(registry.isFinalized(1, 0));
        assertFalse(registry.isFinalized(1, hashOf(makeHeader(1, 0))));
        assertEq(registry.finalizedHash(1), 0);
        assertEq(registry.latestHeight(), 0);
    }

    function test_RevertWhen_WrongNetwork() public {
        Header memory header = makeHeader(1, 0);
        header.networkId = keccak256("elsewhere");
        expectRejection(header, abi.encodeWithSelector(ResultRegistry.WrongNetwork.selector, NETWORK, header.networkId));
    }

    function test_RevertWhen_WrongChain() public {
        Header memory header = makeHeader(1, 0);
        header.chainId = 56;
        expectRejection(header, abi.encodeWithSelector(ResultRegistry.WrongChain.selector, block.chainid, 56));
    }

    function test_RevertWhen_WrongEpoch() public {
        Header memory header = makeHeader(1, 0);
        header.epoch = EPOCH + 1;
        expectRejection(header, abi.encodeWithSelector(Validators.WrongEpoch.selector, EPOCH, EPOCH + 1));
    }

    function test_RevertWhen_HeightIsZero() public {
        expectRejection(makeHeader(0, 0), abi.encodeWithSelector(ResultRegistry.ZeroHeight.selector));
    }

    function test_RevertWhen_AlreadyFinalized() public {
        finalize(makeHeader(1, 0));
        expectRejection(makeHeader(1, 0), abi.encodeWithSelector(ResultRegistry.AlreadyFinalized.selector, 1));
    }

    function test_RevertWhen_HeaderConflicts() public {
        Header memory first = makeHeader(1, 0);
        Header memory second = makeHeader(1, keccak256("other results"));
        finalize(first);
        expectRejection(
            second, abi.encodeWithSelector(ResultRegistry.ConflictingHeader.selector, 1, hashOf(first), hashOf(second))
        );
        assertEq(registry.finalizedHash(1), hashOf(first));
    }

    /// @dev After a fork that changes the chain id, votes for the new chain count, and votes for the old one do not.
    function test_DomainFollowsTheChainId() public {
        Header memory old = makeHeader(1, 0);
        bytes memory oldVotes = certificate(old, validators, 0, 5);
        vm.chainId(4242);
        assertEq(registry.domainSeparator(), domainOf(NETWORK, 4242));
        vm.expectRevert(abi.encodeWithSelector(ResultRegistry.WrongChain.selector, 4242, old.chainId));
        registry.finalize(old, VIEW, oldVotes);
        finalize(makeHeader(1, 0));
    }

    /// @dev A vote counts for exactly one header and view. Each field that differs makes the signers strangers.
    function testFuzz_RevertWhen_VotesAreForSomethingElse(uint8 field, uint64 delta) public {
        delta = uint64(bound(delta, 1, type(uint64).max));
        Header memory header = makeHeader(1, 0);
        Header memory signed = makeHeader(1, 0);
        uint64 view_ = VIEW;
        field = field % 8;
        unchecked {
            if (field == 0) signed.networkId = bytes32(uint256(signed.networkId) ^ delta);
            else if (field == 1) signed.chainId += delta;
            else if (field == 2) signed.epoch += delta;
            else if (field == 3) signed.height += delta;
            else if (field == 4) view_ += delta;
            else if (field == 5) signed.timestamp += delta;
            else if (field == 6) signed.resultsRoot = bytes32(uint256(delta));
            else signed.proposer = address(uint160(signed.proposer) ^ uint160(delta));
        }
        bytes memory votes;
        bytes32 digest = digestOf(signed, view_);
        for (uint256 i; i < 5; ++i) {
            votes = bytes.concat(votes, signatureOf(validators[i], digest));
        }
        vm.expectRevert();
        registry.finalize(header, VIEW, votes);
        assertEq(registry.latestHeight(), 0);
    }

    function test_CertifiesDistributions() public {
        bytes32 hash = keccak256("distribution");
        vm.expectEmit(address(registry));
        emit ResultRegistry.Certified(5, hash);
        certify(5, hash);
        assertEq(registry.distributionNumber(), 5);
        assertEq(registry.distributionHash(), hash);
        assertTrue(registry.isCertified(5, hash));
        assertFalse(registry.isCertified(4, hash));
        assertFalse(registry.isCertified(5, keccak256("another")));
        certify(7, keccak256("another"));
        assertFalse(registry.isCertified(5, hash));
    }

    /// @dev The slot is empty before the first one, and an empty slot certifies nothing.
    function test_NothingIsCertifiedByDefault() public view {
        assertFalse(registry.isCertified(0, 0));
    }

    function test_RevertWhen_TheDistributionIsStale() public {
        bytes32 hash = keccak256("distribution");
        certify(5, hash);
        for (uint32 number = 0; number <= 5; ++number) {
            bytes memory votes = signatures(distributionDigestOf(NETWORK, EPOCH, number, hash), validators, 0, 5);
            vm.expectRevert(abi.encodeWithSelector(ResultRegistry.StaleDistribution.selector, 5, number));
            registry.certify(number, hash, votes);
        }
    }

    function test_RevertWhen_TheDistributionIsBelowQuorum() public {
        bytes memory votes = signatures(distributionDigestOf(NETWORK, EPOCH, 1, NETWORK), validators, 0, 4);
        vm.expectRevert(abi.encodeWithSelector(Validators.BelowQuorum.selector, 4, 5));
        registry.certify(1, NETWORK, votes);
    }

    function testFuzz_RevertWhen_SignaturesAreForAnotherDistribution(uint8 field, uint32 delta) public {
        delta = uint32(bound(delta, 1, type(uint32).max));
        bytes32 network = NETWORK;
        uint64 epoch = EPOCH;
        uint32 number = 1;
        bytes32 hash = keccak256("distribution");
        unchecked {
            if (field % 4 == 0) network = bytes32(uint256(network) ^ delta);
            else if (field % 4 == 1) epoch += delta;
            else if (field % 4 == 2) number += delta;
            else hash = bytes32(uint256(hash) ^ delta);
        }
        bytes memory votes = signatures(distributionDigestOf(network, epoch, number, hash), validators, 0, 5);
        vm.expectRevert();
        registry.certify(1, keccak256("distribution"), votes);
    }

    function finalize(Header memory header) private {
        registry.finalize(header, VIEW, certificate(header, validators, 0, 5));
    }

    function expectRejection(Header memory header, bytes memory reason) private {
        bytes memory votes = certificate(header, validators, 0, 5);
        vm.expectRevert(reason);
        registry.finalize(header, VIEW, votes);
    }

    function certify(uint32 number, bytes32 hash) private {
        registry.certify(number, hash, signatures(distributionDigestOf(NETWORK, EPOCH, number, hash), validators, 0, 5));
    }
}
