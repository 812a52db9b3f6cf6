// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Founding} from "../../src/wallet/Founding.sol";
import {Owners} from "../../src/wallet/Owners.sol";
import {WalletFixture} from "../helpers/WalletFixture.sol";

/// @notice How a wallet comes to be. What it does from then on is in the tests of its parts.
contract MultiSigWalletTest is WalletFixture {
    function test_ConstructorAnnouncesTheThreshold() public {
        address[] memory two = makeOwners(2);
        vm.expectEmit();
        emit Owners.ThresholdChanged(2);
        makeWallet(two, 2);
    }

    /// @dev Whoever knows the code of one wallet knows what runs in every other: only the founders at its end differ.
    function test_CodeEndsWithTheFounders() public {
        bytes memory code = address(wallet).code;
        address[] memory one = makeOwners(1);
        bytes memory other = address(makeWallet(one, 1)).code;
        assertEq(code.length, other.length + 4 * 20);
        for (uint256 i; i < other.length - 20; ++i) {
            assertEq(code[i], other[i]);
        }
        for (uint256 i; i < 5; ++i) {
            bytes20 founder;
            for (uint256 j; j < 20; ++j) {
                founder |= bytes20(code[code.length - 100 + 20 * i + j]) >> (8 * j);
            }
            assertEq(address(founder), owners[i]);
        }
    }

    function test_RevertWhen_ConstructedWithBadOwners() public {
        address[] memory set = makeOwners(3);
        (address first, address second) = (set[0], set[1]);
        set[0] = address(0);
        expectNotAscending(address(0), address(0));
        makeWallet(set, 2);

        (set[0], set[1]) = (second, first);
        expectNotAscending(second, first);
        makeWallet(set, 2);

        set[1] = second;
        expectNotAscending(second, second);
        makeWallet(set, 2);

        set = new address[](1);
        set[0] = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectRevert(abi.encodeWithSelector(Owners.InvalidOwner.selector, set[0]));
        makeWallet(set, 1);
    }

    function test_RevertWhen_ConstructedWithBadThreshold() public {
        address[] memory set = makeOwners(3);
        vm.expectRevert(abi.encodeWithSelector(Owners.InvalidThreshold.selector, 0, 3));
        makeWallet(set, 0);
        vm.expectRevert(abi.encodeWithSelector(Owners.InvalidThreshold.selector, 4, 3));
        makeWallet(set, 4);
        vm.expectRevert(abi.encodeWithSelector(Owners.InvalidThreshold.selector, 0, 0));
        makeWallet(new address[](0), 0);
    }

    function expectNotAscending(address owner, address next) private {
        vm.expectRevert(abi.encodeWithSelector(Founding.OwnersNotAscending.selector, owner, next));
    }
}
