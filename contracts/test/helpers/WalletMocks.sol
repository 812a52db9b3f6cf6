// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

/// @notice A contract that owns a part of a wallet and answers by ERC-1271 in one of the ways in which such owners do.
contract ContractOwner {
    enum Mood {
        Honest,
        WrongMagic,
        Dirty,
        Short,
        Empty,
        Reverting,
        Burning,
        Writing
    }

    bytes4 private constant MAGIC = 0x1626ba7e;

    Mood public mood;
    bytes32 public approvedHash;
    bytes private _approvedSignature;
    uint256 private _written;
    address private _target;
    bytes private _call;

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    /// @notice From now on signs one hash with one signature.
    function approve(bytes32 hash, bytes calldata signature) external {
        (approvedHash, _approvedSignature) = (hash, signature);
    }

    /// @notice From now on makes a call when it is asked for its signature.
    function prepare(address target, bytes calldata call_) external {
        (_target, _call) = (target, call_);
        mood = Mood.Writing;
    }

    function act(address target, bytes calldata call_) external returns (bytes memory) {
        (bool ok, bytes memory answer) = target.call(call_);
        if (ok) return answer;
        assembly ("memory-safe") {
            revert(add(answer, 0x20), mload(answer))
        }
    }

    /// @dev Not a view, so that it can try what a static call does not let it.
    function isValidSignature(bytes32 hash, bytes calldata signature) external returns (bytes4) {
        require(msg.data.length % 32 == 4, "not padded as the ABI has it");
        if (mood == Mood.Reverting) revert("no");
        if (mood == Mood.WrongMagic) return 0xffffffff;
        if (mood == Mood.Writing) {
            (bool ok,) = _target.call(_call);
            if (!ok) _written = 1;
        }
        if (mood == Mood.Burning) {
            assembly {
                invalid()
            }
        }
        if (mood == Mood.Empty) {
            assembly {
                return(0, 0)
            }
        }
        if (mood == Mood.Short) {
            assembly {
                mstore(0, shl(224, 0x1626ba7e))
                return(0, 4)
            }
        }
        if (mood == Mood.Dirty) {
            assembly {
                mstore(0, or(shl(224, 0x1626ba7e), 1))
                return(0, 32)
            }
        }
        bool approved = hash == approvedHash && keccak256(signature) == keccak256(_approvedSignature);
        return approved ? MAGIC : bytes4(0);
    }
}

/// @notice When it is called, makes two more calls and keeps what came of them.
contract Intruder {
    address private _target;
    bytes[2] private _calls;

    bool public called;
    bool[2] public succeeded;
    bytes[2] public answers;

    function prepare(address target, bytes calldata first, bytes calldata second) external {
        _target = target;
        (_calls[0], _calls[1]) = (first, second);
    }

    receive() external payable {
        if (called) return;
        called = true;
        for (uint256 i; i < 2; ++i) {
            (succeeded[i], answers[i]) = _target.call(_calls[i]);
        }
    }
}

/// @notice Reverts with as many bytes as it is asked for.
contract Shouter {
    fallback() external {
        uint256 size = abi.decode(msg.data[4:], (uint256));
        assembly {
            revert(0x1000, size)
        }
    }
}
