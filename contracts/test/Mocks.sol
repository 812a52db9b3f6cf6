// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice A well-behaved token.
contract Token is ERC20("Token", "TKN") {
    constructor(address holder, uint256 amount) {
        _mint(holder, amount);
    }
}

/// @notice A token that answers every call with the same bytes, and moves nothing.
contract AnsweringToken {
    bytes private _answer;

    constructor(bytes memory answer) {
        _answer = answer;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        return _answer;
    }
}

/// @notice Fails until it is told not to, in one of the ways in which receivers fail.
contract Stubborn {
    error NotToday(uint256 amount);

    enum Mood {
        Willing,
        Reverting,
        Silent,
        Burning
    }

    Mood public mood;

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    receive() external payable {
        if (mood == Mood.Reverting) revert NotToday(msg.value);
        if (mood == Mood.Silent) {
            assembly {
                revert(0, 0)
            }
        }
        if (mood == Mood.Burning) {
            assembly {
                invalid()
            }
        }
    }
}

/// @notice When it is paid, makes one more call and keeps what came of it.
contract Reentrant {
    address private _target;
    bytes private _call;

    uint256 public received;
    bool public attempted;
    bool public succeeded;
    bytes public answer;

    function prepare(address target, bytes calldata call_) external {
        (_target, _call) = (target, call_);
    }

    receive() external payable {
        ++received;
        if (attempted || _target == address(0)) return;
        attempted = true;
        (succeeded, answer) = _target.call(_call);
    }
}

/// @notice Outcomes of rounds as the test sets them; none is final before.
contract Outcomes {
    error NotFinal(bytes32 id);

    mapping(bytes32 => bytes32) private _outcomes;

    function set(bytes32 id, bytes32 outcome) external {
        _outcomes[id] = outcome;
    }

    function outcomeOf(bytes32 id) external view returns (bytes32 outcome) {
        outcome = _outcomes[id];
        if (outcome == 0) revert NotFinal(id);
    }
}
