// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Claim, ClaimStatus, IAowChallenge} from "../interfaces/IAowChallenge.sol";
import {IOutcomes} from "../interfaces/IOutcomes.sol";
import {IResultRegistry} from "../interfaces/IResultRegistry.sol";
import {Aow} from "./Aow.sol";

/// @title Rounds of sequential work, taken at their word unless somebody shows them wrong
/// @notice A validator posts the result of its work in a round, with checkpoints and a bond. Within the window anyone
/// may point at a segment between two checkpoints: the contract takes its steps back, and if they do not lead where the
/// claim says, the claim is void. A claim that nobody has shown wrong is final, and short work can be taken back as a whole,
/// which makes its claim final at once.
///
/// A challenge cannot be copied: it takes a commitment of an earlier block that hides the segment and names the challenger, so
/// who is to challenge must have found the segment by then. Half of the bond is the challenger's if that is another validator,
/// which a poster is not by a second account. A stranger has back what its challenge may cost, out of a quarter of the bond,
/// so a poster that challenges itself keeps nothing of it. The rest is for the wallet of the registry's owners.
///
/// The bond covers what a challenge of these very checkpoints costs, several times, at the gas price that was fixed at
/// deployment or at the base fee if that is higher. Whoever takes no money has a credit.
///
/// The start is never taken from the poster: it is hashed from the network, the chain, the round, the node, the number
/// of steps and the hash of a block that the registry holds as final. The registry's storage is asked for that hash by
/// height, so neither a header nor a signature is needed here. A block that it has not seen must be finalized there
/// first, as anyone may do. Which block comes before a round only the network knows: the height is part of the claim,
/// for those who pay to compare.
///
/// A wrong claim that nobody challenges becomes final, so the window must be long enough for one honest watcher to be
/// heard. Checkpoints are in the event, so a watcher needs nobody's help.
contract AowChallenge is IAowChallenge {
    /// @notice The most steps of a claim.
    uint256 public constant MAX_STEPS = 1 << 24;
    /// @notice The most steps between two checkpoints, so that every segment can be challenged in one transaction.
    uint256 public constant MAX_SEGMENT = 4096;
    /// @notice The most checkpoints, so that whoever posts a claim cannot make it too long to be challenged.
    uint256 public constant MAX_CHECKPOINTS = MAX_STEPS / MAX_SEGMENT;
    /// @notice The most steps that are taken back as a whole.
    uint256 public constant MAX_WHOLE = 1 << 14;

    /// @notice The shortest window: a commitment and a challenge take two blocks.
    uint32 public constant MIN_WINDOW = 4;
    /// @notice How many times the bond covers the gas of a challenge.
    uint256 public constant BOND_FACTOR = 8;
    /// @notice Gas for an account that is paid; one that takes more has a credit.
    uint256 public constant PAYMENT_GAS = 30_000;

    uint256 private constant NODE_BITS = 160;
    /// @dev More than a commitment and a challenge take besides what grows: two transactions and their storage.
    uint256 private constant CHALLENGE_BASE = 150_000;
    /// @dev Gas a checkpoint: calldata at its floor price, the copy and the hash.
    uint256 private constant CHECKPOINT_GAS = 720;
    /// @dev Gas a step that is taken back.
    uint256 private constant STEP_GAS = 40;
    /// @dev What a call costs besides the gas that it hands on.
    uint256 private constant PAYMENT_NEED = PAYMENT_GAS * 64 / 63 + 45_000;

    /// @inheritdoc IAowChallenge
    IResultRegistry public immutable registry;
    /// @inheritdoc IAowChallenge
    bytes32 public immutable networkId;
    /// @inheritdoc IAowChallenge
    uint256 public immutable minimumBond;
    /// @inheritdoc IAowChallenge
    uint256 public immutable gasPrice;
    /// @inheritdoc IAowChallenge
    uint32 public immutable window;

    mapping(bytes32 id => Claim) private _claims;
    /// @inheritdoc IAowChallenge
    mapping(bytes32 commitment => uint256) public committedAt;
    /// @inheritdoc IAowChallenge
    mapping(address account => uint256) public creditOf;

    /// @notice A claim has been posted. The checkpoints are repeated here, since a contract's calldata is hard to find.
    event Posted(
        bytes32 indexed id,
        uint64 indexed round,
        address indexed node,
        uint64 height,
        uint64 steps,
        bytes32 proofDigest,
        bytes checkpoints
    );
    /// @notice A segment of a claim is wrong: the claim is void, its challenger has the reward, and the rest of its bond
    /// is forfeited to the wallet of the registry's owners.
    event Slashed(bytes32 indexed id, address indexed challenger, uint256 segment, uint256 reward, uint256 forfeited);
    /// @notice An account did not take its money, and may withdraw it.
    event Credited(address indexed account, uint256 amount);
    /// @notice An account has withdrawn its credit.
    event Withdrawn(address indexed account, address to, uint256 amount);
    /// @notice The whole work has been taken back and led to its start: the claim is final.
    event Upheld(bytes32 indexed id);
    /// @notice The bond of a final claim is back with its node.
    event Released(bytes32 indexed id, address indexed node, uint256 bond);

    /// @notice The registry must be a contract.
    error NoCode(address account);
    /// @notice A claim without a bond would cost nothing to get wrong.
    error ZeroBond();
    /// @notice In so short a window nobody could challenge.
    error WindowTooShort(uint32 window);
    /// @notice Without a price the bond would not cover the gas of a challenge.
    error ZeroGasPrice();
    /// @notice The challenger has not committed to this segment and salt, or only in this block.
    error NotCommitted(bytes32 commitment);
    /// @notice The account has no credit.
    error NoCredit(address account);
    /// @notice The transaction brings too little gas to be fair to who is paid.
    error InsufficientGas(uint256 have, uint256 need);
    /// @notice The bond is below the minimum.
    error BondTooSmall(uint256 have, uint256 need);
    /// @notice The bond does not fit 96 bits.
    error BondTooLarge(uint256 have);
    /// @notice No work is no claim.
    error ZeroSteps();
    /// @notice The claim has more steps than {MAX_STEPS}.
    error TooManySteps(uint256 steps, uint256 limit);
    /// @notice The checkpoints are none, or not a whole number of 16-byte elements.
    error InvalidCheckpointsLength(uint256 length);
    /// @notice There are more checkpoints than {MAX_CHECKPOINTS}.
    error TooManyCheckpoints(uint256 count, uint256 limit);
    /// @notice The checkpoints do not divide the steps into segments of one length.
    error UnevenSegments(uint256 steps, uint256 count);
    /// @notice The checkpoints are further apart than {MAX_SEGMENT}.
    error SegmentTooLong(uint256 length, uint256 limit);
    /// @notice The checkpoint at this index is not below the order of the field.
    error NonCanonical(uint256 index);
    /// @notice The account is not a validator.
    error NotValidator(address account);
    /// @notice The registry holds no block at this height.
    error UnknownBlock(uint64 height);
    /// @notice This node has posted for this round, whatever came of it.
    error AlreadyPosted(uint64 round, address node);
    /// @notice There is no such claim.
    error UnknownClaim(bytes32 id);
    /// @notice The claim was shown wrong.
    error AlreadySlashed(bytes32 id);
    /// @notice The claim's work was taken back as a whole and is right.
    error AlreadyUpheld(bytes32 id);
    /// @notice The bond is back with its node already.
    error AlreadyReleased(bytes32 id);
    /// @notice The claim can be challenged no more.
    error WindowClosed(bytes32 id, uint256 deadline);
    /// @notice The claim is not final.
    error NotFinal(bytes32 id);
    /// @notice These are not the claim's checkpoints.
    error WrongCheckpoints(bytes32 expected, bytes32 given);
    /// @notice The claim has fewer segments.
    error SegmentOutOfRange(uint256 segment, uint256 count);
    /// @notice The segment is right, and the challenge is not.
    error SegmentHolds(bytes32 id, uint256 segment);
    /// @notice The work is longer than {MAX_WHOLE}; its segments can be challenged.
    error TooLongToVerify(uint256 steps, uint256 limit);
    /// @notice The result does not lead back to the start. Challenge a segment that does not hold.
    error WorkDoesNotHold(bytes32 id);
    /// @notice The account did not take the money. Nothing has changed, and it can be tried again.
    error PaymentFailed(address account);

    /// @param registry_ The registry of the network whose rounds are settled.
    /// @param minimumBond_ The least bond in wei, not zero.
    /// @param window_ Seconds for which a claim can be challenged, four at least.
    /// @param gasPrice_ Wei of a unit of gas for which a bond has to cover a challenge, not zero.
    constructor(IResultRegistry registry_, uint256 minimumBond_, uint32 window_, uint256 gasPrice_) {
        if (address(registry_).code.length == 0) revert NoCode(address(registry_));
        if (minimumBond_ == 0) revert ZeroBond();
        if (window_ < MIN_WINDOW) revert WindowTooShort(window_);
        if (gasPrice_ == 0) revert ZeroGasPrice();
        gasPrice = gasPrice_;
        registry = registry_;
        networkId = registry_.networkId();
        minimumBond = minimumBond_;
        window = window_;
    }

    /// @inheritdoc IAowChallenge
    function post(uint64 round, uint64 height, uint64 steps, bytes calldata checkpoints, bytes32 proofDigest)
        external
        payable
        returns (bytes32 id)
    {
        if (msg.value > type(uint96).max) revert BondTooLarge(msg.value);
        (uint256 count, uint256 segmentLength) = _checkShape(steps, checkpoints);
        uint256 need = bondFor(count, segmentLength);
        if (msg.value < need) revert BondTooSmall(msg.value, need);
        if (!registry.isRecentValidator(msg.sender)) revert NotValidator(msg.sender);
        uint128 start = startOf(round, height, msg.sender, steps);
        id = idOf(round, msg.sender);
        if (_claims[id].status != ClaimStatus.None) revert AlreadyPosted(round, msg.sender);

        _claims[id] = Claim({
            commitment: keccak256(checkpoints),
            start: start,
            result: Aow.element(checkpoints, count - 1),
            bond: uint96(msg.value),
            height: height,
            deadline: uint40(block.timestamp + window),
            steps: uint32(steps),
            segmentLength: uint16(segmentLength),
            status: ClaimStatus.Posted
        });
        emit Posted(id, round, msg.sender, height, steps, proofDigest, checkpoints);
    }

    /// @inheritdoc IAowChallenge
    function commit(bytes32 commitment) external {
        if (committedAt[commitment] == 0) committedAt[commitment] = block.number;
    }

    /// @inheritdoc IAowChallenge
    /// @dev The claim is void before anybody is paid, so who calls back finds it void. The commitment is looked at last, so
    /// that who simulates a challenge without one is told what else is wrong with it.
    function challenge(bytes32 id, bytes calldata checkpoints, uint256 segment, bytes32 salt) external {
        Claim storage claim = _open(id);
        bytes32 commitment = keccak256(checkpoints);
        if (commitment != claim.commitment) revert WrongCheckpoints(claim.commitment, commitment);
        uint256 count = checkpoints.length / Aow.ELEMENT_LENGTH;
        if (segment >= count) revert SegmentOutOfRange(segment, count);
        uint128 from = segment == 0 ? claim.start : Aow.element(checkpoints, segment - 1);
        if (Aow.replay(Aow.element(checkpoints, segment), claim.segmentLength) == from) {
            revert SegmentHolds(id, segment);
        }
        _useCommitment(commitmentOf(msg.sender, id, segment, salt));

        uint256 bond = claim.bond;
        uint256 reward = _rewardOf(msg.sender, address(uint160(uint256(id))), bond, count, claim.segmentLength);
        (claim.status, claim.bond) = (ClaimStatus.Slashed, 0);
        // A void result is nothing to be read, and giving the slots back pays for a part of the challenge.
        (claim.commitment, claim.start, claim.result) = (0, 0, 0);
        emit Slashed(id, msg.sender, segment, reward, bond - reward);
        _pay(msg.sender, reward);
        _pay(registry.guardian(), bond - reward);
    }

    /// @inheritdoc IAowChallenge
    function withdraw(address to) external {
        uint256 amount = creditOf[msg.sender];
        if (amount == 0) revert NoCredit(msg.sender);
        creditOf[msg.sender] = 0;
        emit Withdrawn(msg.sender, to, amount);
        bool ok;
        assembly ("memory-safe") {
            ok := call(gas(), to, amount, 0, 0, 0, 0)
        }
        if (!ok) revert PaymentFailed(to);
    }

    /// @inheritdoc IAowChallenge
    /// @dev This looks at the start and the result alone. Checkpoints in between may still be wrong; the result is not.
    function verifyWhole(bytes32 id) external {
        Claim storage claim = _open(id);
        if (claim.steps > MAX_WHOLE) revert TooLongToVerify(claim.steps, MAX_WHOLE);
        if (Aow.replay(claim.result, claim.steps) != claim.start) revert WorkDoesNotHold(id);

        claim.status = ClaimStatus.Upheld;
        emit Upheld(id);
    }

    /// @inheritdoc IAowChallenge
    function release(bytes32 id) external {
        Claim storage claim = _claims[id];
        if (claim.status == ClaimStatus.None) revert UnknownClaim(id);
        if (claim.status == ClaimStatus.Slashed) revert AlreadySlashed(id);
        if (!_isFinal(claim)) revert NotFinal(id);
        uint256 bond = claim.bond;
        if (bond == 0) revert AlreadyReleased(id);

        address node = address(uint160(uint256(id)));
        claim.bond = 0;
        emit Released(id, node, bond);
        _pay(node, bond);
    }

    /// @inheritdoc IAowChallenge
    function isFinal(uint64 round, address node) external view returns (bool) {
        return _isFinal(_claims[idOf(round, node)]);
    }

    /// @inheritdoc IAowChallenge
    function resultOf(uint64 round, address node) external view returns (uint128) {
        bytes32 id = idOf(round, node);
        Claim storage claim = _claims[id];
        if (!_isFinal(claim)) revert NotFinal(id);
        return claim.result;
    }

    /// @inheritdoc IOutcomes
    function outcomeOf(bytes32 id) external view returns (bytes32) {
        Claim storage claim = _claims[id];
        if (!_isFinal(claim)) revert NotFinal(id);
        return keccak256(abi.encode(id, claim.height, claim.steps, claim.result));
    }

    /// @inheritdoc IAowChallenge
    function claimOf(bytes32 id) external view returns (Claim memory) {
        return _claims[id];
    }

    /// @inheritdoc IAowChallenge
    function commitmentOf(address challenger, bytes32 id, uint256 segment, bytes32 salt) public pure returns (bytes32) {
        return keccak256(abi.encode(challenger, id, segment, salt));
    }

    /// @inheritdoc IAowChallenge
    function bondFor(uint256 count, uint256 segmentLength) public view returns (uint256) {
        uint256 price = block.basefee > gasPrice ? block.basefee : gasPrice;
        uint256 need = BOND_FACTOR * _challengeGas(count, segmentLength) * price;
        return need > minimumBond ? need : minimumBond;
    }

    /// @inheritdoc IAowChallenge
    function startOf(uint64 round, uint64 height, address node, uint64 steps) public view returns (uint128) {
        bytes32 blockHash = registry.finalizedHash(height);
        if (blockHash == 0) revert UnknownBlock(height);
        return Aow.start(networkId, block.chainid, round, blockHash, node, steps);
    }

    /// @inheritdoc IAowChallenge
    function replay(uint128 value, uint256 steps) external pure returns (uint128) {
        return Aow.replay(value, steps);
    }

    /// @inheritdoc IAowChallenge
    function idOf(uint64 round, address node) public pure returns (bytes32) {
        return bytes32((uint256(round) << NODE_BITS) | uint160(node));
    }

    function _isFinal(Claim storage claim) private view returns (bool) {
        ClaimStatus status = claim.status;
        return status == ClaimStatus.Upheld || (status == ClaimStatus.Posted && block.timestamp > claim.deadline);
    }

    /// @dev A claim that can be challenged.
    function _open(bytes32 id) private view returns (Claim storage claim) {
        claim = _claims[id];
        ClaimStatus status = claim.status;
        if (status == ClaimStatus.None) revert UnknownClaim(id);
        if (status == ClaimStatus.Slashed) revert AlreadySlashed(id);
        if (status == ClaimStatus.Upheld) revert AlreadyUpheld(id);
        if (block.timestamp > claim.deadline) revert WindowClosed(id, claim.deadline);
    }

    /// @dev A claim that could not be challenged must not be taken. An element with two forms would be one of them.
    function _checkShape(uint256 steps, bytes calldata checkpoints)
        private
        pure
        returns (uint256 count, uint256 segmentLength)
    {
        if (steps == 0) revert ZeroSteps();
        if (steps > MAX_STEPS) revert TooManySteps(steps, MAX_STEPS);
        if (checkpoints.length == 0 || checkpoints.length % Aow.ELEMENT_LENGTH != 0) {
            revert InvalidCheckpointsLength(checkpoints.length);
        }
        count = checkpoints.length / Aow.ELEMENT_LENGTH;
        if (count > MAX_CHECKPOINTS) revert TooManyCheckpoints(count, MAX_CHECKPOINTS);
        if (steps % count != 0) revert UnevenSegments(steps, count);
        segmentLength = steps / count;
        if (segmentLength > MAX_SEGMENT) revert SegmentTooLong(segmentLength, MAX_SEGMENT);
        for (uint256 i; i < count; ++i) {
            if (Aow.element(checkpoints, i) >= Aow.P) revert NonCanonical(i);
        }
    }

    function _challengeGas(uint256 count, uint256 segmentLength) private pure returns (uint256) {
        return CHALLENGE_BASE + CHECKPOINT_GAS * count + STEP_GAS * segmentLength;
    }

    /// @dev The price of a stranger's gas is its own choice, so what it has back is bounded.
    function _rewardOf(address challenger, address node, uint256 bond, uint256 count, uint256 segmentLength)
        private
        view
        returns (uint256)
    {
        if (challenger != node && registry.isRecentValidator(challenger)) return bond / 2;
        uint256 most = block.basefee > gasPrice ? block.basefee : gasPrice;
        uint256 price = tx.gasprice < most ? tx.gasprice : most;
        uint256 cost = _challengeGas(count, segmentLength) * price;
        return cost < bond / 4 ? cost : bond / 4;
    }

    function _useCommitment(bytes32 commitment) private {
        uint256 since = committedAt[commitment];
        if (since == 0 || since >= block.number) revert NotCommitted(commitment);
        committedAt[commitment] = 0;
    }

    /// @dev Whoever is paid costs who pays it a bounded share of gas, and holds up nothing.
    function _pay(address account, uint256 amount) private {
        if (amount == 0) return;
        if (gasleft() < PAYMENT_NEED) revert InsufficientGas(gasleft(), PAYMENT_NEED);
        (bool ok, uint256 limit) = (false, PAYMENT_GAS);
        assembly ("memory-safe") {
            ok := call(limit, account, amount, 0, 0, 0, 0)
        }
        if (ok) return;
        creditOf[account] += amount;
        emit Credited(account, amount);
    }
}
