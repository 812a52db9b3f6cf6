// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Allotment} from "../../src/formats/Types.sol";
import {IOutcomes} from "../../src/interfaces/IOutcomes.sol";
import {IResultRegistry} from "../../src/interfaces/IResultRegistry.sol";
import {Locks} from "../../src/rewards/Locks.sol";
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
        newDistributor(
            IResultRegistry(address(0)), IOutcomes(address(outcomes)), address(wallet), DELAY, CLAIM_PERIOD, none
        );
        vm.expectRevert(abi.encodeWithSelector(Locks.NoCode.selector, PAYEE));
        deployDistributor(registry, address(outcomes), PAYEE, new address[](0));
        vm.expectRevert(abi.encodeWithSelector(Locks.NoCode.selector, accountAt(1)));
        deployDistributor(registry, accountAt(1), address(wallet), new address[](0));
    }

    function test_KnowsItsTerms() public view {
        assertEq(distributor.delay(), DELAY);
        assertEq(distributor.claimPeriod(), CLAIM_PERIOD);
        assertEq(distributor.capOf(NATIVE), CAP);
        assertEq(distributor.capOf(address(tokens[1])), CAP);
        assertEq(distributor.capOf(PAYEE), 0);
    }
}
