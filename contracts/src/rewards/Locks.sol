// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Formats} from "../formats/Formats.sol";
import {IResultRegistry} from "../interfaces/IResultRegistry.sol";
import {IRewardDistributor} from "../interfaces/IRewardDistributor.sol";
import {Resolutions} from "../registry/Resolutions.sol";
import {Purse} from "./Purse.sol";

/// @title Money behind two locks
/// @notice One is what the validators have certified, the other what the owners of the multisig agree to. The owners can hand
/// their lock over to another wallet, after a delay. If their keys are stolen, the validators can pause their lock, for a while
/// and not again for long; if they are lost, the validators can hand it over, after a longer delay in which the owners can
/// object. The registry has the same for the other lock.
///
/// What validators have resolved is a hash, which says nothing to who looks on. So each delay begins with a call that names the
/// account, and what they have announced is void once their lock was recovered from thieves.
abstract contract Locks is Purse {
    /// @notice For so long the validators pause the owners' lock.
    uint32 public constant PAUSE = 7 days;
    /// @notice For so long after the beginning of a pause there is no other.
    uint32 public constant PAUSE_INTERVAL = 28 days;
    /// @notice For so long another wallet waits that the owners have named, or the money for another distributor.
    uint64 public constant HAND_OVER_DELAY = 2 days;
    /// @notice For so long it waits if only the validators have named it, and the owners can object.
    uint64 public constant LOST_DELAY = 90 days;

    /// @inheritdoc IRewardDistributor
    IResultRegistry public immutable registry;
    /// @inheritdoc IRewardDistributor
    address public multisig;
    /// @inheritdoc IRewardDistributor
    /// @dev In the slot of the multisig, which every payment reads, as is the end of a pause.
    uint64 public lastHeight = type(uint64).max;
    /// @inheritdoc IRewardDistributor
    uint32 public pausedUntil;

    /// @inheritdoc IRewardDistributor
    address public heir;
    /// @inheritdoc IRewardDistributor
    uint64 public heirAt;
    /// @inheritdoc IRewardDistributor
    uint32 public pauses;
    /// @dev Since when the validators' heir is named; zero if the owners have named it.
    uint64 private _lostSince;
    /// @dev When what was used was resolved. It may be resolved again in another epoch.
    mapping(bytes32 action => uint64) private _usedOf;

    /// @notice The registry, the outcomes and the multisig must be contracts.
    error NoCode(address account);
    /// @notice The caller is not the multisig.
    error OnlyMultisig(address caller);
    /// @notice The proof does not lead from the leaf to the root.
    error NotIncluded(bytes32 leaf);

    /// @notice The validators have paused the owners' lock.
    event Paused(uint64 until);
    /// @notice Another wallet can take over from a time on.
    event HandingOver(address indexed heir, uint64 from);
    /// @notice No other wallet is to take over.
    event HandOverCancelled(address indexed heir);
    /// @notice Another wallet is the second lock.
    event HandedOver(address indexed multisig);
    /// @notice What was free of a token is with the distributor that goes on.
    event MovedOn(address indexed token, address indexed successor, uint256 amount);
    /// @notice No block above this height is paid here any more.
    event Closed(uint64 lastHeight);

    /// @notice The height is below what is final on this chain and may have been paid, which the validators have not resolved, or not
    /// below the last one.
    error InvalidLastHeight(uint64 latest, uint64 last, uint64 given);
    /// @notice The validators have paused the owners' lock until then.
    error OwnersPaused(uint256 until);
    /// @notice The caller is not the wallet that is to take over, or not any more.
    error NotHeir(address caller);
    /// @notice People have until then to look at it.
    error TooEarly(uint256 until);
    /// @notice The distributor pays all heights still.
    error NotClosed();

    modifier onlyMultisig() {
        if (msg.sender != multisig) revert OnlyMultisig(msg.sender);
        if (block.timestamp < pausedUntil) revert OwnersPaused(pausedUntil);
        _;
    }

    /// @dev For what only stops something, which a pause must not keep them from.
    modifier onlyMultisigAnytime() {
        if (msg.sender != multisig) revert OnlyMultisig(msg.sender);
        _;
    }

    constructor(IResultRegistry registry_, address multisig_) {
        _checkCode(address(registry_));
        _checkCode(multisig_);
        registry = registry_;
        multisig = multisig_;
    }

    /// @inheritdoc IRewardDistributor
    function close(uint64 height) external onlyMultisig {
        uint64 latest = registry.latestHeight();
        if (height < latest) {
            uint64 since = registry.resolvedAt(Formats.action("close", address(this), height));
            if (since != 0 && since != Resolutions.VETOED) latest = height;
        }
        if (height < latest || height >= lastHeight) revert InvalidLastHeight(latest, lastHeight, height);
        lastHeight = height;
        emit Closed(height);
    }

    /// @inheritdoc IRewardDistributor
    /// @dev Whatever the guardian says of it: a stolen lock must not keep itself from being paused.
    function pauseOwners() external {
        bytes32 action = Formats.action("pause owners", address(this), pauses);
        if (!registry.hasResolved(action)) revert Resolutions.NotResolved(action);
        if (pauses != 0 && block.timestamp < uint256(pausedUntil) + PAUSE_INTERVAL - PAUSE) {
            revert TooEarly(uint256(pausedUntil) + PAUSE_INTERVAL - PAUSE);
        }
        ++pauses;
        pausedUntil = uint32(block.timestamp) + PAUSE;
        emit Paused(pausedUntil);
    }

    /// @inheritdoc IRewardDistributor
    function handOver(address next) external onlyMultisig {
        _name(next, HAND_OVER_DELAY, 0);
    }

    /// @inheritdoc IRewardDistributor
    function handOverLost(address next) external {
        bytes32 action = Formats.action("hand over", address(this), uint160(next));
        uint64 since = Resolutions.check(registry.resolvedAt(action), action);
        if (since <= _usedOf[action]) revert Resolutions.NotResolved(action);
        _usedOf[action] = since;
        _name(next, LOST_DELAY, uint64(block.timestamp));
    }

    /// @inheritdoc IRewardDistributor
    function cancelHandOver() external onlyMultisigAnytime {
        if (heir == address(0)) revert NotHeir(address(0));
        emit HandOverCancelled(heir);
        (heir, heirAt) = (address(0), 0);
    }

    /// @inheritdoc IRewardDistributor
    /// @dev Called by the heir, which thereby shows that it can call. Who does not for another {LOST_DELAY} is the heir no more.
    function takeOver() external {
        if (msg.sender != heir || block.timestamp > heirAt + LOST_DELAY) revert NotHeir(msg.sender);
        if (block.timestamp < heirAt) revert TooEarly(heirAt);
        if (_lostSince != 0 && _lostSince <= registry.recoveredAt()) revert NotHeir(msg.sender);
        (multisig, heir, heirAt) = (msg.sender, address(0), 0);
        emit HandedOver(msg.sender);
    }

    /// @inheritdoc IRewardDistributor
    function moveOn(address token, address successor) external onlyMultisig nonReentrant {
        if (lastHeight == type(uint64).max) revert NotClosed();
        bytes32 action = Formats.action("move on", address(this), uint160(successor));
        uint256 since = Resolutions.check(registry.announcedAt(action), action);
        if (block.timestamp < since + HAND_OVER_DELAY) revert TooEarly(since + HAND_OVER_DELAY);
        _settleBeforeMovingOn(token);
        uint256 amount = free(token);
        emit MovedOn(token, successor, amount);
        _transfer(token, successor, amount);
    }

    /// @dev What is not paid here any more, once this distributor is closed, is free.
    function _settleBeforeMovingOn(address token) internal virtual;

    function _name(address next, uint64 wait, uint64 lostSince) private {
        _checkCode(next);
        uint64 from = uint64(block.timestamp) + wait;
        (heir, heirAt, _lostSince) = (next, from, lostSince);
        emit HandingOver(next, from);
    }

    function _checkCode(address account) internal view {
        if (account.code.length == 0) revert NoCode(account);
    }
}
