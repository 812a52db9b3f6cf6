// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Distribution, Header, Result, Solution} from "../formats/Types.sol";
import {IOutcomes} from "./IOutcomes.sol";
import {IResultRegistry} from "./IResultRegistry.sol";

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

    /// @notice Pays several results of a block. Payees that do not take the money are credited.
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

    /// @notice Makes the payouts of an approved batch. Who does not take the money is credited, and who is barred is
    /// passed over.
    /// @param id The id of the result that stands for the batch.
    /// @param token The token in which all are paid.
    /// @param payouts Each an account in the upper 20 bytes and its amount in the lower 12.
    function push(bytes32 id, address token, bytes32[] calldata payouts) external;

    /// @notice Lets a certified distribution take effect after the delay, in place of one that waits already.
    function schedule(Distribution calldata distribution) external;

    /// @notice Takes the scheduled distribution off the table.
    function cancel() external;

    /// @notice Puts the scheduled distribution into effect, and its allotments aside for claims.
    function activate(Distribution calldata distribution) external;

    /// @notice Pays an account what it has earned of a token and not had. Anyone may ask for it.
    /// @param account Who is paid.
    /// @param token What it is paid in.
    /// @param cumulative What it has earned since the beginning, as the root has it.
    /// @param proof Siblings from the leaf up to the root.
    function claim(address account, address token, uint256 cumulative, bytes32[] calldata proof) external;

    /// @notice Sends what nobody has claimed of a token to the multisig.
    function sweep(address token) external;

    /// @notice Sends the caller's credit to an account, which need not be the caller.
    function withdraw(address token, address to) external;

    /// @notice What is owed to nobody.
    function free(address token) external view returns (uint256);

    /// @notice What is owed of a token.
    function reserveOf(address token) external view returns (uint128 allotted, uint128 credited);

    /// @notice What an account may withdraw of a token.
    function creditOf(address account, address token) external view returns (uint256);

    /// @notice Whether the result with this id has been paid, or its batch approved.
    function isPaid(bytes32 id) external view returns (bool);

    /// @notice A batch that is approved and not pushed: the hash of its digest and its total. Zero if there is none.
    function batchOf(bytes32 id) external view returns (bytes32);

    /// @notice What an account has claimed of a token since the beginning.
    function claimedOf(address account, address token) external view returns (uint256);

    /// @notice The most of a token that one distribution may allot. Fixed at deployment.
    function capOf(address token) external view returns (uint128);

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

    /// @notice Seconds from scheduling a distribution until it can take effect.
    function delay() external view returns (uint64);

    /// @notice Seconds from the last distribution on after which what nobody has claimed may be swept.
    function claimPeriod() external view returns (uint64);

    /// @notice The first lock: it knows which blocks are final and what is certified, and who is barred from payouts.
    function registry() external view returns (IResultRegistry);

    /// @notice The second lock: the only account that may pay, schedule, cancel and sweep.
    function multisig() external view returns (address);

    /// @notice The first block whose results are paid here.
    function firstHeight() external view returns (uint64);

    /// @notice Whether results of a custom kind of work are paid, see {Kinds}. Fixed at deployment.
    function takesKind(uint32 kind) external view returns (bool);

    /// @notice It knows which rounds of sequential work stand, and with which results.
    function aow() external view returns (IOutcomes);
}
