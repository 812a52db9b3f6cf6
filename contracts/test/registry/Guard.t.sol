// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Header, VoteKind} from "../../src/formats/Types.sol";
import {RegistryTerms} from "../../src/interfaces/IResultRegistry.sol";
import {Guard} from "../../src/registry/Guard.sol";
import {Resolutions} from "../../src/registry/Resolutions.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {Validators} from "../../src/registry/Validators.sol";
import {newRegistry} from "../helpers/Deployed.sol";
import {Fixture} from "../helpers/Fixture.sol";
import {Stubborn} from "../helpers/Mocks.sol";

/// @notice A quorum that is stolen, one that is lost, and a guardian that is either.
contract GuardTest is Fixture {
    ResultRegistry private registry;
    address[] private validators;
    address[] private next;
    address private guardian;

    function setUp() public {
        vm.warp(1_700_000_000);
        (validators, next) = (makeValidators(7), makeOwners(4));
        guardian = address(new Stubborn());
        registry = newRegistry(NETWORK, EPOCH, validators, RegistryTerms(guardian, address(0), 0));
        vm.startPrank(guardian);
    }

    function test_RevertWhen_NotTheGuardian() public {
        vm.stopPrank();
        bytes memory reason = abi.encodeWithSelector(Guard.OnlyGuardian.selector, address(this));
        vm.expectRevert(reason);
        registry.pause();
        vm.expectRevert(reason);
        registry.veto(0);
        vm.expectRevert(reason);
        registry.setGuardian(address(this));
        vm.expectRevert(reason);
        registry.proposeRecovery(EPOCH, next, "");
        vm.expectRevert(reason);
        registry.cancelRecovery();
        vm.expectRevert(reason);
        registry.retract(1);
    }

    function test_RevertWhen_TheGuardianIsNoContract() public {
        vm.expectRevert(abi.encodeWithSelector(Guard.GuardianWithoutCode.selector, address(1)));
        registry.setGuardian(address(1));
    }

    /// @dev A pause stops what a stolen quorum does, for a while, and the owners cannot make it for good.
    function test_APauseIsBounded() public {
        vm.expectEmit(address(registry));
        emit Guard.Paused(uint64(block.timestamp) + 7 days);
        registry.pause();
        uint256 until = block.timestamp + 7 days;
        assertEq(registry.pausedUntil(), until);
        bytes memory paused = abi.encodeWithSelector(Guard.LockPaused.selector, until);
        bytes memory votes = certificate(makeHeader(1, 0), validators, 0, 5);
        vm.expectRevert(paused);
        registry.finalize(makeHeader(1, 0), VIEW, votes);
        bytes memory signed = signatures(distributionDigestOf(NETWORK, EPOCH, 1, "root"), validators, 0, 5);
        vm.expectRevert(paused);
        registry.certify(1, "root", signed);
        signed = signatures(rotationDigestOf(NETWORK, EPOCH, next), validators, 0, 5);
        vm.expectRevert(paused);
        registry.rotate(next, signed);
        vm.expectRevert(abi.encodeWithSelector(Guard.PausedRecently.selector, block.timestamp + 28 days));
        registry.pause();

        vm.warp(until);
        registry.finalize(makeHeader(1, 0), VIEW, votes);
        vm.warp(until + 21 days - 1);
        vm.expectRevert(abi.encodeWithSelector(Guard.PausedRecently.selector, until + 21 days));
        registry.pause();
        vm.warp(until + 21 days);
        registry.pause();
    }

    /// @dev Owners and three of seven, of whom one at least is no thief, put others in the place of a set that rotated to
    /// itself, whatever that one signs.
    function test_AStolenQuorumIsRecoveredFromByOwnersAndAThirdOfTheSet() public {
        address[] memory thieves = makeAddresses(4);
        registry.rotate(thieves, signatures(rotationDigestOf(NETWORK, EPOCH, thieves), validators, 0, 5));
        bytes memory few = signatures(recoveryDigestOf(EPOCH, next), validators, 4, 2);
        vm.expectRevert(abi.encodeWithSelector(Validators.BelowQuorum.selector, 2, 3));
        registry.proposeRecovery(EPOCH, next, few);
        uint256 effectiveAt = block.timestamp + 14 days;
        vm.expectEmit(address(registry));
        emit Guard.RecoveryProposed(keccak256(abi.encodePacked(wide(next))), uint64(effectiveAt), true);
        registry.proposeRecovery(EPOCH, next, signatures(recoveryDigestOf(EPOCH, next), validators, 4, 3));
        vm.expectRevert(abi.encodeWithSelector(Guard.StillOpenToVeto.selector, effectiveAt));
        registry.recover(next);
        Header memory made = headerOf(EPOCH + 1, 9);
        registry.finalize(made, VIEW, certificate(made, thieves, 0, 3));
        vm.warp(effectiveAt);
        vm.expectRevert();
        registry.recover(thieves);
        registry.recover(next);
        assertEq(registry.validators(), next);
        assertEq(registry.epoch(), EPOCH + 2);
        // Of the thieves not even blocks of their own epoch are taken any more.
        made = headerOf(EPOCH + 1, 10);
        bytes memory late = certificate(made, thieves, 0, 3);
        vm.expectRevert(abi.encodeWithSelector(Validators.WrongEpoch.selector, EPOCH + 2, EPOCH + 1));
        registry.finalize(made, VIEW, late);

        // And both locks undo a block that they have made up.
        bytes32 action = keccak256(abi.encode("retract", address(registry), 9));
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        registry.retract(9);
        registry.resolve(action, signatures(resolutionDigestOf(EPOCH + 2, action), next, 0, 3));
        vm.expectEmit(address(registry));
        emit ResultRegistry.Retracted(9, hashOf(headerOf(EPOCH + 1, 9)));
        registry.retract(9);
        made = headerOf(EPOCH + 2, 9);
        registry.finalize(made, VIEW, certificate(made, next, 0, 3));
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        registry.retract(9);
    }

    /// @dev No key is left to ask: the owners alone, after three months of silence.
    function test_ALostQuorumIsReplacedAfterLongSilence() public {
        registry.finalize(makeHeader(3, 0), VIEW, certificate(makeHeader(3, 0), validators, 0, 5));
        registry.proposeRecovery(EPOCH, next, "");
        uint256 effectiveAt = block.timestamp + 90 days;
        vm.warp(effectiveAt - 1);
        vm.expectRevert(abi.encodeWithSelector(Guard.StillOpenToVeto.selector, effectiveAt));
        registry.recover(next);
        vm.warp(effectiveAt);
        uint256 state = vm.snapshotState();
        registry.recover(next);
        assertEq(registry.validators(), next);
        vm.revertToState(state);

        registry.finalize(makeHeader(4, 0), VIEW, certificate(makeHeader(4, 0), validators, 0, 5));
        vm.expectRevert(abi.encodeWithSelector(Guard.ValidatorsAlive.selector, 4));
        registry.recover(next);
    }

    function test_TheGuardianCancelsARecovery() public {
        vm.expectRevert(abi.encodeWithSelector(Guard.NoRecovery.selector, 0));
        registry.cancelRecovery();
        registry.proposeRecovery(EPOCH, next, "");
        registry.cancelRecovery();
        vm.warp(block.timestamp + 90 days);
        bytes32 hash = keccak256(abi.encodePacked(wide(next)));
        vm.expectRevert(abi.encodeWithSelector(Guard.NoRecovery.selector, hash));
        registry.recover(next);
    }

    /// @dev The other way round: the owners' keys are lost, and validators name another wallet, unless the owners object.
    function test_ALostGuardianIsReplacedAfterLongSilence() public {
        address heir = address(new Stubborn());
        bytes32 action = keccak256(abi.encode("replace guardian", address(registry), uint256(uint160(heir))));
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        registry.announceGuardian(heir);
        bytes memory few = signatures(resolutionDigestOf(EPOCH, action), validators, 0, 4);
        vm.expectRevert(abi.encodeWithSelector(Validators.BelowQuorum.selector, 4, 5));
        registry.resolve(action, few);
        bytes memory votes = signatures(resolutionDigestOf(EPOCH, action), validators, 0, 5);
        vm.expectEmit(address(registry));
        emit Guard.Resolved(action);
        registry.resolve(action, votes);
        vm.expectRevert(abi.encodeWithSelector(Guard.AlreadyResolved.selector, action));
        registry.resolve(action, votes);
        // The delay counts from the call that shows who it is, however long ago it was resolved.
        vm.warp(block.timestamp + 365 days);
        vm.expectRevert(abi.encodeWithSelector(Guard.NotAnnounced.selector, heir));
        registry.replaceGuardian(heir);
        uint256 from = block.timestamp + 90 days;
        vm.expectEmit(address(registry));
        emit Guard.GuardianAnnounced(heir, uint64(from));
        registry.announceGuardian(heir);
        assertEq(registry.nextGuardian(), heir);
        assertEq(registry.nextGuardianAt(), from);
        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(Guard.StillOpenToVeto.selector, from));
        registry.replaceGuardian(heir);
        vm.warp(from);
        uint256 state = vm.snapshotState();
        registry.replaceGuardian(heir);
        assertEq(registry.guardian(), heir);
        assertEq(registry.nextGuardian(), address(0));
        vm.revertToState(state);
        vm.expectEmit(address(registry));
        emit Guard.AnnouncementVoid(heir);
        vm.expectEmit(address(registry));
        emit Guard.Vetoed(action);
        registry.veto(action);
        vm.expectRevert(abi.encodeWithSelector(Guard.NotAnnounced.selector, heir));
        registry.replaceGuardian(heir);
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        registry.announceGuardian(heir);
        vm.expectRevert(abi.encodeWithSelector(Guard.AlreadyResolved.selector, action));
        registry.resolve(action, votes);
    }

    /// @dev Or it could be carried out again years later, by anybody, when the wallet's keys may be others'.
    function test_AGuardianIsReplacedOnceForEachResolution() public {
        address heir = address(new Stubborn());
        bytes32 action = actionOf("replace guardian", address(registry), asNumber(heir));
        vm.stopPrank();
        resolve(registry, action, validators);
        registry.announceGuardian(heir);
        vm.warp(block.timestamp + 90 days);
        registry.replaceGuardian(heir);
        address after_ = address(new Stubborn());
        vm.prank(heir);
        registry.setGuardian(after_);
        vm.expectRevert(abi.encodeWithSelector(Guard.NotAnnounced.selector, heir));
        registry.replaceGuardian(heir);
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        registry.announceGuardian(heir);
        assertEq(registry.guardian(), after_);
    }

    /// @dev Years later it may be somebody else's.
    function test_WhatNobodyCarriesOutIsOffTheTable() public {
        address heir = address(new Stubborn());
        announceGuardian(heir);
        registry.proposeRecovery(EPOCH, next, signatures(recoveryDigestOf(EPOCH, next), validators, 0, 3));
        uint256 start = block.timestamp;
        vm.warp(start + 104 days);
        uint256 state = vm.snapshotState();
        registry.recover(next);
        vm.revertToState(state);
        vm.warp(start + 104 days + 1);
        bytes32 hash = keccak256(abi.encodePacked(wide(next)));
        vm.expectRevert(abi.encodeWithSelector(Guard.NoRecovery.selector, hash));
        registry.recover(next);
        vm.warp(start + 180 days);
        state = vm.snapshotState();
        registry.replaceGuardian(heir);
        vm.revertToState(state);
        vm.warp(start + 180 days + 1);
        vm.expectRevert(abi.encodeWithSelector(Guard.NotAnnounced.selector, heir));
        registry.replaceGuardian(heir);
    }

    /// @dev Whoever names another one is not lost.
    function test_AGuardianThatNamesAnotherOneVoidsWhatIsAnnounced() public {
        address heir = address(new Stubborn());
        announceGuardian(heir);
        address other = address(new Stubborn());
        registry.setGuardian(other);
        vm.warp(block.timestamp + 90 days);
        vm.expectRevert(abi.encodeWithSelector(Guard.NotAnnounced.selector, heir));
        registry.replaceGuardian(heir);
        vm.expectRevert(abi.encodeWithSelector(Guard.NotAnnounced.selector, address(0)));
        registry.replaceGuardian(address(0));
    }

    function test_RevertWhen_TheAnnouncedGuardianIsNoContract() public {
        bytes32 action = actionOf("replace guardian", address(registry), 1);
        resolve(registry, action, validators);
        vm.expectRevert(abi.encodeWithSelector(Guard.GuardianWithoutCode.selector, address(1)));
        registry.announceGuardian(address(1));
    }

    /// @dev What thieves have resolved or announced does not outlive them, and a rotation alone does not take back what all could see.
    function test_ARecoveryVoidsWhatThievesHaveAnnounced() public {
        (address heir, address other) = (address(new Stubborn()), address(new Stubborn()));
        announceGuardian(heir);
        bytes32 action = actionOf("replace guardian", address(registry), asNumber(other));
        resolve(registry, action, validators);
        uint256 state = vm.snapshotState();
        rotate(registry, validators, next);
        assertEq(registry.resolvedAt(action), 0);
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        registry.announceGuardian(other);
        assertEq(registry.nextGuardian(), heir);
        vm.revertToState(state);

        registry.proposeRecovery(EPOCH, next, signatures(recoveryDigestOf(EPOCH, next), validators, 4, 3));
        vm.warp(block.timestamp + 14 days);
        vm.expectEmit(address(registry));
        emit Guard.AnnouncementVoid(heir);
        registry.recover(next);
        assertEq(registry.recoveredAt(), block.timestamp);
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        registry.announceGuardian(other);
        vm.warp(block.timestamp + 90 days);
        vm.expectRevert(abi.encodeWithSelector(Guard.NotAnnounced.selector, heir));
        registry.replaceGuardian(heir);
        // In their own epoch the validators agree to it once more.
        resolve(registry, action, next);
        registry.announceGuardian(other);
    }

    /// @dev The signatures stay where all can read them.
    function test_AUsedResolutionIsNotResolvedAgainByTheSameSignatures() public {
        Header memory made = makeHeader(9, 0);
        registry.finalize(made, VIEW, certificate(made, validators, 0, 5));
        bytes32 action = actionOf("retract", address(registry), 9);
        bytes memory votes = signatures(resolutionDigestOf(EPOCH, action), validators, 0, 5);
        registry.resolve(action, votes);
        registry.retract(9);
        assertEq(registry.resolvedAt(action), 0);
        made.parentHash = "honest";
        registry.finalize(made, VIEW, certificate(made, validators, 0, 5));
        vm.expectRevert(abi.encodeWithSelector(Guard.AlreadyResolved.selector, action));
        registry.resolve(action, votes);
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        registry.retract(9);
    }

    /// @dev What is a hash until somebody says what it stands for.
    function test_WhatIsResolvedIsAnnouncedOnce() public {
        bytes32 action = actionOf("move on", address(this), 5);
        vm.expectRevert(abi.encodeWithSelector(Resolutions.NotResolved.selector, action));
        registry.announce("move on", address(this), 5);
        resolve(registry, action, validators);
        assertEq(registry.announcedAt(action), 0);
        vm.warp(block.timestamp + 5);
        vm.expectEmit(address(registry));
        emit Guard.Announced(action, "move on", address(this), 5);
        registry.announce("move on", address(this), 5);
        assertEq(registry.announcedAt(action), block.timestamp);
        vm.expectRevert(abi.encodeWithSelector(Guard.AlreadyAnnounced.selector, action));
        registry.announce("move on", address(this), 5);
        uint256 state = vm.snapshotState();
        registry.veto(action);
        assertEq(registry.announcedAt(action), 0);
        vm.revertToState(state);
        rotate(registry, validators, next);
        assertEq(registry.announcedAt(action), 0);
    }

    /// @dev The latest height is that of what is left, whatever was posted meanwhile.
    function test_ARetractedHeightIsNotTheLatestAnyMore() public {
        finalize(5);
        finalize(1 << 63);
        finalize(7);
        finalize(6);
        retract(6);
        assertEq(registry.latestHeight(), 1 << 63);
        retract(1 << 63);
        assertEq(registry.latestHeight(), 7);
        retract(100);
        assertEq(registry.latestHeight(), 7);
        finalize(8);
        retract(8);
        assertEq(registry.latestHeight(), 7);
        // Of two in a row it is not known what lies below, and what is said is not too little.
        finalize(1 << 61);
        finalize(1 << 62);
        finalize(9);
        retract(1 << 62);
        assertEq(registry.latestHeight(), 1 << 61);
        retract(1 << 61);
        assertEq(registry.latestHeight(), 1 << 61);
        finalize((1 << 61) + 1);
        assertEq(registry.latestHeight(), (1 << 61) + 1);
    }

    /// @dev Whatever they certify, and however low its height.
    function test_ValidatorsThatCertifyAreNotLost() public {
        finalize(1 << 63);
        registry.proposeRecovery(EPOCH, next, "");
        vm.warp(block.timestamp + 90 days);
        for (uint256 how; how < 4; ++how) {
            uint256 state = vm.snapshotState();
            if (how == 0) finalize(1);
            if (how == 1) {
                registry.certify(
                    1, "root", signatures(distributionDigestOf(NETWORK, EPOCH, 1, "root"), validators, 0, 5)
                );
            }
            if (how == 2) rotate(registry, validators, makeAddresses(4));
            if (how == 3) resolve(registry, "anything", validators);
            vm.expectRevert(abi.encodeWithSelector(Guard.ValidatorsAlive.selector, 1 << 63));
            registry.recover(next);
            vm.revertToState(state);
        }
        registry.recover(next);
    }

    /// @dev Keys of who has left long ago are nobody's business any more.
    function test_RevertWhen_ARetiredSetSignsARecovery() public {
        bytes memory votes = signatures(recoveryDigestOf(EPOCH, next), validators, 0, 3);
        rotate(registry, validators, makeAddresses(7));
        rotate(registry, makeAddresses(7), makeAddresses(4));
        uint256 endedAt = block.timestamp;
        vm.warp(endedAt + 21 days);
        // Thieves do not get rid of it by rotating twice.
        registry.proposeRecovery(EPOCH, next, votes);
        vm.warp(endedAt + 21 days + 1);
        vm.expectRevert(abi.encodeWithSelector(Guard.SignersRetired.selector, EPOCH));
        registry.proposeRecovery(EPOCH, next, votes);
    }

    /// @dev The guardian alone would have the same set back, or who else has signed before.
    function test_RevertWhen_WhatWasSignedBeforeARecoveryIsProposedAfterIt() public {
        bytes memory votes = signatures(recoveryDigestOf(EPOCH, next), validators, 0, 3);
        registry.proposeRecovery(EPOCH, next, votes);
        vm.warp(block.timestamp + 14 days);
        registry.recover(next);
        vm.expectRevert(abi.encodeWithSelector(Guard.SignersRetired.selector, EPOCH));
        registry.proposeRecovery(EPOCH, next, votes);
    }

    function test_TheGuardianHandsOver() public {
        address heir = address(new Stubborn());
        vm.expectEmit(address(registry));
        emit Guard.GuardianChanged(heir);
        registry.setGuardian(heir);
        vm.expectRevert(abi.encodeWithSelector(Guard.OnlyGuardian.selector, guardian));
        registry.pause();
    }

    /// @dev A quorum that is stolen for an hour cannot use up the numbers of all later distributions.
    function test_RevertWhen_NumbersAreSkipped() public {
        bytes memory votes = signatures(distributionDigestOf(NETWORK, EPOCH, 257, "root"), validators, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(ResultRegistry.SkippedDistributions.selector, 0, 257));
        registry.certify(257, "root", votes);
        registry.certify(256, "root", signatures(distributionDigestOf(NETWORK, EPOCH, 256, "root"), validators, 0, 5));
    }

    /// @dev What was earned before a rotation is not lost for having been posted after it.
    function test_BlocksOfTheEpochBeforeAreTakenForSomeDays() public {
        Header memory header = makeHeader(5, 0);
        bytes memory votes = certificate(header, validators, 0, 5);
        registry.rotate(next, signatures(rotationDigestOf(NETWORK, EPOCH, next), validators, 0, 5));
        bytes memory few = certificate(header, validators, 0, 4);
        vm.expectRevert(abi.encodeWithSelector(Validators.BelowQuorum.selector, 4, 5));
        registry.finalize(header, VIEW, few);
        vm.warp(block.timestamp + 3 days - 1);
        uint256 state = vm.snapshotState();
        registry.finalize(header, VIEW, votes);
        vm.revertToState(state);
        vm.warp(block.timestamp + 1);
        vm.expectRevert(abi.encodeWithSelector(Validators.WrongEpoch.selector, EPOCH + 1, EPOCH));
        registry.finalize(header, VIEW, votes);
        // Nothing else that they sign is taken even before.
        bytes memory signed = signatures(distributionDigestOf(NETWORK, EPOCH, 1, "root"), validators, 0, 5);
        vm.expectRevert();
        registry.certify(1, "root", signed);
    }

    function test_RevertWhen_ABarredValidatorIsNamed() public {
        registry.reportEvidence(makeEvidence(VoteKind.Commit, validators, 2));
        address[] memory set = new address[](4);
        for (uint256 i; i < 4; ++i) {
            set[i] = validators[i];
        }
        bytes memory votes = signatures(rotationDigestOf(NETWORK, EPOCH, set), validators, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Validators.ValidatorIsBarred.selector, validators[2]));
        registry.rotate(set, votes);
    }

    function announceGuardian(address heir) private {
        resolve(registry, actionOf("replace guardian", address(registry), asNumber(heir)), validators);
        registry.announceGuardian(heir);
    }

    function finalize(uint64 height) private {
        Header memory header = makeHeader(height, 0);
        registry.finalize(header, VIEW, certificate(header, validators, 0, 5));
    }

    function retract(uint64 height) private {
        resolve(registry, actionOf("retract", address(registry), height), validators);
        registry.retract(height);
    }

    function headerOf(uint64 epoch, uint64 height) private view returns (Header memory header) {
        header = makeHeader(height, 0);
        header.epoch = epoch;
    }

    function wide(address[] memory set) private pure returns (bytes memory words) {
        for (uint256 i; i < set.length; ++i) {
            words = bytes.concat(words, bytes32(uint256(uint160(set[i]))));
        }
    }
}
