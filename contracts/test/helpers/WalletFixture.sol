// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Status} from "../../src/interfaces/IMultiSigWallet.sol";
import {MultiSigWallet} from "../../src/wallet/MultiSigWallet.sol";
import {newClone, newTemplate, newWallet} from "./Deployed.sol";
import {Signed, executionDigest} from "./Digests.sol";
import {Fixture} from "./Fixture.sol";

/// @notice A 3-of-5 wallet with funds, and what it takes to sign for it.
abstract contract WalletFixture is Fixture {
    address internal constant PAYEE = address(0xCAFE);
    address internal constant RELAYER = address(0x9E1A);
    bytes32 internal constant SALT = keccak256("salt");

    MultiSigWallet internal wallet;
    address[] internal owners;
    /// @dev Whether wallets are clones. Every test of a wallet runs with both forms: see MultiSigClone.t.sol.
    bool internal cloned;
    address internal template;

    function setUp() public virtual {
        vm.warp(1_700_000_000);
        owners = makeOwners(5);
        if (cloned) template = newTemplate();
        wallet = makeWallet(owners, 3);
        vm.deal(address(wallet), 100 ether);
    }

    function makeWallet(address[] memory set, uint8 k) internal returns (MultiSigWallet) {
        return cloned ? newClone(template, set, k) : newWallet(set, k);
    }

    function digestOf(Signed memory call) internal view returns (bytes32) {
        return executionDigest(call, wallet.nonce(), address(wallet), block.chainid);
    }

    /// @dev The signatures of the owners from one index up to another, which are in ascending order as owners are.
    function signaturesOf(bytes32 digest, uint256 from, uint256 to) internal view returns (bytes memory signatures) {
        for (; from < to; ++from) {
            signatures = bytes.concat(signatures, signatureOf(owners[from], digest));
        }
    }

    function send(Signed memory call, bytes memory signatures) internal {
        vm.prank(RELAYER);
        wallet.executeSignedTransaction(call.to, call.value, call.data, call.expiry, signatures);
    }

    /// @dev One ether for the payee.
    function payment() internal pure returns (Signed memory) {
        return Signed(PAYEE, 1 ether, "", 0);
    }

    /// @dev A call that the wallet makes to itself, or any other, signed by the first three owners and sent.
    function sign(Signed memory call) internal {
        send(call, signaturesOf(digestOf(call), 0, 3));
    }

    function signSelf(bytes memory data) internal {
        sign(Signed(address(wallet), 0, data, 0));
    }

    function confirmBy(bytes32 id, uint256 owner) internal {
        vm.prank(owners[owner]);
        wallet.confirmTransaction(id);
    }

    /// @dev A call, proposed and confirmed by owners 0, 1 and 2.
    function approve(address to, uint256 value, bytes memory data, bytes32 salt) internal returns (bytes32 id) {
        vm.prank(owners[0]);
        id = wallet.proposeTransaction(to, value, data, 0, salt);
        confirmBy(id, 1);
        confirmBy(id, 2);
    }

    function pass(address to, uint256 value, bytes memory data, bytes32 salt) internal {
        approve(to, value, data, salt);
        vm.prank(owners[0]);
        wallet.executeTransaction(to, value, data, 0, salt);
    }

    function expectState(bytes32 id, Status status, uint256 confirmations) internal view {
        (Status status_,,, address[] memory confirmations_) = wallet.getTransaction(id);
        assertEq(uint8(status_), uint8(status));
        assertEq(confirmations_.length, confirmations);
    }
}
