// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @title The owners of a wallet and the threshold that binds them
/// @notice Every owner gets an index for life, and no index is given twice: not to another owner, and not to the same
/// account when it comes back. So a removed owner's confirmations stop counting at once, and never count for anybody
/// again. The price is a limit of {MAX_OWNERS} on all the owners a wallet ever has; a wallet that reaches it can still
/// remove owners, change its threshold and move its funds to a new wallet.
abstract contract Owners {
    /// @notice How many owners a wallet can have in its lifetime, those removed included.
    uint256 public constant MAX_OWNERS = 200;

    /// @dev One slot. Bit i of `active` is set while the owner with index i is an owner.
    struct Council {
        uint200 active;
        uint8 count;
        uint8 threshold;
        uint8 used;
    }

    Council private _council;
    /// @dev Index plus one of a current owner; zero for everybody else.
    mapping(address owner => uint256 seat) private _seats;
    mapping(uint256 index => address owner) private _ownerAt;

    /// @notice An account has become an owner, with this index.
    event OwnerAdded(address indexed owner, uint256 index);
    /// @notice An account is an owner no more. Its confirmations have stopped counting.
    event OwnerRemoved(address indexed owner, uint256 index);
    /// @notice This many confirmations are needed from now on, for pending proposals too.
    event ThresholdChanged(uint256 threshold);

    /// @notice The account is not an owner.
    error NotOwner(address account);
    /// @notice Only the wallet itself may do this, by an executed proposal.
    error OnlyWallet(address caller);
    /// @notice The zero address and the wallet itself cannot be owners.
    error InvalidOwner(address account);
    /// @notice The account is an owner already.
    error DuplicateOwner(address account);
    /// @notice The threshold must be at least 1 and at most the number of owners.
    error InvalidThreshold(uint256 threshold, uint256 ownerCount);
    /// @notice All {MAX_OWNERS} owner indexes have been given out.
    error OwnerLimitReached(uint256 limit);

    modifier onlyWallet() {
        if (msg.sender != address(this)) revert OnlyWallet(msg.sender);
        _;
    }

    constructor(address[] memory owners_, uint8 threshold_) {
        if (owners_.length > MAX_OWNERS) revert OwnerLimitReached(MAX_OWNERS);
        Council memory council;
        for (uint256 i; i < owners_.length; ++i) {
            _add(council, owners_[i]);
        }
        _save(council, threshold_);
    }

    /// @notice Adds an owner and sets the threshold. Only through an executed proposal.
    function addOwner(address owner, uint8 threshold_) external onlyWallet {
        Council memory council = _council;
        _add(council, owner);
        _save(council, threshold_);
    }

    /// @notice Removes an owner and sets the threshold. Only through an executed proposal.
    function removeOwner(address owner, uint8 threshold_) external onlyWallet {
        Council memory council = _council;
        _remove(council, owner);
        _save(council, threshold_);
    }

    /// @notice Puts a new owner in the place of another. Confirmations do not pass on. Only through an executed proposal.
    function replaceOwner(address oldOwner, address newOwner) external onlyWallet {
        Council memory council = _council;
        _remove(council, oldOwner);
        _add(council, newOwner);
        _council = council;
    }

    /// @notice Sets the number of confirmations that a proposal needs. Only through an executed proposal.
    function changeThreshold(uint8 threshold_) external onlyWallet {
        _save(_council, threshold_);
    }

    /// @notice The current owners in the order in which they were added.
    function owners() external view returns (address[] memory) {
        return _ownersIn(_council.active);
    }

    /// @notice Confirmations that a proposal needs.
    function threshold() external view returns (uint256) {
        return _council.threshold;
    }

    /// @notice Whether an account is an owner.
    function isOwner(address account) public view returns (bool) {
        return _seats[account] != 0;
    }

    /// @dev The index of a current owner.
    function _indexOf(address account) internal view returns (uint256) {
        uint256 seat = _seats[account];
        if (seat == 0) revert NotOwner(account);
        unchecked {
            return seat - 1;
        }
    }

    /// @dev The account that an index was given to, whether or not it still is an owner.
    function _ownerOf(uint256 index) internal view returns (address) {
        return _ownerAt[index];
    }

    /// @dev The current owners as one bit each, and the threshold, by one read.
    function _activeAndThreshold() internal view returns (uint256 active, uint256 threshold_) {
        Council storage council = _council;
        return (council.active, council.threshold);
    }

    /// @dev The accounts behind the bits of a set of owner indexes.
    function _ownersIn(uint256 bits) internal view returns (address[] memory list) {
        list = new address[](_countBits(bits));
        uint256 next;
        for (uint256 i; next < list.length; ++i) {
            if ((bits >> i) & 1 == 1) list[next++] = _ownerAt[i];
        }
    }

    /// @dev Clears the lowest bit until none is left; the sets here are small.
    function _countBits(uint256 bits) internal pure returns (uint256 count) {
        unchecked {
            for (; bits != 0; bits &= bits - 1) {
                ++count;
            }
        }
    }

    function _add(Council memory council, address owner) private {
        if (owner == address(0) || owner == address(this)) revert InvalidOwner(owner);
        if (_seats[owner] != 0) revert DuplicateOwner(owner);
        uint256 index = council.used;
        if (index == MAX_OWNERS) revert OwnerLimitReached(MAX_OWNERS);

        council.used += 1;
        council.count += 1;
        council.active |= uint200(1 << index);
        _seats[owner] = index + 1;
        _ownerAt[index] = owner;
        emit OwnerAdded(owner, index);
    }

    function _remove(Council memory council, address owner) private {
        uint256 index = _indexOf(owner);
        council.count -= 1;
        council.active &= ~uint200(1 << index);
        delete _seats[owner];
        emit OwnerRemoved(owner, index);
    }

    function _save(Council memory council, uint8 threshold_) private {
        if (threshold_ == 0 || threshold_ > council.count) revert InvalidThreshold(threshold_, council.count);
        if (threshold_ != council.threshold) {
            council.threshold = threshold_;
            emit ThresholdChanged(threshold_);
        }
        _council = council;
    }
}
