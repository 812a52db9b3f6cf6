// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.31;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IResultRegistry} from "../interfaces/IResultRegistry.sol";

/// @title What validators put at stake
/// @notice A network may require of each validator a stake, in the native currency or in a token. Evidence takes all of it: a
/// quarter is the reporter's, if it has committed to its report in an earlier block, so that nobody profits from copying
/// one, and the rest is the owners'. Who is no validator any more has its stake back after {UNBONDING}, which is longer than
/// evidence against it lives. Who asks for it can be named as a validator for {NOTICE} still: those who have signed a rotation
/// cannot sign another one, so none of the named may undo it by leaving. Without a required stake, who likes to may stake all the same.
abstract contract Stakes is IResultRegistry {
    using SafeERC20 for IERC20;

    /// @notice For so long after the end of an epoch evidence against its validators is taken.
    uint64 public constant EVIDENCE_LIFE = 14 days;
    /// @notice For so long a stake stays after its holder has stopped being a validator and asked for it.
    uint64 public constant UNBONDING = 21 days;
    /// @notice For so long a stake that its holder has asked for still makes it a validator, if it is named.
    uint64 public constant NOTICE = 14 days;
    /// @notice One part in so many of what evidence takes is the reporter's.
    uint256 public constant REPORTER_PART = 4;

    /// @param amount What is at stake.
    /// @param freeAt When it can be taken back, in Unix time; zero if nobody has asked for that.
    struct Stake {
        uint128 amount;
        uint64 freeAt;
    }

    /// @inheritdoc IResultRegistry
    address public immutable stakeToken;
    /// @inheritdoc IResultRegistry
    uint128 public immutable stakeRequired;

    /// @inheritdoc IResultRegistry
    mapping(address account => Stake) public stakeOf;
    /// @inheritdoc IResultRegistry
    mapping(address account => uint256) public creditOf;
    /// @inheritdoc IResultRegistry
    mapping(bytes32 commitment => uint256) public committedAt;

    /// @notice An account has put more at stake, and is not leaving.
    event Staked(address indexed account, uint256 amount);
    /// @notice An account has asked for its stake.
    event Unstaking(address indexed account, uint64 freeAt);
    /// @notice An account has its stake back.
    event Unstaked(address indexed account, address to, uint256 amount);
    /// @notice Evidence has taken a stake.
    event StakeTaken(address indexed account, uint256 amount, address indexed reporter, uint256 share);
    /// @notice An account has withdrawn what evidence has brought it.
    event Collected(address indexed account, address to, uint256 amount);

    /// @notice The value that came with the call is not the amount, or came although the stake is in a token.
    error WrongValue(uint256 given, uint256 expected);
    /// @notice The token has moved another amount than it was told to.
    error WrongAmount(uint256 given, uint256 expected);
    /// @notice Nothing is at stake or credited.
    error NothingThere(address account);
    /// @notice A validator's stake stays.
    error StillValidator(address account);
    /// @notice The stake stays until then.
    error NotFree(uint256 until);
    /// @notice The account has too little at stake, or has been leaving for long.
    error NotStaked(address account);
    /// @notice The account did not take the money. Nothing has changed, and it can be tried again.
    error PaymentFailed(address account);

    constructor(address stakeToken_, uint128 stakeRequired_) {
        (stakeToken, stakeRequired) = (stakeToken_, stakeRequired_);
    }

    /// @inheritdoc IResultRegistry
    /// @dev A token that calls back and stakes again moves more than this call was told to, and is refused.
    function stake(uint128 amount) external payable {
        uint256 expected = stakeToken == address(0) ? amount : 0;
        if (msg.value != expected) revert WrongValue(msg.value, expected);
        Stake storage own = stakeOf[msg.sender];
        (own.amount, own.freeAt) = (own.amount + amount, 0);
        emit Staked(msg.sender, amount);
        if (stakeToken == address(0)) return;

        uint256 before = IERC20(stakeToken).balanceOf(address(this));
        IERC20(stakeToken).safeTransferFrom(msg.sender, address(this), amount);
        uint256 moved = IERC20(stakeToken).balanceOf(address(this)) - before;
        if (moved != amount) revert WrongAmount(moved, amount);
    }

    /// @inheritdoc IResultRegistry
    function unstake() external {
        Stake storage own = stakeOf[msg.sender];
        if (own.amount == 0) revert NothingThere(msg.sender);
        if (_isMember(msg.sender)) revert StillValidator(msg.sender);
        if (own.freeAt != 0) revert NotFree(own.freeAt);
        own.freeAt = uint64(block.timestamp) + UNBONDING;
        emit Unstaking(msg.sender, own.freeAt);
    }

    /// @inheritdoc IResultRegistry
    /// @dev Who was named as a validator again meanwhile is not leaving any more, or was refused there.
    function reclaim(address to) external {
        Stake memory own = stakeOf[msg.sender];
        if (own.amount == 0) revert NothingThere(msg.sender);
        if (own.freeAt == 0 || block.timestamp < own.freeAt) revert NotFree(own.freeAt);
        if (_isMember(msg.sender)) revert StillValidator(msg.sender);
        delete stakeOf[msg.sender];
        emit Unstaked(msg.sender, to, own.amount);
        _pay(to, own.amount);
    }

    /// @inheritdoc IResultRegistry
    function collect(address to) external {
        uint256 amount = creditOf[msg.sender];
        if (amount == 0) revert NothingThere(msg.sender);
        creditOf[msg.sender] = 0;
        emit Collected(msg.sender, to, amount);
        _pay(to, amount);
    }

    /// @inheritdoc IResultRegistry
    /// @dev The first time counts, whoever it was: a commitment is for whom it names.
    function commit(bytes32 commitment) external {
        if (committedAt[commitment] == 0) committedAt[commitment] = block.number;
    }

    /// @inheritdoc IResultRegistry
    function commitmentOf(address reporter, bytes32 evidence) public pure returns (bytes32) {
        return keccak256(abi.encode(reporter, evidence));
    }

    /// @inheritdoc IResultRegistry
    function guardian() public view virtual returns (address);

    function _isMember(address account) internal view virtual returns (bool);

    /// @dev Whether an account may be a validator, as far as its stake goes.
    function _checkStake(address account) internal view {
        if (stakeRequired == 0) return;
        Stake memory own = stakeOf[account];
        bool isGone = own.freeAt != 0 && block.timestamp + UNBONDING >= own.freeAt + NOTICE;
        if (own.amount < stakeRequired || isGone) revert NotStaked(account);
    }

    /// @dev Who becomes a validator is not leaving any more, and its stake stays.
    function _bindStake(address account) internal {
        _checkStake(account);
        if (stakeOf[account].freeAt != 0) delete stakeOf[account].freeAt;
    }

    /// @dev Takes all that an account has at stake. Nobody is paid here: everybody collects.
    function _takeStake(address account, bytes32 evidence) internal {
        uint256 amount = stakeOf[account].amount;
        if (amount == 0) return;
        delete stakeOf[account];
        uint256 since = committedAt[commitmentOf(msg.sender, evidence)];
        uint256 share = since != 0 && since < block.number && msg.sender != account ? amount / REPORTER_PART : 0;
        creditOf[msg.sender] += share;
        creditOf[guardian()] += amount - share;
        emit StakeTaken(account, amount, msg.sender, share);
    }

    function _pay(address to, uint256 amount) private {
        if (stakeToken != address(0)) return IERC20(stakeToken).safeTransfer(to, amount);
        bool ok;
        assembly ("memory-safe") {
            ok := call(gas(), to, amount, 0, 0, 0, 0)
        }
        if (!ok) revert PaymentFailed(to);
    }
}
