// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IMultiSigWallet, Status} from "../interfaces/IMultiSigWallet.sol";
import {Calls} from "./Calls.sol";
import {Council} from "./Council.sol";
import {Proposal, Proposals} from "./Proposal.sol";
import {Receiver} from "./Receiver.sol";
import {Signatures} from "./Signatures.sol";

/// @title A wallet of which k of n owners dispose together
/// @notice Owners agree on a call in one of two ways. On chain, they propose, confirm and execute it: a proposal is
/// known by the EIP-712 hash of the call, so that owners who agree on a call agree on its id without talking, and no
/// reorganisation can put another call behind it. Off chain, they sign it as EIP-712 typed data, and anybody sends the
/// signatures in one transaction; such calls are made in the order of a nonce.
///
/// Confirmations are counted when a proposal executes, against the owners and the threshold of that moment. Changes of
/// owners or threshold, which only the wallet itself can make, leave pending proposals as they are.
///
/// The wallet takes tokens of ERC-721 and ERC-1155, and signs messages by ERC-1271 for contracts that ask it.
abstract contract Wallet is Calls, Signatures, Receiver {
    bytes32 private constant DOMAIN_TYPEHASH = keccak256("EIP712Domain(uint256 chainId,address verifyingContract)");
    bytes32 private constant TRANSACTION_TYPEHASH =
        keccak256("Transaction(address to,uint256 value,bytes data,uint64 expiry,bytes32 salt)");
    bytes32 private constant EXECUTION_TYPEHASH =
        keccak256("Execution(address to,uint256 value,bytes data,uint64 expiry,uint256 nonce)");

    bytes32 private constant MESSAGE_TYPEHASH = keccak256("Message(bytes32 hash)");

    /// @notice Native currency has arrived.
    event Deposit(address indexed from, uint256 amount);
    /// @notice A call has been proposed; its proposer confirms it. The call itself is in the calldata of the
    /// transaction that this event belongs to; to repeat it here would cost more than a confirmation saves.
    event Proposed(bytes32 indexed id, address indexed proposer);
    /// @notice An owner other than the proposer confirms a proposal, or the proposer does so again.
    event Confirmed(bytes32 indexed id, address indexed owner);
    /// @notice An owner has taken a confirmation back.
    event Revoked(bytes32 indexed id, address indexed owner);
    /// @notice A proposal is off the table.
    event Cancelled(bytes32 indexed id, address indexed by);

    /// @notice The expiry has passed.
    error Expired(uint64 expiry);
    /// @notice The expiry does not fit 40 bits; use 0 for a proposal that does not expire.
    error ExpiryTooFar(uint64 expiry);
    /// @notice The proposal exists.
    error AlreadyProposed(bytes32 id);
    /// @notice There is no such proposal, or it was cancelled and may be proposed anew.
    error NotProposed(bytes32 id);
    /// @notice The proposal has been executed.
    error AlreadyExecuted(bytes32 id);
    /// @notice This owner confirms the proposal already.
    error AlreadyConfirmed(bytes32 id, address owner);
    /// @notice This owner does not confirm the proposal.
    error NotConfirmed(bytes32 id, address owner);
    /// @notice Only the proposer and the wallet itself may cancel.
    error NotProposer(bytes32 id, address caller);
    /// @notice Other owners confirm the proposal, so it is not its proposer's alone any more.
    error ConfirmedByOthers(bytes32 id, uint256 others);

    /// @notice Takes native currency.
    receive() external payable {
        _checkDeposit();
        emit Deposit(msg.sender, msg.value);
    }

    /// @inheritdoc IMultiSigWallet
    function proposeTransaction(address to, uint256 value, bytes calldata data, uint64 expiry, bytes32 salt)
        external
        returns (bytes32 id)
    {
        uint256 index = _indexOf(_council, msg.sender);
        if (expiry != 0) {
            _checkExpiry(expiry);
            if (expiry > type(uint40).max) revert ExpiryTooFar(expiry);
        }
        id = _digestOf(TRANSACTION_TYPEHASH, to, value, data, expiry, salt);
        Proposal earlier = _load(id);
        if (Proposal.unwrap(earlier) != 0) {
            if (earlier.isPending()) revert AlreadyProposed(id);
            if (earlier.isExecuted()) revert AlreadyExecuted(id);
        }

        _store(id, Proposals.pending(index, expiry));
        emit Proposed(id, msg.sender);
    }

    /// @inheritdoc IMultiSigWallet
    function confirmTransaction(bytes32 id) external {
        (Proposal proposal, uint256 index) = _pendingForOwner(id);
        if (proposal.expiry() != 0) _checkExpiry(proposal.expiry());
        if (proposal.confirmedBy(index)) revert AlreadyConfirmed(id, msg.sender);

        _store(id, proposal.toggled(index));
        emit Confirmed(id, msg.sender);
    }

    /// @inheritdoc IMultiSigWallet
    function revokeConfirmation(bytes32 id) external {
        (Proposal proposal, uint256 index) = _pendingForOwner(id);
        if (!proposal.confirmedBy(index)) revert NotConfirmed(id, msg.sender);

        _store(id, proposal.toggled(index));
        emit Revoked(id, msg.sender);
    }

    /// @inheritdoc IMultiSigWallet
    /// @dev The id stays free to be proposed anew. Ids of payouts are the same for every owner, so if cancelling were
    /// final, one owner could stop a payout for ever by proposing and cancelling it.
    function cancelTransaction(bytes32 id) external {
        Proposal proposal = _pending(id);
        if (msg.sender != address(this)) {
            uint256 index = _indexOf(_council, msg.sender);
            if (proposal.proposer() != index) revert NotProposer(id, msg.sender);
            uint256 others = proposal.confirmations() & _council.active() & ~(1 << index);
            if (others != 0) revert ConfirmedByOthers(id, _countBits(others));
        }

        _store(id, proposal.cancelled());
        emit Cancelled(id, msg.sender);
    }

    /// @inheritdoc IMultiSigWallet
    /// @dev The proposal counts as executed before the call runs, so the call cannot execute it again.
    /// The parameters are those of {proposeTransaction}.
    function executeTransaction(address to, uint256 value, bytes calldata data, uint64 expiry, bytes32 salt) external {
        bytes32 id = _digestOf(TRANSACTION_TYPEHASH, to, value, data, expiry, salt);
        (Proposal proposal, uint256 index) = _pendingForOwner(id);
        if (expiry != 0) _checkExpiry(expiry);
        proposal = proposal.withConfirmation(index);
        Council council = _council;
        _checkThreshold(council, _countBits(proposal.confirmations() & council.active()));

        _store(id, proposal.executed());
        _execute(id, to, value, data);
    }

    /// @inheritdoc IMultiSigWallet
    /// @dev The nonce is used up before the call runs, so the call cannot use the signatures again. They are bound to
    /// it, to this wallet and to the chain. What is signed is of another type than a proposal: one agreement, be it
    /// given on chain or off, never makes a call twice.
    function executeSignedTransaction(
        address to,
        uint256 value,
        bytes calldata data,
        uint64 expiry,
        bytes calldata signatures
    ) external {
        if (expiry != 0) _checkExpiry(expiry);
        Council council = _council;
        _council = council.withNextNonce();
        bytes32 id = _digestOf(EXECUTION_TYPEHASH, to, value, data, expiry, bytes32(council.nonce()));
        _checkSignatures(council, id, signatures);
        _execute(id, to, value, data);
    }

    /// @inheritdoc IMultiSigWallet
    function skipNonce() external onlyWallet {
        _council = _council.withNextNonce();
    }

    /// @inheritdoc IMultiSigWallet
    /// @dev Not the hash itself is signed, which may mean anything to a wallet of the same owners, but a message of this
    /// wallet and chain that has it. What is signed for a call is no message, and a message no call.
    function isValidSignature(bytes32 hash, bytes calldata signatures) external view returns (bytes4) {
        _checkSignatures(_council, _digest(keccak256(abi.encode(MESSAGE_TYPEHASH, hash))), signatures);
        return IMultiSigWallet.isValidSignature.selector;
    }

    /// @inheritdoc IMultiSigWallet
    function getTransaction(bytes32 id)
        external
        view
        returns (Status status, uint64 expiry, address proposer, address[] memory confirmations)
    {
        Proposal proposal = _load(id);
        status = proposal.status();
        // What is not a proposal may be another word of the storage.
        if (status == Status.None) return (status, expiry, proposer, confirmations);
        Council council = _council;
        expiry = uint64(proposal.expiry());
        proposer = _ownerOf(council, proposal.proposer());
        confirmations = _ownersIn(council, proposal.confirmations() & council.active());
    }

    /// @inheritdoc IMultiSigWallet
    function nonce() external view returns (uint256) {
        return _council.nonce();
    }

    /// @inheritdoc IMultiSigWallet
    function hashTransaction(address to, uint256 value, bytes calldata data, uint64 expiry, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        return _digestOf(TRANSACTION_TYPEHASH, to, value, data, expiry, salt);
    }

    /// @dev The EIP-712 digest of a call.
    function _digestOf(bytes32 typehash, address to, uint256 value, bytes calldata data, uint256 expiry, bytes32 last)
        private
        view
        returns (bytes32)
    {
        bytes32 hash;
        assembly ("memory-safe") {
            let input := mload(0x40)
            calldatacopy(input, data.offset, data.length)
            mstore(add(input, 0x60), keccak256(input, data.length))
            mstore(input, typehash)
            mstore(add(input, 0x20), to)
            mstore(add(input, 0x40), value)
            mstore(add(input, 0x80), expiry)
            mstore(add(input, 0xa0), last)
            hash := keccak256(input, 0xc0)
        }
        return _digest(hash);
    }

    /// @dev What is signed, and the id: the hash bound to this wallet and chain. A fork gets other ids by itself.
    function _digest(bytes32 structHash) private view returns (bytes32 digest) {
        bytes32 typehash = DOMAIN_TYPEHASH;
        assembly ("memory-safe") {
            let input := mload(0x40)
            mstore(input, typehash)
            mstore(add(input, 0x20), chainid())
            mstore(add(input, 0x40), address())
            mstore(0, 0x1901)
            mstore(0x20, keccak256(input, 0x60))
            mstore(0x40, structHash)
            digest := keccak256(0x1e, 0x42)
            mstore(0x40, input)
        }
    }

    /// @dev A pending proposal, for the caller, who has to be an owner and has this index.
    function _pendingForOwner(bytes32 id) private view returns (Proposal proposal, uint256 index) {
        index = _indexOf(_council, msg.sender);
        proposal = _pending(id);
    }

    function _pending(bytes32 id) private view returns (Proposal proposal) {
        proposal = _load(id);
        if (!proposal.isPending()) _refuse(id, proposal);
    }

    /// @dev A proposal is stored at its id, without another hash: an id is one already, of 66 bytes, whereas other places are
    /// small numbers or hashes of 64. Who asks for one of those finds no {Proposal} there.
    function _load(bytes32 id) private view returns (Proposal proposal) {
        assembly ("memory-safe") { proposal := sload(id) }
    }

    /// @dev Only to an id that {hashTransaction} has made, or that has a proposal.
    function _store(bytes32 id, Proposal proposal) private {
        assembly ("memory-safe") { sstore(id, proposal) }
    }

    function _refuse(bytes32 id, Proposal proposal) private pure {
        if (proposal.isExecuted()) revert AlreadyExecuted(id);
        revert NotProposed(id);
    }

    /// @dev Reverts where native currency is not taken.
    function _checkDeposit() internal view virtual {}

    /// @dev Asked of those that have one only, so that the others do not pay for it.
    function _checkExpiry(uint256 expiry) private view {
        if (block.timestamp > expiry) revert Expired(uint64(expiry));
    }
}
