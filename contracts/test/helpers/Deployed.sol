// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm, VmSafe} from "forge-std/Vm.sol";
import {AowChallenge} from "../../src/aow/AowChallenge.sol";
import {IOutcomes} from "../../src/interfaces/IOutcomes.sol";
import {IResultRegistry, RegistryTerms} from "../../src/interfaces/IResultRegistry.sol";
import {Terms} from "../../src/interfaces/IRewardDistributor.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {RewardDistributor} from "../../src/rewards/RewardDistributor.sol";
import {Vault} from "../../src/rewards/Vault.sol";
import {MultiSigWallet} from "../../src/wallet/MultiSigWallet.sol";

/// @dev The tests are compiled with the cheap settings of `foundry.toml`, and with them all that they import. A `new`
/// in a test would deploy that; these functions deploy the contracts as they are compiled for the chain.

Vm constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

function newWallet(address[] memory owners, uint8 threshold) returns (MultiSigWallet) {
    return MultiSigWallet(payable(deploy("MultiSigWallet", abi.encode(owners, threshold))));
}

/// @dev What clones run.
function newTemplate() returns (address) {
    return deploy("WalletTemplate", "");
}

function newClone(address template, address[] memory owners, uint8 threshold) returns (MultiSigWallet) {
    return MultiSigWallet(payable(deploy("MultiSigClone", abi.encode(template, owners, threshold))));
}

/// @dev Where nobody guards: the guardian is a contract that does nothing.
function newRegistry(bytes32 networkId, uint64 epoch, address[] memory validators) returns (ResultRegistry) {
    return newRegistry(networkId, epoch, validators, RegistryTerms(address(vm), address(0), 0));
}

function newRegistry(bytes32 networkId, uint64 epoch, address[] memory validators, RegistryTerms memory terms)
    returns (ResultRegistry)
{
    return ResultRegistry(deploy("ResultRegistry", abi.encode(networkId, epoch, validators, terms)));
}

function newAow(ResultRegistry registry, uint256 minimumBond, uint32 window, uint256 gasPrice) returns (AowChallenge) {
    return AowChallenge(deploy("AowChallenge", abi.encode(registry, minimumBond, window, gasPrice)));
}

function newDistributor(IResultRegistry registry, IOutcomes aow, address multisig, Terms memory terms)
    returns (RewardDistributor)
{
    return RewardDistributor(payable(deploy("RewardDistributor", abi.encode(registry, aow, multisig, terms))));
}

function newVault(address distributor, address token, uint96 minimum) returns (Vault) {
    return Vault(deploy("Vault", abi.encode(distributor, token, minimum)));
}

function newToken(address holder, uint256 amount) returns (IERC20) {
    return IERC20(deploy("Token", abi.encode(holder, amount)));
}

/// @dev What to give to `vm.getCode`. A coverage run has compiled everything anew and counts only its own code.
function artifactOf(string memory name) view returns (string memory) {
    if (vm.isContext(VmSafe.ForgeContext.Coverage)) return string.concat(name, ".sol:", name);
    return string.concat("contracts/out/", name, ".sol/", name, ".json");
}

function deploy(string memory name, bytes memory arguments) returns (address) {
    return vm.deployCode(artifactOf(name), arguments);
}
