// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Formats} from "../formats/Formats.sol";
import {Result, Solution} from "../formats/Types.sol";

/// @title The check of a race's work
/// @notice A result of a race says by hashes what it is for and how it was earned. The bytes behind the hashes say how
/// much work was asked for and which nonce shows it; one SHA-256 then says whether that is so.
/// docs/reference/formats.md defines the encodings.
/// @dev Whoever signed the two payloads, that the race began with the order's block and that no claim beside this one had
/// a lower hash is the validators' part: none of it is looked at here. Neither are the fields of the order before its
/// reward: its hash covers them, and nothing here depends on them.
library Pow {
    /// @dev What begins every preimage up to the network id, and the lengths of the fields behind that.
    bytes12 private constant TAG = "\x0aDTN/pow/v2\x20";
    bytes1 private constant WORD = 0x20;
    bytes1 private constant ACCOUNT = 0x14;
    bytes1 private constant NUMBER = 0x08;

    /// @dev The first byte of a payload, which says of which kind it is.
    uint256 private constant KIND_ORDER = 0;
    uint256 private constant KIND_CLAIM = 1;

    /// @dev Where the mark of an order's work is at least: behind the kind, the nonce, three texts and the reward.
    uint256 private constant ORDER_WORK = 41;
    /// @dev Where the fields of a claim begin. Up to the nonce they have fixed lengths.
    uint256 private constant CLAIM_ORDER = 2;
    uint256 private constant CLAIM_RACE = 35;
    uint256 private constant CLAIM_PAYEE = 68;
    uint256 private constant CLAIM_NONCE = 88;
    /// @dev A claim whose four numbers have one byte each.
    uint256 private constant CLAIM_LENGTH = 125;

    /// @dev In place of the end of a number that is none: behind all calldata, and a number from there on is none either.
    uint256 private constant NOWHERE = type(uint128).max;

    /// @notice The result is for another order than the given one.
    error WrongOrder(bytes32 id, bytes32 given);
    /// @notice The result rests on another claim than the given one.
    error WrongClaim(bytes32 digest, bytes32 given);
    /// @notice The bytes are no order that asks for work.
    error MalformedOrder(bytes32 id);
    /// @notice The bytes are no claim.
    error MalformedClaim(bytes32 digest);
    /// @notice The claim is for another order than the result.
    error ForeignClaim(bytes32 id, bytes32 claimed);
    /// @notice The claim names another payee than the result.
    error WrongPayee(address payee, address claimed);
    /// @notice The order offers another reward than the result.
    error WrongAmount(uint256 amount, uint256 offered);
    /// @notice The claim states another hash than its nonce has.
    error WrongHash(bytes32 hash, bytes32 claimed);
    /// @notice The hash is above the greatest that wins.
    error WorkMissing(bytes32 hash, uint256 target);

    /// @notice Returns if the solution is that of the result and shows the work that was asked for, else reverts.
    /// @param solution What the network says has been asked for and claimed.
    /// @param result The result of a race in the network.
    /// @param networkId Hash of the network's genesis.
    /// @param chainId The chain on which the network settles.
    function check(Solution calldata solution, Result calldata result, bytes32 networkId, uint256 chainId)
        internal
        pure
    {
        bytes32 separator = Formats.domainSeparator(networkId, chainId);
        uint256 target = _target(solution.requester, solution.order, result, separator);
        (bytes32 race, uint64 nonce, bytes32 claimed) = _claim(solution.claim, result, separator);
        bytes32 hash = hashOf(networkId, race, result.id, result.worker, nonce);
        if (hash != claimed) revert WrongHash(hash, claimed);
        if (uint256(hash) > target) revert WorkMissing(hash, target);
    }

    /// @notice The hash of a worker's nonce in a race, by the precompile.
    function hashOf(bytes32 networkId, bytes32 race, bytes32 order, address worker, uint64 nonce)
        internal
        pure
        returns (bytes32)
    {
        return sha256(abi.encodePacked(TAG, networkId, WORD, race, WORD, order, ACCOUNT, worker, NUMBER, nonce));
    }

    /// @dev The greatest hash that wins, and a check of the reward: both are at the end of an order. So this reads
    /// backwards, without a look at the texts. From its last byte on, a number is read from its most significant digit
    /// down; the last byte alone has no mark, nor has the byte before the number, which says that there is work.
    function _target(address requester, bytes calldata order, Result calldata result, bytes32 separator)
        private
        pure
        returns (uint256)
    {
        bytes32 given = Formats.transactionHash(separator, requester, order);
        if (given != result.id) revert WrongOrder(result.id, given);
        uint256 place = order.length;
        if (place < ORDER_WORK + 2 || _byte(order, 0) != KIND_ORDER) revert MalformedOrder(result.id);
        uint256 digit = _byte(order, --place);
        uint256 expected = digit;
        bool isCanonical = digit != 0 && digit < 0x80;
        // A number whose first digit is not zero outgrows its 64 bits before this leaves the order.
        while (isCanonical && (digit = _byte(order, --place)) >= 0x80) {
            expected = (expected << 7) | (digit & 0x7f);
            isCanonical = expected <= type(uint64).max;
        }
        if (!isCanonical || place < ORDER_WORK || digit != 1 || _byte(order, place - 33) != 32) {
            revert MalformedOrder(result.id);
        }
        uint256 reward = uint256(_word(order, place - 32));
        if (reward != result.amount) revert WrongAmount(result.amount, reward);
        return type(uint256).max / expected;
    }

    /// @dev What of a claim the work depends on, and a check of the rest.
    function _claim(bytes calldata claim, Result calldata result, bytes32 separator)
        private
        pure
        returns (bytes32 race, uint64 nonce, bytes32 hash)
    {
        bytes32 given = Formats.transactionHash(separator, result.worker, claim);
        if (given != result.digest) revert WrongClaim(result.digest, given);
        bool wellFormed = claim.length >= CLAIM_LENGTH && _byte(claim, 0) == KIND_CLAIM
            && _byte(claim, CLAIM_ORDER - 1) == 32 && _byte(claim, CLAIM_RACE - 1) == 32
            && _byte(claim, CLAIM_PAYEE - 1) == 20;
        if (!wellFormed) revert MalformedClaim(result.digest);
        uint256 place;
        (nonce, place) = _number(claim, CLAIM_NONCE);
        // Behind the nonce, the length of a word, the word and three numbers.
        if (place > claim.length - 36 || _byte(claim, place) != 32) revert MalformedClaim(result.digest);
        hash = _word(claim, place + 1);
        (, place) = _number(claim, place + 33);
        (, place) = _number(claim, place);
        (, place) = _number(claim, place);
        if (place != claim.length) revert MalformedClaim(result.digest);

        bytes32 order = _word(claim, CLAIM_ORDER);
        if (order != result.id) revert ForeignClaim(result.id, order);
        address payee = address(bytes20(_word(claim, CLAIM_PAYEE)));
        if (payee != result.payee) revert WrongPayee(result.payee, payee);
        race = _word(claim, CLAIM_RACE);
    }

    /// @dev Seven bits a byte, the least significant first, all bytes but the last one marked by their top bit, and no
    /// more bytes than it takes: the last one is not zero, unless it is the first. Returns {NOWHERE} as the end if there is
    /// no such number of 64 bits. Whether the bytes are those of the calldata is asked at the end; behind the word there are
    /// zeros, so the loop has one, and its value fits. It is in assembly, since much of the gas goes into it: some 25 turns.
    function _number(bytes calldata data, uint256 place) private pure returns (uint64, uint256) {
        (bytes32 word, uint256 value, uint256 last) = (_word(data, place), 0, 0);
        assembly ("memory-safe") {
            let digit := byte(0, word)
            value := and(digit, 0x7f)
            for {} gt(digit, 0x7f) {} {
                last := add(last, 1)
                digit := byte(last, word)
                value := or(value, shl(mul(7, last), and(digit, 0x7f)))
            }
        }
        unchecked {
            uint256 end = place + last + 1;
            bool isCanonical = last == 0 || value >> (7 * last) != 0;
            if (!isCanonical || value > type(uint64).max || end > data.length) end = NOWHERE;
            return (uint64(value), end);
        }
    }

    function _byte(bytes calldata data, uint256 place) private pure returns (uint256) {
        return uint8(bytes1(_word(data, place)));
    }

    /// @dev The 32 bytes from a place on. The caller has checked that those it needs are there: past the end this reads
    /// what follows in the calldata. A slice would check it once more, for each of the some forty bytes that are read.
    function _word(bytes calldata data, uint256 place) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := calldataload(add(data.offset, place))
        }
    }
}
