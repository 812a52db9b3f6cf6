// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Aow} from "./Aow.sol";
import {ResultRegistry} from "../registry/ResultRegistry.sol";

/// @notice Where a claim stands. Whether an unchallenged one is final is for the clock to say.
enum ClaimStatus {
    None,
    Posted,
    Upheld,
    Slashed
}

/// @notice All that is kept about one claim, in three storage slots.
/// @param commitment Hash of the packed checkpoints; zero once slashed.
/// @param start Where the work starts; zero once slashed.
/// @param result Where the work ends, by the claim; zero once slashed.
/// @param bond Wei that vouch for the claim; zero once they have been paid out.
/// @param height The final block from whose hash the work starts.
/// @param deadline Last second, in Unix time, at which the claim can be challenged.
/// @param steps Steps of the work.
/// @param segmentLength Steps from one checkpoint to the next.
/// @param status Where the claim stands.
struct Claim {
    bytes32 commitment;
    uint128 start;
    uint128 result;
    uint96 bond;
    uint64 height;
    uint40 deadline;
    uint32 steps;
    uint16 segmentLength;
    ClaimStatus status;
}

/// @title Rounds of sequential work, taken at their word unless somebody shows them wrong
/// @notice A validator posts the result of its work in a round, with checkpoints and a bond. Within the window anyone
/// may point at a segment between two checkpoints: the contract takes its steps back, and if they do not lead where the
/// claim says, the claim is void, half of the bond is the challenger's, and the other half is burned: it stays in this
/// contract, from which nothing takes it. A claim that nobody has shown wrong is final, and short work can be taken back
/// as a whole, which makes its claim final at once.
///
/// The start is never taken from the poster: it is hashed from the network, the chain, the round, the node, the number
/// of steps and the hash of a block that the registry holds as final. The registry's storage is asked for that hash by
/// height, so neither a header nor a signature is needed here. A block that it has not seen must be finalized there
/// first, as anyone may do. Which block comes before a round only the network knows: the height is part of the claim,
/// for those who pay to compare.
///
/// A wrong claim that nobody challenges becomes final, so the window must be long enough for one honest watcher to be
/// heard. Checkpoints are in the event, so a watcher needs nobody's help. Who sees a challenge coming can make it first:
/// a poster that does so loses half of its bond and the claim all the same, and cannot post for that round again.
contract AowChallenge {
    /// @notice The most steps of a claim.
    uint256 public constant MAX_STEPS = 1 << 24;
    /// @notice The most steps between two checkpoints, so that every segment can be challenged in one transaction.
    uint256 public constant MAX_SEGMENT = 4096;
    /// @notice The most checkpoints, so that whoever posts a claim cannot make it too long to be challenged.
    uint256 public constant MAX_CHECKPOINTS = MAX_STEPS / MAX_SEGMENT;
    /// @notice The most steps that are taken back as a whole.
    uint256 public constant MAX_WHOLE = 1 << 14;

    uint256 private constant NODE_BITS = 160;

    /// @notice It knows the validators and which blocks are final.
    ResultRegistry public immutable registry;
    /// @notice Hash of the network's genesis, as the registry has it.
    bytes32 public immutable networkId;
    /// @notice The least bond, in wei. It should exceed twice what a challenge costs at the most checkpoints one expects,
    /// since half of it is what a challenge earns.
    uint256 public immutable minimumBond;
    /// @notice Seconds for which a claim can be challenged.
    uint32 public immutable window;

    mapping(bytes32 id => Claim) private _claims;

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
    /// is burned.
    event Slashed(bytes32 indexed id, address indexed challenger, uint256 segment, uint256 reward, uint256 burned);
    /// @notice The whole work has been taken back and led to its start: the claim is final.
    event Upheld(bytes32 indexed id);
    /// @notice The bond of a final claim is back with its node.
    event Released(bytes32 indexed id, address indexed node, uint256 bond);

    /// @notice The registry must be a contract.
    error NoCode(address account);
    /// @notice A claim without a bond would cost nothing to get wrong.
    error ZeroBond();
    /// @notice Without a window nobody could challenge.
    error ZeroWindow();
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
    error PaymentFailed(address account, bytes reason);

    /// @param registry_ The registry of the network whose rounds are settled.
    /// @param minimumBond_ The least bond in wei, not zero.
    /// @param window_ Seconds for which a claim can be challenged, not zero.
    constructor(ResultRegistry registry_, uint256 minimumBond_, uint32 window_) {
        if (address(registry_).code.length == 0) revert NoCode(address(registry_));
        if (minimumBond_ == 0) revert ZeroBond();
        if (window_ == 0) revert ZeroWindow();
        registry = registry_;
        networkId = registry_.networkId();
        minimumBond = minimumBond_;
        window = window_;
    }

    /// @notice Claims the result of the caller's work in a round, with a bond of at least {minimumBond}.
    /// @param round Number of the round. Each validator may claim it once.
    /// @param height The block before the round, which the registry must hold.
    /// @param steps Steps of the work.
    /// @param checkpoints Elements of 16 bytes each at even distances, the start left out, the result last.
    /// @param proofDigest Hash of the proof that peers check off chain. It is only repeated in the event.
    /// @return id What the claim is known by, see {idOf}.
    function post(uint64 round, uint64 height, uint64 steps, bytes calldata checkpoints, bytes32 proofDigest)
        external
        payable
        returns (bytes32 id)
    {
        if (msg.value < minimumBond) revert BondTooSmall(msg.value, minimumBond);
        if (msg.value > type(uint96).max) revert BondTooLarge(msg.value);
        (uint256 count, uint256 segmentLength) = _checkShape(steps, checkpoints);
        if (!registry.isValidator(msg.sender)) revert NotValidator(msg.sender);
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

    /// @notice Shows that a segment of a claim is wrong, and takes half of the claim's bond.
    /// @dev Paid to the caller at once: should the caller refuse the money, the only challenge that fails is its own.
    /// The claim is void before the caller runs, so a caller that calls back finds it void.
    /// @param id The claim.
    /// @param checkpoints The claim's checkpoints, as they were posted.
    /// @param segment Index of the checkpoint in which the wrong segment ends; 0 for the one from the start.
    function challenge(bytes32 id, bytes calldata checkpoints, uint256 segment) external {
        Claim storage claim = _open(id);
        bytes32 commitment = keccak256(checkpoints);
        if (commitment != claim.commitment) revert WrongCheckpoints(claim.commitment, commitment);
        uint256 count = checkpoints.length / Aow.ELEMENT_LENGTH;
        if (segment >= count) revert SegmentOutOfRange(segment, count);
        uint128 from = segment == 0 ? claim.start : Aow.element(checkpoints, segment - 1);
        if (Aow.replay(Aow.element(checkpoints, segment), claim.segmentLength) == from) {
            revert SegmentHolds(id, segment);
        }

        uint256 bond = claim.bond;
        (claim.status, claim.bond) = (ClaimStatus.Slashed, 0);
        // A void result is nothing to be read, and giving the slots back pays for a part of the challenge.
        (claim.commitment, claim.start, claim.result) = (0, 0, 0);
        // Half stays here for good, or a poster could challenge itself and lose nothing.
        uint256 reward = bond / 2;
        emit Slashed(id, msg.sender, segment, reward, bond - reward);
        _pay(msg.sender, reward);
    }

    /// @notice Takes the whole work of a claim of at most {MAX_WHOLE} steps back. If it holds, the claim is final.
    /// @dev This looks at the start and the result alone. Checkpoints in between may still be wrong; the result is not.
    /// @param id The claim.
    function verifyWhole(bytes32 id) external {
        Claim storage claim = _open(id);
        if (claim.steps > MAX_WHOLE) revert TooLongToVerify(claim.steps, MAX_WHOLE);
        if (Aow.replay(claim.result, claim.steps) != claim.start) revert WorkDoesNotHold(id);

        claim.status = ClaimStatus.Upheld;
        emit Upheld(id);
    }

    /// @notice Returns the bond of a final claim to its node. Anyone may ask for it.
    /// @param id The claim.
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

    /// @notice Whether a node's result in a round is final: taken back as a whole, or unchallenged for the window.
    function isFinal(uint64 round, address node) external view returns (bool) {
        return _isFinal(_claims[idOf(round, node)]);
    }

    /// @notice A node's result in a round. Fails unless it is final.
    function resultOf(uint64 round, address node) external view returns (uint128) {
        bytes32 id = idOf(round, node);
        Claim storage claim = _claims[id];
        if (!_isFinal(claim)) revert NotFinal(id);
        return claim.result;
    }

    /// @notice What a final claim comes to, in one word: the hash of its id, its block's height, its steps and its result.
    /// It fails unless the claim is final. The network certifies the same word for a completion that is to be paid.
    function outcomeOf(bytes32 id) external view returns (bytes32) {
        Claim storage claim = _claims[id];
        if (!_isFinal(claim)) revert NotFinal(id);
        return keccak256(abi.encode(id, claim.height, claim.steps, claim.result));
    }

    /// @notice All that is kept about a claim; zeros if there is none.
    function claimOf(bytes32 id) external view returns (Claim memory) {
        return _claims[id];
    }

    /// @notice Where a node's work of so many steps starts in a round that follows a block.
    function startOf(uint64 round, uint64 height, address node, uint64 steps) public view returns (uint128) {
        bytes32 blockHash = registry.finalizedHash(height);
        if (blockHash == 0) revert UnknownBlock(height);
        return Aow.start(networkId, block.chainid, round, blockHash, node, steps);
    }

    /// @notice What a challenge computes: where work that ended in a value has started, so many steps before.
    function replay(uint128 value, uint256 steps) external pure returns (uint128) {
        return Aow.replay(value, steps);
    }

    /// @notice What a claim is known by: the round and the node, side by side.
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

    function _pay(address account, uint256 amount) private {
        (bool ok, bytes memory reason) = account.call{value: amount}("");
        if (!ok) revert PaymentFailed(account, reason);
    }
}
