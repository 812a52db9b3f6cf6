// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.31;

import {Formats} from "../formats/Formats.sol";
import {IResultRegistry} from "../interfaces/IResultRegistry.sol";
import {Resolutions} from "./Resolutions.sol";
import {Stakes} from "./Stakes.sol";
import {Validators} from "./Validators.sol";

/// @title What the owners can do about a validators' lock that is stolen or lost, and the validators about the owners'
/// @notice The guardian is the wallet whose owners are the other lock. It can **pause** what validators certify, for {PAUSE} and
/// then not again for long. It can **recover** the validators' lock: together with more than a third of a set's validators, whose
/// keys are theirs still, after {RECOVERY_DELAY}; or alone, when no key is left to ask, after {LOST_DELAY} in which nothing was
/// finalized. Together, both can **retract** a block that thieves have made up.
///
/// The validators can **resolve** things that other contracts ask for by name. What they have resolved is a hash, counts once, and
/// counts until their epoch ends. One of them is another guardian: anybody announces it by its address, and it takes over after
/// {LOST_DELAY}, in which the guardian that is there can veto it.
///
/// None of this moves money, and each way takes two parties, or one and the long silence of the other.
abstract contract Guard is Validators {
    /// @notice For so long the guardian pauses the validators' lock.
    uint64 public constant PAUSE = 7 days;
    /// @notice For so long after the beginning of a pause there is no other.
    uint64 public constant PAUSE_INTERVAL = 28 days;
    /// @notice For so long a recovery waits that validators have signed.
    uint64 public constant RECOVERY_DELAY = 14 days;
    /// @notice For so long what only one party asks for waits, and the other can stop it. What nobody carries out for as long once it may
    /// be is off the table.
    uint64 public constant LOST_DELAY = 90 days;

    /// @dev What every block reads and writes, in one slot.
    /// @param latestHeight The greatest height that is final here.
    /// @param secondHeight The greatest one below it, by which {latestHeight} is right again once it is retracted; {UNKNOWN} from
    /// then on until a block above is final.
    /// @param signs What the validators have certified, blocks and resolutions alike.
    struct Head {
        uint64 latestHeight;
        uint64 pausedUntil;
        uint64 secondHeight;
        uint40 signs;
        bool isOpen;
    }

    /// @param since When the validators have resolved it.
    /// @param announcedAt When somebody has said what it is.
    /// @param isVetoed Whether the guardian has stopped it.
    /// @param isUsed Whether it has been done.
    struct Resolution {
        uint64 since;
        uint64 announcedAt;
        bool isVetoed;
        bool isUsed;
    }

    /// @dev Stands for a height that nobody remembers.
    uint64 internal constant UNKNOWN = type(uint64).max;

    /// @param hash The hash of the next validators; zero if there is no recovery.
    /// @param effectiveAt First second, in Unix time, at which they can take over.
    /// @param height The greatest height that was finalized when it was proposed.
    /// @param isSigned Whether validators have signed it.
    struct Recovery {
        bytes32 hash;
        uint64 effectiveAt;
        uint64 height;
        bool isSigned;
    }

    Head internal _head;
    address private _guardian;
    /// @inheritdoc IResultRegistry
    uint64 public pauseAllowedAt;
    /// @inheritdoc IResultRegistry
    Recovery public recovery;
    /// @dev What there was of signs of life when the recovery was proposed.
    bytes32 private _signsBefore;
    /// @inheritdoc IResultRegistry
    uint64 public recoveredAt;
    /// @inheritdoc IResultRegistry
    address public nextGuardian;
    /// @inheritdoc IResultRegistry
    uint64 public nextGuardianAt;
    /// @dev What was resolved in one epoch is void in the next.
    mapping(uint64 epoch => mapping(bytes32 action => Resolution)) private _resolutions;

    /// @notice What the validators certify is not taken until then.
    event Paused(uint64 until);
    /// @notice The stakes that the network requires are there, and certificates are taken.
    event Opened(uint64 indexed epoch);
    /// @notice The validators have resolved something.
    event Resolved(bytes32 indexed action);
    /// @notice Somebody has said what it is that the validators have resolved.
    event Announced(bytes32 indexed action, string what, address indexed target, uint256 value);
    /// @notice The guardian has stopped something that the validators have resolved.
    event Vetoed(bytes32 indexed action);
    /// @notice Another wallet can be the guardian from a time on, if the guardian does not object.
    event GuardianAnnounced(address indexed next, uint64 from);
    /// @notice It will not.
    event AnnouncementVoid(address indexed next);
    /// @notice Another wallet is the guardian.
    event GuardianChanged(address indexed guardian);
    /// @notice Other validators can take over from a time on.
    event RecoveryProposed(bytes32 validatorsHash, uint64 effectiveAt, bool isSigned);
    /// @notice They will not.
    event RecoveryCancelled(bytes32 validatorsHash);

    /// @notice The caller is not the guardian.
    error OnlyGuardian(address caller);
    /// @notice What validators certify is not taken until then.
    error LockPaused(uint256 until);
    /// @notice The next pause is possible then.
    error PausedRecently(uint256 until);
    /// @notice The stakes that the network requires are not there yet.
    error NotOpen();
    /// @notice The stakes are there already, or none are required.
    error AlreadyOpen();
    /// @notice The validators have resolved this already.
    error AlreadyResolved(bytes32 action);
    /// @notice It is announced already.
    error AlreadyAnnounced(bytes32 action);
    /// @notice The other party has until then to object.
    error StillOpenToVeto(uint256 until);
    /// @notice There is no such recovery, or not any more.
    error NoRecovery(bytes32 validatorsHash);
    /// @notice The validators that were held lost have certified something.
    error ValidatorsAlive(uint64 height);
    /// @notice Who signs a recovery is of this epoch, or of one that has ended within {UNBONDING} and after the last recovery.
    error SignersRetired(uint64 epoch);
    /// @notice This wallet was not announced as the next guardian, or too long ago.
    error NotAnnounced(address next);
    /// @notice The guardian must be a contract.
    error GuardianWithoutCode(address guardian);

    modifier onlyGuardian() {
        if (msg.sender != _guardian) revert OnlyGuardian(msg.sender);
        _;
    }

    constructor(address guardian_) {
        _setGuardian(guardian_);
        _head.isOpen = stakeRequired == 0;
    }

    /// @inheritdoc IResultRegistry
    function pause() external onlyGuardian {
        if (block.timestamp < pauseAllowedAt) revert PausedRecently(pauseAllowedAt);
        _head.pausedUntil = uint64(block.timestamp) + PAUSE;
        pauseAllowedAt = uint64(block.timestamp) + PAUSE_INTERVAL;
        emit Paused(_head.pausedUntil);
    }

    /// @inheritdoc IResultRegistry
    function open() external {
        if (_head.isOpen) revert AlreadyOpen();
        address[] memory set = validators();
        for (uint256 i; i < set.length; ++i) {
            _checkStake(set[i]);
        }
        _head.isOpen = true;
        emit Opened(epoch);
    }

    /// @inheritdoc IResultRegistry
    /// @dev Also during a pause: nothing of it takes effect at once but the pause of the other lock. What was vetoed beforehand is
    /// resolved all the same, for whoever asks {hasResolved}.
    function resolve(bytes32 action, bytes calldata certificate) external {
        Resolution storage resolution = _resolutions[epoch][action];
        if (resolution.since != 0) revert AlreadyResolved(action);
        _checkCertificate(Formats.resolutionDigest(domainSeparator(), epoch, action), certificate);
        resolution.since = uint64(block.timestamp);
        ++_head.signs;
        emit Resolved(action);
    }

    /// @inheritdoc IResultRegistry
    function announce(string calldata what, address target, uint256 value) external {
        bytes32 action = Formats.action(what, target, value);
        Resolutions.check(resolvedAt(action), action);
        Resolution storage resolution = _resolutions[epoch][action];
        if (resolution.announcedAt != 0) revert AlreadyAnnounced(action);
        resolution.announcedAt = uint64(block.timestamp);
        emit Announced(action, what, target, value);
    }

    /// @inheritdoc IResultRegistry
    function veto(bytes32 action) external onlyGuardian {
        _resolutions[epoch][action].isVetoed = true;
        if (nextGuardian != address(0) && action == _guardianAction(nextGuardian)) _voidAnnouncement();
        emit Vetoed(action);
    }

    /// @inheritdoc IResultRegistry
    function setGuardian(address next) external onlyGuardian {
        _setGuardian(next);
    }

    /// @inheritdoc IResultRegistry
    /// @dev The delay counts from here, where all can read the address.
    function announceGuardian(address next) external {
        _useResolution(_guardianAction(next));
        _checkGuardian(next);
        (nextGuardian, nextGuardianAt) = (next, uint64(block.timestamp) + LOST_DELAY);
        emit GuardianAnnounced(next, nextGuardianAt);
    }

    /// @inheritdoc IResultRegistry
    function replaceGuardian(address next) external {
        bool isPast = block.timestamp > nextGuardianAt + LOST_DELAY;
        if (next == address(0) || next != nextGuardian || isPast) revert NotAnnounced(next);
        if (block.timestamp < nextGuardianAt) revert StillOpenToVeto(nextGuardianAt);
        _setGuardian(next);
    }

    /// @inheritdoc IResultRegistry
    function proposeRecovery(uint64 epoch_, address[] calldata next, bytes calldata certificate) external onlyGuardian {
        bytes32 hash = keccak256(abi.encodePacked(next));
        bool isSigned = certificate.length != 0;
        if (isSigned) {
            address[] memory set = validatorsOf(epoch_);
            if (epoch_ != epoch) _checkSigners(epoch_);
            bytes32 digest = Formats.recoveryDigest(domainSeparator(), epoch_, next);
            // One more than may be faulty: with one of them, at least, no key was stolen.
            _checkCertificate(epoch_, set, (set.length - 1) / 3 + 1, digest, certificate);
        }
        uint64 effectiveAt = uint64(block.timestamp) + (isSigned ? RECOVERY_DELAY : LOST_DELAY);
        recovery = Recovery(hash, effectiveAt, _head.latestHeight, isSigned);
        _signsBefore = _signsOfLife();
        emit RecoveryProposed(hash, effectiveAt, isSigned);
    }

    /// @inheritdoc IResultRegistry
    function cancelRecovery() external onlyGuardian {
        if (recovery.hash == 0) revert NoRecovery(0);
        emit RecoveryCancelled(recovery.hash);
        delete recovery;
    }

    /// @inheritdoc IResultRegistry
    /// @dev What the last set has signed for its epoch is not taken any more, what it has announced is void, and no set before signs
    /// another recovery: their keys may be the stolen ones.
    function recover(address[] calldata next) external {
        bytes32 hash = keccak256(abi.encodePacked(next));
        Recovery memory proposed = recovery;
        bool isPast = block.timestamp > proposed.effectiveAt + LOST_DELAY;
        if (proposed.hash == 0 || proposed.hash != hash || isPast) revert NoRecovery(hash);
        if (block.timestamp < proposed.effectiveAt) revert StillOpenToVeto(proposed.effectiveAt);
        if (!proposed.isSigned && _signsOfLife() != _signsBefore) revert ValidatorsAlive(_head.latestHeight);
        delete recovery;
        if (nextGuardian != address(0)) _voidAnnouncement();
        recoveredAt = uint64(block.timestamp);
        _handOver(next, false);
        _head.isOpen = stakeRequired == 0;
    }

    /// @inheritdoc IResultRegistry
    function pausedUntil() external view returns (uint64) {
        return _head.pausedUntil;
    }

    /// @inheritdoc IResultRegistry
    function isOpen() external view returns (bool) {
        return _head.isOpen;
    }

    /// @inheritdoc IResultRegistry
    function guardian() public view override(IResultRegistry, Stakes) returns (address) {
        return _guardian;
    }

    /// @inheritdoc IResultRegistry
    function resolvedAt(bytes32 action) public view returns (uint64) {
        Resolution memory resolution = _resolutions[epoch][action];
        if (resolution.isVetoed) return Resolutions.VETOED;
        return resolution.isUsed ? 0 : resolution.since;
    }

    /// @inheritdoc IResultRegistry
    function announcedAt(bytes32 action) external view returns (uint64) {
        Resolution memory resolution = _resolutions[epoch][action];
        return resolution.isVetoed || resolution.isUsed ? 0 : resolution.announcedAt;
    }

    /// @inheritdoc IResultRegistry
    function hasResolved(bytes32 action) external view returns (bool) {
        return _resolutions[epoch][action].since != 0;
    }

    /// @dev Uses up what the validators have resolved. Their signatures do not resolve it again.
    function _useResolution(bytes32 action) internal {
        Resolutions.check(resolvedAt(action), action);
        _resolutions[epoch][action].isUsed = true;
    }

    /// @dev All that takes a quorum of the current validators, whatever height it is about.
    function _signsOfLife() private view returns (bytes32) {
        return keccak256(abi.encode(_head.signs, epoch, distributionNumber));
    }

    function _guardianAction(address next) private view returns (bytes32) {
        return Formats.action("replace guardian", address(this), uint160(next));
    }

    function _voidAnnouncement() private {
        emit AnnouncementVoid(nextGuardian);
        (nextGuardian, nextGuardianAt) = (address(0), 0);
    }

    /// @dev Thieves may have rotated more than once since, so a set signs for as long as its stakes are there.
    function _checkSigners(uint64 epoch_) private view {
        uint256 endedAt = _endOf(epoch_);
        if (endedAt <= recoveredAt || block.timestamp > endedAt + UNBONDING) revert SignersRetired(epoch_);
    }

    function _checkLock(Head memory head) internal view {
        if (block.timestamp < head.pausedUntil) revert LockPaused(head.pausedUntil);
        if (!head.isOpen) revert NotOpen();
    }

    function _checkLock() internal view override {
        _checkLock(_head);
    }

    function _checkGuardian(address next) private view {
        if (next.code.length == 0) revert GuardianWithoutCode(next);
    }

    /// @dev A guardian that names another one is not lost, and whoever was announced is not wanted.
    function _setGuardian(address next) private {
        _checkGuardian(next);
        if (nextGuardian != address(0)) _voidAnnouncement();
        _guardian = next;
        emit GuardianChanged(next);
    }
}
