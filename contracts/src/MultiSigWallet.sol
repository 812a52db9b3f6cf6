// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Owners} from "./Owners.sol";
import {Proposal, Proposals, Status} from "./Proposal.sol";

/// @title A wallet of which k of n owners dispose together
/// @notice Owners propose, confirm and execute calls. A proposal is known by the EIP-712 hash of the call, so that
/// owners who agree on a call agree on its id without talking, and no reorganisation can put another call behind it.
///
/// Confirmations are counted when a proposal executes, against the owners and the threshold of that moment. Changes of
/// owners or threshold, which only the wallet itself can make, leave pending proposals as they are.
contract MultiSigWallet is Owners {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant TRANSACTION_TYPEHASH =
        keccak256("Transaction(address to,uint256 value,bytes data,uint64 expiry,bytes32 salt)");

    uint256 private immutable _deployedChainId;
    bytes32 private immutable _deployedSeparator;

    mapping(bytes32 id => Proposal) private _proposals;

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
    /// @notice A proposal's call has been made, and it succeeded.
    event Executed(bytes32 indexed id, address indexed executor);

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
    /// @notice Too few current owners confirm.
    error BelowThreshold(uint256 have, uint256 need);
    /// @notice The wallet holds less than the call's value.
    error InsufficientFunds(uint256 have, uint256 need);
    /// @notice The call carries data to an account without code, where it would succeed by doing nothing.
    error NoCode(address to);
    /// @notice The call failed, for the reason that it returned. Nothing has changed, and it can be tried again.
    error ExecutionFailed(bytes32 id, bytes reason);

    /// @param owners_ The first owners: neither zero, nor twice the same, nor more than {MAX_OWNERS}.
    /// @param threshold_ Confirmations that a proposal needs: at least 1, at most the number of owners.
    constructor(address[] memory owners_, uint8 threshold_) Owners(owners_, threshold_) {
        _deployedChainId = block.chainid;
        _deployedSeparator = _computeSeparator();
    }

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
        uint256 index = _indexOf(msg.sender);
        _checkExpiry(expiry);
        if (expiry > type(uint40).max) revert ExpiryTooFar(expiry);
        id = hashTransaction(to, value, data, expiry, salt);
        Proposal earlier = _proposals[id];
        if (earlier.isPending()) revert AlreadyProposed(id);
        if (earlier.status() == Status.Executed) revert AlreadyExecuted(id);

        _proposals[id] = Proposals.pending(index, expiry);
        emit Proposed(id, msg.sender);
    }

    /// @notice Confirms a pending proposal.
    function confirmTransaction(bytes32 id) external {
        uint256 index = _indexOf(msg.sender);
        Proposal proposal = _pending(id);
        _checkExpiry(proposal.expiry());
        if (proposal.confirmedBy(index)) revert AlreadyConfirmed(id, msg.sender);

        _proposals[id] = proposal.toggled(index);
        emit Confirmed(id, msg.sender);
    }

    /// @notice Takes the caller's confirmation of a pending proposal back.
    function revokeConfirmation(bytes32 id) external {
        uint256 index = _indexOf(msg.sender);
        Proposal proposal = _pending(id);
        if (!proposal.confirmedBy(index)) revert NotConfirmed(id, msg.sender);

        _proposals[id] = proposal.toggled(index);
        emit Revoked(id, msg.sender);
    }

    /// @notice Takes a pending proposal off the table: its proposer may, while no other current owner confirms it, and
    /// the wallet itself may at any time.
    /// @dev The id stays free to be proposed anew. Ids of payouts are the same for every owner, so if cancelling were
    /// final, one owner could stop a payout for ever by proposing and cancelling it.
    function cancelTransaction(bytes32 id) external {
        if (msg.sender == address(this)) {
            _pending(id);
        } else {
            uint256 index = _indexOf(msg.sender);
            Proposal proposal = _pending(id);
            if (proposal.proposer() != index) revert NotProposer(id, msg.sender);
            (uint256 active,) = _activeAndThreshold();
            uint256 others = proposal.confirmations() & active & ~(1 << index);
            if (others != 0) revert ConfirmedByOthers(id, _countBits(others));
        }

        _proposals[id] = _proposals[id].withStatus(Status.Cancelled);
        emit Cancelled(id, msg.sender);
    }

    /// @notice Makes a proposed call that enough current owners confirm. All of it succeeds, or all of it reverts.
    /// @dev The proposal counts as executed before the call runs, so the call cannot execute it again.
    /// The parameters are those of {proposeTransaction}.
    function executeTransaction(address to, uint256 value, bytes calldata data, uint64 expiry, bytes32 salt) external {
        _indexOf(msg.sender);
        bytes32 id = hashTransaction(to, value, data, expiry, salt);
        Proposal proposal = _pending(id);
        _checkExpiry(expiry);
        (uint256 active, uint256 need) = _activeAndThreshold();
        uint256 have = _countBits(proposal.confirmations() & active);
        if (have < need) revert BelowThreshold(have, need);
        if (value > address(this).balance) revert InsufficientFunds(address(this).balance, value);
        if (data.length != 0 && to.code.length == 0) revert NoCode(to);

        _proposals[id] = proposal.withStatus(Status.Executed);
        emit Executed(id, msg.sender);

        (bool ok, bytes memory returned) = to.call{value: value}(data);
        if (!ok || _isRefusal(data, returned)) revert ExecutionFailed(id, returned);
    }

    /// @notice Where a proposal stands.
    /// @return status Its status; a pending one may have expired.
    /// @return expiry Last second at which it can be confirmed or executed; 0 for no end.
    /// @return proposer Who proposed it, an owner at that time; zero if nobody has.
    /// @return confirmations How many current owners confirm it.
    function getTransaction(bytes32 id)
        external
        view
        returns (Status status, uint64 expiry, address proposer, uint256 confirmations)
    {
        Proposal proposal = _proposals[id];
        status = proposal.status();
        if (status == Status.None) return (status, 0, address(0), 0);
        (uint256 active,) = _activeAndThreshold();
        return (status, proposal.expiry(), _ownerOf(proposal.proposer()), _countBits(proposal.confirmations() & active));
    }

    /// @notice The current owners who confirm a proposal; for an executed one, those who still are owners.
    function confirmationsOf(bytes32 id) external view returns (address[] memory) {
        (uint256 active,) = _activeAndThreshold();
        return _ownersIn(_proposals[id].confirmations() & active);
    }

    /// @notice Whether an account is a current owner and confirms a proposal.
    function hasConfirmed(bytes32 id, address owner) external view returns (bool) {
        return isOwner(owner) && _proposals[id].confirmedBy(_indexOf(owner));
    }

    /// @notice The id of a proposal: the EIP-712 hash of its call, bound to this wallet and chain.
    function hashTransaction(address to, uint256 value, bytes calldata data, uint64 expiry, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        bytes32 structHash = keccak256(abi.encode(TRANSACTION_TYPEHASH, to, value, keccak256(data), expiry, salt));
        return MessageHashUtils.toTypedDataHash(domainSeparator(), structHash);
    }

    /// @notice The EIP-712 domain separator.
    /// @dev Known since deployment, and computed anew when a fork has changed the chain id.
    function domainSeparator() public view returns (bytes32) {
        return block.chainid == _deployedChainId ? _deployedSeparator : _computeSeparator();
    }

    function _computeSeparator() private view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPEHASH, keccak256("DTN MultiSigWallet"), keccak256("1"), block.chainid, address(this))
        );
    }

    /// @dev Some tokens refuse by returning false instead of reverting. A call of an ERC-20 function that moves or
    /// grants tokens must return true or nothing at all, or it would look like a payment that was never made.
    function _isRefusal(bytes calldata data, bytes memory returned) private pure returns (bool) {
        if (returned.length == 0 || data.length < 4) return false;
        bytes4 selector = bytes4(data);
        bool token = selector == IERC20.transfer.selector || selector == IERC20.transferFrom.selector
            || selector == IERC20.approve.selector;
        return token && bytes32(returned) != bytes32(uint256(1));
    }

    function _pending(bytes32 id) private view returns (Proposal proposal) {
        proposal = _proposals[id];
        if (proposal.isPending()) return proposal;
        if (proposal.status() == Status.Executed) revert AlreadyExecuted(id);
        revert NotProposed(id);
    }

    function _checkExpiry(uint64 expiry) private view {
        if (expiry != 0 && block.timestamp > expiry) revert Expired(expiry);
    }
}
