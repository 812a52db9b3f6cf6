// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Formats} from "../formats/Formats.sol";
import {Kinds} from "../formats/Kinds.sol";
import {Header, Result, Solution} from "../formats/Types.sol";
import {IOutcomes} from "../interfaces/IOutcomes.sol";
import {IRewardDistributor} from "../interfaces/IRewardDistributor.sol";
import {Batches} from "./Batches.sol";
import {Pow} from "./Pow.sol";

/// @title Results of final blocks, paid one by one or several at once
/// @notice The result of a race is paid only with the winner's solution, whose work is checked here. A completed round of
/// sequential work is paid only for the very outcome that has stood on this chain against everybody's challenge. A batch is
/// no payment but the approval of a list, see {Batches}. Of custom kinds of work those are paid that were named at
/// deployment, on the word of the validators and the owners alone.
///
/// Blocks below {firstHeight} pay nothing: another distributor has paid them, or may. Nor do those above {lastHeight}, once
/// the owners have closed this distributor for another one.
abstract contract Results is Batches {
    using Formats for Header;
    using Formats for Result;

    /// @dev What becomes of one result among several.
    enum Fate {
        Withheld,
        Deferred,
        Approved,
        Due
    }

    /// @inheritdoc IRewardDistributor
    IOutcomes public immutable aow;
    /// @inheritdoc IRewardDistributor
    uint64 public immutable firstHeight;

    /// @inheritdoc IRewardDistributor
    mapping(uint32 kind => bool) public takesKind;

    /// @inheritdoc IRewardDistributor
    mapping(bytes32 id => bool) public isPaid;

    /// @notice A reward has been paid, or its payee credited.
    event Paid(bytes32 indexed id, address indexed payee, uint256 amount, uint64 height);

    /// @notice There is no money for this result yet, or the limits leave too little. It can be paid another time.
    event Deferred(bytes32 indexed id);

    /// @notice Each result has one proof and one solution.
    error LengthMismatch(uint256 results, uint256 proofs, uint256 solutions);
    /// @notice The result names nobody to be paid.
    error ZeroPayee(bytes32 id);
    /// @notice The result has been paid.
    error AlreadyPaid(bytes32 id);
    /// @notice No program of this version makes results of this kind, or the network was deployed without it.
    error UnknownKind(bytes32 id, uint32 kind);
    /// @notice This is no custom kind: its work is checked here, or does not exist.
    error ReservedKind(uint32 kind);
    /// @notice The batch is of another distributor.
    error ForeignBatch(bytes32 id, address distributor);
    /// @notice The block is below the first that is paid here.
    error BelowFirstHeight(uint64 height, uint64 firstHeight);
    /// @notice The block is above the last that is paid here: another distributor pays it.
    error AboveLastHeight(uint64 height, uint64 lastHeight);
    /// @notice The distributor before this one pays blocks from the first height of this one on: close it first.
    error PredecessorPays(address predecessor, uint64 lastHeight);
    /// @notice The result is the work of a validator that is proven to have contradicted itself.
    error WorkerBarred(bytes32 id, address worker);
    /// @notice The round came to something else than the result says. While its claim is open, the error is the one of
    /// {IOutcomes.outcomeOf}.
    error NotUpheld(bytes32 id);
    /// @notice The round's id names another node than the worker.
    error ForeignWorker(bytes32 id, address worker);

    constructor(IOutcomes aow_, uint64 firstHeight_, address predecessor, uint32[] memory kinds) {
        _checkCode(address(aow_));
        if (predecessor != address(0)) {
            uint64 last = IRewardDistributor(predecessor).lastHeight();
            if (last >= firstHeight_) revert PredecessorPays(predecessor, last);
        }
        aow = aow_;
        firstHeight = firstHeight_;
        for (uint256 i; i < kinds.length; ++i) {
            if (kinds[i] < Kinds.FIRST_CUSTOM) revert ReservedKind(kinds[i]);
            takesKind[kinds[i]] = true;
        }
    }

    /// @inheritdoc IRewardDistributor
    /// @dev The id is marked as paid before the payee runs, so a payee that calls back finds it paid.
    function pay(Header calldata header, Result calldata result, bytes32[] calldata proof, Solution calldata solution)
        external
        onlyMultisig
        nonReentrant
    {
        _checkPaidHere(header.height);
        bytes32 origin = _checkFinal(header);
        _checkResult(header, result, proof, solution);
        Till memory till = _openTill();
        if (till.anyBarred && registry.isBarred(result.worker)) revert WorkerBarred(result.id, result.worker);
        isPaid[result.id] = true;
        if (result.kind == Kinds.BATCH) return _approve(result, origin);

        address spender = _spender(result, solution);
        if (!_tryTake(till, spender, result.amount)) _explain(spender, result.amount);
        _closeTill(till);
        _hand(result, header.height);
    }

    /// @inheritdoc IRewardDistributor
    /// @dev A worker who is barred once the owners have agreed is passed over, and so is a reward for which there is no
    /// money, or too much of it for now: neither must hold up the others. Where nothing at all can be paid, it fails.
    function payMany(
        Header calldata header,
        Result[] calldata results,
        bytes32[][] calldata proofs,
        Solution[] calldata solutions
    ) external onlyMultisig nonReentrant {
        if (results.length != proofs.length || results.length != solutions.length) {
            revert LengthMismatch(results.length, proofs.length, solutions.length);
        }
        _checkPaidHere(header.height);
        bytes32 origin = _checkFinal(header);
        Till memory till = _openTill();
        Fate[] memory fates = new Fate[](results.length);
        for (uint256 i; i < results.length; ++i) {
            fates[i] = _settle(header, origin, results[i], proofs[i], solutions[i], till);
        }
        _closeTill(till);

        bool anySettled;
        uint256 deferred = results.length;
        for (uint256 i; i < results.length; ++i) {
            if (fates[i] == Fate.Deferred) deferred = i;
            else if (fates[i] != Fate.Withheld) anySettled = true;
            if (fates[i] == Fate.Due) _hand(results[i], header.height);
        }
        if (anySettled || deferred == results.length) return;
        _explain(_spender(results[deferred], solutions[deferred]), results[deferred].amount);
    }

    /// @dev All but handing out the money.
    function _settle(
        Header calldata header,
        bytes32 origin,
        Result calldata result,
        bytes32[] calldata proof,
        Solution calldata solution,
        Till memory till
    ) private returns (Fate) {
        _checkResult(header, result, proof, solution);
        if (till.anyBarred && registry.isBarred(result.worker)) {
            emit Withheld(result.id, result.worker, result.amount);
            return Fate.Withheld;
        }
        if (result.kind != Kinds.BATCH && !_tryTake(till, _spender(result, solution), result.amount)) {
            emit Deferred(result.id);
            return Fate.Deferred;
        }
        isPaid[result.id] = true;
        if (result.kind != Kinds.BATCH) return Fate.Due;
        _approve(result, origin);
        return Fate.Approved;
    }

    function _hand(Result calldata result, uint64 height) private {
        emit Paid(result.id, result.payee, result.amount, height);
        _push(NATIVE, result.payee, result.amount, 0);
    }

    /// @dev Whose allowance a reward is taken from: of a race its requester's, which the order's hash has shown.
    function _spender(Result calldata result, Solution calldata solution) private pure returns (address) {
        return result.kind == Kinds.RACE ? solution.requester : address(uint160(result.kind));
    }

    function _checkPaidHere(uint64 height) private view {
        if (height < firstHeight) revert BelowFirstHeight(height, firstHeight);
        if (height > lastHeight) revert AboveLastHeight(height, lastHeight);
    }

    /// @return Of the block what a {Batch} keeps of it.
    function _checkFinal(Header calldata header) internal view returns (bytes32) {
        bytes32 blockHash = header.hash();
        if (!registry.isFinalized(header.height, blockHash)) revert NotFinalized(header.height, blockHash);
        return bytes32(bytes24(blockHash)) | bytes32(uint256(header.height));
    }

    function _checkIncluded(Header calldata header, Result calldata result, bytes32[] calldata proof) internal pure {
        bytes32 leaf = result.leaf();
        if (!MerkleProof.verifyCalldata(proof, header.resultsRoot, leaf)) revert NotIncluded(leaf);
    }

    /// @dev The header is final, so it is of the registry's network and of this chain.
    function _checkResult(
        Header calldata header,
        Result calldata result,
        bytes32[] calldata proof,
        Solution calldata solution
    ) private view {
        if (result.payee == address(0)) revert ZeroPayee(result.id);
        if (isPaid[result.id]) revert AlreadyPaid(result.id);
        _checkIncluded(header, result, proof);
        if (result.kind == Kinds.RACE) {
            Pow.check(solution, result, header.networkId, header.chainId);
        } else if (result.kind == Kinds.ROUND) {
            if (address(uint160(uint256(result.id))) != result.worker) revert ForeignWorker(result.id, result.worker);
            if (aow.outcomeOf(result.id) != result.digest) revert NotUpheld(result.id);
        } else if (result.kind == Kinds.BATCH) {
            if (result.payee != address(this)) revert ForeignBatch(result.id, result.payee);
        } else if (!takesKind[result.kind]) {
            revert UnknownKind(result.id, result.kind);
        }
    }
}
