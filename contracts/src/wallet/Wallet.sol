// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Council} from "./Council.sol";
import {Owners} from "./Owners.sol";
import {Proposal, Proposals, Status} from "./Proposal.sol";

/// @title A wallet of which k of n owners dispose together
/// @notice Owners agree on a call in one of two ways. On chain, they propose, confirm and execute it: a proposal is
/// known by the EIP-712 hash of the call, so that owners who agree on a call agree on its id without talking, and no
/// reorganisation can put another call behind it. Off chain, they sign it as EIP-712 typed data, and anybody sends the
/// signatures in one transaction; such calls are made in the order of a nonce.
///
/// Confirmations are counted when a proposal executes, against the owners and the threshold of that moment. Changes of
/// owners or threshold, which only the wallet itself can make, leave pending proposals as they are.
abstract contract Wallet is Owners {
    /// @notice One call of a batch.
    struct Call {
        address to;
        uint256 value;
        bytes data;
        bool mayFail;
    }

    bytes32 private constant DOMAIN_TYPEHASH = keccak256("EIP712Domain(uint256 chainId,address verifyingContract)");
    bytes32 private constant TRANSACTION_TYPEHASH =
        keccak256("Transaction(address to,uint256 value,bytes data,uint64 expiry,bytes32 salt)");
    bytes32 private constant EXECUTION_TYPEHASH =
        keccak256("Execution(address to,uint256 value,bytes data,uint64 expiry,uint256 nonce)");
    /// @dev More than half the order of secp256k1. Of the two s that fit a signature, the one from here on is refused.
    uint256 private constant HIGH_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1;
    uint256 private constant SIGNATURE_SIZE = 65;
    /// @dev `isValidSignature(bytes32,bytes)` of ERC-1271, which is also what it answers to say yes.
    uint256 private constant ERC1271_MAGIC = 0x1626ba7e;
    /// @dev Bytes of an answer that are kept. Whoever is called would otherwise choose how much the wallet pays for it.
    uint256 private constant ANSWER_LIMIT = 1024;

    /// @dev A struct, so that its place can be passed on instead of being looked up again.
    struct Slot {
        Proposal proposal;
    }

    mapping(bytes32 id => Slot) private _proposals;

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
    /// @notice A call has been made, and it succeeded. The executor of a proposal confirms it; with signatures, the
    /// executor is whoever has sent them, and the id is the hash that was signed.
    event Executed(bytes32 indexed id, address indexed executor);
    /// @notice A call of a batch, with this number, has failed as it was allowed to.
    event CallFailed(bytes32 id, bytes reason);

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
    /// @notice Too few current owners agree.
    error BelowThreshold(uint256 have, uint256 need);
    /// @notice The signature at this byte is cut short, has a high s, recovers to nobody, or is refused by its owner.
    error InvalidSignature(uint256 position);
    /// @notice Signatures must be in ascending order of their signers, which also keeps anybody from signing twice.
    error SignersNotAscending(address signer, address next);
    /// @notice The wallet holds less than the call's value.
    error InsufficientFunds(uint256 have, uint256 need);
    /// @notice The call carries data to an account without code, where it would succeed by doing nothing.
    error NoCode(address to);
    /// @notice A call failed, for the reason that it returned, of which the first 1,024 bytes are here. Nothing has
    /// changed, and it can be tried again. In the reason of a batch, the id is the number of the call that failed.
    error ExecutionFailed(bytes32 id, bytes reason);

    /// @notice Takes native currency.
    receive() external payable {
        emit Deposit(msg.sender, msg.value);
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
        returns (bytes32 id)
    {
        uint256 index = _indexOf(_council, msg.sender);
        _checkExpiry(expiry);
        if (expiry > type(uint40).max) revert ExpiryTooFar(expiry);
        id = hashTransaction(to, value, data, expiry, salt);
        Slot storage slot = _proposals[id];
        Proposal earlier = slot.proposal;
        if (earlier.isPending()) revert AlreadyProposed(id);
        if (earlier.isExecuted()) revert AlreadyExecuted(id);

        slot.proposal = Proposals.pending(index, expiry);
        emit Proposed(id, msg.sender);
    }

    /// @notice Confirms a pending proposal.
    function confirmTransaction(bytes32 id) external {
        (Slot storage slot, Proposal proposal, uint256 index) = _pendingForOwner(id);
        _checkExpiry(proposal.expiry());
        if (proposal.confirmedBy(index)) revert AlreadyConfirmed(id, msg.sender);

        slot.proposal = proposal.toggled(index);
        emit Confirmed(id, msg.sender);
    }

    /// @notice Takes the caller's confirmation of a pending proposal back.
    function revokeConfirmation(bytes32 id) external {
        (Slot storage slot, Proposal proposal, uint256 index) = _pendingForOwner(id);
        if (!proposal.confirmedBy(index)) revert NotConfirmed(id, msg.sender);

        slot.proposal = proposal.toggled(index);
        emit Revoked(id, msg.sender);
    }

    /// @notice Takes a pending proposal off the table: its proposer may, while no other current owner confirms it, and
    /// the wallet itself may at any time.
    /// @dev The id stays free to be proposed anew. Ids of payouts are the same for every owner, so if cancelling were
    /// final, one owner could stop a payout for ever by proposing and cancelling it.
    function cancelTransaction(bytes32 id) external {
        (Slot storage slot, Proposal proposal) = _pending(id);
        if (msg.sender != address(this)) {
            uint256 index = _indexOf(_council, msg.sender);
            if (proposal.proposer() != index) revert NotProposer(id, msg.sender);
            uint256 others = proposal.confirmations() & _council.active() & ~(1 << index);
            if (others != 0) revert ConfirmedByOthers(id, _countBits(others));
        }

        slot.proposal = proposal.cancelled();
        emit Cancelled(id, msg.sender);
    }

    /// @notice Makes a proposed call that enough current owners confirm, the caller included: executing confirms. All
    /// of it succeeds, or all of it reverts.
    /// @dev The proposal counts as executed before the call runs, so the call cannot execute it again.
    /// The parameters are those of {proposeTransaction}.
    function executeTransaction(address to, uint256 value, bytes calldata data, uint64 expiry, bytes32 salt) external {
        bytes32 id = hashTransaction(to, value, data, expiry, salt);
        (Slot storage slot, Proposal proposal, uint256 index) = _pendingForOwner(id);
        _checkExpiry(expiry);
        proposal = proposal.withConfirmation(index);
        Council council = _council;
        _checkThreshold(council, _countBits(proposal.confirmations() & council.active()));

        slot.proposal = proposal.executed();
        _execute(id, to, value, data);
    }

    /// @notice Makes a call that enough owners have signed, whoever sends it. All of it succeeds, or all of it reverts.
    /// @dev The nonce is used up before the call runs, so the call cannot use the signatures again. They are bound to
    /// it, to this wallet and to the chain. What is signed is of another type than a proposal: one agreement, be it
    /// given on chain or off, never makes a call twice.
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
    ) external {
        _checkExpiry(expiry);
        Council council = _council;
        _council = council.withNextNonce();
        bytes32 id = _digest(_hash(EXECUTION_TYPEHASH, to, value, data, expiry, bytes32(council.nonce())));
        _checkSignatures(council, id, signatures);
        _execute(id, to, value, data);
    }

    /// @notice Makes several calls in their order: all of them, or none. Only the wallet itself may, by an executed call.
    /// @dev A call that may fail is for the exception, such as a payee who may refuse: nobody notices if it fails for
    /// want of gas, so that a node's estimate finds a limit at which it does, and so may whoever executes the batch.
    /// Every other failure reverts the batch with the reason.
    function batch(Call[] calldata calls) external onlyWallet {
        for (uint256 i; i < calls.length; ++i) {
            Call calldata call = calls[i];
            (bool ok, bytes memory answer) = _call(call.to, call.value, call.data);
            if (ok) continue;
            if (!call.mayFail) _fail(bytes32(i), answer);
            emit CallFailed(bytes32(i), answer);
        }
    }

    /// @notice Where a proposal stands.
    /// @return status Its status; a pending one may have expired.
    /// @return expiry Last second at which it can be confirmed or executed; 0 for no end.
    /// @return proposer Who proposed it, an owner at that time; zero if nobody has.
    /// @return confirmations The current owners who confirm it; for an executed one, those who still are owners.
    function getTransaction(bytes32 id)
        external
        view
        returns (Status status, uint64 expiry, address proposer, address[] memory confirmations)
    {
        Council council = _council;
        Proposal proposal = _proposals[id].proposal;
        status = proposal.status();
        if (status != Status.None) proposer = _ownerOf(council, proposal.proposer());
        return (status, proposal.expiry(), proposer, _ownersIn(council, proposal.confirmations() & council.active()));
    }

    /// @notice What the next call by signatures has to be signed with; how many have been made.
    function nonce() external view returns (uint256) {
        return _council.nonce();
    }

    /// @notice The id of a proposal: the EIP-712 hash of its call, bound to this wallet and chain.
    function hashTransaction(address to, uint256 value, bytes calldata data, uint64 expiry, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        return _digest(_hash(TRANSACTION_TYPEHASH, to, value, data, expiry, salt));
    }

    function _execute(bytes32 id, address to, uint256 value, bytes calldata data) private {
        emit Executed(id, msg.sender);
        (bool ok, bytes memory answer) = _call(to, value, data);
        if (!ok) _fail(id, answer);
    }

    /// @dev Fails where the account called does, and where a token refuses.
    function _call(address to, uint256 value, bytes calldata data) private returns (bool ok, bytes memory answer) {
        if (value > address(this).balance) {
            return (false, abi.encodeWithSelector(InsufficientFunds.selector, address(this).balance, value));
        }
        if (data.length != 0 && to.code.length == 0) return (false, abi.encodeWithSelector(NoCode.selector, to));
        assembly ("memory-safe") {
            answer := mload(0x40)
            calldatacopy(answer, data.offset, data.length)
            ok := call(gas(), to, value, answer, data.length, 0, 0)
            let size := returndatasize()
            if gt(size, ANSWER_LIMIT) { size := ANSWER_LIMIT }
            mstore(answer, size)
            returndatacopy(add(answer, 0x20), 0, size)
            mstore(0x40, add(add(answer, 0x20), size))
        }
        ok = ok && !_isRefusal(data, answer);
    }

    function _fail(bytes32 id, bytes memory reason) private pure {
        revert ExecutionFailed(id, reason);
    }

    /// @dev Founders and signers are both in ascending order, so whoever follows a founder who signed is tried first.
    function _checkSignatures(Council council, bytes32 id, bytes calldata signatures) private view {
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

    /// @dev The EIP-712 hash of a call.
    function _hash(bytes32 typehash, address to, uint256 value, bytes calldata data, uint64 expiry, bytes32 last)
        private
        pure
        returns (bytes32 hash)
    {
        uint256 input = _encode(to, value, data, expiry, last);
        assembly ("memory-safe") {
            mstore(input, typehash)
            hash := keccak256(input, 0xc0)
        }
    }

    /// @dev Writes the fields to free memory, after a word for the type. Apart from {_hash}, where the compiler would
    /// repeat it for each type.
    function _encode(address to, uint256 value, bytes calldata data, uint64 expiry, bytes32 last)
        private
        pure
        returns (uint256 input)
    {
        assembly ("memory-safe") {
            input := mload(0x40)
            calldatacopy(input, data.offset, data.length)
            mstore(add(input, 0x60), keccak256(input, data.length))
            mstore(add(input, 0x20), to)
            mstore(add(input, 0x40), value)
            mstore(add(input, 0x80), expiry)
            mstore(add(input, 0xa0), last)
        }
    }

    /// @dev What is signed, and the id: the hash bound to this wallet and chain. A fork gets other ids by itself.
    function _digest(bytes32 structHash) private view returns (bytes32 digest) {
        bytes32 typehash = DOMAIN_TYPEHASH;
        assembly ("memory-safe") {
            let input := mload(0x40)
            mstore(input, typehash)
            mstore(add(input, 0x20), chainid())
            mstore(add(input, 0x40), address())
            let domain := keccak256(input, 0x60)
            mstore(input, shl(240, 0x1901))
            mstore(add(input, 0x02), domain)
            mstore(add(input, 0x22), structHash)
            digest := keccak256(input, 0x42)
        }
    }

    /// @dev Some tokens refuse by returning false instead of reverting. A call of an ERC-20 function that moves or
    /// grants tokens must return true or nothing at all, or it would look like a payment that was never made.
    function _isRefusal(bytes calldata data, bytes memory answer) private pure returns (bool) {
        if (answer.length == 0 || bytes32(answer) == bytes32(uint256(1))) return false;
        bytes4 selector = bytes4(data);
        return selector == IERC20.transfer.selector || selector == IERC20.transferFrom.selector
            || selector == IERC20.approve.selector;
    }

    /// @dev A pending proposal, for the caller, who has to be an owner and has this index.
    function _pendingForOwner(bytes32 id) private view returns (Slot storage slot, Proposal proposal, uint256 index) {
        index = _indexOf(_council, msg.sender);
        (slot, proposal) = _pending(id);
    }

    function _pending(bytes32 id) private view returns (Slot storage slot, Proposal proposal) {
        slot = _proposals[id];
        proposal = slot.proposal;
        if (proposal.isPending()) return (slot, proposal);
        if (proposal.isExecuted()) revert AlreadyExecuted(id);
        revert NotProposed(id);
    }

    function _checkThreshold(Council council, uint256 have) private pure {
        uint256 need = council.threshold();
        if (have < need) revert BelowThreshold(have, need);
    }

    function _checkExpiry(uint64 expiry) private view {
        if (expiry != 0 && block.timestamp > expiry) revert Expired(expiry);
    }
}
