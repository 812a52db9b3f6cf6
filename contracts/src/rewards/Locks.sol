// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IResultRegistry} from "../interfaces/IResultRegistry.sol";
import {IRewardDistributor} from "../interfaces/IRewardDistributor.sol";
import {Purse} from "./Purse.sol";

/// @title Money behind two locks
/// @notice One is what the validators have certified, the other what the owners of the multisig agree to.
abstract contract Locks is Purse {
    /// @inheritdoc IRewardDistributor
    IResultRegistry public immutable registry;
    /// @inheritdoc IRewardDistributor
    address public multisig;
    /// @inheritdoc IRewardDistributor
    /// @dev In the slot of the multisig, which every payment reads.
    uint64 public lastHeight = type(uint64).max;

    /// @notice The registry, the outcomes and the multisig must be contracts.
    error NoCode(address account);
    /// @notice The caller is not the multisig.
    error OnlyMultisig(address caller);
    /// @notice The proof does not lead from the leaf to the root.
    error NotIncluded(bytes32 leaf);

    /// @notice No block above this height is paid here any more.
    event Closed(uint64 lastHeight);

    /// @notice The height is below what is final on this chain and may have been paid, or not below the last one.
    error InvalidLastHeight(uint64 latest, uint64 last, uint64 given);

    modifier onlyMultisig() {
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
        if (height < latest || height >= lastHeight) revert InvalidLastHeight(latest, lastHeight, height);
        lastHeight = height;
        emit Closed(height);
    }

    function _checkCode(address account) internal view {
        if (account.code.length == 0) revert NoCode(account);
    }
}
