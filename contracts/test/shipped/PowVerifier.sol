// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Result, Solution} from "../../src/formats/Types.sol";
import {Pow} from "../../src/rewards/Pow.sol";

/// @notice The check of a race's work alone, compiled as in the distributor.
contract PowVerifier {
    /// @notice Reverts unless the solution holds.
    function check(Solution calldata solution, Result calldata result, bytes32 networkId, uint256 chainId)
        external
        pure
    {
        Pow.check(solution, result, networkId, chainId);
    }

    /// @notice What the check takes, without what it takes to bring the solution here.
    function costOf(Solution calldata solution, Result calldata result, bytes32 networkId, uint256 chainId)
        external
        view
        returns (uint256)
    {
        uint256 before = gasleft();
        Pow.check(solution, result, networkId, chainId);
        return before - gasleft();
    }
}
