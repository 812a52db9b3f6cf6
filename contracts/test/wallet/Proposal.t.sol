// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {PackingSymbolic} from "../symbolic/Symbolic.t.sol";

/// @notice By chance what halmos proves for all values.
contract ProposalTest is Test {
    PackingSymbolic private packing = new PackingSymbolic();

    function testFuzz_PendingKeepsItsTerms(uint256 proposer, uint40 expiry, uint256 other) public view {
        packing.check_pendingKeepsItsTerms(bound(proposer, 0, 199), expiry, bound(other, 0, 199));
    }

    function testFuzz_ConfirmationsAreApart(uint256 word, uint256 owner, uint256 other) public view {
        packing.check_confirmationsAreApart(word, bound(owner, 0, 199), bound(other, 0, 199));
    }

    /// @dev Of a pending one, since most words are none.
    function testFuzz_EndsAreFinal(uint248 word) public view {
        packing.check_endsAreFinal(uint256(word) | uint256(0xfd) << 248);
    }

    function testFuzz_NothingElseIsAProposal(uint256 word, uint8 founders, uint248 seat) public view {
        packing.check_nothingElseIsAProposal(
            (word >> 8) | uint256(bound(founders, 0, 200)) << 248, address(uint160(word))
        );
        packing.check_nothingElseIsAProposal(seat, address(uint160(word)));
    }
}
