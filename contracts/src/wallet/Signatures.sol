// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Council} from "./Council.sol";
import {Owners} from "./Owners.sol";

/// @title The signatures of a wallet's owners, be they accounts or contracts
/// @notice An account's signature has 65 bytes: r, s and v, which is 27 or 28. A contract's, by ERC-1271, has the owner's
/// address in place of r, the length of what the contract checks in place of s, 0 for v, and is followed by that many
/// bytes. Signatures come in ascending order of their signers, without gaps.
abstract contract Signatures is Owners {
    /// @dev More than half the order of secp256k1. Of the two s that fit a signature, the one from here on is refused.
    uint256 private constant HIGH_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1;
    uint256 private constant SIGNATURE_SIZE = 65;
    /// @dev `isValidSignature(bytes32,bytes)` of ERC-1271, which is also what it answers to say yes.
    uint256 private constant ERC1271_MAGIC = 0x1626ba7e;

    /// @notice The signature at this byte is cut short, has a high s, recovers to nobody, or is refused by its owner.
    error InvalidSignature(uint256 position);
    /// @notice Signatures must be in ascending order of their signers, which also keeps anybody from signing twice.
    error SignersNotAscending(address signer, address next);

    /// @dev Founders and signers are both in ascending order, so whoever follows a founder who signed is tried first.
    function _checkSignatures(Council council, bytes32 id, bytes calldata signatures) internal view {
        unchecked {
            uint256 have;
            uint256 index;
            uint256 last;
            uint256 founders = council.founders();
            for (uint256 position; position < signatures.length; ++have) {
                uint256 signer;
                (signer, position) = _verify(id, signatures, position);
                if (signer <= last) revert SignersNotAscending(address(uint160(last)), address(uint160(signer)));
                last = signer;
                if (_founder(founders, index) != signer || !council.isActive(index)) {
                    index = _indexOf(council, address(uint160(signer)));
                }
                ++index;
            }
            _checkThreshold(council, have);
        }
    }

    /// @dev The signer of the signature at a position, and the position of the next one.
    function _verify(bytes32 id, bytes calldata signatures, uint256 position)
        private
        view
        returns (uint256 signer, uint256 next)
    {
        assembly ("memory-safe") {
            next := add(position, SIGNATURE_SIZE)
            let r := add(signatures.offset, position)
            let s := calldataload(add(r, 0x20))
            let v := byte(0, calldataload(add(r, 0x40)))
            r := calldataload(r)
            let input := mload(0x40)
            switch v
            case 0 {
                let data := add(signatures.offset, next)
                // No calldata is as long as half a word can say, and no sum with it overflows.
                s := shr(128, shl(128, s))
                next := add(next, s)
                if iszero(gt(next, signatures.length)) {
                    let magic := shl(224, ERC1271_MAGIC)
                    mstore(input, magic)
                    mstore(add(input, 0x04), id)
                    mstore(add(input, 0x24), 0x40)
                    mstore(add(input, 0x44), s)
                    calldatacopy(add(input, 0x64), data, s)
                    mstore(add(add(input, 0x64), s), 0)
                    let ok := staticcall(gas(), r, input, add(0x64, and(add(s, 0x1f), not(0x1f))), 0, 0x20)
                    ok := and(ok, and(gt(returndatasize(), 0x1f), eq(mload(0), magic)))
                    signer := mul(ok, shr(96, shl(96, r)))
                }
            }
            default {
                mstore(input, id)
                mstore(add(input, 0x20), v)
                mstore(add(input, 0x40), r)
                mstore(add(input, 0x60), s)
                mstore(0, 0)
                pop(staticcall(gas(), 1, input, 0x80, 0, 0x20))
                signer := mul(mload(0), lt(s, HIGH_S))
            }
        }
        if (signer == 0 || next > signatures.length) revert InvalidSignature(position);
    }
}
