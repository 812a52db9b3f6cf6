// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Evidence, Slot, VoteKind} from "../../src/formats/Types.sol";
import {Barring} from "../../src/registry/Barring.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {Validators} from "../../src/registry/Validators.sol";
import {BlsFixture} from "../helpers/BlsFixture.sol";
import {newRegistry} from "../helpers/Deployed.sol";

contract BarringTest is BlsFixture {
    ResultRegistry private registry;
    address[] private validators;

    function setUp() public {
        validators = makeValidators(7);
        registry = newRegistry(NETWORK, EPOCH, validators);
    }

    function testFuzz_BarsTheValidatorThatContradictedItself(
        uint8 kind,
        uint64 view_,
        uint64 height,
        uint16 validator,
        bytes32 one,
        bytes32 other
    ) public {
        vm.assume(one != other);
        Evidence memory evidence = makeEvidence(voteKind(kind), validators, validator % 7);
        if (evidence.kind != VoteKind.Checkpoint) evidence.view_ = view_;
        if (evidence.kind != VoteKind.Notarize) evidence.height = height;
        (evidence.firstHash, evidence.secondHash) = one < other ? (one, other) : (other, one);
        if (evidence.kind == VoteKind.Nullify) evidence.firstHash = 0;
        address accused = validators[validator % 7];
        sign(evidence, accused);

        vm.expectEmit();
        emit Barring.ValidatorBarred(accused, evidenceId(evidence));
        registry.reportEvidence(evidence);
        for (uint256 i; i < 7; ++i) {
            assertEq(registry.isBarred(validators[i]), validators[i] == accused);
        }
    }

    function test_NobodyIsBarredByDefault() public view {
        assertFalse(registry.isBarred(validators[0]));
        assertFalse(registry.isBarred(address(0)));
    }

    /// @dev The same evidence again, and any other evidence against the same validator.
    function test_RevertWhen_AlreadyBarred() public {
        registry.reportEvidence(makeEvidence(VoteKind.Commit, validators, 3));
        for (uint256 kind; kind < 6; ++kind) {
            expectRejection(
                makeEvidence(voteKind(kind), validators, 3),
                abi.encodeWithSelector(Barring.AlreadyBarred.selector, validators[3])
            );
        }
        assertTrue(registry.isBarred(validators[3]));
        registry.reportEvidence(makeEvidence(VoteKind.Commit, validators, 4));
        assertTrue(registry.isBarred(validators[4]));
    }

    function testFuzz_RevertWhen_BothVotesAreForTheSameHash(uint8 kind, bytes32 hash) public {
        Evidence memory evidence = makeEvidence(voteKind(kind), validators, 2);
        (evidence.firstHash, evidence.secondHash) = (hash, hash);
        sign(evidence, validators[2]);
        expectRejection(evidence, abi.encodeWithSelector(Barring.NoContradiction.selector, hash, hash));
    }

    /// @dev One contradiction has one identity, so the votes have one order.
    function test_RevertWhen_HashesDescend() public {
        Evidence memory evidence = makeEvidence(VoteKind.Commit, validators, 2);
        (evidence.firstHash, evidence.secondHash) = (evidence.secondHash, evidence.firstHash);
        sign(evidence, validators[2]);
        expectRejection(
            evidence, abi.encodeWithSelector(Barring.NoContradiction.selector, evidence.firstHash, evidence.secondHash)
        );
    }

    /// @dev One true vote does not make the other one true, whoever signed that.
    function testFuzz_RevertWhen_OneVoteIsForged(bool second, uint256 key) public {
        key = bound(key, 1, ORDER - 1);
        address forger = vm.addr(key);
        vm.assume(forger != validators[2]);
        keyOf[forger] = key;
        Evidence memory evidence = makeEvidence(VoteKind.Commit, validators, 2);
        bytes32 hash = second ? evidence.secondHash : evidence.firstHash;
        bytes memory forged = signatureOf(forger, voteDigestOf(evidence, hash));
        if (second) evidence.secondSignature = forged;
        else evidence.firstSignature = forged;
        expectNotSigned(evidence, hash);
    }

    /// @dev Votes that both are true, but one of them for another slot: no contradiction.
    function testFuzz_RevertWhen_TheVotesAreForDifferentSlots(uint8 field, bool second, uint64 delta) public {
        delta = uint64(bound(delta, 1, type(uint64).max));
        Evidence memory evidence = makeEvidence(VoteKind.Commit, validators, 2);
        Evidence memory elsewhere = makeEvidence(VoteKind.Commit, validators, 2);
        field = field % 4;
        unchecked {
            if (field == 0) elsewhere.epoch += delta;
            else if (field == 1) elsewhere.view_ += delta;
            else if (field == 2) elsewhere.height += delta;
            else elsewhere.kind = VoteKind(delta % 2 == 0 ? 3 : delta % 4 / 2);
        }
        sign(elsewhere, validators[2]);
        if (second) evidence.secondSignature = elsewhere.secondSignature;
        else evidence.firstSignature = elsewhere.firstSignature;
        expectNotSigned(evidence, second ? evidence.secondHash : evidence.firstHash);
    }

    /// @dev A true contradiction does not prove one in a slot that was made up.
    function testFuzz_RevertWhen_TheSlotIsNotTheSignedOne(uint8 field, uint64 delta) public {
        delta = uint64(bound(delta, 1, type(uint64).max));
        Evidence memory evidence = makeEvidence(VoteKind.Prepare, validators, 2);
        field = field % 5;
        unchecked {
            if (field == 0) evidence.view_ += delta;
            else if (field == 1) evidence.height += delta;
            else if (field == 2) evidence.kind = VoteKind.Commit;
            else if (field == 3) evidence.kind = VoteKind.PrePrepare;
            else evidence.firstHash = bytes32(0);
        }
        expectNotSigned(evidence, evidence.firstHash);
    }

    /// @dev Signed in earnest, but for another validator set: even when the validator is in both.
    function testFuzz_RevertWhen_EpochIsAnother(uint64 epoch) public {
        vm.assume(epoch != EPOCH);
        Evidence memory evidence = makeEvidence(VoteKind.Commit, validators, 2);
        evidence.epoch = epoch;
        sign(evidence, validators[2]);
        expectRejection(evidence, abi.encodeWithSelector(Validators.WrongEpoch.selector, EPOCH, epoch));
    }

    /// @dev The validator may vote otherwise in another network, and on another chain.
    function test_RevertWhen_NetworkOrChainIsAnother() public {
        Evidence memory evidence = makeEvidence(VoteKind.Commit, validators, 2);
        ResultRegistry other = newRegistry(keccak256("elsewhere"), EPOCH, validators);
        bytes memory reason = abi.encodeWithSelector(Barring.NotSignedBy.selector, validators[2], evidence.firstHash);
        vm.expectRevert(reason);
        other.reportEvidence(evidence);
        vm.chainId(4242);
        expectRejection(evidence, reason);
    }

    function testFuzz_RevertWhen_NoValidatorHasTheIndex(uint16 index) public {
        index = uint16(bound(index, 7, type(uint16).max));
        Evidence memory evidence = makeEvidence(VoteKind.Commit, validators, 2);
        evidence.validator = index;
        expectRejection(evidence, abi.encodeWithSelector(Barring.UnknownValidator.selector, index));
    }

    /// @dev Both votes are signed, though not by the accused: by a stranger or by another validator.
    function testFuzz_RevertWhen_SomebodyElseContradictedHimself(uint256 key, uint16 accused) public {
        key = bound(key, 1, ORDER - 1);
        accused = accused % 7;
        address stranger = vm.addr(key);
        vm.assume(stranger != validators[accused]);
        keyOf[stranger] = key;
        Evidence memory evidence = makeEvidence(VoteKind.Commit, validators, accused);
        sign(evidence, stranger);
        expectNotSigned(evidence, evidence.firstHash, validators[accused]);
        sign(evidence, validators[(accused + 1) % 7]);
        expectNotSigned(evidence, evidence.firstHash, validators[accused]);
    }

    function test_RevertWhen_SignatureIsMalformed() public {
        Evidence memory evidence = makeEvidence(VoteKind.Commit, validators, 2);
        bytes memory good = evidence.secondSignature;
        bytes32 digest = voteDigestOf(evidence, evidence.secondHash);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[validators[2]], digest);
        bytes[5] memory malformed = [
            abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27)),
            abi.encodePacked(r, s, v - 27),
            bytes.concat(good, hex"00"),
            new bytes(65),
            new bytes(0)
        ];
        for (uint256 i; i < 5; ++i) {
            evidence.secondSignature = malformed[i];
            expectNotSigned(evidence, evidence.secondHash);
        }
    }

    function testFuzz_RevertWhen_CheckpointNamesAView(uint64 view_) public {
        vm.assume(view_ != 0);
        Evidence memory evidence = makeEvidence(VoteKind.Checkpoint, validators, 2);
        evidence.view_ = view_;
        expectRejection(evidence, abi.encodeWithSelector(Barring.CheckpointInView.selector, view_));
    }

    /// @dev A view has one notarization of a correct validator, at whatever height its block is: no signature says that.
    function testFuzz_RevertWhen_NotarizationNamesAHeight(uint64 height) public {
        vm.assume(height != 0);
        Evidence memory evidence = makeEvidence(VoteKind.Notarize, validators, 2);
        evidence.height = height;
        expectRejection(evidence, abi.encodeWithSelector(Barring.InvalidSlot.selector, height));
    }

    /// @dev The block that a validator notarizes is in most cases what it commits to, and what it gives up it has often notarized.
    function test_RevertWhen_ANotarizationIsTheOtherVote() public {
        bytes32 hash = bytes32(uint256(2));
        Evidence memory notarized = makeEvidence(VoteKind.Notarize, validators, 2);
        Evidence memory evidence = makeEvidence(VoteKind.Commit, validators, 2);
        evidence.firstSignature = signatureOf(validators[2], voteDigestOf(notarized, evidence.firstHash));
        expectNotSigned(evidence, evidence.firstHash);
        evidence = makeEvidence(VoteKind.Nullify, validators, 2);
        evidence.secondSignature = signatureOf(validators[2], voteDigestOf(notarized, hash));
        expectNotSigned(evidence, hash);
    }

    /// @dev The commit is in the view that was given up, whose block may be at any height, and in no other.
    function testFuzz_RevertWhen_AnotherViewWasGivenUp(uint64 delta) public {
        delta = uint64(bound(delta, 1, type(uint64).max));
        Evidence memory evidence = makeEvidence(VoteKind.Nullify, validators, 2);
        Evidence memory elsewhere = makeEvidence(VoteKind.Nullify, validators, 2);
        unchecked {
            elsewhere.view_ += delta;
        }
        sign(elsewhere, validators[2]);
        evidence.firstSignature = elsewhere.firstSignature;
        expectNotSigned(evidence, 0);
        sign(evidence, validators[2]);
        evidence.secondSignature = elsewhere.secondSignature;
        expectNotSigned(evidence, evidence.secondHash);
    }

    /// @dev Two commits are evidence of commits, under one id, and a view is given up for no hash.
    function testFuzz_RevertWhen_TwoCommitsPassForAViewGivenUp(bytes32 one, bytes32 other) public {
        vm.assume(one != 0 && one < other);
        Evidence memory evidence = makeEvidence(VoteKind.Nullify, validators, 2);
        (evidence.firstHash, evidence.secondHash) = (one, other);
        sign(evidence, validators[2]);
        expectRejection(evidence, abi.encodeWithSelector(Barring.NoContradiction.selector, one, other));
    }

    /// @dev A commit to nothing is no nullification, and a nullification twice is no contradiction.
    function test_RevertWhen_NothingIsCommittedTo() public {
        Evidence memory evidence = makeEvidence(VoteKind.Nullify, validators, 2);
        Evidence memory commit = makeEvidence(VoteKind.Commit, validators, 2);
        evidence.firstSignature = signatureOf(validators[2], voteDigestOf(commit, 0));
        expectNotSigned(evidence, 0);
        evidence.secondHash = 0;
        sign(evidence, validators[2]);
        expectRejection(evidence, abi.encodeWithSelector(Barring.NoContradiction.selector, bytes32(0), bytes32(0)));
    }

    function expectNotSigned(Evidence memory evidence, bytes32 hash) private {
        expectNotSigned(evidence, hash, validators[2]);
    }

    function expectNotSigned(Evidence memory evidence, bytes32 hash, address accused) private {
        expectRejection(evidence, abi.encodeWithSelector(Barring.NotSignedBy.selector, accused, hash));
        assertFalse(registry.isBarred(accused));
    }

    function expectRejection(Evidence memory evidence, bytes memory reason) private {
        vm.expectRevert(reason);
        registry.reportEvidence(evidence);
    }

    /// @dev Two certificates for one slot, by whatever they are made: who has signed both is barred, and nobody else.
    function test_BarsWhoHasSignedTwoCertificates() public {
        publish(registry, validators);
        Slot memory slot = Slot(VoteKind.Commit, EPOCH, VIEW, 9);
        (bytes32 one, bytes32 two) = (bytes32(uint256(1)), bytes32(uint256(2)));
        bytes[4] memory pairs = [
            aggregate(slotDigest(slot, one), validators, 0x1f),
            aggregate(slotDigest(slot, two), validators, 0x7c),
            signatures(slotDigest(slot, one), validators, 0, 5),
            signatures(slotDigest(slot, two), validators, 2, 5)
        ];
        for (uint256 i; i < 4; ++i) {
            uint256 state = vm.snapshotState();
            vm.expectEmit(address(registry));
            emit Barring.ValidatorBarred(validators[2], keccak256(abi.encode(slot, one, two)));
            registry.reportCertificates(slot, one, two, pairs[i / 2 * 2], pairs[i % 2 == 0 ? 1 : 3]);
            for (uint256 k; k < 7; ++k) {
                assertEq(registry.isBarred(validators[k]), k >= 2 && k < 5);
            }
            assertEq(registry.barredCount(), 3);
            vm.expectRevert(abi.encodeWithSelector(Barring.NobodyToBar.selector));
            registry.reportCertificates(slot, one, two, pairs[0], pairs[1]);
            vm.revertToState(state);
        }
    }

    /// @dev A quorum has given a view up and another has finalized in it; and two quora have notarized in it.
    function test_BarsWhoHasSignedTwoCertificatesOfAChainedView() public {
        publish(registry, validators);
        Slot memory skipped = Slot(VoteKind.Nullify, EPOCH, VIEW, 9);
        Slot memory notarized = Slot(VoteKind.Notarize, EPOCH, VIEW, 0);
        (bytes32 one, bytes32 two) = (bytes32(uint256(1)), bytes32(uint256(2)));
        expectBarred(skipped, 0, two, aggregate(slotDigest(skipped, 0), validators, 0x1f));
        expectBarred(skipped, 0, two, signatures(slotDigest(skipped, 0), validators, 0, 5));
        expectBarred(notarized, one, two, aggregate(slotDigest(notarized, one), validators, 0x1f));
        expectBarred(notarized, one, two, signatures(slotDigest(notarized, one), validators, 0, 5));
    }

    /// @dev Two commits are no skipped view, and no signature says at which height a notarized block is.
    function test_RevertWhen_CertificatesOfAChainedViewProveNothing() public {
        Slot memory skipped = Slot(VoteKind.Nullify, EPOCH, VIEW, 9);
        Slot memory notarized = Slot(VoteKind.Notarize, EPOCH, VIEW, 9);
        (bytes32 one, bytes32 two) = (bytes32(uint256(1)), bytes32(uint256(2)));
        bytes memory first = signatures(slotDigest(skipped, one), validators, 0, 5);
        bytes memory second = signatures(slotDigest(skipped, two), validators, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Barring.NoContradiction.selector, one, two));
        registry.reportCertificates(skipped, one, two, first, second);
        first = signatures(slotDigest(notarized, one), validators, 0, 5);
        second = signatures(slotDigest(notarized, two), validators, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Barring.InvalidSlot.selector, 9));
        registry.reportCertificates(notarized, one, two, first, second);
    }

    /// @dev The first certificate is by the first five of seven, and the other one here by the last five.
    function expectBarred(Slot memory slot, bytes32 one, bytes32 two, bytes memory first) private {
        uint256 state = vm.snapshotState();
        bytes memory second = aggregate(slotDigest(slot, two), validators, 0x7c);
        vm.expectEmit(address(registry));
        emit Barring.ValidatorBarred(validators[2], keccak256(abi.encode(slot, one, two)));
        registry.reportCertificates(slot, one, two, first, second);
        for (uint256 i; i < 7; ++i) {
            assertEq(registry.isBarred(validators[i]), i >= 2 && i < 5);
        }
        vm.revertToState(state);
    }

    /// @dev One vote by ECDSA and one by BLS, of one validator.
    function test_BarsWhoHasSignedInTwoWays() public {
        publish(registry, validators);
        Slot memory slot = Slot(VoteKind.Distribution, EPOCH, 0, 3);
        (bytes32 one, bytes32 two) = (bytes32(uint256(1)), bytes32(uint256(2)));
        bytes memory first = aggregate(slotDigest(slot, one), validators, 1 << 6);
        registry.reportCertificates(slot, one, two, first, signatures(slotDigest(slot, two), validators, 6, 1));
        assertTrue(registry.isBarred(validators[6]));
        assertEq(registry.barredCount(), 1);
    }

    /// @dev Two sets named for one epoch, two distributions of one number.
    function test_BarsWhoNamesTwoSetsOrDistributions() public {
        Slot memory slot = Slot(VoteKind.Rotation, EPOCH, 0, 0);
        bytes32 one = bytes32(uint256(1));
        bytes32 two = bytes32(uint256(2));
        registry.reportCertificates(
            slot,
            one,
            two,
            signatures(slotDigest(slot, one), validators, 0, 1),
            signatures(slotDigest(slot, two), validators, 0, 1)
        );
        assertTrue(registry.isBarred(validators[0]));
        Evidence memory evidence = makeEvidence(VoteKind.Commit, validators, 1);
        (evidence.kind, evidence.view_, evidence.height) = (VoteKind.Distribution, 0, 7);
        slot = Slot(VoteKind.Distribution, EPOCH, 0, 7);
        evidence.firstSignature = signatureOf(validators[1], slotDigest(slot, evidence.firstHash));
        evidence.secondSignature = signatureOf(validators[1], slotDigest(slot, evidence.secondHash));
        registry.reportEvidence(evidence);
        assertTrue(registry.isBarred(validators[1]));
    }

    function test_RevertWhen_CertificatesProveNothing() public {
        Slot memory slot = Slot(VoteKind.Commit, EPOCH, VIEW, 9);
        (bytes32 one, bytes32 two) = (bytes32(uint256(1)), bytes32(uint256(2)));
        bytes memory first = signatures(slotDigest(slot, one), validators, 0, 3);
        bytes memory second = signatures(slotDigest(slot, two), validators, 3, 3);
        vm.expectRevert(abi.encodeWithSelector(Barring.NobodyToBar.selector));
        registry.reportCertificates(slot, one, two, first, second);
        vm.expectRevert(abi.encodeWithSelector(Barring.NoContradiction.selector, one, one));
        registry.reportCertificates(slot, one, one, first, first);
        vm.expectRevert();
        registry.reportCertificates(slot, one, two, first, first);
        slot.view_ += 1;
        vm.expectRevert();
        registry.reportCertificates(slot, one, two, first, signatures(slotDigest(slot, two), validators, 0, 3));
        slot = Slot(VoteKind.Rotation, EPOCH, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(Barring.InvalidSlot.selector, 1));
        registry.reportCertificates(slot, one, two, first, first);
        slot = Slot(VoteKind.Rotation, EPOCH, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(Barring.CheckpointInView.selector, 1));
        registry.reportCertificates(slot, one, two, first, first);
        slot = Slot(VoteKind.Distribution, EPOCH, 0, 1 << 32);
        vm.expectRevert(abi.encodeWithSelector(Barring.InvalidSlot.selector, 1 << 32));
        registry.reportCertificates(slot, one, two, first, first);
        slot.epoch = EPOCH + 1;
        vm.expectRevert(abi.encodeWithSelector(Validators.WrongEpoch.selector, EPOCH, EPOCH + 1));
        registry.reportCertificates(slot, one, two, first, first);
    }

    /// @dev Written out anew rather than taken from the library under test.
    function slotDigest(Slot memory slot, bytes32 voted) private view returns (bytes32) {
        if (slot.kind == VoteKind.Distribution) {
            return distributionDigestOf(NETWORK, slot.epoch, uint32(slot.height), voted);
        }
        bytes32 message;
        if (slot.kind == VoteKind.Rotation) {
            message = keccak256(abi.encode(keccak256("Rotation(uint64 epoch,address[] validators)"), slot.epoch, voted));
        } else if (slot.kind == VoteKind.Notarize) {
            bytes32 typehash = keccak256("Notarize(uint64 epoch,uint64 view,bytes32 blockHash)");
            message = keccak256(abi.encode(typehash, slot.epoch, slot.view_, voted));
        } else if (slot.kind == VoteKind.Nullify && voted == 0) {
            message = keccak256(abi.encode(keccak256("Nullify(uint64 epoch,uint64 view)"), slot.epoch, slot.view_));
        } else {
            bytes32 typehash = keccak256("Commit(uint64 epoch,uint64 view,uint64 height,bytes32 blockHash)");
            message = keccak256(abi.encode(typehash, slot.epoch, slot.view_, slot.height, voted));
        }
        return keccak256(abi.encodePacked(hex"1901", domainOf(NETWORK, block.chainid), message));
    }
}
