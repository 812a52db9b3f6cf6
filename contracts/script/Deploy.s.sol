// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Script} from "forge-std/Script.sol";
import {console} from "forge-std/console.sol";
import {Allotment} from "../src/formats/Types.sol";
import {RegistryTerms} from "../src/interfaces/IResultRegistry.sol";
import {Terms} from "../src/interfaces/IRewardDistributor.sol";

/// @notice Where the contracts are or will be.
struct Addresses {
    address registry;
    address multisig;
    address aow;
    address distributor;
    address vault;
}

/// @title Deploys the contracts of a network to the addresses that `dtn-cli deploy` gives them
/// @notice An address is a hash of the network's id, the code and its arguments. So it is the same on every chain, and
/// what is there already is the right contract. The code is that of contracts/artifacts, which the command line embeds.
///
///     PLAN=.dtn/plan.json forge script contracts/script/Deploy.s.sol --rpc-url URL --broadcast --account NAME
contract Deploy is Script {
    /// @notice The deterministic deployment proxy, which is on nearly every chain at this address.
    address public constant PROXY = 0x4e59b44847b379578588920cA78FbF26c0B4956C;

    /// @notice The network settles on another chain.
    error WrongChain(uint256 chain, uint256 planned);
    /// @notice There is no deployment proxy on this chain.
    error NoProxy(address proxy);
    /// @notice The constructor has refused its arguments, or the gas did not suffice.
    error NotDeployed(string name, address place);
    /// @notice A number of the plan does not fit its type.
    error TooLarge(string key, uint256 value);

    /// @notice Deploys what is missing of the plan in the file that PLAN names.
    function run() external returns (Addresses memory) {
        return deploy(vm.readFile(vm.envString("PLAN")));
    }

    /// @notice Deploys what is missing of a plan.
    function deploy(string memory plan) public returns (Addresses memory all) {
        uint256 chain = vm.parseJsonUint(plan, ".chain_id");
        if (chain != block.chainid) revert WrongChain(block.chainid, chain);
        if (PROXY.code.length == 0) revert NoProxy(PROXY);

        bytes32 salt = vm.parseJsonBytes32(plan, ".network_id");
        if (vm.keyExistsJson(plan, ".existing")) {
            all.multisig = vm.parseJsonAddress(plan, ".existing.multisig");
            all.registry = vm.parseJsonAddress(plan, ".existing.registry");
            all.aow = vm.parseJsonAddress(plan, ".existing.aow");
        } else {
            all.multisig = createMultisig(plan, salt);
            all.registry = create(salt, "ResultRegistry", registryArguments(plan, salt, all.multisig));
            all.aow = create(salt, "AowChallenge", aowArguments(plan, all.registry));
        }
        all.distributor = create(salt, "RewardDistributor", distributorArguments(plan, all));
        if (vm.keyExistsJson(plan, ".vault")) {
            all.vault = create(salt, "Vault", vaultArguments(plan, all.distributor));
        }
    }

    /// @notice The code that deploys a contract, without its arguments.
    function creationCode(string memory name) public view virtual returns (bytes memory) {
        return vm.getCode(string.concat("contracts/artifacts/", name, ".json"));
    }

    function create(bytes32 salt, string memory name, bytes memory arguments) private returns (address place) {
        bytes memory code = bytes.concat(creationCode(name), arguments);
        place = vm.computeCreate2Address(salt, keccak256(code), PROXY);
        if (place.code.length != 0) {
            console.log("%s is at %s already", name, place);
            return place;
        }
        vm.broadcast();
        (bool ok,) = PROXY.call(bytes.concat(salt, code));
        if (!ok || place.code.length == 0) revert NotDeployed(name, place);
        console.log("%s is at %s", name, place);
    }

    function registryArguments(string memory plan, bytes32 networkId, address guardian)
        private
        pure
        returns (bytes memory)
    {
        address[] memory validators = vm.parseJsonAddressArray(plan, ".validators");
        uint128 stake = uint128(number(plan, ".stakes.amount", type(uint128).max));
        RegistryTerms memory terms = RegistryTerms(guardian, vm.parseJsonAddress(plan, ".stakes.token"), stake);
        return abi.encode(networkId, number(plan, ".epoch", type(uint64).max), validators, terms);
    }

    /// @dev A wallet with code of its own, or if the plan says so, a clone of a template that all networks share.
    function createMultisig(string memory plan, bytes32 salt) private returns (address) {
        address[] memory owners = vm.parseJsonAddressArray(plan, ".owners");
        uint256 threshold = number(plan, ".threshold", type(uint8).max);
        if (!vm.keyExistsJson(plan, ".clone") || !vm.parseJsonBool(plan, ".clone")) {
            return create(salt, "MultiSigWallet", abi.encode(owners, threshold));
        }
        address template = create(0, "WalletTemplate", "");
        return create(salt, "MultiSigClone", abi.encode(template, owners, threshold));
    }

    function aowArguments(string memory plan, address registry) private pure returns (bytes memory) {
        uint256 bond = number(plan, ".claims.bond", type(uint256).max);
        uint256 window = number(plan, ".claims.window", type(uint32).max);
        return abi.encode(registry, bond, window, number(plan, ".claims.gas_price", type(uint256).max));
    }

    function distributorArguments(string memory plan, Addresses memory all) private view returns (bytes memory) {
        uint256[] memory kinds = vm.parseJsonUintArray(plan, ".rewards.kinds");
        Terms memory terms;
        terms.firstHeight = uint64(number(plan, ".rewards.first_height", type(uint64).max));
        terms.predecessor = vm.parseJsonAddress(plan, ".rewards.predecessor");
        terms.kinds = new uint32[](kinds.length);
        for (uint256 i; i < kinds.length; ++i) {
            if (kinds[i] > type(uint32).max) revert TooLarge(".rewards.kinds", kinds[i]);
            terms.kinds[i] = uint32(kinds[i]);
        }
        terms.delay = uint64(number(plan, ".rewards.delay", type(uint64).max));
        terms.claimPeriod = uint64(number(plan, ".rewards.claim_period", type(uint64).max));
        terms.period = uint64(number(plan, ".rewards.period", type(uint64).max));
        terms.requesterCap = uint128(number(plan, ".rewards.requester_cap", type(uint128).max));
        terms.caps = capsOf(plan);
        return abi.encode(all.registry, all.aow, all.multisig, terms);
    }

    function vaultArguments(string memory plan, address distributor) private pure returns (bytes memory) {
        uint256 minimum = number(plan, ".vault.minimum", type(uint96).max);
        return abi.encode(distributor, vm.parseJsonAddress(plan, ".vault.token"), minimum);
    }

    function capsOf(string memory plan) private view returns (Allotment[] memory caps) {
        uint256 count;
        while (vm.keyExistsJson(plan, capKey(count))) ++count;
        caps = new Allotment[](count);
        for (uint256 i; i < count; ++i) {
            string memory key = capKey(i);
            caps[i].token = vm.parseJsonAddress(plan, string.concat(key, ".token"));
            caps[i].amount = uint128(number(plan, string.concat(key, ".amount"), type(uint128).max));
        }
    }

    function capKey(uint256 i) private pure returns (string memory) {
        return string.concat(".rewards.caps[", vm.toString(i), "]");
    }

    /// @dev A JSON number, or a string of a decimal or 0x number, which the constructor takes in a type of this maximum.
    function number(string memory plan, string memory key, uint256 max) private pure returns (uint256 value) {
        value = vm.parseJsonUint(plan, key);
        if (value > max) revert TooLarge(key, value);
    }
}
