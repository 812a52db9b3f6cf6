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
/// The validators can **resolve** things that other contracts ask for by name. One of them is another guardian, after
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
    /// @notice For so long what only one party asks for waits, and the other can stop it.
    uint64 public constant LOST_DELAY = 90 days;

    /// @dev What every block reads and writes, in one slot.
    struct Head {
        uint64 latestHeight;
        uint64 pausedUntil;
        bool isOpen;
    }

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
    /// @inheritdoc IResultRegistry
    mapping(bytes32 action => uint64) public resolvedAt;

    /// @notice What the validators certify is not taken until then.
    event Paused(uint64 until);
    /// @notice The stakes that the network requires are there, and certificates are taken.
    event Opened(uint64 indexed epoch);
    /// @notice The validators have resolved something.
    event Resolved(bytes32 indexed action);
    /// @notice The guardian has stopped something that the validators have resolved.
    event Vetoed(bytes32 indexed action);
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
    /// @notice The other party has until then to object.
    error StillOpenToVeto(uint256 until);
    /// @notice There is no such recovery.
    error NoRecovery(bytes32 validatorsHash);
    /// @notice The validators that were held lost have finalized a block.
    error ValidatorsAlive(uint64 height);
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
    /// @dev Also during a pause: nothing of it takes effect at once but the pause of the other lock.
    function resolve(bytes32 action, bytes calldata certificate) external {
        if (resolvedAt[action] != 0) revert AlreadyResolved(action);
        _checkCertificate(Formats.resolutionDigest(domainSeparator(), epoch, action), certificate);
        resolvedAt[action] = uint64(block.timestamp);
        emit Resolved(action);
    }

    /// @inheritdoc IResultRegistry
    function veto(bytes32 action) external onlyGuardian {
        resolvedAt[action] = Resolutions.VETOED;
        emit Vetoed(action);
    }

    /// @inheritdoc IResultRegistry
    function setGuardian(address next) external onlyGuardian {
        _setGuardian(next);
    }

    /// @inheritdoc IResultRegistry
    function replaceGuardian(address next) external {
        bytes32 action = Formats.action("replace guardian", address(this), uint160(next));
        uint256 since = Resolutions.check(resolvedAt[action], action);
        if (block.timestamp < since + LOST_DELAY) revert StillOpenToVeto(since + LOST_DELAY);
        _setGuardian(next);
    }

    /// @inheritdoc IResultRegistry
    function proposeRecovery(uint64 epoch_, address[] calldata next, bytes calldata certificate) external onlyGuardian {
        bytes32 hash = keccak256(abi.encodePacked(next));
        bool isSigned = certificate.length != 0;
        if (isSigned) {
            address[] memory set = validatorsOf(epoch_);
            bytes32 digest = Formats.recoveryDigest(domainSeparator(), epoch_, next);
            // One more than may be faulty: with one of them, at least, no key was stolen.
            _checkCertificate(epoch_, set, (set.length - 1) / 3 + 1, digest, certificate);
        }
        uint64 effectiveAt = uint64(block.timestamp) + (isSigned ? RECOVERY_DELAY : LOST_DELAY);
        recovery = Recovery(hash, effectiveAt, _head.latestHeight, isSigned);
        emit RecoveryProposed(hash, effectiveAt, isSigned);
    }

    /// @inheritdoc IResultRegistry
    function cancelRecovery() external onlyGuardian {
        if (recovery.hash == 0) revert NoRecovery(0);
        emit RecoveryCancelled(recovery.hash);
        delete recovery;
    }

    /// @inheritdoc IResultRegistry
    /// @dev What the last set has signed for its epoch is not taken any more: its keys may be the stolen ones.
    function recover(address[] calldata next) external {
        bytes32 hash = keccak256(abi.encodePacked(next));
        Recovery memory proposed = recovery;
        if (proposed.hash == 0 || proposed.hash != hash) revert NoRecovery(hash);
        if (block.timestamp < proposed.effectiveAt) revert StillOpenToVeto(proposed.effectiveAt);
        if (!proposed.isSigned && _head.latestHeight != proposed.height) revert ValidatorsAlive(_head.latestHeight);
        delete recovery;
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

    /// @dev Uses up what the validators have resolved, for a call by the guardian.
    function _useResolution(bytes32 action) internal {
        Resolutions.check(resolvedAt[action], action);
        delete resolvedAt[action];
    }

    function _checkLock(Head memory head) internal view {
        if (block.timestamp < head.pausedUntil) revert LockPaused(head.pausedUntil);
        if (!head.isOpen) revert NotOpen();
    }

    function _checkLock() internal view override {
        _checkLock(_head);
    }

    function _setGuardian(address next) private {
        if (next.code.length == 0) revert GuardianWithoutCode(next);
        _guardian = next;
        emit GuardianChanged(next);
    }
}
