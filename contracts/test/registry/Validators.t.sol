// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Evidence, Header, VoteKind} from "../../src/formats/Types.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {Validators} from "../../src/registry/Validators.sol";
import {newRegistry} from "../helpers/Deployed.sol";
import {Fixture} from "../helpers/Fixture.sol";

/// @notice Validator sets, what they certify, and how they name the next ones.
contract ValidatorsTest is Fixture {
    ResultRegistry private registry;
    address[] private validators;
    address[] private next;

    /// @dev Of seven validators, the first two leave and two come.
    function setUp() public {
        validators = makeValidators(7);
        address[] memory nine = makeValidators(9);
        for (uint256 i; i < 9; ++i) {
            if (nine[i] != validators[0] && nine[i] != validators[1]) next.push(nine[i]);
        }
        registry = newRegistry(NETWORK, EPOCH, validators);
    }

    function test_KnowsItsValidatorSet() public view {
        assertEq(registry.networkId(), NETWORK);
        assertEq(registry.epoch(), EPOCH);
        assertEq(registry.quorum(), 5);
        assertEq(registry.validators(), validators);
        for (uint256 i; i < validators.length; ++i) {
            assertTrue(registry.isValidator(validators[i]));
        }
        assertFalse(registry.isValidator(address(this)));
        assertFalse(registry.isValidator(address(0)));
        assertEq(registry.domainSeparator(), domainOf(NETWORK, block.chainid));
    }

    function test_QuorumsOfTheFormatDocument() public {
        uint8[10] memory sizes = [4, 5, 6, 7, 8, 10, 13, 50, 100, 255];
        uint8[10] memory quorums = [3, 4, 4, 5, 6, 7, 9, 34, 67, 170];
        for (uint256 i; i < sizes.length; ++i) {
            assertEq(newRegistry(NETWORK, EPOCH, ascending(sizes[i])).quorum(), quorums[i]);
        }
    }

    /// @dev Two quorums share more than may be faulty, those who are not are a quorum, and one less would not do.
    function test_QuorumsAreSafeAndLiveForEverySize() public {
        for (uint256 n = 4; n <= 255; ++n) {
            uint256 quorum = newRegistry(NETWORK, EPOCH, ascending(n)).quorum();
            uint256 faulty = (n - 1) / 3;
            assertGt(2 * quorum - n, faulty);
            assertLe(quorum, n - faulty);
            assertLe(2 * quorum, n + faulty + 2);
        }
    }

    function test_RevertWhen_ValidatorCountIsOutOfRange() public {
        uint256[4] memory counts = [uint256(0), 1, 3, 256];
        for (uint256 i; i < counts.length; ++i) {
            address[] memory set = ascending(counts[i]);
            vm.expectRevert(abi.encodeWithSelector(Validators.InvalidValidatorCount.selector, counts[i]));
            newRegistry(NETWORK, EPOCH, set);
        }
    }

    function test_RevertWhen_ValidatorsAreNotAscending() public {
        address[] memory set = ascending(4);
        set[0] = address(0);
        expectNotAscending(set, 0);
        set = ascending(4);
        set[2] = set[1];
        expectNotAscending(set, 2);
        (set[1], set[3]) = (set[3], address(2));
        expectNotAscending(set, 2);
    }

    function test_AnyQuorumWillDo() public {
        Header memory header = makeHeader(1, 0);
        registry.finalize(header, VIEW, certificate(header, validators, 2, 5));
        header = makeHeader(2, 0);
        registry.finalize(header, VIEW, certificate(header, validators, 0, 7));
        assertEq(registry.latestHeight(), 2);
    }

    function test_RevertWhen_SignaturesLengthIsOdd() public {
        Header memory header = makeHeader(1, 0);
        bytes memory good = certificate(header, validators, 0, 5);
        bytes memory bad = bytes.concat(good, hex"00");
        vm.expectRevert(abi.encodeWithSelector(Validators.InvalidSignaturesLength.selector, bad.length));
        registry.finalize(header, VIEW, bad);
    }

    function test_RevertWhen_BelowQuorum() public {
        Header memory header = makeHeader(1, 0);
        for (uint256 have; have < 5; ++have) {
            bytes memory votes = certificate(header, validators, 0, have);
            vm.expectRevert(abi.encodeWithSelector(Validators.BelowQuorum.selector, have, 5));
            registry.finalize(header, VIEW, votes);
        }
    }

    function test_RevertWhen_SignerIsThereTwice() public {
        Header memory header = makeHeader(1, 0);
        bytes memory votes = bytes.concat(certificate(header, validators, 0, 4), certificate(header, validators, 3, 1));
        vm.expectRevert(abi.encodeWithSelector(Validators.SignersNotAscending.selector, 4));
        registry.finalize(header, VIEW, votes);
    }

    function test_RevertWhen_SignersAreUnsorted() public {
        Header memory header = makeHeader(1, 0);
        bytes memory votes = bytes.concat(
            certificate(header, validators, 0, 1),
            certificate(header, validators, 2, 1),
            certificate(header, validators, 1, 1),
            certificate(header, validators, 3, 2)
        );
        vm.expectRevert(abi.encodeWithSelector(Validators.SignersNotAscending.selector, 2));
        registry.finalize(header, VIEW, votes);
    }

    /// @dev A stranger whose address falls anywhere among the validators, its signature in the right place.
    function testFuzz_RevertWhen_SignerIsUnknown(uint256 key) public {
        key = bound(key, 1, ORDER - 1);
        address stranger = vm.addr(key);
        vm.assume(!registry.isValidator(stranger));
        keyOf[stranger] = key;

        Header memory header = makeHeader(1, 0);
        address[] memory signers = new address[](5);
        uint256 taken;
        bool placed;
        for (uint256 i; i < 5; ++i) {
            bool here = !placed && (i == 4 || stranger < validators[taken]);
            placed = placed || here;
            signers[i] = here ? stranger : validators[taken++];
        }
        if (signers[4] == stranger && stranger < signers[3]) return;
        bytes memory votes = certificate(header, signers, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Validators.UnknownSigner.selector, stranger));
        registry.finalize(header, VIEW, votes);
    }

    function test_RevertWhen_SignatureIsMalleable() public {
        Header memory header = makeHeader(1, 0);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[validators[4]], digestOf(header, VIEW));
        bytes memory flipped = abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        expectInvalidLast(header, flipped);
    }

    function test_RevertWhen_SignatureIsMalformed() public {
        Header memory header = makeHeader(1, 0);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[validators[4]], digestOf(header, VIEW));
        expectInvalidLast(header, abi.encodePacked(r, s, v - 27));
        expectInvalidLast(header, abi.encodePacked(r, s, uint8(29)));
        expectInvalidLast(header, abi.encodePacked(bytes32(0), s, v));
        expectInvalidLast(header, abi.encodePacked(r, bytes32(0), v));
        expectInvalidLast(header, new bytes(65));
    }

    /// @dev For every size of set, exactly the quorum is enough and one vote less is not.
    function testFuzz_QuorumIsExact(uint256 n, uint256 from) public {
        n = bound(n, 4, 40);
        address[] memory set = makeValidators(n);
        ResultRegistry other = newRegistry(NETWORK, EPOCH, set);
        uint256 f = (n - 1) / 3;
        uint256 quorum = (n + f + 1) / 2 + (n + f + 1) % 2;
        assertEq(other.quorum(), quorum);
        assertGt(2 * quorum, n + f, "two quorums share an honest validator");
        assertLe(quorum, n - f, "the honest validators alone are a quorum");

        from = bound(from, 0, n - quorum);
        Header memory header = makeHeader(1, 0);
        bytes memory votes = certificate(header, set, from, quorum - 1);
        vm.expectRevert(abi.encodeWithSelector(Validators.BelowQuorum.selector, quorum - 1, quorum));
        other.finalize(header, VIEW, votes);
        other.finalize(header, VIEW, certificate(header, set, from, quorum));
        assertTrue(other.isFinalized(1, hashOf(header)));
    }

    /// @dev Random bytes in place of the last signature never pass.
    function testFuzz_RevertWhen_SignatureIsGarbage(bytes32 r, bytes32 s, uint8 v) public {
        Header memory header = makeHeader(1, 0);
        bytes memory votes = bytes.concat(certificate(header, validators, 0, 4), abi.encodePacked(r, s, v));
        vm.expectRevert();
        registry.finalize(header, VIEW, votes);
    }

    function test_RotatesByTheOldSetsCertificate() public {
        vm.expectEmit(address(registry));
        emit Validators.Rotated(EPOCH + 1, membersHash(next));
        rotate();
        assertEq(registry.epoch(), EPOCH + 1);
        assertEq(registry.validators(), next);
        assertEq(registry.validatorsOf(EPOCH), validators);
        assertEq(registry.validatorsOf(EPOCH + 1), next);
        assertFalse(registry.isValidator(validators[0]));
        assertTrue(registry.isValidator(next[6]));
    }

    function test_TheSizeMayChange() public {
        address[] memory ten = makeValidators(10);
        registry.rotate(ten, signatures(rotationDigestOf(NETWORK, EPOCH, ten), validators, 0, 5));
        assertEq(registry.quorum(), 7);
        Header memory header = makeHeader(1, 0);
        header.epoch = EPOCH + 1;
        registry.finalize(header, VIEW, certificate(header, ten, 0, 7));
    }

    function test_RevertWhen_RotationIsBelowQuorum() public {
        bytes memory votes = signatures(rotationDigestOf(NETWORK, EPOCH, next), validators, 0, 4);
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
            bytes memory votes = signatures(rotationDigestOf(NETWORK, others[i], next), validators, 0, 5);
            vm.expectRevert();
            registry.rotate(next, votes);
        }
        assertEq(registry.epoch(), EPOCH);
    }

    /// @dev The same set goes on, so a replayed rotation would have signers enough.
    function test_RevertWhen_ARotationIsReplayed() public {
        bytes memory votes = signatures(rotationDigestOf(NETWORK, EPOCH, validators), validators, 0, 5);
        registry.rotate(validators, votes);
        vm.expectRevert();
        registry.rotate(validators, votes);
        assertEq(registry.epoch(), EPOCH + 1);
    }

    function test_RevertWhen_TheRotationIsForAnotherNetworkChainOrSet() public {
        bytes memory votes = signatures(rotationDigestOf(keccak256("elsewhere"), EPOCH, next), validators, 0, 5);
        vm.expectRevert();
        registry.rotate(next, votes);
        votes = signatures(rotationDigestOf(NETWORK, EPOCH, next), validators, 0, 5);
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
        bytes memory votes = signatures(rotationDigestOf(NETWORK, EPOCH, few), validators, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Validators.InvalidValidatorCount.selector, 3));
        registry.rotate(few, votes);
        address[] memory unsorted = next;
        (unsorted[2], unsorted[3]) = (unsorted[3], unsorted[2]);
        votes = signatures(rotationDigestOf(NETWORK, EPOCH, unsorted), validators, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Validators.ValidatorsNotAscending.selector, 3));
        registry.rotate(unsorted, votes);
    }

    /// @dev What the old set certified before stays, and after some days it certifies nothing any more.
    function test_RevertWhen_TheOldEpochCertifiesAfterTheRotation() public {
        Header memory early = makeHeader(1, 0);
        registry.finalize(early, VIEW, certificate(early, validators, 0, 5));
        rotate();
        assertTrue(registry.isFinalized(1, hashOf(early)));

        vm.warp(block.timestamp + registry.GRACE());
        Header memory late = makeHeader(2, 0);
        bytes memory votes = certificate(late, validators, 2, 5);
        vm.expectRevert(abi.encodeWithSelector(Validators.WrongEpoch.selector, EPOCH + 1, EPOCH));
        registry.finalize(late, VIEW, votes);
        late.epoch = EPOCH + 1;
        votes = certificate(late, validators, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Validators.UnknownSigner.selector, validators[0]));
        registry.finalize(late, VIEW, votes);
        registry.finalize(late, VIEW, certificate(late, next, 0, 5));

        bytes32 hash = keccak256("distribution");
        votes = signatures(distributionDigestOf(NETWORK, EPOCH, 1, hash), validators, 2, 5);
        vm.expectRevert();
        registry.certify(1, hash, votes);
    }

    /// @dev Evidence bars in whichever epoch it was made, and in all that follow.
    function test_EvidenceCountsAcrossEpochs() public {
        registry.reportEvidence(makeEvidence(VoteKind.Commit, validators, 1));
        Evidence memory before = makeEvidence(VoteKind.Commit, validators, 0);
        rotate();
        assertTrue(registry.isBarred(validators[1]));
        registry.reportEvidence(before);
        assertTrue(registry.isBarred(validators[0]));

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

    function rotate() private {
        registry.rotate(next, signatures(rotationDigestOf(NETWORK, EPOCH, next), validators, 0, 5));
    }

    function membersHash(address[] memory members) private pure returns (bytes32) {
        bytes memory packed;
        for (uint256 i; i < members.length; ++i) {
            packed = bytes.concat(packed, bytes32(uint256(uint160(members[i]))));
        }
        return keccak256(packed);
    }

    function expectInvalidLast(Header memory header, bytes memory signature) private {
        bytes memory votes = bytes.concat(certificate(header, validators, 0, 4), signature);
        vm.expectRevert(abi.encodeWithSelector(Validators.InvalidSignature.selector, 4));
        registry.finalize(header, VIEW, votes);
    }

    function expectNotAscending(address[] memory set, uint256 index) private {
        vm.expectRevert(abi.encodeWithSelector(Validators.ValidatorsNotAscending.selector, index));
        newRegistry(NETWORK, EPOCH, set);
    }

    function ascending(uint256 n) private pure returns (address[] memory set) {
        set = new address[](n);
        for (uint256 i; i < n; ++i) {
            set[i] = address(uint160(1000 + i));
        }
    }
}
