// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IOutcomes} from "../interfaces/IOutcomes.sol";
import {IResultRegistry} from "../interfaces/IResultRegistry.sol";
import {Terms} from "../interfaces/IRewardDistributor.sol";
import {Batches} from "./Batches.sol";
import {Distributions} from "./Distributions.sol";
import {Earnings} from "./Earnings.sol";
import {Limits} from "./Limits.sol";
import {Locks} from "./Locks.sol";
import {Results} from "./Results.sol";

/// @title The money of the rewards, behind two locks
/// @notice A reward leaves only when the registry holds a certificate for it (the validators' lock), and when the
/// multisig makes the call (the owners' lock). Neither can move money alone, nothing is paid twice, and no worker whom
/// the registry has barred is paid at all. There are four ways through both locks: {Results} of final blocks, {Batches}
/// of payouts, which results stand for, {Distributions} of what accounts have earned since the beginning, and {Earnings} of what
/// they have earned in the ledger. Whatever
/// comes through them is within {Limits}.
///
/// What a distribution allots and nobody claims may be swept to the multisig, if for long no further one has come. There
/// is no other way out, on purpose: no withdrawal, no owner, no upgrade. A second exit would have only one lock, and the
/// weaker of two exits is the one that gets used. What is sent here can only become rewards, so send what the expected
/// rewards need and top up as they are paid.
contract RewardDistributor is Earnings {
    /// @param registry_ The registry of the network whose results are paid.
    /// @param aow_ Where the network's rounds of sequential work are claimed and challenged.
    /// @param multisig_ The wallet whose owners approve payments.
    /// @param terms How much is paid, when, and for what.
    constructor(IResultRegistry registry_, IOutcomes aow_, address multisig_, Terms memory terms)
        Locks(registry_, multisig_)
        Limits(terms.period, terms.requesterCap, terms.caps)
        Batches(terms.delay)
        Results(aow_, terms.firstHeight, terms.predecessor, terms.kinds)
        Distributions(terms.claimPeriod)
        Earnings(terms.predecessor, terms.caps)
    {}
}
