// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Allotment} from "../../src/formats/Types.sol";
import {IOutcomes} from "../../src/interfaces/IOutcomes.sol";
import {ResultRegistry} from "../../src/registry/ResultRegistry.sol";
import {Locks} from "../../src/rewards/Locks.sol";
import {Results} from "../../src/rewards/Results.sol";
import {newDistributor} from "../helpers/Deployed.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

contract RewardDistributorTest is RewardsFixture {
    address private constant NATIVE = address(0);

    function setUp() public {
        deployRewards();
    }

    function test_KnowsItsLocks() public view {
        assertEq(address(distributor.registry()), address(registry));
        assertEq(address(distributor.aow()), address(outcomes));
        assertEq(distributor.multisig(), address(wallet));
    }

    function test_RevertWhen_ALockIsNoContract() public {
        Allotment[] memory none = new Allotment[](0);
        vm.expectRevert(abi.encodeWithSelector(Locks.NoCode.selector, address(0)));
        deployDistributor(ResultRegistry(address(0)), address(outcomes), address(wallet), 1, none);
        vm.expectRevert(abi.encodeWithSelector(Locks.NoCode.selector, PAYEE));
        deployDistributor(registry, address(outcomes), PAYEE, new address[](0));
        vm.expectRevert(abi.encodeWithSelector(Locks.NoCode.selector, accountAt(1)));
        deployDistributor(registry, accountAt(1), address(wallet), new address[](0));
    }

    /// @dev Races, rounds and batches are not taken on the validators' word.
    function test_RevertWhen_AKindIsNotCustom() public {
        uint32[3] memory reserved = [0, KIND_RACE, uint32(type(int32).max)];
        for (uint256 i; i < 3; ++i) {
            uint32[] memory kinds = new uint32[](2);
            (kinds[0], kinds[1]) = (KIND_CUSTOM, reserved[i]);
            vm.expectRevert(abi.encodeWithSelector(Results.ReservedKind.selector, reserved[i]));
            newDistributor(registry, IOutcomes(address(outcomes)), 1, kinds, address(wallet), 1, 1, new Allotment[](0));
        }
    }

    function test_KnowsItsTerms() public view {
        assertEq(distributor.firstHeight(), FIRST_HEIGHT);
        assertTrue(distributor.takesKind(KIND_CUSTOM));
        assertFalse(distributor.takesKind(KIND_CUSTOM + 1));
        assertEq(distributor.delay(), DELAY);
        assertEq(distributor.claimPeriod(), CLAIM_PERIOD);
        assertEq(distributor.capOf(NATIVE), CAP);
        assertEq(distributor.capOf(address(tokens[1])), CAP);
        assertEq(distributor.capOf(PAYEE), 0);
    }
}
