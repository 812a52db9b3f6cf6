// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IRewardDistributor} from "../interfaces/IRewardDistributor.sol";
import {IVault} from "../interfaces/IVault.sol";

/// @title The way of money into the ledger
/// @notice What is deposited goes to the distributor at once, from which {Earnings} come back, so nothing is ever held here. Each
/// deposit has a number. The validators read them and state each in the ledger, which credits the account when a quorum has. For a
/// distributor that is closed nothing is taken: it pays no earnings any more.
///
/// Only what has arrived counts: a token that takes a fee on the way, or says that it has moved what it has not, is refused.
contract Vault is IVault, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @inheritdoc IVault
    address public immutable distributor;
    /// @inheritdoc IVault
    address public immutable token;
    /// @inheritdoc IVault
    uint96 public immutable minimum;

    /// @inheritdoc IVault
    uint64 public count;

    /// @notice Money of an account has gone to the distributor.
    event Deposited(uint64 indexed number, address indexed account, uint256 amount);

    /// @notice The distributor, and a token, must be contracts.
    error NoCode(address account);
    /// @notice Nobody would be credited.
    error ZeroAccount();
    /// @notice The amount is below the least that is taken, or above what 96 bits hold.
    error InvalidAmount(uint256 least, uint256 most, uint256 given);
    /// @notice The vault takes another currency.
    error WrongCurrency(address token);
    /// @notice The distributor did not take it.
    error NotForwarded();
    /// @notice The distributor is closed, and another one has a vault of its own.
    error DistributorClosed();
    /// @notice Less or more has arrived than was to move.
    error NotReceived(uint256 received, uint256 given);

    /// @param distributor_ Where all money goes.
    /// @param token_ What is deposited; zero for the native currency.
    /// @param minimum_ The least that is taken at once, so that nobody has validators state dust.
    constructor(address distributor_, address token_, uint96 minimum_) {
        if (distributor_.code.length == 0) revert NoCode(distributor_);
        if (token_ != address(0) && token_.code.length == 0) revert NoCode(token_);
        (distributor, token, minimum) = (distributor_, token_, minimum_);
    }

    /// @inheritdoc IVault
    function deposit(address account) external payable nonReentrant {
        if (token != address(0)) revert WrongCurrency(token);
        _check(account, msg.value);
        (bool ok,) = distributor.call{value: msg.value}("");
        if (!ok) revert NotForwarded();
        _note(account, msg.value);
    }

    /// @inheritdoc IVault
    function deposit(address account, uint256 amount) external nonReentrant {
        if (token == address(0)) revert WrongCurrency(token);
        _check(account, amount);
        uint256 before = IERC20(token).balanceOf(distributor);
        IERC20(token).safeTransferFrom(msg.sender, distributor, amount);
        uint256 received = IERC20(token).balanceOf(distributor) - before;
        if (received != amount) revert NotReceived(received, amount);
        _note(account, amount);
    }

    function _check(address account, uint256 amount) private view {
        if (account == address(0)) revert ZeroAccount();
        if (IRewardDistributor(distributor).lastHeight() != type(uint64).max) revert DistributorClosed();
        if (amount == 0 || amount < minimum || amount > type(uint96).max) {
            revert InvalidAmount(minimum, type(uint96).max, amount);
        }
    }

    function _note(address account, uint256 amount) private {
        emit Deposited(count++, account, amount);
    }
}
