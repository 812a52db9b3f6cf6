// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Formats, Header, Result} from "./Formats.sol";

/// @notice What the distributor asks of a registry.
interface IRegistry {
    /// @notice Whether this block is final.
    function isFinalized(uint64 height, bytes32 blockHash) external view returns (bool);

    /// @notice Whether this account is a validator that is proven to have contradicted itself.
    function isBarred(address account) external view returns (bool);
}

/// @notice What the distributor asks about rounds of sequential work.
interface IOutcomes {
    /// @notice What a node's claim for a round came to. Fails unless the claim is final.
    function outcomeOf(bytes32 id) external view returns (bytes32);
}

/// @title The money of the rewards, behind two locks
/// @notice A reward leaves only when the registry holds a certificate for the block and the result is proven to be in
/// it (the validators' lock), and when the multisig makes the call (the owners' lock). Neither can move money
/// alone, no result is paid twice, and none whose worker the registry has barred is paid at all. A completed round of
/// sequential work, whose id begins with four zero bytes as the hash of no order does, is paid only for the very outcome
/// that has stood on this chain against everybody's challenge.
///
/// There is no other way out, on purpose: no withdrawal, no owner, no upgrade. A second exit would have only one lock,
/// and the weaker of two exits is the one that gets used. What is sent here can only become rewards, so send what the
/// expected rewards need and top up as they are paid.
contract RewardDistributor {
    using Formats for Header;
    using Formats for Result;

    /// @notice The first lock: it knows which blocks are final, and who is barred from payouts.
    IRegistry public immutable registry;
    /// @notice It knows which rounds of sequential work stand, and with which results.
    IOutcomes public immutable aow;
    /// @notice The second lock: the only account that may pay.
    address public immutable multisig;

    /// @notice Whether the result with this id has been paid.
    mapping(bytes32 id => bool) public isPaid;

    /// @notice Money for rewards has arrived.
    event Funded(address indexed from, uint256 amount);
    /// @notice A reward has been paid.
    event Paid(bytes32 indexed id, address indexed payee, uint256 amount, uint64 height);

    /// @notice The registry, the outcomes and the multisig must be contracts.
    error NoCode(address account);
    /// @notice The caller is not the multisig.
    error OnlyMultisig(address caller);
    /// @notice The result names nobody to be paid.
    error ZeroPayee(bytes32 id);
    /// @notice The result has been paid.
    error AlreadyPaid(bytes32 id);
    /// @notice The registry does not hold this block.
    error NotFinalized(uint64 height, bytes32 blockHash);
    /// @notice The proof does not lead from the result to the header's results root.
    error NotIncluded(bytes32 leaf);
    /// @notice The result is the work of a validator that is proven to have contradicted itself.
    error WorkerBarred(bytes32 id, address worker);
    /// @notice The round came to something else than the result says. While its claim is open, the error is the one of
    /// {IOutcomes.outcomeOf}.
    error NotUpheld(bytes32 id);
    /// @notice The distributor holds less than the reward.
    error InsufficientFunds(uint256 have, uint256 need);
    /// @notice The payee did not take the money. Nothing has changed, and the payment can be tried again.
    error PaymentFailed(address payee, bytes reason);

    /// @param registry_ The registry of the network whose results are paid.
    /// @param aow_ Where the network's rounds of sequential work are claimed and challenged.
    /// @param multisig_ The wallet whose owners approve payments.
    constructor(IRegistry registry_, IOutcomes aow_, address multisig_) {
        if (address(registry_).code.length == 0) revert NoCode(address(registry_));
        if (address(aow_).code.length == 0) revert NoCode(address(aow_));
        if (multisig_.code.length == 0) revert NoCode(multisig_);
        registry = registry_;
        aow = aow_;
        multisig = multisig_;
    }

    /// @notice Takes money for rewards.
    receive() external payable {
        emit Funded(msg.sender, msg.value);
    }

    /// @notice Pays a result to the account that it names.
    /// @dev The id is marked as paid before the payee runs, so a payee that calls back finds it paid.
    /// @param header A header that the registry holds as final.
    /// @param result A result of that block.
    /// @param proof Siblings from the result's leaf up to the header's results root.
    function pay(Header calldata header, Result calldata result, bytes32[] calldata proof) external {
        if (msg.sender != multisig) revert OnlyMultisig(msg.sender);
        if (result.payee == address(0)) revert ZeroPayee(result.id);
        if (isPaid[result.id]) revert AlreadyPaid(result.id);

        bytes32 blockHash = header.hash();
        if (!registry.isFinalized(header.height, blockHash)) revert NotFinalized(header.height, blockHash);
        bytes32 leaf = result.leaf();
        if (!MerkleProof.verifyCalldata(proof, header.resultsRoot, leaf)) revert NotIncluded(leaf);
        if (registry.isBarred(result.worker)) revert WorkerBarred(result.id, result.worker);
        if (bytes4(result.id) == 0 && aow.outcomeOf(result.id) != result.digest) revert NotUpheld(result.id);
        if (result.amount > address(this).balance) revert InsufficientFunds(address(this).balance, result.amount);

        isPaid[result.id] = true;
        emit Paid(result.id, result.payee, result.amount, header.height);

        (bool ok, bytes memory reason) = result.payee.call{value: result.amount}("");
        if (!ok) revert PaymentFailed(result.payee, reason);
    }
}
