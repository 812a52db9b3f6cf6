// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Evidence, Header, VoteKind} from "../../src/formats/Types.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {Validators} from "../../src/registry/Validators.sol";
import {newRegistry} from "../helpers/Deployed.sol";
import {Fixture} from "../helpers/Fixture.sol";

/// @notice Certified distributions, and validator sets that name the next ones.
contract RotationTest is Fixture {
    ResultRegistry private registry;
    address[] private old;
    address[] private next;

    /// @dev Of seven validators, the first two leave and two come.
    function setUp() public {
        old = makeValidators(7);
        address[] memory nine = makeValidators(9);
        for (uint256 i; i < 9; ++i) {
            if (nine[i] != old[0] && nine[i] != old[1]) next.push(nine[i]);
        }
        registry = newRegistry(NETWORK, EPOCH, old);
    }

    function test_RotatesByTheOldSetsCertificate() public {
        vm.expectEmit(address(registry));
        emit Validators.Rotated(EPOCH + 1, membersHash(next));
        rotate();
        assertEq(registry.epoch(), EPOCH + 1);
        assertEq(registry.validators(), next);
        assertEq(registry.validatorsOf(EPOCH), old);
        assertEq(registry.validatorsOf(EPOCH + 1), next);
        assertFalse(registry.isValidator(old[0]));
        assertTrue(registry.isValidator(next[6]));
    }

    function test_TheSizeMayChange() public {
        address[] memory ten = makeValidators(10);
        registry.rotate(ten, signatures(rotationDigestOf(NETWORK, EPOCH, ten), old, 0, 5));
        assertEq(registry.quorum(), 7);
        Header memory header = makeHeader(1, 0);
        header.epoch = EPOCH + 1;
        registry.finalize(header, VIEW, certificate(header, ten, 0, 7));
    }

    function test_RevertWhen_RotationIsBelowQuorum() public {
        bytes memory votes = signatures(rotationDigestOf(NETWORK, EPOCH, next), old, 0, 4);
        vm.expectRevert(abi.encodeWithSelector(Validators.BelowQuorum.selector, 4, 5));
        registry.rotate(next, votes);
    }

    /// @dev The new set cannot bring itself in.
    function test_RevertWhen_TheNewSetRotates() public {
        bytes memory votes = signatures(rotationDigestOf(NETWORK, EPOCH, next), next, 2, 5);
        vm.expectRevert();
        registry.rotate(next, votes);
    }

    /// @dev The certificate names the epoch that signs, so no other epoch takes it: neither later nor again.
    function test_RevertWhen_TheRotationIsOfAnotherEpoch() public {
        uint64[3] memory others = [EPOCH - 1, EPOCH + 1, EPOCH + 2];
        for (uint256 i; i < 3; ++i) {
            bytes memory votes = signatures(rotationDigestOf(NETWORK, others[i], next), old, 0, 5);
            vm.expectRevert();
            registry.rotate(next, votes);
        }
        assertEq(registry.epoch(), EPOCH);
    }

    /// @dev The same set goes on, so a replayed rotation would have signers enough.
    function test_RevertWhen_ARotationIsReplayed() public {
        bytes memory votes = signatures(rotationDigestOf(NETWORK, EPOCH, old), old, 0, 5);
        registry.rotate(old, votes);
        vm.expectRevert();
        registry.rotate(old, votes);
        assertEq(registry.epoch(), EPOCH + 1);
    }

    function test_RevertWhen_TheRotationIsForAnotherNetworkChainOrSet() public {
        bytes memory votes = signatures(rotationDigestOf(keccak256("elsewhere"), EPOCH, next), old, 0, 5);
        vm.expectRevert();
        registry.rotate(next, votes);
        votes = signatures(rotationDigestOf(NETWORK, EPOCH, next), old, 0, 5);
        address[] memory other = next;
        other[0] = address(1);
        vm.expectRevert();
        registry.rotate(other, votes);
        vm.chainId(4242);
        vm.expectRevert();
        registry.rotate(next, votes);
    }

    function test_RevertWhen_TheNextSetIsInvalid() public {
        address[] memory few = makeValidators(3);
        bytes memory votes = signatures(rotationDigestOf(NETWORK, EPOCH, few), old, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Validators.InvalidValidatorCount.selector, 3));
        registry.rotate(few, votes);
        address[] memory unsorted = next;
        (unsorted[2], unsorted[3]) = (unsorted[3], unsorted[2]);
        votes = signatures(rotationDigestOf(NETWORK, EPOCH, unsorted), old, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Validators.ValidatorsNotAscending.selector, 3));
        registry.rotate(unsorted, votes);
    }

    /// @dev What the old set certified before stays, and it certifies nothing any more.
    function test_RevertWhen_TheOldEpochCertifiesAfterTheRotation() public {
        Header memory early = makeHeader(1, 0);
        registry.finalize(early, VIEW, certificate(early, old, 0, 5));
        rotate();
        assertTrue(registry.isFinalized(1, hashOf(early)));

        Header memory late = makeHeader(2, 0);
        bytes memory votes = certificate(late, old, 2, 5);
        vm.expectRevert(abi.encodeWithSelector(Validators.WrongEpoch.selector, EPOCH + 1, EPOCH));
        registry.finalize(late, VIEW, votes);
        late.epoch = EPOCH + 1;
        votes = certificate(late, old, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Validators.UnknownSigner.selector, old[0]));
        registry.finalize(late, VIEW, votes);
        registry.finalize(late, VIEW, certificate(late, next, 0, 5));

        bytes32 hash = keccak256("distribution");
        votes = signatures(distributionDigestOf(NETWORK, EPOCH, 1, hash), old, 2, 5);
        vm.expectRevert();
        registry.certify(1, hash, votes);
    }

    /// @dev Evidence bars in whichever epoch it was made, and in all that follow.
    function test_EvidenceCountsAcrossEpochs() public {
        registry.reportEvidence(makeEvidence(VoteKind.Commit, old, 3));
        Evidence memory before = makeEvidence(VoteKind.Commit, old, 0);
        rotate();
        assertTrue(registry.isBarred(old[3]));
        registry.reportEvidence(before);
        assertTrue(registry.isBarred(old[0]));

        Evidence memory evidence = makeEvidence(VoteKind.Prepare, next, 6);
        evidence.epoch = EPOCH + 1;
        sign(evidence, next[6]);
        registry.reportEvidence(evidence);
        assertTrue(registry.isBarred(next[6]));
        assertEq(registry.barredCount(), 3);
        evidence.epoch = EPOCH + 2;
        vm.expectRevert(abi.encodeWithSelector(Validators.WrongEpoch.selector, EPOCH + 1, EPOCH + 2));
        registry.reportEvidence(evidence);
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
            bytes memory votes = signatures(distributionDigestOf(NETWORK, EPOCH, number, hash), old, 0, 5);
            vm.expectRevert(abi.encodeWithSelector(ResultRegistry.StaleDistribution.selector, 5, number));
            registry.certify(number, hash, votes);
        }
    }

    function test_RevertWhen_TheDistributionIsBelowQuorum() public {
        bytes memory votes = signatures(distributionDigestOf(NETWORK, EPOCH, 1, NETWORK), old, 0, 4);
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
        bytes memory votes = signatures(distributionDigestOf(network, epoch, number, hash), old, 0, 5);
        vm.expectRevert();
        registry.certify(1, keccak256("distribution"), votes);
    }

    function rotate() private {
        registry.rotate(next, signatures(rotationDigestOf(NETWORK, EPOCH, next), old, 0, 5));
    }

    function certify(uint32 number, bytes32 hash) private {
        registry.certify(number, hash, signatures(distributionDigestOf(NETWORK, EPOCH, number, hash), old, 0, 5));
    }

    function membersHash(address[] memory members) private pure returns (bytes32) {
        bytes memory packed;
        for (uint256 i; i < members.length; ++i) {
            packed = bytes.concat(packed, bytes32(uint256(uint160(members[i]))));
        }
        return keccak256(packed);
    }
}
