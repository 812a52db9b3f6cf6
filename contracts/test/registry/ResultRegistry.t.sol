// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Header} from "../../src/formats/Types.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {Validators} from "../../src/registry/Validators.sol";
import {newRegistry} from "../helpers/Deployed.sol";
import {Fixture} from "../helpers/Fixture.sol";

contract ResultRegistryTest is Fixture {
    ResultRegistry private registry;
    address[] private validators;

    function setUp() public {
        validators = makeValidators(7);
        registry = newRegistry(NETWORK, EPOCH, validators);
    }

    function test_KnowsItsValidatorSet() public view {
        assertEq(registry.networkId(), NETWORK);
        assertEq(registry.epoch(), EPOCH);
        assertEq(registry.quorum(), 5);
        assertEq(registry.validators(), validators);
        for (uint256 i; i < validators.length; ++i) {
            assertTrue(registry.isValidator(validators[i]));
        }
        assertFalse(registry.isValidator(address(this)));
        assertFalse(registry.isValidator(address(0)));
        assertEq(registry.domainSeparator(), domainOf(NETWORK, block.chainid));
    }

    function test_QuorumsOfTheFormatDocument() public {
        uint8[10] memory sizes = [4, 5, 6, 7, 8, 10, 13, 50, 100, 255];
        uint8[10] memory quorums = [3, 4, 4, 5, 6, 7, 9, 34, 67, 170];
        for (uint256 i; i < sizes.length; ++i) {
            assertEq(newRegistry(NETWORK, EPOCH, ascending(sizes[i])).quorum(), quorums[i]);
        }
    }

    /// @dev Two quorums share more than may be faulty, those who are not are a quorum, and one less would not do.
    function test_QuorumsAreSafeAndLiveForEverySize() public {
        for (uint256 n = 4; n <= 255; ++n) {
            uint256 quorum = newRegistry(NETWORK, EPOCH, ascending(n)).quorum();
            uint256 faulty = (n - 1) / 3;
            assertGt(2 * quorum - n, faulty);
            assertLe(quorum, n - faulty);
            assertLe(2 * quorum, n + faulty + 2);
        }
    }

    function test_RevertWhen_ValidatorCountIsOutOfRange() public {
        uint256[4] memory counts = [uint256(0), 1, 3, 256];
        for (uint256 i; i < counts.length; ++i) {
            address[] memory set = ascending(counts[i]);
            vm.expectRevert(abi.encodeWithSelector(Validators.InvalidValidatorCount.selector, counts[i]));
            newRegistry(NETWORK, EPOCH, set);
        }
    }

    function test_RevertWhen_ValidatorsAreNotAscending() public {
        address[] memory set = ascending(4);
        set[0] = address(0);
        expectNotAscending(set, 0);
        set = ascending(4);
        set[2] = set[1];
        expectNotAscending(set, 2);
        (set[1], set[3]) = (set[3], address(2));
        expectNotAscending(set, 2);
    }

    function test_Finalizes() public {
        Header memory header = makeHeader(3, 0);
        vm.expectEmit();
        emit ResultRegistry.Finalized(3, hashOf(header), VIEW);
        finalize(header);
        assertEq(registry.finalizedHash(3), hashOf(header));
        assertTrue(registry.isFinalized(3, hashOf(header)));
        assertFalse(registry.isFinalized(3, keccak256("another block")));
        assertEq(registry.latestHeight(), 3);
    }

    function test_LatestHeightIsTheGreatest() public {
        finalize(makeHeader(9, 0));
        finalize(makeHeader(4, 0));
        assertEq(registry.latestHeight(), 9);
        assertTrue(registry.isFinalized(4, hashOf(makeHeader(4, 0))));
    }

    function test_NothingIsFinalByDefault() public view {
        assertFalse(registry.isFinalized(1, 0));
        assertFalse(registry.isFinalized(1, hashOf(makeHeader(1, 0))));
        assertEq(registry.finalizedHash(1), 0);
        assertEq(registry.latestHeight(), 0);
    }

    function test_AnyQuorumWillDo() public {
        Header memory header = makeHeader(1, 0);
        registry.finalize(header, VIEW, certificate(header, validators, 2, 5));
        header = makeHeader(2, 0);
        registry.finalize(header, VIEW, certificate(header, validators, 0, 7));
        assertEq(registry.latestHeight(), 2);
    }

    function test_RevertWhen_WrongNetwork() public {
        Header memory header = makeHeader(1, 0);
        header.networkId = keccak256("elsewhere");
        expectRejection(header, abi.encodeWithSelector(ResultRegistry.WrongNetwork.selector, NETWORK, header.networkId));
    }

    function test_RevertWhen_WrongChain() public {
        Header memory header = makeHeader(1, 0);
        header.chainId = 56;
        expectRejection(header, abi.encodeWithSelector(ResultRegistry.WrongChain.selector, block.chainid, 56));
    }

    function test_RevertWhen_WrongEpoch() public {
        Header memory header = makeHeader(1, 0);
        header.epoch = EPOCH + 1;
        expectRejection(header, abi.encodeWithSelector(Validators.WrongEpoch.selector, EPOCH, EPOCH + 1));
    }

    function test_RevertWhen_HeightIsZero() public {
        expectRejection(makeHeader(0, 0), abi.encodeWithSelector(ResultRegistry.ZeroHeight.selector));
    }

    function test_RevertWhen_AlreadyFinalized() public {
        finalize(makeHeader(1, 0));
        expectRejection(makeHeader(1, 0), abi.encodeWithSelector(ResultRegistry.AlreadyFinalized.selector, 1));
    }

    function test_RevertWhen_HeaderConflicts() public {
        Header memory first = makeHeader(1, 0);
        Header memory second = makeHeader(1, keccak256("other results"));
        finalize(first);
        expectRejection(
            second, abi.encodeWithSelector(ResultRegistry.ConflictingHeader.selector, 1, hashOf(first), hashOf(second))
        );
        assertEq(registry.finalizedHash(1), hashOf(first));
    }

    /// @dev After a fork that changes the chain id, votes for the new chain count, and votes for the old one do not.
    function test_DomainFollowsTheChainId() public {
        Header memory old = makeHeader(1, 0);
        bytes memory oldVotes = certificate(old, validators, 0, 5);
        vm.chainId(4242);
        assertEq(registry.domainSeparator(), domainOf(NETWORK, 4242));
        vm.expectRevert(abi.encodeWithSelector(ResultRegistry.WrongChain.selector, 4242, old.chainId));
        registry.finalize(old, VIEW, oldVotes);
        finalize(makeHeader(1, 0));
    }

    function test_RevertWhen_SignaturesLengthIsOdd() public {
        Header memory header = makeHeader(1, 0);
        bytes memory good = certificate(header, validators, 0, 5);
        bytes memory bad = bytes.concat(good, hex"00");
        vm.expectRevert(abi.encodeWithSelector(Validators.InvalidSignaturesLength.selector, bad.length));
        registry.finalize(header, VIEW, bad);
    }

    function test_RevertWhen_BelowQuorum() public {
        Header memory header = makeHeader(1, 0);
        for (uint256 have; have < 5; ++have) {
            bytes memory votes = certificate(header, validators, 0, have);
            vm.expectRevert(abi.encodeWithSelector(Validators.BelowQuorum.selector, have, 5));
            registry.finalize(header, VIEW, votes);
        }
    }

    function test_RevertWhen_SignerIsThereTwice() public {
        Header memory header = makeHeader(1, 0);
        bytes memory votes = bytes.concat(certificate(header, validators, 0, 4), certificate(header, validators, 3, 1));
        vm.expectRevert(abi.encodeWithSelector(Validators.SignersNotAscending.selector, 4));
        registry.finalize(header, VIEW, votes);
    }

    function test_RevertWhen_SignersAreUnsorted() public {
        Header memory header = makeHeader(1, 0);
        bytes memory votes = bytes.concat(
            certificate(header, validators, 0, 1),
            certificate(header, validators, 2, 1),
            certificate(header, validators, 1, 1),
            certificate(header, validators, 3, 2)
        );
        vm.expectRevert(abi.encodeWithSelector(Validators.SignersNotAscending.selector, 2));
        registry.finalize(header, VIEW, votes);
    }

    /// @dev A stranger whose address falls anywhere among the validators, its signature in the right place.
    function testFuzz_RevertWhen_SignerIsUnknown(uint256 key) public {
        key = bound(key, 1, ORDER - 1);
        address stranger = vm.addr(key);
        vm.assume(!registry.isValidator(stranger));
        keyOf[stranger] = key;

        Header memory header = makeHeader(1, 0);
        address[] memory signers = new address[](5);
        uint256 next;
        bool placed;
        for (uint256 i; i < 5; ++i) {
            bool here = !placed && (i == 4 || stranger < validators[next]);
            placed = placed || here;
            signers[i] = here ? stranger : validators[next++];
        }
        if (signers[4] == stranger && stranger < signers[3]) return;
        bytes memory votes = certificate(header, signers, 0, 5);
        vm.expectRevert(abi.encodeWithSelector(Validators.UnknownSigner.selector, stranger));
        registry.finalize(header, VIEW, votes);
    }

    function test_RevertWhen_SignatureIsMalleable() public {
        Header memory header = makeHeader(1, 0);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[validators[4]], digestOf(header, VIEW));
        bytes memory flipped = abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        expectInvalidLast(header, flipped);
    }

    function test_RevertWhen_SignatureIsMalformed() public {
        Header memory header = makeHeader(1, 0);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[validators[4]], digestOf(header, VIEW));
        expectInvalidLast(header, abi.encodePacked(r, s, v - 27));
        expectInvalidLast(header, abi.encodePacked(r, s, uint8(29)));
        expectInvalidLast(header, abi.encodePacked(bytes32(0), s, v));
        expectInvalidLast(header, abi.encodePacked(r, bytes32(0), v));
        expectInvalidLast(header, new bytes(65));
    }

    /// @dev A vote counts for exactly one header and view. Each field that differs makes the signers strangers.
    function testFuzz_RevertWhen_VotesAreForSomethingElse(uint8 field, uint64 delta) public {
        delta = uint64(bound(delta, 1, type(uint64).max));
        Header memory header = makeHeader(1, 0);
        Header memory signed = makeHeader(1, 0);
        uint64 view_ = VIEW;
        field = field % 8;
        unchecked {
            if (field == 0) signed.networkId = bytes32(uint256(signed.networkId) ^ delta);
            else if (field == 1) signed.chainId += delta;
            else if (field == 2) signed.epoch += delta;
            else if (field == 3) signed.height += delta;
            else if (field == 4) view_ += delta;
            else if (field == 5) signed.timestamp += delta;
            else if (field == 6) signed.resultsRoot = bytes32(uint256(delta));
            else signed.proposer = address(uint160(signed.proposer) ^ uint160(delta));
        }
        bytes memory votes;
        bytes32 digest = digestOf(signed, view_);
        for (uint256 i; i < 5; ++i) {
            votes = bytes.concat(votes, signatureOf(validators[i], digest));
        }
        vm.expectRevert();
        registry.finalize(header, VIEW, votes);
        assertEq(registry.latestHeight(), 0);
    }

    /// @dev For every size of set, exactly the quorum is enough and one vote less is not.
    function testFuzz_QuorumIsExact(uint256 n, uint256 from) public {
        n = bound(n, 4, 40);
        address[] memory set = makeValidators(n);
        ResultRegistry other = newRegistry(NETWORK, EPOCH, set);
        uint256 f = (n - 1) / 3;
        uint256 quorum = (n + f + 1) / 2 + (n + f + 1) % 2;
        assertEq(other.quorum(), quorum);
        assertGt(2 * quorum, n + f, "two quorums share an honest validator");
        assertLe(quorum, n - f, "the honest validators alone are a quorum");

        from = bound(from, 0, n - quorum);
        Header memory header = makeHeader(1, 0);
        bytes memory votes = certificate(header, set, from, quorum - 1);
        vm.expectRevert(abi.encodeWithSelector(Validators.BelowQuorum.selector, quorum - 1, quorum));
        other.finalize(header, VIEW, votes);
        other.finalize(header, VIEW, certificate(header, set, from, quorum));
        assertTrue(other.isFinalized(1, hashOf(header)));
    }

    /// @dev Random bytes in place of the last signature never pass.
    function testFuzz_RevertWhen_SignatureIsGarbage(bytes32 r, bytes32 s, uint8 v) public {
        Header memory header = makeHeader(1, 0);
        bytes memory votes = bytes.concat(certificate(header, validators, 0, 4), abi.encodePacked(r, s, v));
        vm.expectRevert();
        registry.finalize(header, VIEW, votes);
    }

    function finalize(Header memory header) private {
        registry.finalize(header, VIEW, certificate(header, validators, 0, 5));
    }

    function expectRejection(Header memory header, bytes memory reason) private {
        bytes memory votes = certificate(header, validators, 0, 5);
        vm.expectRevert(reason);
        registry.finalize(header, VIEW, votes);
    }

    function expectInvalidLast(Header memory header, bytes memory signature) private {
        bytes memory votes = bytes.concat(certificate(header, validators, 0, 4), signature);
        vm.expectRevert(abi.encodeWithSelector(Validators.InvalidSignature.selector, 4));
        registry.finalize(header, VIEW, votes);
    }

    function expectNotAscending(address[] memory set, uint256 index) private {
        vm.expectRevert(abi.encodeWithSelector(Validators.ValidatorsNotAscending.selector, index));
        newRegistry(NETWORK, EPOCH, set);
    }

    function ascending(uint256 n) private pure returns (address[] memory set) {
        set = new address[](n);
        for (uint256 i; i < n; ++i) {
            set[i] = address(uint160(1000 + i));
        }
    }
}
