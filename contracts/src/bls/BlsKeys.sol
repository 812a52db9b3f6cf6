// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.31;

import {Bytes} from "@openzeppelin/contracts/utils/Bytes.sol";
import {Formats} from "../formats/Formats.sol";
import {IResultRegistry} from "../interfaces/IResultRegistry.sol";
import {Bls} from "./Bls.sol";
import {KeyStore} from "./KeyStore.sol";

/// @title The BLS keys of validators, and what they sign together
/// @notice Above some thirty signers, one aggregate signature costs less than that many ECDSA signatures. Everybody may
/// register one key for good, with the proof to possess its secret, without which a key could be made up that cancels
/// others out. The keys of a set are published once for its epoch. Validators without a key sign by ECDSA alone.
///
/// What is added up for a certificate is the keys of those who did not sign, which are at most a third: their sum and
/// the negative of the sum of all make the negative of the signers' key.
abstract contract BlsKeys is IResultRegistry {
    /// @notice Bytes of a certificate by aggregate signature: who signed, in 32 bytes, and a point of G1. No number of
    /// ECDSA signatures has this length.
    uint256 public constant AGGREGATE_LENGTH = 160;
    /// @notice Domain separation tag of aggregate signatures.
    string public constant SIGNATURE_DST = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    /// @notice Domain separation tag of proofs of possession.
    string public constant POSSESSION_DST = "BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

    /// @dev A key without the sixteen zeros before each of its four numbers.
    uint256 private constant COMPACT = 192;
    /// @dev Keys in one store, as many as the limit of a contract's code allows.
    uint256 private constant PER_STORE = 127;
    /// @dev What comes before the keys in every store: a STOP, and who has a key.
    uint256 private constant HEAD = 33;

    /// @inheritdoc IResultRegistry
    mapping(address account => bytes32) public keyHashOf;
    mapping(uint64 epoch => address[3] stores) private _stores;

    /// @notice An account has a key.
    event KeyRegistered(address indexed account, bytes key);
    /// @notice An epoch's validators can certify by aggregate signatures.
    event KeysPublished(uint64 indexed epoch, uint256 keyed);

    /// @notice The account has a key, which is for good.
    error KeyAlreadyRegistered(address account);
    /// @notice The key is not a point of G2 or is infinity, or the proof is not a signature by it of its account.
    error InvalidPossession(address account);
    /// @notice This is not the registered key of the validator.
    error UnknownKey(address validator);
    /// @notice There is not one key for each validator that is said to have one.
    error InvalidKeysLength(uint256 length);
    /// @notice There is nobody at this place of the set.
    error KeyWithoutValidator(uint256 keyed);
    /// @notice At least as many keys are published.
    error NotMoreKeys(uint256 published, uint256 given);
    /// @notice No keys of this epoch are published.
    error NoKeys(uint64 epoch);
    /// @notice Some of these signers have no published key.
    error SignersWithoutKey(uint256 signers);
    /// @notice The signature is not one of this message by all of these signers.
    error InvalidAggregate();

    /// @inheritdoc IResultRegistry
    function registerKey(bytes calldata key, bytes calldata proof) external {
        if (keyHashOf[msg.sender] != 0) revert KeyAlreadyRegistered(msg.sender);
        bytes32 digest = Formats.keyDigest(domainSeparator(), msg.sender, key);
        bytes memory hashed = Bls.hashToG1(abi.encode(digest), bytes(POSSESSION_DST));
        bool sized = key.length == Bls.G2_LENGTH && proof.length == Bls.G1_LENGTH;
        if (!sized || !_isCanonical(key) || !Bls.verify(proof, hashed, Bls.negateG2(key))) {
            revert InvalidPossession(msg.sender);
        }

        keyHashOf[msg.sender] = keccak256(key);
        emit KeyRegistered(msg.sender, key);
    }

    /// @notice The EIP-712 domain separator of what is signed.
    function domainSeparator() public view virtual returns (bytes32);

    /// @inheritdoc IResultRegistry
    function keyedOf(uint64 epoch_) public view returns (uint256 keyed) {
        address store = _stores[epoch_][0];
        assembly ("memory-safe") {
            mstore(0, 0)
            extcodecopy(store, 0, 1, 0x20)
            keyed := mload(0)
        }
    }

    /// @dev More keys may replace fewer, so whoever publishes too few holds up nobody.
    function _publishKeys(uint64 epoch_, address[] memory set, uint256 keyed, bytes calldata keys) internal {
        uint256 count = _countBits(keyed);
        uint256 published = _countBits(keyedOf(epoch_));
        if (keyed >> set.length != 0) revert KeyWithoutValidator(keyed);
        if (count <= published) revert NotMoreKeys(published, count);
        if (keys.length != count * Bls.G2_LENGTH) revert InvalidKeysLength(keys.length);

        bytes memory packed = new bytes((set.length + 1) * COMPACT);
        bytes memory sum = new bytes(Bls.G2_LENGTH);
        uint256 next;
        for (uint256 i; i < set.length; ++i) {
            if (keyed >> i & 1 == 0) continue;
            bytes memory key = keys[next:next += Bls.G2_LENGTH];
            if (keccak256(key) != keyHashOf[set[i]]) revert UnknownKey(set[i]);
            sum = Bls.addG2(sum, key);
            _pack(key, packed, i + 1);
        }
        _pack(Bls.negateG2(sum), packed, 0);
        _store(epoch_, keyed, packed);
        emit KeysPublished(epoch_, keyed);
    }

    /// @dev That all of these signers, and nobody else, signed together. How many there are is for the caller to count.
    function _checkAggregate(uint64 epoch_, bytes32 digest, uint256 signers, bytes calldata signature) internal view {
        uint256 keyed = keyedOf(epoch_);
        if (keyed == 0) revert NoKeys(epoch_);
        if (signers & ~keyed != 0) revert SignersWithoutKey(signers & ~keyed);

        bytes memory negatedKey = _negatedKey(_stores[epoch_], keyed & ~signers);
        bytes memory hashed = Bls.hashToG1(abi.encode(digest), bytes(SIGNATURE_DST));
        if (!Bls.verify(signature, hashed, negatedKey)) revert InvalidAggregate();
    }

    function _countBits(uint256 word) internal pure returns (uint256 count) {
        for (; word != 0; word &= word - 1) {
            ++count;
        }
    }

    /// @dev The negative sum of all keys, and the keys of who did not sign added to it one by one.
    function _negatedKey(address[3] storage stores, uint256 absent) private view returns (bytes memory sum) {
        bytes memory packed = new bytes(COMPACT);
        sum = new bytes(2 * Bls.G2_LENGTH);
        _load(stores, 0, packed);
        _unpack(packed, sum, 0);
        while (absent != 0) {
            uint256 index;
            assembly {
                index := sub(255, clz(absent))
            }
            absent ^= 1 << index;
            _load(stores, index + 1, packed);
            _unpack(packed, sum, Bls.G2_LENGTH);
            Bls.addG2InPlace(sum);
        }
        assembly ("memory-safe") {
            mstore(sum, 0x100)
        }
    }

    function _load(address[3] storage stores, uint256 entry, bytes memory packed) private view {
        address store = stores[entry / PER_STORE];
        uint256 place = HEAD + entry % PER_STORE * COMPACT;
        assembly ("memory-safe") {
            extcodecopy(store, add(packed, 0x20), place, COMPACT)
        }
    }

    /// @dev The bytes between the numbers are zero and stay so.
    function _unpack(bytes memory packed, bytes memory points, uint256 offset) private pure {
        assembly ("memory-safe") {
            let from := add(packed, 0x20)
            let to := add(add(points, 0x30), offset)
            mcopy(to, from, 48)
            mcopy(add(to, 0x40), add(from, 48), 48)
            mcopy(add(to, 0x80), add(from, 96), 48)
            mcopy(add(to, 0xc0), add(from, 144), 48)
        }
    }

    function _pack(bytes memory key, bytes memory packed, uint256 entry) private pure {
        assembly ("memory-safe") {
            let from := add(key, 0x30)
            let to := add(add(packed, 0x20), mul(entry, COMPACT))
            mcopy(to, from, 48)
            mcopy(add(to, 48), add(from, 0x40), 48)
            mcopy(add(to, 96), add(from, 0x80), 48)
            mcopy(add(to, 144), add(from, 0xc0), 48)
        }
    }

    function _store(uint64 epoch_, uint256 keyed, bytes memory packed) private {
        uint256 size = PER_STORE * COMPACT;
        for (uint256 start; start < packed.length; start += size) {
            bytes memory keys = bytes.concat(bytes32(keyed), Bytes.slice(packed, start, start + size));
            _stores[epoch_][start / size] = address(new KeyStore(keys));
        }
    }

    /// @dev Whether negating twice gives the same bytes, and neither is infinity. A coordinate of exactly the modulus would
    /// be negated to zero: as a part of y it can make infinity of bytes that are not. The pairing looks at x.
    function _isCanonical(bytes calldata point) private pure returns (bool) {
        bytes memory negated = Bls.negateG2(point);
        return keccak256(Bls.negateG2(negated)) == keccak256(point)
            && keccak256(negated) != keccak256(new bytes(Bls.G2_LENGTH));
    }
}
