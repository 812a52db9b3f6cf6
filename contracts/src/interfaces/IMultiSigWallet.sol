// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @notice Where a proposal stands. Whether it has expired is for the clock to say.
enum Status {
    None,
    Pending,
    Executed,
    Cancelled
}

/// @title A wallet of which k of n owners dispose together
/// @notice See {Wallet} for how owners agree, and {Owners} for who they are.
interface IMultiSigWallet {
    /// @notice One call of a batch.
    struct Call {
        address to;
        uint256 value;
        bytes data;
        bool mayFail;
    }

    /// @notice Proposes a call and confirms it. An id that was cancelled may be proposed anew and starts over.
    /// @param to Account to call.
    /// @param value Wei to send.
    /// @param data Calldata.
    /// @param expiry Last second, in Unix time, at which the proposal can be confirmed or executed; 0 for no end.
    /// @param salt Any number that tells apart proposals of the same call.
    /// @return id Hash of all this, see {hashTransaction}.
    function proposeTransaction(address to, uint256 value, bytes calldata data, uint64 expiry, bytes32 salt)
        external
        returns (bytes32 id);

    /// @notice Confirms a pending proposal.
    function confirmTransaction(bytes32 id) external;

    /// @notice Takes the caller's confirmation of a pending proposal back.
    function revokeConfirmation(bytes32 id) external;

    /// @notice Takes a pending proposal off the table: its proposer may, while no other current owner confirms it, and
    /// the wallet itself may at any time.
    function cancelTransaction(bytes32 id) external;

    /// @notice Makes a proposed call that enough current owners confirm, the caller included: executing confirms. All
    /// of it succeeds, or all of it reverts.
    function executeTransaction(address to, uint256 value, bytes calldata data, uint64 expiry, bytes32 salt) external;

    /// @notice Makes a call that enough owners have signed, whoever sends it. All of it succeeds, or all of it reverts.
    /// @param to Account to call.
    /// @param value Wei to send.
    /// @param data Calldata.
    /// @param expiry Last second, in Unix time, at which the call can be made; 0 for no end.
    /// @param signatures The signatures in ascending order of their signers, without gaps. An account's has 65 bytes:
    /// r, s and v, which is 27 or 28. A contract's, by ERC-1271, has the owner's address in place of r, the length of
    /// what the contract checks in place of s, 0 for v, and is followed by that many bytes.
    function executeSignedTransaction(
        address to,
        uint256 value,
        bytes calldata data,
        uint64 expiry,
        bytes calldata signatures
    ) external;

    /// @notice Makes several calls in their order: all of them, or none. Only the wallet itself may, by an executed call.
    function batch(Call[] calldata calls) external;

    /// @notice Adds an owner and sets the threshold. Only the wallet itself may.
    function addOwner(address owner, uint8 threshold_) external;

    /// @notice Removes an owner and sets the threshold. Only the wallet itself may.
    function removeOwner(address owner, uint8 threshold_) external;

    /// @notice Puts a new owner in the place of another. Confirmations do not pass on. Only the wallet itself may.
    function replaceOwner(address oldOwner, address newOwner) external;

    /// @notice Sets the number of confirmations or signatures that a call needs. Only the wallet itself may.
    function changeThreshold(uint8 threshold_) external;

    /// @notice Makes worthless what has been signed for the next nonce and not been executed. Only the wallet itself may, by a
    /// call that its owners have confirmed on chain; a call by signatures uses up the nonce anyway.
    function skipNonce() external;

    /// @notice Whether enough owners have signed a hash as a message, by ERC-1271. It fails if they have not.
    /// @param hash What a contract asks for.
    /// @param signatures Their signatures of `Message(bytes32 hash)` as EIP-712 typed data of this wallet, in the form that
    /// {executeSignedTransaction} takes.
    /// @return What ERC-1271 says for yes.
    function isValidSignature(bytes32 hash, bytes calldata signatures) external view returns (bytes4);

    /// @notice Where a proposal stands.
    /// @return status Its status; a pending one may have expired.
    /// @return expiry Last second at which it can be confirmed or executed; 0 for no end.
    /// @return proposer Who proposed it, an owner at that time; zero if nobody has.
    /// @return confirmations The current owners who confirm it; for an executed one, those who still are owners.
    function getTransaction(bytes32 id)
        external
        view
        returns (Status status, uint64 expiry, address proposer, address[] memory confirmations);

    /// @notice The id of a proposal: the EIP-712 hash of its call, bound to this wallet and chain.
    function hashTransaction(address to, uint256 value, bytes calldata data, uint64 expiry, bytes32 salt)
        external
        view
        returns (bytes32);

    /// @notice What the next call by signatures has to be signed with; how many have been made.
    function nonce() external view returns (uint256);

    /// @notice The current owners in the order of their indexes.
    function owners() external view returns (address[] memory);

    /// @notice Confirmations or signatures that a call needs.
    function threshold() external view returns (uint256);

    /// @notice Whether an account is an owner.
    function isOwner(address account) external view returns (bool);
}
