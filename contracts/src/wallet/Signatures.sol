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
            uint256 last;
            uint256 index;
            uint256 skipped;
            uint256 place = _firstFounder(council.founders());
            uint256 input = _prepare(id);
            for (uint256 position; position < signatures.length;) {
                uint256 signer = _recover(input, signatures, position);
                if (_isNext(council, index, _founderAt(place), signer)) {
                    position += SIGNATURE_SIZE;
                } else {
                    if (signer == NOBODY) (signer, position) = _askContract(id, signatures, position);
                    else position += SIGNATURE_SIZE;
                    if (signer <= last) revert SignersNotAscending(address(uint160(last)), address(uint160(signer)));
                    uint256 found = _indexOf(council, address(uint160(signer)));
                    skipped += found - index;
                    index = found;
                    place = _firstFounder(council.founders()) + index * FOUNDER_SIZE;
                }
                last = signer;
                ++index;
                place += FOUNDER_SIZE;
            }
            _checkThreshold(council, index - skipped);
        }
    }

    /// @dev Whether the signer is a founder, and an owner still. Without a jump, which would cost more.
    function _isNext(Council council, uint256 index, uint256 founder, uint256 signer) private pure returns (bool yes) {
        assembly ("memory-safe") { yes := and(eq(founder, signer), shr(index, council)) }
    }

    /// @dev What the precompile is asked with, which begins with what was signed.
    function _prepare(bytes32 id) private pure returns (uint256 input) {
        assembly ("memory-safe") {
            input := mload(0x40)
            mstore(input, id)
            mstore(0x40, add(input, 0x80))
        }
    }

    /// @dev The account whose signature is at a position, or nobody.
    function _recover(uint256 input, bytes calldata signatures, uint256 position)
        private
        view
        returns (uint256 signer)
    {
        assembly ("memory-safe") {
            let signature := add(signatures.offset, position)
            let v := byte(0, calldataload(add(signature, 0x40)))
            mstore(add(input, 0x20), v)
            calldatacopy(add(input, 0x40), signature, 0x40)
            signer := not(0)
            if mul(v, lt(mload(add(input, 0x60)), mul(HIGH_S, lt(add(position, 0x40), signatures.length)))) {
                mstore(0, signer)
                pop(staticcall(gas(), 1, input, 0x80, 0, 0x20))
                signer := mload(0)
            }
        }
    }

    /// @dev The contract whose signature is at a position, and the position of the next one.
    function _askContract(bytes32 id, bytes calldata signatures, uint256 position)
        private
        view
        returns (uint256 signer, uint256 next)
    {
        assembly ("memory-safe") {
            let owner := add(signatures.offset, position)
            let size := calldataload(add(owner, 0x20))
            // No calldata is as long as half a word can say, and no sum with it overflows.
            size := shr(128, shl(128, size))
            let data := add(position, SIGNATURE_SIZE)
            next := add(data, size)
            let ours := iszero(byte(0, calldataload(add(owner, 0x40))))
            owner := shr(96, shl(96, calldataload(owner)))
            if and(ours, iszero(gt(next, signatures.length))) {
                let input := mload(0x40)
                let magic := shl(224, ERC1271_MAGIC)
                mstore(input, magic)
                mstore(add(input, 0x04), id)
                mstore(add(input, 0x24), 0x40)
                mstore(add(input, 0x44), size)
                calldatacopy(add(input, 0x64), add(signatures.offset, data), size)
                mstore(add(add(input, 0x64), size), 0)
                let ok := staticcall(gas(), owner, input, add(0x64, and(add(size, 0x1f), not(0x1f))), 0, 0x20)
                ok := and(ok, and(gt(returndatasize(), 0x1f), eq(mload(0), magic)))
                signer := mul(ok, owner)
            }
        }
        if (signer == 0) revert InvalidSignature(position);
    }
}
