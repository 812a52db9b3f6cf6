// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Allotment, Distribution, Formats, Header, Result} from "../formats/Formats.sol";
import {Pow, Solution} from "./Pow.sol";
import {Purse} from "./Purse.sol";

/// @notice What the distributor asks of a registry.
interface IRegistry {
    /// @notice Whether this block is final.
    function isFinalized(uint64 height, bytes32 blockHash) external view returns (bool);

    /// @notice Whether this is the latest distribution that the validators have certified.
    function isCertified(uint32 number, bytes32 distributionHash) external view returns (bool);

    /// @notice Whether this account is a validator that is proven to have contradicted itself.
    function isBarred(address account) external view returns (bool);

    /// @notice How many accounts are barred.
    function barredCount() external view returns (uint256);
}

/// @notice What the distributor asks about rounds of sequential work.
interface IOutcomes {
    /// @notice What a node's claim for a round came to. Fails unless the claim is final.
    function outcomeOf(bytes32 id) external view returns (bytes32);
}

/// @title The money of the rewards, behind two locks
/// @notice A reward leaves only when the registry holds a certificate for it (the validators' lock), and when the
/// multisig makes the call (the owners' lock). Neither can move money alone, nothing is paid twice, and no worker whom
/// the registry has barred is paid at all. There are three ways through both locks:
///
/// - Results of final blocks are paid one by one ({pay}) or several at once ({payMany}). The result of a race is paid
///   only with the winner's solution, whose work is checked here. A completed round of sequential work, whose id begins
///   with four zero bytes as the hash of no order does, is paid only for the very outcome that has stood on this chain
///   against everybody's challenge.
/// - A result whose payee is this contract stands for a batch: its digest is the hash of a list of payouts. To pay it is
///   to approve the list, which anyone may then {push}. No work is behind it that could be checked: for a batch, as for
///   a distribution, the word of the validators and the owners is all there is.
/// - A distribution is a Merkle root of what each account has earned since the beginning. The validators certify it, the
///   multisig schedules it, and after a delay, in which people may look at it and the multisig may cancel it, anyone may
///   {activate} it and {claim} for anyone. A claim pays what the account has not had yet. A later root may state less for
///   an account, which then is paid nothing more. However wrong a root is, its claims take no more than was allotted, and
///   no distribution is allotted more than the token's cap.
///
/// What is allotted and not claimed may be swept to the multisig, if for long no further distribution has come. There is
/// no other way out, on purpose: no withdrawal, no owner, no upgrade. A second exit would have only one lock, and the
/// weaker of two exits is the one that gets used. What is sent here can only become rewards, so send what the expected
/// rewards need and top up as they are paid.
contract RewardDistributor is Purse {
    using Formats for Distribution;
    using Formats for Header;
    using Formats for Result;

    uint256 private constant AMOUNT_BITS = 96;

    /// @notice The first lock: it knows which blocks are final and what is certified, and who is barred from payouts.
    IRegistry public immutable registry;
    /// @notice It knows which rounds of sequential work stand, and with which results.
    IOutcomes public immutable aow;
    /// @notice The second lock: the only account that may pay, schedule, cancel and sweep.
    address public immutable multisig;
    /// @notice Seconds from scheduling a distribution until it can take effect.
    uint64 public immutable delay;
    /// @notice Seconds from the last distribution on after which what nobody has claimed may be swept.
    uint64 public immutable claimPeriod;

    /// @notice The most of a token that one distribution may allot. Fixed at deployment.
    mapping(address token => uint128) public capOf;
    /// @notice Whether the result with this id has been paid, or its batch approved.
    mapping(bytes32 id => bool) public isPaid;
    /// @notice A batch that is approved and not pushed: the hash of its digest and its total. Zero if there is none.
    mapping(bytes32 id => bytes32) public batchOf;
    /// @notice What an account has claimed of a token since the beginning.
    mapping(address account => mapping(address token => uint256)) public claimedOf;

    /// @notice The root against which claims are made.
    bytes32 public root;
    /// @notice The hash of the distribution that waits for its delay, or zero.
    bytes32 public scheduled;
    /// @notice Number of the distribution in effect.
    uint32 public number;
    /// @notice First second, in Unix time, at which the scheduled distribution can take effect.
    uint64 public effectiveAt;
    /// @notice First second, in Unix time, at which what nobody has claimed may be swept.
    uint64 public expiresAt;

    /// @notice A reward has been paid, or its payee credited.
    event Paid(bytes32 indexed id, address indexed payee, uint256 amount, uint64 height);
    /// @notice A batch may be pushed.
    event BatchApproved(bytes32 indexed id, bytes32 digest, uint256 total);
    /// @notice All payouts of a batch have been made, credited or withheld. They are in the transaction's calldata.
    event BatchPaid(bytes32 indexed id, address indexed token, uint256 total);
    /// @notice An account is barred, or is nobody, and is passed over.
    event Withheld(bytes32 indexed id, address indexed account, uint256 amount);
    /// @notice A distribution can take effect from a time on.
    event Scheduled(uint32 indexed number, bytes32 hash, bytes32 root, uint64 effectiveAt);
    /// @notice The scheduled distribution is off the table.
    event Cancelled(bytes32 hash);
    /// @notice A distribution has taken effect.
    event Activated(uint32 indexed number, bytes32 root);
    /// @notice An account has been paid what it had earned and not had.
    event Claimed(address indexed account, address indexed token, uint256 amount);
    /// @notice What nobody has claimed is back with the multisig.
    event Swept(address indexed token, uint256 amount);

    /// @notice The registry, the outcomes and the multisig must be contracts.
    error NoCode(address account);
    /// @notice The caller is not the multisig.
    error OnlyMultisig(address caller);
    /// @notice Each result has one proof and one solution.
    error LengthMismatch(uint256 results, uint256 proofs, uint256 solutions);
    /// @notice The result names nobody to be paid.
    error ZeroPayee(bytes32 id);
    /// @notice The result has been paid.
    error AlreadyPaid(bytes32 id);
    /// @notice The registry does not hold this block.
    error NotFinalized(uint64 height, bytes32 blockHash);
    /// @notice The proof does not lead from the leaf to the root.
    error NotIncluded(bytes32 leaf);
    /// @notice The result is the work of a validator that is proven to have contradicted itself.
    error WorkerBarred(bytes32 id, address worker);
    /// @notice The round came to something else than the result says. While its claim is open, the error is the one of
    /// {IOutcomes.outcomeOf}.
    error NotUpheld(bytes32 id);
    /// @notice The payee did not take the money. Nothing has changed, and the payment can be tried again.
    error PaymentFailed(address payee, bytes reason);
    /// @notice No such batch is approved: never, not with these payouts, or it has been pushed.
    error NotApproved(bytes32 id);
    /// @notice The distribution is for another contract.
    error WrongDistributor(address distributor);
    /// @notice A distribution at least as late is in effect.
    error StaleNumber(uint32 current, uint32 given);
    /// @notice The validators' latest certificate is not for this distribution.
    error NotCertified(uint32 number, bytes32 hash);
    /// @notice The tokens are not in strictly ascending order.
    error TokensNotAscending(uint256 index);
    /// @notice The distribution allots more of a token than one may.
    error AboveCap(address token, uint256 cap, uint256 given);
    /// @notice This is not the scheduled distribution.
    error NotScheduled(bytes32 hash);
    /// @notice People have until then to look at the distribution.
    error TooEarly(uint256 until);
    /// @notice The account is a validator that is proven to have contradicted itself.
    error AccountBarred(address account);
    /// @notice The account has had all that the root states.
    error NothingToClaim(address account, address token);
    /// @notice The claims of this token have taken all that was allotted, or the rest was swept.
    error AllotmentExhausted(address token, uint256 have, uint256 need);
    /// @notice Nothing of this token is left to be swept.
    error NothingToSweep(address token);

    modifier onlyMultisig() {
        if (msg.sender != multisig) revert OnlyMultisig(msg.sender);
        _;
    }

    /// @param registry_ The registry of the network whose results are paid.
    /// @param aow_ Where the network's rounds of sequential work are claimed and challenged.
    /// @param multisig_ The wallet whose owners approve payments.
    /// @param delay_ Seconds from scheduling a distribution until it can take effect.
    /// @param claimPeriod_ Seconds without a further distribution after which the unclaimed may be swept.
    /// @param caps The most that one distribution may allot of each token. Others cannot be distributed.
    constructor(
        IRegistry registry_,
        IOutcomes aow_,
        address multisig_,
        uint64 delay_,
        uint64 claimPeriod_,
        Allotment[] memory caps
    ) {
        if (address(registry_).code.length == 0) revert NoCode(address(registry_));
        if (address(aow_).code.length == 0) revert NoCode(address(aow_));
        if (multisig_.code.length == 0) revert NoCode(multisig_);
        registry = registry_;
        aow = aow_;
        multisig = multisig_;
        delay = delay_;
        claimPeriod = claimPeriod_;
        for (uint256 i; i < caps.length; ++i) {
            capOf[caps[i].token] = caps[i].amount;
        }
    }

    /// @notice Pays a result to the account that it names. If that is this contract, the result's batch is approved.
    /// @dev The id is marked as paid before the payee runs, so a payee that calls back finds it paid.
    /// @param header A header that the registry holds as final.
    /// @param result A result of that block.
    /// @param proof Siblings from the result's leaf up to the header's results root.
    /// @param solution What shows the work of a race. It is not looked at for a round or a batch, and is empty there.
    function pay(Header calldata header, Result calldata result, bytes32[] calldata proof, Solution calldata solution)
        external
        onlyMultisig
        nonReentrant
    {
        _checkFinal(header);
        _checkResult(header, result, proof, solution);
        if (registry.isBarred(result.worker)) revert WorkerBarred(result.id, result.worker);
        isPaid[result.id] = true;
        if (result.payee == address(this)) return _approve(result);

        _checkFree(NATIVE, result.amount);
        emit Paid(result.id, result.payee, result.amount, header.height);
        (bool ok, bytes memory reason) = result.payee.call{value: result.amount}("");
        if (!ok) revert PaymentFailed(result.payee, reason);
    }

    /// @notice Pays several results of a block. Payees that do not take the money are credited.
    /// @dev A worker who is barred once the owners have agreed is passed over: it must not hold up the others.
    /// @param header A header that the registry holds as final.
    /// @param results Results of that block.
    /// @param proofs Siblings from each result's leaf up to the header's results root.
    /// @param solutions What shows the work of each race, see {pay}.
    function payMany(
        Header calldata header,
        Result[] calldata results,
        bytes32[][] calldata proofs,
        Solution[] calldata solutions
    ) external onlyMultisig nonReentrant {
        if (results.length != proofs.length || results.length != solutions.length) {
            revert LengthMismatch(results.length, proofs.length, solutions.length);
        }
        _checkFinal(header);
        for (uint256 i; i < results.length; ++i) {
            Result calldata result = results[i];
            _checkResult(header, result, proofs[i], solutions[i]);
            if (registry.isBarred(result.worker)) {
                emit Withheld(result.id, result.worker, result.amount);
                continue;
            }
            isPaid[result.id] = true;
            if (result.payee == address(this)) {
                _approve(result);
                continue;
            }
            _checkFree(NATIVE, result.amount);
            emit Paid(result.id, result.payee, result.amount, header.height);
            _push(NATIVE, result.payee, result.amount);
        }
    }

    /// @notice Makes the payouts of an approved batch. Who does not take the money is credited, and who is barred is
    /// passed over.
    /// @dev Hardly ever is anybody barred, so that is asked once for all.
    /// @param id The id of the result that stands for the batch.
    /// @param token The token in which all are paid.
    /// @param payouts Each an account in the upper 20 bytes and its amount in the lower 12.
    function push(bytes32 id, address token, bytes32[] calldata payouts) external nonReentrant {
        uint256 total = _total(payouts);
        if (batchOf[id] != keccak256(abi.encode(Formats.batchHash(token, payouts), total))) revert NotApproved(id);
        _checkFree(token, total);

        delete batchOf[id];
        bool anyBarred = registry.barredCount() != 0;
        for (uint256 i; i < payouts.length; ++i) {
            (address account, uint256 amount) = _payout(payouts, i);
            if (account == address(0) || (anyBarred && registry.isBarred(account))) {
                emit Withheld(id, account, amount);
            } else {
                _push(token, account, amount);
            }
        }
        _checkSolvent(token);
        emit BatchPaid(id, token, total);
    }

    /// @notice Lets a certified distribution take effect after the delay, in place of one that waits already.
    function schedule(Distribution calldata distribution) external onlyMultisig {
        if (distribution.distributor != address(this)) revert WrongDistributor(distribution.distributor);
        if (distribution.number <= number) revert StaleNumber(number, distribution.number);
        bytes32 hash = distribution.hash();
        if (!registry.isCertified(distribution.number, hash)) revert NotCertified(distribution.number, hash);
        _checkCaps(distribution.allotments);

        scheduled = hash;
        effectiveAt = uint64(block.timestamp) + delay;
        emit Scheduled(distribution.number, hash, distribution.root, effectiveAt);
    }

    /// @notice Takes the scheduled distribution off the table.
    function cancel() external onlyMultisig {
        if (scheduled == 0) revert NotScheduled(0);
        emit Cancelled(scheduled);
        delete scheduled;
    }

    /// @notice Puts the scheduled distribution into effect, and its allotments aside for claims.
    function activate(Distribution calldata distribution) external nonReentrant {
        bytes32 hash = distribution.hash();
        if (hash != scheduled) revert NotScheduled(hash);
        if (block.timestamp < effectiveAt) revert TooEarly(effectiveAt);

        for (uint256 i; i < distribution.allotments.length; ++i) {
            Allotment calldata allotment = distribution.allotments[i];
            _checkFree(allotment.token, allotment.amount);
            reserveOf[allotment.token].allotted += allotment.amount;
        }
        delete scheduled;
        root = distribution.root;
        number = distribution.number;
        expiresAt = uint64(block.timestamp) + claimPeriod;
        emit Activated(distribution.number, distribution.root);
    }

    /// @notice Pays an account what it has earned of a token and not had. Anyone may ask for it.
    /// @param account Who is paid.
    /// @param token What it is paid in.
    /// @param cumulative What it has earned since the beginning, as the root has it.
    /// @param proof Siblings from the leaf up to the root.
    function claim(address account, address token, uint256 cumulative, bytes32[] calldata proof) external nonReentrant {
        bytes32 leaf = Formats.rewardLeaf(account, token, cumulative);
        if (!MerkleProof.verifyCalldata(proof, root, leaf)) revert NotIncluded(leaf);
        if (registry.isBarred(account)) revert AccountBarred(account);
        uint256 claimed = claimedOf[account][token];
        if (cumulative <= claimed) revert NothingToClaim(account, token);
        uint256 amount = cumulative - claimed;
        uint256 allotted = reserveOf[token].allotted;
        if (amount > allotted) revert AllotmentExhausted(token, allotted, amount);

        claimedOf[account][token] = cumulative;
        reserveOf[token].allotted = uint128(allotted - amount);
        emit Claimed(account, token, amount);
        _transfer(token, account, amount);
    }

    /// @notice Sends what nobody has claimed of a token to the multisig.
    /// @dev The root stays. What a later distribution allots must cover again what its root still owes from before.
    function sweep(address token) external onlyMultisig nonReentrant {
        if (block.timestamp < expiresAt) revert TooEarly(expiresAt);
        uint256 amount = reserveOf[token].allotted;
        if (amount == 0) revert NothingToSweep(token);

        reserveOf[token].allotted = 0;
        emit Swept(token, amount);
        _transfer(token, multisig, amount);
    }

    function _approve(Result calldata result) private {
        batchOf[result.id] = keccak256(abi.encode(result.digest, result.amount));
        emit BatchApproved(result.id, result.digest, result.amount);
    }

    /// @dev So many amounts of 96 bits that their sum overflowed would not fit a transaction.
    function _total(bytes32[] calldata payouts) private pure returns (uint256 total) {
        for (uint256 i; i < payouts.length; ++i) {
            (, uint256 amount) = _payout(payouts, i);
            unchecked {
                total += amount;
            }
        }
    }

    /// @dev Without the check of the index, which every payout would pay for.
    function _payout(bytes32[] calldata payouts, uint256 index) private pure returns (address account, uint256 amount) {
        uint256 word;
        assembly ("memory-safe") {
            word := calldataload(add(payouts.offset, shl(5, index)))
        }
        return (address(uint160(word >> AMOUNT_BITS)), uint96(word));
    }

    function _checkFinal(Header calldata header) private view {
        bytes32 blockHash = header.hash();
        if (!registry.isFinalized(header.height, blockHash)) revert NotFinalized(header.height, blockHash);
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
        bytes32 leaf = result.leaf();
        if (!MerkleProof.verifyCalldata(proof, header.resultsRoot, leaf)) revert NotIncluded(leaf);
        if (bytes4(result.id) == 0) {
            if (aow.outcomeOf(result.id) != result.digest) revert NotUpheld(result.id);
        } else if (result.payee != address(this)) {
            Pow.check(solution, result, header.networkId, header.chainId);
        }
    }

    /// @dev A token that came twice would have its cap twice.
    function _checkCaps(Allotment[] calldata allotments) private view {
        for (uint256 i; i < allotments.length; ++i) {
            address token = allotments[i].token;
            if (i != 0 && token <= allotments[i - 1].token) revert TokensNotAscending(i);
            if (allotments[i].amount > capOf[token]) revert AboveCap(token, capOf[token], allotments[i].amount);
        }
    }
}
