// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Distribution, Header, Result} from "../../src/formats/Types.sol";
import {Locks} from "../../src/rewards/Locks.sol";
import {RewardsFixture} from "../helpers/RewardsFixture.sol";

/// @notice The second lock, on each way out. What the first one holds back is in the tests of each.
contract LocksTest is RewardsFixture {
    address private constant NATIVE = address(0);

    function setUp() public {
        deployRewards();
        vm.deal(address(distributor), 100 ether);
    }

    function test_RevertWhen_CallerIsNotTheMultisig() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(2);
        address[3] memory callers = [wallet.owners()[0], validators[0], PAYEE];
        for (uint256 i; i < 3; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, callers[i]));
            distributor.pay(header, results[0], proofs[0], solutionOf[results[0].id]);
        }
    }

    function test_RevertWhen_ManyAreNotPaidByTheMultisig() public {
        (Header memory header, Result[] memory results, bytes32[][] memory proofs) = finalizedMany(2);
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.payMany(header, results, proofs, solutionsOf(results));
    }

    function test_RevertWhen_NotScheduledByTheMultisig() public {
        Distribution memory distribution = single(1, PAYEE, NATIVE, 1 ether, 1 ether);
        certify(distribution);
        vm.expectRevert(abi.encodeWithSelector(Locks.OnlyMultisig.selector, address(this)));
        distributor.schedule(distribution);
    }
}
