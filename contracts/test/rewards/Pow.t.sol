// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {stdJson} from "forge-std/StdJson.sol";
import {Result, Solution} from "../../src/formats/Types.sol";
import {Pow} from "../../src/rewards/Pow.sol";
import {deploy} from "../helpers/Deployed.sol";
import {Fixture} from "../helpers/Fixture.sol";
import {Claim, Order, encodeClaim, encodeNumber, encodeOrder, payloadHash, workHash} from "../helpers/Races.sol";
import {PowVerifier} from "../shipped/PowVerifier.sol";

/// @notice The check of a race's work, on its own. "Certified" below is a solution whose hashes the result has: what only
/// validators could bring about, and what the check has to refuse by what is in it.
contract PowTest is Fixture {
    using stdJson for string;

    address private constant WORKER = address(0xA11CE);
    address private constant PAYEE = address(0xCAFE);
    address private constant SHA256 = address(2);
    uint256 private constant CLAIM_NONCE = 88;

    PowVerifier private verifier;
    bytes32 private domain;

    function setUp() public {
        verifier = PowVerifier(deploy("PowVerifier", ""));
        domain = domainOf(NETWORK, block.chainid);
    }

    function testFuzz_TakesEverySolutionByTheBook(Order memory order, Claim memory claim, address worker) public view {
        order.expectedHashes = 1;
        (Result memory result, Solution memory solution) = solved(order, claim, worker);
        check(result, solution);
    }

    /// @dev The greatest and the least that the fields can be.
    function test_TakesNumbersOfEveryLength() public view {
        for (uint256 bits; bits <= 64; ++bits) {
            uint64 number = uint64((1 << bits) - 1);
            (Order memory order, Claim memory claim) = (makeOrder(), makeClaim());
            (order.nonce, order.reward, claim.nonce, claim.duration) = (number, type(uint256).max, number, number);
            (claim.startedAt, claim.endedAt) = (number, number);
            (Result memory result, Solution memory solution) = solved(order, claim, WORKER);
            check(result, solution);
        }
    }

    function testFuzz_RevertWhen_ABitOfTheOrderIsFlipped(uint256 bit) public {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        flip(solution.order, bit);
        bytes32 given = payloadHash(domain, REQUESTER, solution.order);
        expect(result, solution, abi.encodeWithSelector(Pow.WrongOrder.selector, result.id, given));
    }

    function testFuzz_RevertWhen_ABitOfTheClaimIsFlipped(uint256 bit) public {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        flip(solution.claim, bit);
        bytes32 given = payloadHash(domain, WORKER, solution.claim);
        expect(result, solution, abi.encodeWithSelector(Pow.WrongClaim.selector, result.digest, given));
    }

    /// @dev Each bit of the order is in its hash, which the claim names.
    function testFuzz_RevertWhen_AnOrderWithAFlippedBitIsCertified(uint256 bit) public {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        flip(solution.order, bit);
        certify(result, solution);
        vm.expectRevert();
        check(result, solution);
    }

    /// @dev All but the times, which have nothing to do with the work, and with which it is still a claim.
    function testFuzz_RevertWhen_AClaimWithAFlippedBitIsCertified(uint256 bit) public {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        bit = flip(solution.claim, bit);
        certify(result, solution);
        bool isInTimes = bit / 8 >= CLAIM_NONCE + encodeNumber(makeClaim().nonce).length + 33;
        if (isInTimes && bit % 8 != 7) return check(result, solution);
        vm.expectRevert();
        check(result, solution);
    }

    function testFuzz_RevertWhen_TheRequesterIsAnother(address other) public {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        vm.assume(other != REQUESTER);
        solution.requester = other;
        expectPartial(result, solution, Pow.WrongOrder.selector);
    }

    /// @dev Nobody can claim what another has found: not its claim, and not its nonce in a claim of one's own.
    function testFuzz_RevertWhen_TheWorkerIsAnother(address other) public {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        vm.assume(other != WORKER);
        result.worker = other;
        bytes32 given = payloadHash(domain, other, solution.claim);
        expect(result, solution, abi.encodeWithSelector(Pow.WrongClaim.selector, result.digest, given));
        certify(result, solution);
        expectPartial(result, solution, Pow.WrongHash.selector);
    }

    function testFuzz_RevertWhen_ThePayeeIsAnother(address other) public {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        vm.assume(other != PAYEE);
        result.payee = other;
        expect(result, solution, abi.encodeWithSelector(Pow.WrongPayee.selector, other, PAYEE));
    }

    function testFuzz_RevertWhen_TheAmountIsAnother(uint256 other) public {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        vm.assume(other != 1 ether);
        result.amount = other;
        expect(result, solution, abi.encodeWithSelector(Pow.WrongAmount.selector, other, 1 ether));
    }

    function testFuzz_RevertWhen_TheNetworkOrTheChainIsAnother(bytes32 network, uint64 chainId) public {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        vm.assume(network != NETWORK && chainId != block.chainid);
        vm.expectPartialRevert(Pow.WrongOrder.selector);
        verifier.check(solution, result, network, block.chainid);
        vm.expectPartialRevert(Pow.WrongOrder.selector);
        verifier.check(solution, result, NETWORK, chainId);
    }

    /// @dev Both payloads are signed for the network, and the work was done for another one.
    function test_RevertWhen_TheWorkIsThatOfAnotherNetwork() public {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        Claim memory claim = makeClaim();
        claim.order = result.id;
        claim.hash = workHash(keccak256("another"), claim.race, result.id, WORKER, claim.nonce);
        solution.claim = encodeClaim(claim);
        certify(result, solution);
        expectPartial(result, solution, Pow.WrongHash.selector);
    }

    function test_RevertWhen_TheClaimIsForAnotherOrder() public {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        bytes32 claimed = result.id;
        Order memory order = makeOrder();
        order.nonce += 1;
        solution.order = encodeOrder(order);
        certify(result, solution);
        expect(result, solution, abi.encodeWithSelector(Pow.ForeignClaim.selector, result.id, claimed));
    }

    function testFuzz_RevertWhen_TheStatedHashIsAnother(bytes32 stated) public {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        Claim memory claim = makeClaim();
        claim.order = result.id;
        bytes32 hash = workHash(NETWORK, claim.race, result.id, WORKER, claim.nonce);
        vm.assume(stated != hash);
        claim.hash = stated;
        solution.claim = encodeClaim(claim);
        certify(result, solution);
        expect(result, solution, abi.encodeWithSelector(Pow.WrongHash.selector, hash, stated));
    }

    /// @dev What is wanted shows in the error. With one expected hash every hash wins.
    function testFuzz_RevertWhen_TheHashIsAboveTheTarget(uint64 expected) public {
        Order memory order = makeOrder();
        order.expectedHashes = expected = expected == 0 ? 1 : expected;
        (Result memory result, Solution memory solution) = solved(order, makeClaim(), WORKER);
        Claim memory claim = makeClaim();
        bytes32 hash = workHash(NETWORK, claim.race, result.id, WORKER, claim.nonce);
        uint256 target = type(uint256).max / expected;
        if (uint256(hash) <= target) return check(result, solution);
        expect(result, solution, abi.encodeWithSelector(Pow.WorkMissing.selector, hash, target));
    }

    /// @dev The greatest hash that wins and the one above it, which nobody could find: the precompile is told what to say.
    function testFuzz_TheTargetIsTheGreatestHashThatWins(uint64 expected) public {
        uint64[7] memory edges = [1, 2, 3, 127, 128, 1 << 63, type(uint64).max];
        for (uint256 i; i < 8; ++i) {
            uint64 hashes = i < 7 ? edges[i] : expected | 2;
            uint256 target = type(uint256).max / hashes;
            (Result memory result, Solution memory solution) = solvedBy(hashes, bytes32(target));
            check(result, solution);
            if (target == type(uint256).max) continue;
            (result, solution) = solvedBy(hashes, bytes32(target + 1));
            expect(result, solution, abi.encodeWithSelector(Pow.WorkMissing.selector, target + 1, target));
            (result, solution) = solvedBy(hashes, 0);
            check(result, solution);
        }
    }

    /// @dev Numbers that are none, as the work that is asked for.
    function test_RevertWhen_TheExpectedHashesAreMalformed() public {
        bytes[9] memory malformed = noNumbers();
        for (uint256 i; i < 9; ++i) {
            expectMalformedOrder(bytes.concat(orderUpToWork(), hex"01", malformed[i]));
        }
        // None, no work, a mark that is none, and the number one with a mark of its own.
        expectMalformedOrder(bytes.concat(orderUpToWork(), hex"01"));
        expectMalformedOrder(bytes.concat(orderUpToWork(), hex"0100"));
        expectMalformedOrder(bytes.concat(orderUpToWork(), hex"00"));
        expectMalformedOrder(bytes.concat(orderUpToWork(), hex"0001"));
        expectMalformedOrder(bytes.concat(orderUpToWork(), hex"0201"));
        expectMalformedOrder(bytes.concat(orderUpToWork(), hex"8101"));
        expectMalformedOrder(bytes.concat(orderUpToWork(), hex"010101"));
    }

    function test_RevertWhen_TheOrderIsSomethingElse() public {
        expectMalformedOrder("");
        expectMalformedOrder(new bytes(42));
        expectMalformedOrder(new bytes(1000));
        bytes memory order = encodeOrder(makeOrder());
        for (uint256 kind = 1; kind < 256; ++kind) {
            order[0] = bytes1(uint8(kind));
            expectMalformedOrder(order);
        }
        for (uint256 length; length < 256; ++length) {
            order = encodeOrder(makeOrder());
            order[order.length - 35] = bytes1(uint8(length));
            if (length != 32) expectMalformedOrder(order);
        }
    }

    /// @dev Nothing before the calldata is read, however far back a number seems to go.
    function testFuzz_RevertWhen_TheOrderIsOneLongNumber(uint8 length) public {
        bytes memory order = new bytes(length);
        for (uint256 i = 1; i < order.length; ++i) {
            order[i] = 0xff;
        }
        expectMalformedOrder(order);
        if (length > 0) order[length - 1] = 0x01;
        expectMalformedOrder(order);
    }

    function test_RevertWhen_TheOrderIsCutOrLonger() public {
        bytes memory order = encodeOrder(makeOrder());
        for (uint256 length; length < order.length; ++length) {
            expectMalformedOrder(cut(order, length));
        }
        for (uint256 more; more < 256; ++more) {
            expectMalformedOrder(bytes.concat(order, bytes1(uint8(more))));
        }
    }

    /// @dev Numbers that are none, as the nonce or as one of the times.
    function test_RevertWhen_ANumberOfTheClaimIsMalformed() public {
        bytes[9] memory malformed = noNumbers();
        bytes memory good = hex"01";
        for (uint256 i; i < 9; ++i) {
            expectMalformedClaim(claimOf(malformed[i], bytes.concat(good, good, good)));
            expectMalformedClaim(claimOf(good, bytes.concat(malformed[i], good, good)));
            expectMalformedClaim(claimOf(good, bytes.concat(good, malformed[i], good)));
            expectMalformedClaim(claimOf(good, bytes.concat(good, good, malformed[i])));
        }
        expectMalformedClaim(claimOf(good, bytes.concat(good, good)));
        expectMalformedClaim(claimOf(good, bytes.concat(good, good, good, good)));
    }

    function test_RevertWhen_TheClaimIsCutOrLonger() public {
        bytes memory claim = encodeClaim(makeClaim());
        for (uint256 length; length < claim.length; ++length) {
            expectMalformedClaim(cut(claim, length));
        }
        for (uint256 more; more < 256; ++more) {
            expectMalformedClaim(bytes.concat(claim, bytes1(uint8(more))));
        }
    }

    function test_RevertWhen_TheClaimIsSomethingElse() public {
        uint8[4] memory places = [0, 1, 34, 67];
        for (uint256 i; i < 4; ++i) {
            bytes memory claim = encodeClaim(makeClaim());
            uint8 right = uint8(claim[places[i]]);
            for (uint256 value; value < 256; ++value) {
                claim[places[i]] = bytes1(uint8(value));
                if (value != right) expectMalformedClaim(claim);
            }
        }
    }

    /// @dev Solutions and what Rust says of them: nothing, or by which error they are refused.
    function test_AgreesWithRust() public {
        string memory json = vm.readFile("crates/ledger/tests/solutions.json");
        bytes32 network = json.readBytes32(".network_id");
        uint256 chainId = json.readUint(".chain_id");
        uint256 count;
        for (; json.keyExists(string.concat(".cases[", vm.toString(count), "]")); ++count) {
            string memory entry = string.concat(".cases[", vm.toString(count), "]");
            Result memory result = Result({
                kind: KIND_RACE,
                id: json.readBytes32(string.concat(entry, ".id")),
                worker: json.readAddress(string.concat(entry, ".worker")),
                payee: json.readAddress(string.concat(entry, ".payee")),
                amount: vm.parseUint(json.readString(string.concat(entry, ".amount"))),
                digest: json.readBytes32(string.concat(entry, ".digest"))
            });
            Solution memory solution = Solution({
                requester: json.readAddress(string.concat(entry, ".requester")),
                order: json.readBytes(string.concat(entry, ".order")),
                claim: json.readBytes(string.concat(entry, ".claim"))
            });
            bytes4 expected = selectorOf(json.readString(string.concat(entry, ".error")));
            try verifier.check(solution, result, network, chainId) {
                assertEq(expected, bytes4(0), entry);
            } catch (bytes memory reason) {
                assertEq(bytes4(reason), expected, entry);
            }
        }
        assertGt(count, 200, "there are cases");
    }

    /// @dev None has another number of arguments or other types than the one of its name.
    function selectorOf(string memory refusal) private pure returns (bytes4) {
        bytes32 name = keccak256(bytes(refusal));
        if (name == keccak256("")) return 0;
        if (name == keccak256("WrongOrder")) return Pow.WrongOrder.selector;
        if (name == keccak256("WrongClaim")) return Pow.WrongClaim.selector;
        if (name == keccak256("MalformedOrder")) return Pow.MalformedOrder.selector;
        if (name == keccak256("MalformedClaim")) return Pow.MalformedClaim.selector;
        if (name == keccak256("ForeignClaim")) return Pow.ForeignClaim.selector;
        if (name == keccak256("WrongPayee")) return Pow.WrongPayee.selector;
        if (name == keccak256("WrongAmount")) return Pow.WrongAmount.selector;
        if (name == keccak256("WrongHash")) return Pow.WrongHash.selector;
        if (name == keccak256("WorkMissing")) return Pow.WorkMissing.selector;
        revert(string.concat("no such error: ", refusal));
    }

    function makeOrder() private pure returns (Order memory) {
        return Order(7, "MNIST", "LeNet-5", "accuracy >= 0.99", 1 ether, 1);
    }

    function makeClaim() private pure returns (Claim memory) {
        return Claim(0, keccak256("race"), PAYEE, 1 << 40, 0, 1_700_000_000_000_000, 1_700_000_000_500_000, 499_998);
    }

    /// @dev The claim is completed with the order's hash and that of its nonce.
    function solved(Order memory order, Claim memory claim, address worker)
        private
        view
        returns (Result memory result, Solution memory solution)
    {
        (solution.requester, solution.order) = (REQUESTER, encodeOrder(order));
        claim.order = payloadHash(domain, REQUESTER, solution.order);
        claim.hash = workHash(NETWORK, claim.race, claim.order, worker, claim.nonce);
        solution.claim = encodeClaim(claim);
        (result.worker, result.payee, result.amount) = (worker, claim.payee, order.reward);
        certify(result, solution);
    }

    /// @dev The same with a hash that the precompile is told to give.
    function solvedBy(uint64 expected, bytes32 hash) private returns (Result memory result, Solution memory solution) {
        Order memory order = makeOrder();
        order.expectedHashes = expected;
        (result, solution) = solved(order, makeClaim(), WORKER);
        Claim memory claim = makeClaim();
        (claim.order, claim.hash) = (result.id, hash);
        solution.claim = encodeClaim(claim);
        certify(result, solution);
        vm.clearMockedCalls();
        vm.mockCall(SHA256, new bytes(0), abi.encode(hash));
    }

    /// @dev Gives the result the hashes of the solution.
    function certify(Result memory result, Solution memory solution) private view {
        result.id = payloadHash(domain, solution.requester, solution.order);
        result.digest = payloadHash(domain, result.worker, solution.claim);
    }

    function check(Result memory result, Solution memory solution) private view {
        verifier.check(solution, result, NETWORK, block.chainid);
    }

    function expect(Result memory result, Solution memory solution, bytes memory reason) private {
        vm.expectRevert(reason);
        check(result, solution);
    }

    function expectPartial(Result memory result, Solution memory solution, bytes4 reason) private {
        vm.expectPartialRevert(reason);
        check(result, solution);
    }

    function expectMalformedOrder(bytes memory order) private {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        solution.order = order;
        certify(result, solution);
        expect(result, solution, abi.encodeWithSelector(Pow.MalformedOrder.selector, result.id));
    }

    function expectMalformedClaim(bytes memory claim) private {
        (Result memory result, Solution memory solution) = solved(makeOrder(), makeClaim(), WORKER);
        solution.claim = claim;
        certify(result, solution);
        expect(result, solution, abi.encodeWithSelector(Pow.MalformedClaim.selector, result.digest));
    }

    /// @dev Overlong forms of 0, 1 and 128; 2^64 and more in ten bytes; eleven bytes; a number that does not end.
    function noNumbers() private pure returns (bytes[9] memory) {
        return [
            bytes(hex"8000"),
            hex"8100",
            hex"808100",
            hex"ffffffffffffffffff02",
            hex"8080808080808080807f",
            hex"8080808080808080808001",
            hex"ffffffffffffffffffff01",
            hex"80",
            hex"ffffffffffffffffffff"
        ];
    }

    function orderUpToWork() private pure returns (bytes memory) {
        bytes memory order = encodeOrder(makeOrder());
        return cut(order, order.length - 2);
    }

    function claimOf(bytes memory nonce, bytes memory times) private pure returns (bytes memory) {
        return bytes.concat(cut(encodeClaim(makeClaim()), CLAIM_NONCE), nonce, hex"20", bytes32(0), times);
    }

    function cut(bytes memory data, uint256 length) private pure returns (bytes memory start) {
        start = new bytes(length);
        for (uint256 i; i < length; ++i) {
            start[i] = data[i];
        }
    }

    /// @dev Which bit it is after all.
    function flip(bytes memory data, uint256 bit) private pure returns (uint256) {
        bit %= data.length * 8;
        data[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        return bit;
    }
}
