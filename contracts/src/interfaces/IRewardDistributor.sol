// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Allotment, Distribution, Header, Result, Solution} from "../formats/Types.sol";
import {IOutcomes} from "./IOutcomes.sol";
import {IResultRegistry} from "./IResultRegistry.sol";

/// @notice What a distributor is deployed with and keeps for good.
/// @param firstHeight The first block whose results are paid. A distributor that takes over from another begins where that
/// one ends, so that nothing is paid by both.
/// @param predecessor That other one, which must be closed below the first height; zero if there is none.
/// @param kinds Custom kinds of work that the network does, see {Kinds}: they are paid without a further check.
/// @param delay Seconds from scheduling a distribution or approving a batch until it can take effect; not zero.
/// @param claimPeriod Seconds without a further distribution after which the unclaimed may be swept; a day at least.
/// @param period Seconds in which an empty bucket fills: what is left of a cap, and of an allowance.
/// @param requesterCap The allowance, in wei, of each requester to whom the owners have given no other.
/// @param caps The most of each token that may leave at once. Others cannot be paid out.
struct Terms {
    uint64 firstHeight;
    address predecessor;
    uint32[] kinds;
    uint64 delay;
    uint64 claimPeriod;
    uint64 period;
    uint128 requesterCap;
    Allotment[] caps;
}

/// @notice What the ledger has stated of earnings, as far as it has got here.
/// @param root The root against which its earnings are claimed.
/// @param waitingRoot That of the statement that waits for its delay.
/// @param token The token of that one.
/// @param amount What that one may have taken since the beginning.
/// @param number The number of the statement in effect.
/// @param waiting That of the one that waits.
/// @param refused The last number that was cancelled: neither it nor one before is scheduled.
/// @param effectiveAt First second, in Unix time, at which what waits can take effect; zero if nothing waits.
struct EarnedState {
    bytes32 root;
    bytes32 waitingRoot;
    address token;
    uint96 amount;
    uint32 number;
    uint32 waiting;
    uint32 refused;
    uint64 effectiveAt;
}

/// @notice The money of one token for what the ledger states of earnings. It is part of what is allotted.
/// @param total What has been allotted since the beginning, less what was swept or written off.
/// @param left What claims may still take of it.
struct EarnedReserve {
    uint128 total;
    uint96 left;
}

/// @title The money of the rewards, behind two locks
/// @notice See {RewardDistributor} for the ways through them.
interface IRewardDistributor {
    /// @notice Pays a result to the account that it names, or approves the batch that it stands for.
    /// @param header A header that the registry holds as final.
    /// @param result A result of that block.
    /// @param proof Siblings from the result's leaf up to the header's results root.
    /// @param solution What shows the work of a race. It is not looked at for other kinds, and is empty there.
    function pay(Header calldata header, Result calldata result, bytes32[] calldata proof, Solution calldata solution)
        external;

    /// @notice Pays several results of a block. Payees that do not take the money are credited. What there is no money for, or
    /// too much for the limits, is left for another time, unless that is all of them.
    /// @param header A header that the registry holds as final.
    /// @param results Results of that block.
    /// @param proofs Siblings from each result's leaf up to the header's results root.
    /// @param solutions What shows the work of each race, see {pay}.
    function payMany(
        Header calldata header,
        Result[] calldata results,
        bytes32[][] calldata proofs,
        Solution[] calldata solutions
    ) external;

    /// @notice Makes payouts of an approved batch, from the first that has not been made on. Who does not take the money is
    /// credited, and who is barred is passed over.
    /// @param id The id of the result that stands for the batch.
    /// @param token The token in which all are paid.
    /// @param payouts All of them, each an account in the upper 20 bytes and its amount in the lower 12.
    /// @param count The most payouts that are made now.
    function push(bytes32 id, address token, bytes32[] calldata payouts, uint256 count) external;

    /// @notice Takes a batch off the table, or what has not been pushed of it. Its id stays used up.
    function cancelBatch(bytes32 id) external;

    /// @notice Lets a certified distribution take effect after the delay, in place of one that waits already.
    function schedule(Distribution calldata distribution) external;

    /// @notice Takes the scheduled distribution off the table.
    function cancel() external;

    /// @notice Puts the scheduled distribution into effect, and its allotments aside for claims.
    function activate(Distribution calldata distribution) external;

    /// @notice Lets what the ledger states of earnings take effect after the delay, unless another statement waits. A statement
    /// that is in effect may be given more money in the same way.
    /// @param header A header that the registry holds as final, of any height.
    /// @param result The statement: a result of that block.
    /// @param proof Siblings from the result's leaf up to the header's results root.
    /// @param amount What claims may have taken since the beginning, at most what the statement says was earned.
    function scheduleEarned(Header calldata header, Result calldata result, bytes32[] calldata proof, uint96 amount)
        external;

    /// @notice Takes the statement that waits off the table for good.
    function cancelEarned() external;

    /// @notice Puts the statement that waits into effect, and its money aside for claims. Anyone may.
    function activateEarned() external;

    /// @notice Pays an account what it has earned in the ledger and not had. Anyone may ask for it.
    /// @param account Who is paid.
    /// @param token What it is paid in.
    /// @param cumulative What it has earned since the beginning, as the root has it.
    /// @param proof Siblings from the leaf up to the root.
    function claimEarned(address account, address token, uint256 cumulative, bytes32[] calldata proof) external;

    /// @notice Pays what an account has earned in the ledger to another one. The account itself may ask for it, and its claimer.
    function claimEarnedTo(address account, address token, uint256 cumulative, bytes32[] calldata proof, address to)
        external;

    /// @notice Pays an account what it has earned of a token and not had. Anyone may ask for it.
    /// @param account Who is paid.
    /// @param token What it is paid in.
    /// @param cumulative What it has earned since the beginning, as the root has it.
    /// @param proof Siblings from the leaf up to the root.
    function claim(address account, address token, uint256 cumulative, bytes32[] calldata proof) external;

    /// @notice Pays what an account has earned to another one. The account itself may ask for it, and its claimer.
    function claimTo(address account, address token, uint256 cumulative, bytes32[] calldata proof, address to) external;

    /// @notice Lets another account claim and withdraw for the caller; zero for none.
    function setClaimer(address claimer) external;

    /// @notice Sends an account's credit to an account. The account itself may ask for it, and its claimer.
    function withdrawFor(address account, address token, address to) external;

    /// @notice Sends what nobody has claimed of a token to the multisig.
    function sweep(address token) external;

    /// @notice Takes from what is allotted of a token what the distributor has too little of it, so that the other claims
    /// are paid again. Only a token that shrinks by itself has too little.
    function writeOff(address token) external;

    /// @notice Gives a requester another allowance than {requesterCap}.
    function setAllowance(address requester, uint128 cap) external;

    /// @notice Ends the payment of results above a height, for a distributor that goes on from there. What is below can still
    /// be paid, and what is owed stays owed.
    /// @param height At least the greatest that the registry holds, below which all may have been paid, or one that the validators have
    /// resolved as action "close".
    function close(uint64 height) external;

    /// @notice Sends what is free of a token to the distributor that goes on, once this one is closed and it was announced some days ago
    /// that the validators have resolved that, as action "move on".
    function moveOn(address token, address successor) external;

    /// @notice Stops what the owners agree to from being done, for a while. Anyone may, if the validators have resolved it as
    /// action "pause owners" with the number of pauses before.
    function pauseOwners() external;

    /// @notice Names the wallet that is to take the multisig's place after a delay.
    function handOver(address next) external;

    /// @notice Names that wallet if the validators have resolved it, as action "hand over". It waits for long from then on, and the
    /// multisig can cancel it, and so does a recovery of the validators' lock. Anyone may.
    function handOverLost(address next) external;

    /// @notice Takes a handover off the table, also during a pause.
    function cancelHandOver() external;

    /// @notice Makes the caller the multisig, if it was named and the delay is over.
    function takeOver() external;

    /// @notice Sends the caller's credit to an account, which need not be the caller.
    function withdraw(address token, address to) external;

    /// @notice What is owed to nobody.
    function free(address token) external view returns (uint256);

    /// @notice What is owed of a token.
    /// @return allotted What claims of distributions may still take.
    /// @return credited What accounts may withdraw.
    /// @return fullAt When the token's bucket is full, in parts of a second of which 2^24 make one.
    function reserveOf(address token) external view returns (uint96 allotted, uint96 credited, uint64 fullAt);

    /// @notice What may leave of a token now: what is free, or less if the limit leaves less.
    function available(address token) external view returns (uint256);

    /// @notice What an account may withdraw of a token.
    function creditOf(address account, address token) external view returns (uint256);

    /// @notice Whether the result with this id has been paid, or its batch approved.
    function isPaid(bytes32 id) external view returns (bool);

    /// @notice A batch that is approved and not all pushed; zeros if there is none.
    /// @return commitment The first 24 bytes of the hash of its digest and its total.
    /// @return effectiveAt First second, in Unix time, at which it may be pushed.
    /// @return next How many payouts have been made, credited or withheld.
    function batchOf(bytes32 id) external view returns (bytes24 commitment, uint40 effectiveAt, uint24 next);

    /// @notice What distributions have allotted of a token since the beginning, less what was swept or written off.
    function totalAllotted(address token) external view returns (uint128);

    /// @notice What the ledger has stated of earnings, as far as it has got here.
    function earned() external view returns (EarnedState memory);

    /// @notice The money of a token for what the ledger states.
    function earnedOf(address token) external view returns (uint128 total, uint96 left);

    /// @notice What an account has claimed since the beginning of what it has earned in the ledger, at the distributors before
    /// this one too.
    function earnedClaimed(address account, address token) external view returns (uint256);

    /// @notice Who may claim and withdraw for an account, beside itself.
    function claimerOf(address account) external view returns (address);

    /// @notice What an account has claimed of a token since the beginning.
    function claimedOf(address account, address token) external view returns (uint256);

    /// @notice The most of a token that may leave at once, and refills in a {period}. Fixed at deployment.
    function capOf(address token) external view returns (uint128);

    /// @notice A requester's allowance, and what is left of it. What rounds and custom kinds of work are paid counts for the
    /// account whose number is that of the kind.
    function allowanceOf(address requester) external view returns (uint128 cap, uint256 left);

    /// @notice The allowance of a requester to whom the owners have given no other.
    function requesterCap() external view returns (uint128);

    /// @notice Seconds in which an empty bucket fills.
    function period() external view returns (uint64);

    /// @notice The root against which claims are made.
    function root() external view returns (bytes32);

    /// @notice Number of the distribution in effect.
    function number() external view returns (uint32);

    /// @notice The hash of the distribution that waits for its delay, or zero.
    function scheduled() external view returns (bytes32);

    /// @notice First second, in Unix time, at which the scheduled distribution can take effect.
    function effectiveAt() external view returns (uint64);

    /// @notice First second, in Unix time, at which what nobody has claimed may be swept.
    function expiresAt() external view returns (uint64);

    /// @notice Seconds from scheduling a distribution or approving a batch until it can take effect.
    function delay() external view returns (uint64);

    /// @notice Seconds from the last distribution on after which what nobody has claimed may be swept.
    function claimPeriod() external view returns (uint64);

    /// @notice The first lock: it knows which blocks are final and what is certified, and who is barred from payouts.
    function registry() external view returns (IResultRegistry);

    /// @notice The second lock: the only account that may pay, schedule, cancel and sweep.
    function multisig() external view returns (address);

    /// @notice First second, in Unix time, at which what the owners agree to is done again.
    function pausedUntil() external view returns (uint32);

    /// @notice How often the validators have paused the owners' lock.
    function pauses() external view returns (uint32);

    /// @notice The wallet that is to take the multisig's place, or zero.
    function heir() external view returns (address);

    /// @notice First second, in Unix time, at which it can.
    function heirAt() external view returns (uint64);

    /// @notice The last block whose results are paid here.
    function lastHeight() external view returns (uint64);

    /// @notice The first block whose results are paid here.
    function firstHeight() external view returns (uint64);

    /// @notice Whether results of a custom kind of work are paid, see {Kinds}. Fixed at deployment.
    function takesKind(uint32 kind) external view returns (bool);

    /// @notice It knows which rounds of sequential work stand, and with which results.
    function aow() external view returns (IOutcomes);
}
