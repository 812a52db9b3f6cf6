// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title How money comes into the ledger
/// @notice See {Vault}.
interface IVault {
    /// @notice Sends native currency to the distributor, and says whose it is in the ledger.
    function deposit(address account) external payable;

    /// @notice Sends so much of the token, which the sender has approved, to the distributor, and says whose it is in the ledger.
    function deposit(address account, uint256 amount) external;

    /// @notice How many deposits there have been. Their numbers are those below it.
    function count() external view returns (uint64);

    /// @notice Where all money goes.
    function distributor() external view returns (address);

    /// @notice What is deposited; zero for the native currency.
    function token() external view returns (address);

    /// @notice The least that is taken at once.
    function minimum() external view returns (uint96);
}
