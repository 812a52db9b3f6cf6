// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IERC1155Receiver} from "@openzeppelin/contracts/token/ERC1155/IERC1155Receiver.sol";
import {IERC721Receiver} from "@openzeppelin/contracts/token/ERC721/IERC721Receiver.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {Receiver} from "../../src/wallet/Receiver.sol";
import {WalletFixture} from "../helpers/WalletFixture.sol";

contract ReceiverTest is WalletFixture {
    /// @dev A token of these kinds that is sent safely asks who receives it whether it can.
    function test_ReceivesTokensOfManyKinds() public {
        uint256[] memory list = new uint256[](2);
        bytes4 answer = IERC721Receiver(address(wallet)).onERC721Received(address(1), address(2), 3, "data");
        assertEq(answer, IERC721Receiver.onERC721Received.selector);
        IERC1155Receiver receiver = IERC1155Receiver(address(wallet));
        assertEq(receiver.onERC1155Received(address(1), address(2), 3, 4, "data"), receiver.onERC1155Received.selector);
        assertEq(
            receiver.onERC1155BatchReceived(address(1), address(2), list, list, "data"),
            receiver.onERC1155BatchReceived.selector
        );
    }

    function testFuzz_SaysWhichInterfacesItHas(bytes4 other) public view {
        bytes4[3] memory has =
            [type(IERC165).interfaceId, type(IERC1155Receiver).interfaceId, type(IERC721Receiver).interfaceId];
        for (uint256 i; i < 3; ++i) {
            assertTrue(IERC165(address(wallet)).supportsInterface(has[i]));
            if (other == has[i]) return;
        }
        assertFalse(IERC165(address(wallet)).supportsInterface(other));
    }

    function testFuzz_RevertWhen_ThereIsNoSuchFunction(uint32 selector) public {
        selector = uint32(bound(selector, 1, 1000));
        (bool ok, bytes memory reason) = address(wallet).call(abi.encodePacked(selector));
        assertFalse(ok);
        assertEq(reason, abi.encodeWithSelector(Receiver.UnknownFunction.selector, bytes4(selector)));
        (ok,) = address(wallet).call{value: 1}(abi.encodePacked(IERC721Receiver.onERC721Received.selector));
        assertFalse(ok);
    }
}
