// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Bls} from "../../src/bls/Bls.sol";
import {BlsKeys} from "../../src/bls/BlsKeys.sol";
import {Header} from "../../src/formats/Types.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {Validators} from "../../src/registry/Validators.sol";
import {BlsFixture} from "../helpers/BlsFixture.sol";
import {newRegistry} from "../helpers/Deployed.sol";

/// @notice Registration and publication of BLS keys, and certificates by aggregate signatures.
contract BlsKeysTest is BlsFixture {
    ResultRegistry private registry;
    address[] private validators;
    uint256 private constant ALL = 0x7f;
    /// @dev Five of seven, which is the quorum.
    uint256 private constant FIVE = 0x5d;

    function setUp() public {
        validators = makeValidators(7);
        registry = newRegistry(NETWORK, EPOCH, validators);
    }

    function test_TagsAreThoseOfTheFormats() public view {
        assertEq(bytes(registry.SIGNATURE_DST()), SIGNATURE_DST);
        assertEq(bytes(registry.POSSESSION_DST()), POSSESSION_DST);
    }

    function test_RegistersAKey() public {
        (bytes memory key, bytes memory proof) = possession(validators[2]);
        vm.expectEmit(address(registry));
        emit BlsKeys.KeyRegistered(validators[2], key);
        vm.prank(validators[2]);
        registry.registerKey(key, proof);
        assertEq(registry.keyHashOf(validators[2]), keccak256(key));
    }

    function test_RevertWhen_AKeyIsRegisteredTwice() public {
        register(registry, validators[2]);
        (bytes memory key, bytes memory proof) = possession(validators[2]);
        vm.prank(validators[2]);
        vm.expectRevert(abi.encodeWithSelector(BlsKeys.KeyAlreadyRegistered.selector, validators[2]));
        registry.registerKey(key, proof);
    }

    /// @dev A key of somebody else, a key that nobody has proven, a proof for another account, network or purpose.
    function test_RevertWhen_ThePossessionIsNotProven() public {
        address account = validators[2];
        (bytes memory key, bytes memory proof) = possession(account);
        (bytes memory other, bytes memory otherProof) = possession(validators[3]);
        expectNotPossessed(account, other, otherProof);
        expectNotPossessed(account, other, proof);
        expectNotPossessed(account, key, otherProof);
        expectNotPossessed(account, key, new bytes(128));
        bytes32 digest = possessionDigest(NETWORK, account, key);
        expectNotPossessed(account, key, blsSign(secretOf(account), digest, SIGNATURE_DST));
        digest = possessionDigest(keccak256("elsewhere"), account, key);
        expectNotPossessed(account, key, blsSign(secretOf(account), digest, POSSESSION_DST));
        digest = possessionDigest(NETWORK, account, key);
        vm.chainId(4242);
        expectNotPossessed(account, key, blsSign(secretOf(account), digest, POSSESSION_DST));
    }

    /// @dev Infinity would be signed for by infinity, and cancels nobody out but counts as a signer.
    function test_RevertWhen_TheKeyIsInfinityOrNoPoint() public {
        address account = validators[2];
        (bytes memory key, bytes memory proof) = possession(account);
        expectNotPossessed(account, new bytes(256), new bytes(128));
        expectNotPossessed(account, bytes.concat(key, hex"00"), proof);
        expectNotPossessed(account, key, bytes.concat(proof, hex"00"));
        expectNotPossessed(account, "", "");
        key[255] ^= 0x01;
        expectNotPossessed(account, key, proof);
    }

    /// @dev Bytes that are no infinity, and whose negative is one: parts of y that are the modulus itself.
    function test_RevertWhen_TheKeyIsInfinityInDisguise() public {
        bytes memory p = abi.encode(
            0x1a0111ea397fe69a4b1ba7b6434bacd7, 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab
        );
        bytes memory zero = new bytes(64);
        expectNotPossessed(validators[2], bytes.concat(new bytes(128), p, zero), new bytes(128));
        expectNotPossessed(validators[2], bytes.concat(new bytes(128), zero, p), new bytes(128));
        expectNotPossessed(validators[2], bytes.concat(new bytes(128), p, p), new bytes(128));
    }

    /// @dev The key that would cancel out all others, which its holder cannot prove to possess.
    function test_RevertWhen_AKeyIsRogue() public {
        bytes memory sum = blsKey(1);
        for (uint256 i; i < 6; ++i) {
            sum = Bls.addG2(sum, Bls.negateG2(blsKey(secretOf(validators[i]))));
        }
        bytes memory proof = blsSign(1, possessionDigest(NETWORK, validators[6], sum), POSSESSION_DST);
        expectNotPossessed(validators[6], sum, proof);
    }

    function test_PublishesKeys() public {
        assertEq(registry.keyedOf(EPOCH), 0);
        for (uint256 i; i < 7; ++i) {
            register(registry, validators[i]);
        }
        vm.expectEmit(address(registry));
        emit BlsKeys.KeysPublished(EPOCH, ALL);
        registry.publishKeys(ALL, keysOf(validators, ALL));
        assertEq(registry.keyedOf(EPOCH), ALL);
    }

    function test_RevertWhen_PublishedKeysAreNotTheRegisteredOnes() public {
        bytes memory keys = keysOf(validators, ALL);
        for (uint256 i = 1; i < 7; ++i) {
            register(registry, validators[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(BlsKeys.UnknownKey.selector, validators[0]));
        registry.publishKeys(ALL, keys);
        register(registry, validators[0]);
        keys[5 * 256 + 100] ^= 0x01;
        vm.expectRevert(abi.encodeWithSelector(BlsKeys.UnknownKey.selector, validators[5]));
        registry.publishKeys(ALL, keys);
    }

    function test_RevertWhen_PublishedKeysAreNotOneForEach() public {
        bytes memory keys = keysOf(validators, ALL);
        vm.expectRevert(abi.encodeWithSelector(BlsKeys.InvalidKeysLength.selector, keys.length));
        registry.publishKeys(ALL ^ 1, keys);
        vm.expectRevert(abi.encodeWithSelector(BlsKeys.KeyWithoutValidator.selector, 0xff));
        registry.publishKeys(0xff, keys);
    }

    /// @dev Whoever publishes too few keys is outdone by whoever publishes more.
    function test_MoreKeysReplaceFewer() public {
        for (uint256 i; i < 7; ++i) {
            register(registry, validators[i]);
        }
        vm.expectRevert(abi.encodeWithSelector(BlsKeys.NotMoreKeys.selector, 0, 0));
        registry.publishKeys(0, "");
        registry.publishKeys(1, keysOf(validators, 1));
        bytes memory other = keysOf(validators, 2);
        vm.expectRevert(abi.encodeWithSelector(BlsKeys.NotMoreKeys.selector, 1, 1));
        registry.publishKeys(2, other);
        registry.publishKeys(ALL, keysOf(validators, ALL));
        assertEq(registry.keyedOf(EPOCH), ALL);
    }

    /// @dev Blocks, distributions and rotations alike.
    function test_CertifiesByAggregate() public {
        publish(registry, validators);
        Header memory header = makeHeader(3, 0);
        registry.finalize(header, VIEW, aggregate(digestOf(header, VIEW), validators, FIVE));
        assertTrue(registry.isFinalized(3, hashOf(header)));

        bytes32 hash = keccak256("distribution");
        registry.certify(9, hash, aggregate(distributionDigestOf(NETWORK, EPOCH, 9, hash), validators, ALL));
        assertTrue(registry.isCertified(9, hash));

        address[] memory next = makeValidators(5);
        registry.rotate(next, aggregate(rotationDigestOf(NETWORK, EPOCH, next), validators, FIVE));
        assertEq(registry.epoch(), EPOCH + 1);
    }

    /// @dev Exactly the quorum is enough, whoever it is, and one less is not.
    function testFuzz_QuorumIsExactForAggregates(uint256 n, uint256 seed) public {
        n = bound(n, 4, 24);
        address[] memory set = makeValidators(n);
        registry = newRegistry(NETWORK, EPOCH, set);
        publish(registry, set);
        uint256 need = registry.quorum();
        uint256 signers;
        for (uint256 have; have < need;) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 bit = 1 << seed % n;
            if (signers & bit == 0) ++have;
            signers |= bit;
        }
        Header memory header = makeHeader(1, 0);
        bytes memory few = aggregate(digestOf(header, VIEW), set, signers & (signers - 1));
        vm.expectRevert(abi.encodeWithSelector(Validators.BelowQuorum.selector, need - 1, need));
        registry.finalize(header, VIEW, few);
        registry.finalize(header, VIEW, aggregate(digestOf(header, VIEW), set, signers));
        assertTrue(registry.isFinalized(1, hashOf(header)));
    }

    /// @dev Enough signers are named, and not all of them signed; or others did.
    function testFuzz_RevertWhen_TheSignersAreNotThoseNamed(uint256 named, uint256 signed) public {
        named = FIVE | bound(named, 0, ALL);
        signed = bound(signed, 0, ALL);
        vm.assume(signed != named);
        publish(registry, validators);
        Header memory header = makeHeader(1, 0);
        bytes memory forged = aggregate(digestOf(header, VIEW), validators, signed);
        assembly {
            mstore(add(forged, 0x20), named)
        }
        vm.expectRevert(BlsKeys.InvalidAggregate.selector);
        registry.finalize(header, VIEW, forged);
    }

    /// @dev A signature is for one message of one network, chain and epoch, and no proof of possession.
    function test_RevertWhen_TheAggregateIsForSomethingElse() public {
        publish(registry, validators);
        bytes32 hash = keccak256("distribution");
        bytes32[4] memory others = [
            distributionDigestOf(NETWORK, EPOCH, 2, hash),
            distributionDigestOf(NETWORK, EPOCH + 1, 1, hash),
            distributionDigestOf(keccak256("elsewhere"), EPOCH, 1, hash),
            distributionDigestOf(NETWORK, EPOCH, 1, keccak256("another"))
        ];
        for (uint256 i; i < 4; ++i) {
            expectInvalid(hash, aggregate(others[i], validators, ALL));
        }
        bytes32 digest = distributionDigestOf(NETWORK, EPOCH, 1, hash);
        uint256 secret;
        for (uint256 i; i < 7; ++i) {
            secret = addmod(secret, secretOf(validators[i]), R);
        }
        expectInvalid(hash, bytes.concat(bytes32(ALL), blsSign(secret, digest, POSSESSION_DST)));
        bytes memory good = aggregate(digest, validators, ALL);
        vm.chainId(4242);
        expectInvalid(hash, good);
    }

    /// @dev Infinity, a point off the curve, and one outside of the group.
    function test_RevertWhen_TheAggregateIsNoSignature() public {
        publish(registry, validators);
        bytes32 hash = keccak256("distribution");
        expectInvalid(hash, bytes.concat(bytes32(ALL), new bytes(128)));
        bytes memory off = aggregate(distributionDigestOf(NETWORK, EPOCH, 1, hash), validators, ALL);
        off[159] ^= 0x01;
        expectInvalid(hash, off);
        // x = 4 is on the curve, and the point's order is not that of the group.
        bytes memory outside = bytes.concat(
            bytes32(ALL),
            hex"00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000004"
            hex"000000000000000000000000000000000a989badd40d6212b33cffc3f3763e9bc760f988c9926b26da9dd85e928483446346b8ed00e1de5d5ea93e354abe706c"
        );
        expectInvalid(hash, outside);
    }

    function test_RevertWhen_NoKeysArePublished() public {
        bytes32 hash = keccak256("distribution");
        bytes memory votes = aggregate(distributionDigestOf(NETWORK, EPOCH, 1, hash), validators, ALL);
        vm.expectRevert(abi.encodeWithSelector(BlsKeys.NoKeys.selector, EPOCH));
        registry.certify(1, hash, votes);
    }

    /// @dev Without their keys they sign nothing together, and the others still do.
    function test_RevertWhen_SignersHaveNoKey() public {
        uint256 keyed = ALL ^ 0x22;
        for (uint256 i; i < 7; ++i) {
            register(registry, validators[i]);
        }
        registry.publishKeys(keyed, keysOf(validators, keyed));
        bytes32 hash = keccak256("distribution");
        bytes32 digest = distributionDigestOf(NETWORK, EPOCH, 1, hash);
        bytes memory votes = aggregate(digest, validators, ALL);
        vm.expectRevert(abi.encodeWithSelector(BlsKeys.SignersWithoutKey.selector, 0x22));
        registry.certify(1, hash, votes);
        votes = aggregate(digest, validators, 0x80 | ALL);
        vm.expectRevert(abi.encodeWithSelector(BlsKeys.SignersWithoutKey.selector, 0xa2));
        registry.certify(1, hash, votes);
        registry.certify(1, hash, aggregate(digest, validators, keyed));
        assertTrue(registry.isCertified(1, hash));
    }

    /// @dev Keys are those of an epoch: after a rotation they are published anew, without being registered again.
    function test_KeysAreOfOneEpoch() public {
        publish(registry, validators);
        registry.rotate(validators, aggregate(rotationDigestOf(NETWORK, EPOCH, validators), validators, ALL));
        bytes32 hash = keccak256("distribution");
        bytes memory votes = aggregate(distributionDigestOf(NETWORK, EPOCH + 1, 1, hash), validators, ALL);
        vm.expectRevert(abi.encodeWithSelector(BlsKeys.NoKeys.selector, EPOCH + 1));
        registry.certify(1, hash, votes);
        publish(registry, validators);
        registry.certify(1, hash, votes);
        assertTrue(registry.isCertified(1, hash));
    }

    /// @dev So many that their keys fill more than one contract.
    function test_AggregatesOfTheLargestSet() public {
        address[] memory set = makeValidators(255);
        registry = newRegistry(NETWORK, EPOCH, set);
        publish(registry, set);
        bytes32 hash = keccak256("distribution");
        bytes32 digest = distributionDigestOf(NETWORK, EPOCH, 1, hash);
        registry.certify(1, hash, aggregate(digest, set, (1 << 255) - (1 << 85)));
        digest = distributionDigestOf(NETWORK, EPOCH, 2, hash);
        registry.certify(2, hash, aggregate(digest, set, (1 << 170) - 1));
        assertTrue(registry.isCertified(2, hash));
    }

    function expectNotPossessed(address account, bytes memory key, bytes memory proof) private {
        vm.prank(account);
        vm.expectRevert(abi.encodeWithSelector(BlsKeys.InvalidPossession.selector, account));
        registry.registerKey(key, proof);
        assertEq(registry.keyHashOf(account), 0);
    }

    function expectInvalid(bytes32 hash, bytes memory votes) private {
        vm.expectRevert(BlsKeys.InvalidAggregate.selector);
        registry.certify(1, hash, votes);
    }
}
