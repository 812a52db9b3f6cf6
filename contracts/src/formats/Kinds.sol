// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title Kinds of work
/// @notice Which rules a result comes from, and so what must show that it was earned.
library Kinds {
    /// @notice A race for an order: the winner's solution is checked here.
    uint32 internal constant RACE = 1;
    /// @notice A completed round of sequential work: its outcome has stood against everybody's challenge.
    uint32 internal constant ROUND = 2;
    /// @notice No work but a list of payouts, which the result stands for.
    uint32 internal constant BATCH = 3;
    /// @notice No work but what the ledger states of earnings: it is scheduled and claimed, and not paid by itself.
    uint32 internal constant EARNINGS = 4;
    /// @notice From here on kinds are custom, numbers by their names: the certificate is all that shows such work.
    uint32 internal constant FIRST_CUSTOM = 1 << 31;
}
