// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Test} from "forge-std/Test.sol";
import {Addresses, Deploy} from "../../script/Deploy.s.sol";
import {AowChallenge} from "../../src/aow/AowChallenge.sol";
import {Allotment} from "../../src/formats/Types.sol";
import {RegistryTerms} from "../../src/interfaces/IResultRegistry.sol";
import {Terms} from "../../src/interfaces/IRewardDistributor.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {RewardDistributor} from "../../src/rewards/RewardDistributor.sol";
import {Vault} from "../../src/rewards/Vault.sol";
import {MultiSigWallet} from "../../src/wallet/MultiSigWallet.sol";
import {artifactOf} from "../helpers/Deployed.sol";

/// @notice The script with the code of this build, which may be ahead of contracts/artifacts.
contract DeployOfBuild is Deploy {
    function creationCode(string memory name) public view override returns (bytes memory) {
        return vm.getCode(artifactOf(name));
    }
}

contract DeployTest is Test {
    string private constant PLAN = "contracts/test/data/plan.json";
    bytes32 private constant NETWORK = "network id and salt of the plan!";
    address private constant TOKEN = 0x3000000000000000000000000000000000000001;

    Deploy private script;

    function setUp() public {
        script = new DeployOfBuild();
    }

    function test_DeploysWhatThePlanSays() public {
        Addresses memory all = script.deploy(vm.readFile(PLAN));
        ResultRegistry registry = ResultRegistry(all.registry);
        assertEq(registry.networkId(), NETWORK);
        assertEq(registry.epoch(), 7);
        assertEq(registry.validators(), validators());

        MultiSigWallet wallet = MultiSigWallet(payable(all.multisig));
        assertEq(wallet.owners(), owners());
        assertEq(wallet.threshold(), 2);

        AowChallenge aow = AowChallenge(all.aow);
        assertEq(address(aow.registry()), all.registry);
        assertEq(aow.minimumBond(), 0.01 ether);
        assertEq(aow.window(), 1 hours);
        assertEq(aow.gasPrice(), 1 gwei);
        assertEq(registry.guardian(), all.multisig);
        assertEq(registry.stakeRequired(), 0);
        assertTrue(registry.isOpen());

        RewardDistributor distributor = RewardDistributor(payable(all.distributor));
        assertEq(address(distributor.registry()), all.registry);
        assertEq(address(distributor.aow()), all.aow);
        assertEq(distributor.multisig(), all.multisig);
        assertEq(distributor.firstHeight(), 70_001);
        assertTrue(distributor.takesKind(0x80000007));
        assertTrue(distributor.takesKind(0xfedcba98));
        assertEq(distributor.delay(), 2 days);
        assertEq(distributor.claimPeriod(), 365 days);
        assertEq(distributor.period(), 1 days);
        assertEq(distributor.requesterCap(), 25 ether);
        assertEq(distributor.capOf(address(0)), 100 ether);
        assertEq(distributor.capOf(TOKEN), type(uint128).max);

        Vault vault = Vault(all.vault);
        assertEq(vault.distributor(), all.distributor);
        assertEq(vault.token(), address(0));
        assertEq(vault.minimum(), 0.001 ether);
    }

    /// @dev A network whose ledger has no money needs none.
    function test_DeploysNoVaultIfThePlanHasNone() public {
        string memory plan = vm.readFile(PLAN);
        Addresses memory with = script.deploy(plan);
        Addresses memory without = script.deploy(vm.replace(plan, '"vault"', '"other"'));
        assertEq(without.vault, address(0));
        assertEq(without.distributor, with.distributor);
    }

    /// @dev What takes over from another distributor shares its registry, its contract for claims and its wallet of now.
    function test_DeploysADistributorAloneIfThePlanSaysSo() public {
        string memory plan = vm.readFile(PLAN);
        Addresses memory first = script.deploy(plan);
        string memory heir = vm.toString(makeAddr("heir"));
        vm.etch(makeAddr("heir"), hex"00");
        string memory there = string.concat('"existing": {"registry": "', vm.toString(first.registry), '", "aow": "');
        there = string.concat(there, vm.toString(first.aow), '", "multisig": "', heir, '"}, "threshold": 2,');
        Addresses memory next = script.deploy(vm.replace(plan, '"threshold": 2,', there));
        assertEq(next.registry, first.registry);
        assertEq(next.aow, first.aow);
        assertEq(next.multisig, makeAddr("heir"));
        assertEq(RewardDistributor(payable(next.distributor)).multisig(), makeAddr("heir"));
        assertEq(Vault(next.vault).distributor(), next.distributor);
        assertNotEq(next.vault, first.vault);
    }

    function test_AddressesAreThoseOfTheBuild() public {
        expectAddresses(script);
    }

    /// @dev These are the addresses that the command line gives to the same plan, as it embeds the artifacts.
    function test_AddressesAreThoseOfTheArtifacts() public {
        script = new Deploy();
        expectAddresses(script);
    }

    function test_ReadsThePlanThatTheEnvironmentNames() public {
        vm.setEnv("PLAN", PLAN);
        assertEq(abi.encode(script.run()), abi.encode(script.deploy(vm.readFile(PLAN))));
    }

    /// @dev The template is at the same address for every network, and deployed once.
    function test_DeploysACloneIfThePlanSaysSo() public {
        string memory plan = vm.replace(vm.readFile(PLAN), '"threshold": 2,', '"threshold": 2, "clone": true,');
        MultiSigWallet wallet = MultiSigWallet(payable(script.deploy(plan).multisig));
        assertEq(wallet.owners(), owners());
        assertEq(wallet.threshold(), 2);
        address template = vm.computeCreate2Address(0, keccak256(script.creationCode("WalletTemplate")), script.PROXY());
        bytes memory arguments = abi.encode(template, owners(), uint8(2));
        assertEq(address(wallet), addressOf(script, "MultiSigClone", arguments));
        assertEq(address(wallet).code.length, 45 + 3 * 20);

        plan = vm.replace(plan, '"clone": true,', '"clone": false,');
        assertEq(script.deploy(plan).multisig, script.deploy(vm.readFile(PLAN)).multisig);
    }

    function test_LeavesAloneWhatIsThere() public {
        string memory plan = vm.readFile(PLAN);
        Addresses memory first = script.deploy(plan);
        uint256 nonce = vm.getNonce(tx.origin);
        assertEq(abi.encode(script.deploy(plan)), abi.encode(first));
        assertEq(vm.getNonce(tx.origin), nonce);
    }

    function test_AddsWhatIsMissing() public {
        string memory plan = vm.readFile(PLAN);
        Addresses memory first = script.deploy(plan);
        vm.etch(first.aow, "");
        vm.resetNonce(first.aow);
        assertEq(abi.encode(script.deploy(plan)), abi.encode(first));
        assertGt(first.aow.code.length, 0);
    }

    function test_RevertWhen_ThePlanIsForAnotherChain() public {
        string memory plan = vm.readFile(PLAN);
        vm.chainId(97);
        vm.expectRevert(abi.encodeWithSelector(Deploy.WrongChain.selector, 97, 31337));
        script.deploy(plan);
    }

    function test_RevertWhen_TheChainHasNoProxy() public {
        string memory plan = vm.readFile(PLAN);
        vm.etch(script.PROXY(), "");
        vm.expectRevert(abi.encodeWithSelector(Deploy.NoProxy.selector, script.PROXY()));
        script.deploy(plan);
    }

    function test_RevertWhen_AConstructorRefuses() public {
        string memory plan = vm.replace(vm.readFile(PLAN), "\"threshold\": 2", "\"threshold\": 4");
        vm.expectPartialRevert(Deploy.NotDeployed.selector);
        script.deploy(plan);
    }

    /// @dev The ABI would take the lowest bits, or the contract's decoder would refuse without a word.
    function test_RevertWhen_ANumberDoesNotFit() public {
        string memory plan = vm.replace(vm.readFile(PLAN), "\"threshold\": 2", "\"threshold\": 258");
        vm.expectRevert(abi.encodeWithSelector(Deploy.TooLarge.selector, ".threshold", 258));
        script.deploy(plan);
    }

    function expectAddresses(Deploy of_) private {
        Addresses memory all = of_.deploy(vm.readFile(PLAN));
        RegistryTerms memory guarded = RegistryTerms(all.multisig, address(0), 0);
        bytes memory arguments = abi.encode(NETWORK, uint64(7), validators(), guarded);
        assertEq(all.registry, addressOf(of_, "ResultRegistry", arguments));
        arguments = abi.encode(owners(), uint8(2));
        assertEq(all.multisig, addressOf(of_, "MultiSigWallet", arguments));
        arguments = abi.encode(all.registry, 0.01 ether, uint32(1 hours), 1 gwei);
        assertEq(all.aow, addressOf(of_, "AowChallenge", arguments));

        Allotment[] memory caps = new Allotment[](2);
        caps[0] = Allotment(address(0), 100 ether);
        caps[1] = Allotment(TOKEN, type(uint128).max);
        Terms memory terms;
        (terms.firstHeight, terms.kinds) = (70_001, new uint32[](2));
        (terms.kinds[0], terms.kinds[1]) = (0x80000007, 0xfedcba98);
        (terms.delay, terms.claimPeriod, terms.period) = (2 days, 365 days, 1 days);
        (terms.requesterCap, terms.caps) = (25 ether, caps);
        arguments = abi.encode(all.registry, all.aow, all.multisig, terms);
        assertEq(all.distributor, addressOf(of_, "RewardDistributor", arguments));
        arguments = abi.encode(all.distributor, address(0), 0.001 ether);
        assertEq(all.vault, addressOf(of_, "Vault", arguments));
    }

    function addressOf(Deploy of_, string memory name, bytes memory arguments) private view returns (address) {
        bytes32 codeHash = keccak256(bytes.concat(of_.creationCode(name), arguments));
        return vm.computeCreate2Address(NETWORK, codeHash, 0x4e59b44847b379578588920cA78FbF26c0B4956C);
    }

    function validators() private pure returns (address[] memory) {
        return range(0x1000000000000000000000000000000000000001, 4);
    }

    function owners() private pure returns (address[] memory) {
        return range(0x2000000000000000000000000000000000000001, 3);
    }

    function range(address first, uint160 n) private pure returns (address[] memory list) {
        list = new address[](n);
        for (uint160 i; i < n; ++i) {
            list[i] = address(uint160(first) + i);
        }
    }
}
