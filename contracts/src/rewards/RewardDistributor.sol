// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Allotment} from "../formats/Types.sol";
import {IOutcomes} from "../interfaces/IOutcomes.sol";
import {IResultRegistry} from "../interfaces/IResultRegistry.sol";
import {Distributions} from "./Distributions.sol";
import {Locks} from "./Locks.sol";
import {Results} from "./Results.sol";

/// @title The money of the rewards, behind two locks
/// @notice A reward leaves only when the registry holds a certificate for it (the validators' lock), and when the
/// multisig makes the call (the owners' lock). Neither can move money alone, nothing is paid twice, and no worker whom
/// the registry has barred is paid at all. There are three ways through both locks: {Results} of final blocks, {Batches}
/// of payouts, which results stand for, and {Distributions} of what accounts have earned since the beginning.
///
/// What a distribution allots and nobody claims may be swept to the multisig, if for long no further one has come. There
/// is no other way out, on purpose: no withdrawal, no owner, no upgrade. A second exit would have only one lock, and the
/// weaker of two exits is the one that gets used. What is sent here can only become rewards, so send what the expected
/// rewards need and top up as they are paid.
contract RewardDistributor is Results, Distributions {
    /// @param registry_ The registry of the network whose results are paid.
    /// @param aow_ Where the network's rounds of sequential work are claimed and challenged.
    /// @param firstHeight_ The first block whose results are paid here. A distributor that takes over from another begins
    /// where that one ends, so that nothing is paid by both.
    /// @param kinds Custom kinds of work that the network does, see {Kinds}: they are paid without a further check.
    /// @param multisig_ The wallet whose owners approve payments.
    /// @param delay_ Seconds from scheduling a distribution until it can take effect.
    /// @param claimPeriod_ Seconds without a further distribution after which the unclaimed may be swept.
    /// @param caps The most that one distribution may allot of each token. Others cannot be distributed.
    constructor(
        IResultRegistry registry_,
        IOutcomes aow_,
        uint64 firstHeight_,
        uint32[] memory kinds,
        address multisig_,
        uint64 delay_,
        uint64 claimPeriod_,
        Allotment[] memory caps
    ) Locks(registry_, multisig_) Results(aow_, firstHeight_, kinds) Distributions(delay_, claimPeriod_, caps) {}
}
