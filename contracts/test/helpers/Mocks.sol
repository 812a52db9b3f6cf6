// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {KeyStore} from "../../src/bls/KeyStore.sol";

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
    /// @dev As a distributor that is not closed has it.
    uint64 public constant lastHeight = type(uint64).max;

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

/// @notice When it is paid, makes one more call and keeps what came of it. The call is in the code of another contract and
/// the rest in one slot, since it may have to do with the gas of a push.
contract Reentrant {
    address private _target;
    bool public attempted;
    bool public succeeded;
    bytes4 public answer;
    address private _store;

    function prepare(address target, bytes calldata call_) external {
        (_target, _store) = (target, address(new KeyStore(call_)));
    }

    receive() external payable {
        if (attempted || _target == address(0)) return;
        bytes memory call_ = _store.code;
        assembly ("memory-safe") {
            let size := sub(mload(call_), 1)
            call_ := add(call_, 1)
            mstore(call_, size)
        }
        bytes4 reason;
        (bool ok, bytes memory given) = _target.call(call_);
        if (given.length > 3) reason = bytes4(given);
        (attempted, succeeded, answer) = (true, ok, reason);
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

/// @notice Takes money only with so much gas, and gives back what is left when it refuses.
contract Choosy {
    uint256 private _need = type(uint256).max;

    function demand(uint256 need) external {
        _need = need;
    }

    receive() external payable {
        require(gasleft() >= _need, "too little gas");
    }
}

/// @notice Refuses money with as many bytes of reason as its gas pays for.
contract ReturnBomb {
    receive() external payable {
        assembly {
            revert(0, 40000)
        }
    }
}

/// @notice A token that misbehaves in one of the ways in which tokens do.
contract TrickyToken is ERC20("Tricky", "TRK") {
    enum Trick {
        None,
        Fee,
        Silent,
        False,
        Reverting,
        Burning,
        Greedy,
        Reentering,
        Short,
        Two,
        Bomb,
        RevertingBomb,
        Hypocrite
    }

    Trick private _trick;
    address private _target;
    bytes private _call;
    bool public entered;
    bytes public answer;

    constructor(address holder, uint256 amount) {
        _mint(holder, amount);
    }

    function play(Trick trick) external {
        _trick = trick;
    }

    function reenter(address target, bytes calldata call_) external {
        (_trick, _target, _call) = (Trick.Reentering, target, call_);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (_trick == Trick.False) return false;
        if (_trick == Trick.Reentering) (entered, answer) = _target.call(_call);
        _transfer(from, to, amount);
        if (_trick == Trick.Fee) _burn(to, amount / 100);
        return true;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (_trick == Trick.False) return false;
        if (_trick == Trick.Reverting) revert("no");
        if (_trick == Trick.Burning) {
            while (true) {}
        }
        if (_trick == Trick.Short) {
            assembly {
                mstore(0, 1)
                return(1, 31)
            }
        }
        if (_trick == Trick.Two) {
            assembly {
                mstore(0, 2)
                return(0, 32)
            }
        }
        if (_trick == Trick.Greedy) _burn(msg.sender, 1 ether);
        if (_trick == Trick.Reentering) (entered, answer) = _target.call(_call);
        _transfer(msg.sender, to, amount);
        if (_trick == Trick.Hypocrite) return false;
        if (_trick == Trick.Fee) _burn(to, amount / 100);
        if (_trick == Trick.Bomb) {
            assembly {
                let answer_ := mload(0x40)
                mstore(answer_, 1)
                return(answer_, 1500000)
            }
        }
        if (_trick == Trick.RevertingBomb) {
            assembly {
                revert(mload(0x40), 1500000)
            }
        }
        if (_trick == Trick.Silent) {
            assembly {
                return(0, 0)
            }
        }
        return true;
    }
}
