// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {AowChallenge} from "../../src/aow/AowChallenge.sol";
import {Header} from "../../src/formats/Types.sol";
import {RegistryTerms} from "../../src/interfaces/IResultRegistry.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {newAow, newRegistry} from "./Deployed.sol";
import {Fixture} from "./Fixture.sol";
import {Stubborn} from "./Mocks.sol";

/// @notice What the tests of sequential work share: the work itself, plainly, and a contract that takes claims of it.
abstract contract AowFixture is Fixture {
    uint256 internal constant P = 340282366920938463463374557953744961537;
    uint256 internal constant ALPHA = 5;
    /// @dev The exponent of the cube root: the inverse of 3 modulo P - 1.
    uint256 internal constant INV = 226854911280625642308916371969163307691;

    uint256 internal constant BOND = 1 ether;
    uint32 internal constant WINDOW = 1 hours;
    uint256 internal constant GAS_PRICE = 1 gwei;
    bytes32 internal constant SALT = keccak256("salt");
    uint64 internal constant HEIGHT = 3;
    bytes32 internal constant PROOF = keccak256("proof");

    AowChallenge internal aow;
    ResultRegistry internal registry;
    address[] internal nodes;
    /// @dev Who has what is forfeited.
    Stubborn internal pool;

    /// @dev Validators, one final block, and money for bonds.
    function deployAow(uint256 validators) internal {
        nodes = makeValidators(validators);
        pool = new Stubborn();
        registry = newRegistry(NETWORK, EPOCH, nodes, RegistryTerms(address(pool), address(0), 0));
        aow = newAow(registry, BOND, WINDOW, GAS_PRICE);
        finalize(HEIGHT);
        for (uint256 i; i < nodes.length; ++i) {
            vm.deal(nodes[i], 100 ether);
        }
    }

    /// @dev A commitment, which is a block old.
    function commit(address challenger, bytes32 id, uint256 segment) internal {
        bytes32 commitment = aow.commitmentOf(challenger, id, segment, SALT);
        if (aow.committedAt(commitment) == 0) aow.commit(commitment);
        vm.roll(block.number + 1);
    }

    function finalize(uint64 height) internal {
        Header memory header = makeHeader(height, 0);
        registry.finalize(header, VIEW, certificate(header, nodes, 0, registry.quorum()));
    }

    /// @dev The slow direction, by the precompiled exponentiation.
    function work(uint256 x, uint256 steps) internal view returns (uint256) {
        bytes memory input = abi.encode(32, 32, 32, 0, INV, P);
        for (uint256 i; i < steps; ++i) {
            x = addmod(x, P - ALPHA, P);
            assembly ("memory-safe") {
                mstore(add(input, 0x80), x)
                if iszero(staticcall(gas(), 0x05, add(input, 0x20), 0xc0, 0, 0x20)) { revert(0, 0) }
                x := mload(0)
            }
        }
        return x;
    }

    /// @dev The cheap direction as it is defined, against which the fast one is held.
    function takeBack(uint256 x, uint256 steps) internal pure returns (uint256) {
        for (uint256 i; i < steps; ++i) {
            x = addmod(mulmod(mulmod(x, x, P), x, P), ALPHA, P);
        }
        return x;
    }

    /// @dev Written out anew rather than taken from the library under test.
    function startOf(bytes32 network, uint256 chainId, uint64 round, bytes32 blockHash, address node, uint64 steps)
        internal
        pure
        returns (uint256)
    {
        string memory fields =
            "bytes32 networkId,uint256 chainId,uint64 round,bytes32 previousBlockHash,address node,uint64 steps";
        bytes32 typehash = keccak256(abi.encodePacked("AowStart(", fields, ")"));
        return uint256(keccak256(abi.encode(typehash, network, chainId, round, blockHash, node, steps))) % P;
    }

    /// @dev Where this node's work of the round starts when the block is the one that is final from the beginning.
    function startOf(uint64 round, address node, uint64 steps) internal view returns (uint256) {
        return startOf(NETWORK, block.chainid, round, hashOf(makeHeader(HEIGHT, 0)), node, steps);
    }

    /// @dev The checkpoints of honest work from a start.
    function checkpointsFrom(uint256 start, uint256 segments, uint256 length)
        internal
        view
        returns (uint256[] memory list)
    {
        list = new uint256[](segments);
        for (uint256 i; i < segments; ++i) {
            start = work(start, length);
            list[i] = start;
        }
    }

    /// @dev Elements that are no work, for what does not look at it.
    function noise(uint256 count) internal pure returns (uint256[] memory list) {
        list = new uint256[](count);
        for (uint256 i; i < count; ++i) {
            list[i] = uint256(keccak256(abi.encode("noise", i))) % P;
        }
    }

    function pack(uint256[] memory list) internal pure returns (bytes memory packed) {
        packed = new bytes(16 * list.length);
        for (uint256 i; i < list.length; ++i) {
            uint256 shifted = list[i] << 128;
            assembly ("memory-safe") {
                let place := add(add(packed, 0x20), shl(4, i))
                mstore(place, or(shifted, and(mload(place), sub(shl(128, 1), 1))))
            }
        }
    }

    function idOf(uint64 round, address node) internal pure returns (bytes32) {
        return bytes32(bytes.concat(bytes4(0), bytes8(round), bytes20(node)));
    }
}
