// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice A well-behaved token, compiled as one on a chain would be, because it is part of what gas is measured of.
/// @dev Nothing imports it, or it would be compiled once more with the settings of the tests, under the same name.
contract Token is ERC20("Token", "TKN") {
    constructor(address holder, uint256 amount) {
        _mint(holder, amount);
    }
}
