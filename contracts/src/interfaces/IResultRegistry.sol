// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Evidence, Header, Slot} from "../formats/Types.sol";

/// @notice What a registry is deployed with beside its validators.
/// @param guardian The wallet of the owners, who are the other lock; a contract.
/// @param stakeToken What validators put at stake; zero for the native currency.
/// @param stake How much each of them has to; zero for nothing.
struct RegistryTerms {
    address guardian;
    address stakeToken;
    uint128 stake;
}

/// @title What one network's validators have certified
/// @notice See {ResultRegistry} for what is final and certified, and {Validators} for who says so.
interface IResultRegistry {
    /// @notice Finalizes a block.
    /// @param header The block's header.
    /// @param view_ The view of the commit votes.
    /// @param certificate Commit votes of the current validators.
    function finalize(Header calldata header, uint64 view_, bytes calldata certificate) external;

    /// @notice Certifies a distribution that is later than the latest one.
    /// @param number The distribution's number.
    /// @param hash The distribution's hash.
    /// @param certificate Signatures of the current validators over both.
    function certify(uint32 number, bytes32 hash, bytes calldata certificate) external;

    /// @notice Hands over to the next epoch's validators.
    /// @param next 4 to 255 validators in strictly ascending order of address, none of them zero.
    /// @param certificate Signatures of the current validators over the rotation.
    function rotate(address[] calldata next, bytes calldata certificate) external;

    /// @notice Bars a validator that signed two votes of one kind, epoch, view and height for different hashes, or that committed in a
    /// view which it had given up.
    /// @param evidence The votes.
    function reportEvidence(Evidence calldata evidence) external;

    /// @notice Bars the validators that signed both of two certificates for one slot and different hashes.
    /// @param slot What both are about.
    /// @param firstHash What one of them is for, the lower of the two.
    /// @param secondHash What the other one is for.
    /// @param firstCertificate Signatures of validators of the slot's epoch, however few, for the first hash.
    /// @param secondCertificate The same for the second hash.
    function reportCertificates(
        Slot calldata slot,
        bytes32 firstHash,
        bytes32 secondHash,
        bytes calldata firstCertificate,
        bytes calldata secondCertificate
    ) external;

    /// @notice Says that the caller, or somebody, has evidence, and not which. The first time counts.
    /// @param commitment See {commitmentOf}.
    function commit(bytes32 commitment) external;

    /// @notice Puts more of the caller's money at stake.
    function stake(uint128 amount) external payable;

    /// @notice Asks for the caller's stake, which it is no validator for any more.
    function unstake() external;

    /// @notice Sends the caller's stake to an account, once it is free.
    function reclaim(address to) external;

    /// @notice Sends what evidence has brought the caller to an account.
    function collect(address to) external;

    /// @notice Says that the stakes of all validators are there, after which certificates are taken. Anyone may.
    function open() external;

    /// @notice Stops what validators certify from being taken, for a while. Only the guardian may.
    function pause() external;

    /// @notice Keeps that the validators agree to an action, once and for their epoch.
    /// @param action What they agree to, see docs/reference/formats.md.
    /// @param certificate Signatures of the current validators.
    function resolve(bytes32 action, bytes calldata certificate) external;

    /// @notice Says what it is that the validators have resolved, so that people can look at it. Anyone may, once.
    /// @param what The text of the action.
    /// @param target The contract that does it.
    /// @param value The action's number.
    function announce(string calldata what, address target, uint256 value) external;

    /// @notice Stops an action that the validators have resolved, or may in this epoch, and what they have announced by it. A pause of
    /// the owners' lock is not stopped by it. Only the guardian may.
    function veto(bytes32 action) external;

    /// @notice Makes another wallet the guardian. Only the guardian may.
    function setGuardian(address next) external;

    /// @notice Announces another wallet as the guardian, which the validators have resolved as action "replace guardian". Anyone may.
    function announceGuardian(address next) external;

    /// @notice Makes a wallet the guardian that was announced long ago. Anyone may.
    function replaceGuardian(address next) external;

    /// @notice Names other validators for a lock that is stolen or lost. Only the guardian may.
    /// @param epoch_ The epoch of those who sign: this one, or one that has not ended for long.
    /// @param next 4 to 255 validators in strictly ascending order of address, none of them zero.
    /// @param certificate Signatures of more than a third of them, or nothing.
    function proposeRecovery(uint64 epoch_, address[] calldata next, bytes calldata certificate) external;

    /// @notice Takes a recovery off the table. Only the guardian may.
    function cancelRecovery() external;

    /// @notice Hands over to the validators of a recovery, after its delay. Anyone may.
    function recover(address[] calldata next) external;

    /// @notice Makes a block not final that both locks hold for made up: the validators have resolved it. Only the guardian
    /// may.
    function retract(uint64 height) external;

    /// @notice Registers the caller's key for good, as a validator of this or of a later epoch.
    /// @param key A point of G2.
    /// @param proof A point of G1: the signature by the key of its account and itself, see docs/reference/formats.md.
    function registerKey(bytes calldata key, bytes calldata proof) external;

    /// @notice Publishes the keys of current validators, with which they can sign together in this epoch.
    /// @param keyed Whose keys these are: bit i for the validator at place i. More than are published so far.
    /// @param keys Their registered keys of 256 bytes each, in the order of their places.
    function publishKeys(uint256 keyed, bytes calldata keys) external;

    /// @notice Whether this block is final. False for the zero hash, at every height.
    function isFinalized(uint64 height, bytes32 blockHash) external view returns (bool);

    /// @notice Hash of the block finalized at a height, or zero.
    function finalizedHash(uint64 height) external view returns (bytes32 blockHash);

    /// @notice The greatest height finalized here, or a greater one if several blocks were retracted.
    function latestHeight() external view returns (uint64);

    /// @notice Whether this is the latest certified distribution.
    function isCertified(uint32 number, bytes32 hash) external view returns (bool);

    /// @notice Number of the latest certified distribution.
    function distributionNumber() external view returns (uint32);

    /// @notice Hash of the latest certified distribution.
    function distributionHash() external view returns (bytes32);

    /// @notice Hash of the network's genesis.
    function networkId() external view returns (bytes32);

    /// @notice Number of the validator set.
    function epoch() external view returns (uint64);

    /// @notice The current validators in ascending order of address.
    function validators() external view returns (address[] memory);

    /// @notice The validators of an epoch that is or has been, in ascending order of address.
    function validatorsOf(uint64 epoch_) external view returns (address[] memory);

    /// @notice Whether an account is a validator, or was one in the epoch before.
    function isRecentValidator(address account) external view returns (bool);

    /// @notice The wallet of the owners, who are the other lock.
    function guardian() external view returns (address);

    /// @notice First second, in Unix time, at which what validators certify is taken again.
    function pausedUntil() external view returns (uint64);

    /// @notice First second, in Unix time, at which the guardian can pause.
    function pauseAllowedAt() external view returns (uint64);

    /// @notice Whether certificates are taken: the stakes that the network requires are there.
    function isOpen() external view returns (bool);

    /// @notice When the validators have resolved an action in this epoch, in Unix time: zero if they have not or it has been used, the
    /// greatest number if the guardian has vetoed it.
    function resolvedAt(bytes32 action) external view returns (uint64);

    /// @notice When it was announced what the validators have resolved in this epoch, in Unix time: zero if it was not, or is vetoed, or
    /// has been used.
    function announcedAt(bytes32 action) external view returns (uint64);

    /// @notice Whether the validators have resolved an action in this epoch, whatever the guardian says and whether it has been used:
    /// for pauses of the owners' lock, which nobody vetoes.
    function hasResolved(bytes32 action) external view returns (bool);

    /// @notice The wallet that was announced as the next guardian, or zero.
    function nextGuardian() external view returns (address);

    /// @notice First second, in Unix time, at which it can be the guardian.
    function nextGuardianAt() external view returns (uint64);

    /// @notice When other validators have last taken over by a recovery, in Unix time. What those before had announced is void.
    function recoveredAt() external view returns (uint64);

    /// @notice The validators that are to take over, see {proposeRecovery}.
    function recovery() external view returns (bytes32 hash, uint64 effectiveAt, uint64 height, bool isSigned);

    /// @notice What validators put at stake; zero for the native currency.
    function stakeToken() external view returns (address);

    /// @notice How much each validator has to put at stake.
    function stakeRequired() external view returns (uint128);

    /// @notice What an account has at stake, and when it can be taken back; zero if nobody has asked for that.
    function stakeOf(address account) external view returns (uint128 amount, uint64 freeAt);

    /// @notice What an account may collect.
    function creditOf(address account) external view returns (uint256);

    /// @notice The settlement chain's block in which a commitment was made, or zero.
    function committedAt(bytes32 commitment) external view returns (uint256);

    /// @notice What a reporter commits to in a block before that of its report, to have its share.
    /// @param reporter Who will report.
    /// @param evidence What identifies it, as {Barring-ValidatorBarred} names it.
    function commitmentOf(address reporter, bytes32 evidence) external pure returns (bytes32);

    /// @notice Whether an account is one of the current validators.
    function isValidator(address account) external view returns (bool);

    /// @notice Distinct signatures that a certificate needs.
    function quorum() external view returns (uint256);

    /// @notice Whether a validator is proven to have contradicted itself.
    function isBarred(address validator) external view returns (bool);

    /// @notice How many validators are barred.
    function barredCount() external view returns (uint256);

    /// @notice Hash of an account's key, or zero.
    function keyHashOf(address account) external view returns (bytes32);

    /// @notice Who of an epoch's validators has a published key: bit i for the one at place i.
    function keyedOf(uint64 epoch_) external view returns (uint256 keyed);

    /// @notice The EIP-712 domain separator of the votes.
    function domainSeparator() external view returns (bytes32);
}
