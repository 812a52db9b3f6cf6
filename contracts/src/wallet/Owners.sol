// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IMultiSigWallet} from "../interfaces/IMultiSigWallet.sol";
import {Council} from "./Council.sol";

/// @title The owners of a wallet and the threshold that binds them
/// @notice Every owner gets an index for life, and no index is given twice: not to another owner, and not to the same
/// account when it comes back. So a removed owner's confirmations stop counting at once, and never count for anybody
/// again. The price is a limit of 200 on all the owners a wallet ever has; a wallet that reaches it can still remove
/// owners, change its threshold and move its funds to a new wallet.
/// @dev The founders, in ascending order, are the last bytes of the wallet's own code, where reading one costs next to
/// nothing, whereas storage and other contracts' code cost a cold access. Owners who join later are in storage.
abstract contract Owners is IMultiSigWallet {
    /// @dev How many owners a wallet can have in its lifetime, those removed included.
    uint256 internal constant MAX_OWNERS = 200;
    /// @dev Bytes of code that one founder takes.
    uint256 internal constant FOUNDER_SIZE = 20;
    /// @dev An index that no owner has, and greater than every account.
    uint256 internal constant NOBODY = type(uint256).max;

    Council internal _council;
    /// @dev The last index plus one of an owner who is no founder.
    mapping(address owner => uint256 seat) private _seats;
    mapping(uint256 index => address owner) private _laterOwners;

    /// @notice An account has become an owner, with this index.
    event OwnerAdded(address indexed owner, uint256 index);
    /// @notice An account is an owner no more. Its confirmations have stopped counting.
    event OwnerRemoved(address indexed owner, uint256 index);
    /// @notice This many confirmations are needed from now on, for pending proposals too.
    event ThresholdChanged(uint256 threshold);

    /// @notice The account is not an owner.
    error NotOwner(address account);
    /// @notice Only the wallet itself may do this, by an executed call.
    error OnlyWallet(address caller);
    /// @notice The zero address and the wallet itself cannot be owners.
    error InvalidOwner(address account);
    /// @notice The account is an owner already.
    error DuplicateOwner(address account);
    /// @notice The threshold must be at least 1 and at most the number of owners.
    error InvalidThreshold(uint256 threshold, uint256 ownerCount);
    /// @notice Too few current owners agree.
    error BelowThreshold(uint256 have, uint256 need);
    /// @notice All the owner indexes have been given out.
    error OwnerLimitReached(uint256 limit);

    modifier onlyWallet() {
        _checkWallet();
        _;
    }

    /// @inheritdoc IMultiSigWallet
    function addOwner(address owner, uint8 threshold_) external onlyWallet {
        _save(_add(_council, owner), threshold_);
    }

    /// @inheritdoc IMultiSigWallet
    function removeOwner(address owner, uint8 threshold_) external onlyWallet {
        _save(_remove(_council, owner), threshold_);
    }

    /// @inheritdoc IMultiSigWallet
    function replaceOwner(address oldOwner, address newOwner) external onlyWallet {
        _council = _add(_remove(_council, oldOwner), newOwner);
    }

    /// @inheritdoc IMultiSigWallet
    function changeThreshold(uint8 threshold_) external onlyWallet {
        _save(_council, threshold_);
    }

    /// @inheritdoc IMultiSigWallet
    function owners() external view returns (address[] memory) {
        return _ownersIn(_council, _council.active());
    }

    /// @inheritdoc IMultiSigWallet
    function threshold() external view returns (uint256) {
        return _council.threshold();
    }

    /// @inheritdoc IMultiSigWallet
    function isOwner(address account) external view returns (bool) {
        return _isOwner(_council, account);
    }

    /// @dev The index of a current owner. Not to be asked for the zero address, which calls and signs nothing.
    function _indexOf(Council council, address account) internal view returns (uint256 index) {
        index = _findFounder(council.founders(), account);
        if (council.isActive(index)) return index;
        index = _laterIndex(account);
        if (!council.isActive(index)) revert NotOwner(account);
    }

    /// @dev The account that an index was given to, whether or not it still is an owner.
    function _ownerOf(Council council, uint256 index) internal view returns (address) {
        uint256 founders = council.founders();
        if (index >= founders) return _laterOwners[index];
        return address(uint160(_founderAt(_firstFounder(founders) + index * FOUNDER_SIZE)));
    }

    /// @dev The accounts behind the bits of a set of owner indexes. Each is written to the end of the list, which then
    /// moves on if the account is to stay.
    function _ownersIn(Council council, uint256 bits) internal view returns (address[] memory list) {
        uint256 end;
        assembly ("memory-safe") {
            list := mload(0x40)
            end := add(list, 0x20)
        }
        for (uint256 i; bits >> i != 0;) {
            address owner = _ownerOf(council, i);
            assembly ("memory-safe") {
                mstore(end, owner)
                end := add(end, shl(5, and(shr(i, bits), 1)))
                i := add(i, 1)
            }
        }
        assembly ("memory-safe") {
            mstore(list, sub(shr(5, sub(end, list)), 1))
            mstore(0x40, end)
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

    function _save(Council council, uint8 threshold_) internal {
        uint256 count = _countBits(council.active());
        if (threshold_ == 0 || threshold_ > count) revert InvalidThreshold(threshold_, count);
        if (threshold_ != council.threshold()) emit ThresholdChanged(threshold_);
        _council = council.withThreshold(threshold_);
    }

    function _checkThreshold(Council council, uint256 have) internal pure {
        uint256 need = council.threshold();
        if (have < need) revert BelowThreshold(have, need);
    }

    function _checkWallet() private view {
        if (msg.sender != address(this)) revert OnlyWallet(msg.sender);
    }

    function _add(Council council, address owner) private returns (Council) {
        if (owner == address(0) || owner == address(this)) revert InvalidOwner(owner);
        if (_isOwner(council, owner)) revert DuplicateOwner(owner);
        uint256 index = council.used();
        if (index == MAX_OWNERS) revert OwnerLimitReached(MAX_OWNERS);

        unchecked {
            _seats[owner] = index + 1;
        }
        _laterOwners[index] = owner;
        emit OwnerAdded(owner, index);
        return council.withOwner();
    }

    function _remove(Council council, address owner) private returns (Council) {
        if (owner == address(0)) revert NotOwner(owner);
        uint256 index = _indexOf(council, owner);
        emit OwnerRemoved(owner, index);
        return council.withoutOwner(index);
    }

    function _isOwner(Council council, address account) private view returns (bool) {
        if (account == address(0)) return false;
        return council.isActive(_findFounder(council.founders(), account)) || council.isActive(_laterIndex(account));
    }

    /// @dev The last index of an account that has joined later, which may be a founder who left and came back; of any other
    /// account an index that nobody has.
    function _laterIndex(address account) private view returns (uint256) {
        unchecked {
            return _seats[account] - 1;
        }
    }

    /// @dev The index of a founder; of any other account one that nobody has. Accounts are hashes and the founders in
    /// ascending order, so that where one stands among them is known to within a few places: from there it is a short walk.
    /// Founders whose addresses are close to one another, and so no chance ones, walk further, through 200 places at most.
    function _findFounder(uint256 founders, address account) private view returns (uint256) {
        unchecked {
            uint256 wanted;
            assembly ("memory-safe") { wanted := account }
            uint256 first = _firstFounder(founders);
            uint256 place = first + ((wanted * founders) >> 160) * FOUNDER_SIZE;
            uint256 founder = _founderAt(place);
            while (_allGreater(founder, wanted, place, first)) {
                place -= FOUNDER_SIZE;
                founder = _founderAt(place);
            }
            // Behind the last founder is zero, which is no account, and which is the greatest here.
            while (founder - 1 < wanted - 1) {
                place += FOUNDER_SIZE;
                founder = _founderAt(place);
            }
            return founder == wanted ? (place - first) / FOUNDER_SIZE : NOBODY;
        }
    }

    /// @dev Whether a > b and c > d. Without a jump, which would cost more.
    function _allGreater(uint256 a, uint256 b, uint256 c, uint256 d) private pure returns (bool yes) {
        assembly ("memory-safe") { yes := and(gt(a, b), gt(c, d)) }
    }

    /// @dev Where the founders begin, for {_founderAt}.
    function _firstFounder(uint256 founders) internal view virtual returns (uint256 place);

    /// @dev The founder in a place; zero, which is none, behind the last one.
    function _founderAt(uint256 place) internal view virtual returns (uint256 owner);
}
