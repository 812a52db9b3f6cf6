// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {Calls} from "../../src/wallet/Calls.sol";
import {Councils} from "../../src/wallet/Council.sol";
import {MultiSigWallet} from "../../src/wallet/MultiSigWallet.sol";
import {Owners} from "../../src/wallet/Owners.sol";
import {Signatures} from "../../src/wallet/Signatures.sol";
import {Wallet} from "../../src/wallet/Wallet.sol";
import {Signed, contractSignature, executionDigest} from "../helpers/Digests.sol";
import {Stubborn} from "../helpers/Mocks.sol";
import {WalletFixture} from "../helpers/WalletFixture.sol";
import {ContractOwner, Intruder} from "../helpers/WalletMocks.sol";

contract SignaturesTest is WalletFixture {
    uint256 private constant HALF_ORDER = ORDER / 2;

    // What works

    function test_AnybodySendsWhatEnoughOwnersSigned() public {
        bytes32 digest = digestOf(payment());
        vm.expectEmit(address(wallet));
        emit Calls.Executed(digest, RELAYER);
        send(payment(), signaturesOf(digest, 0, 3));
        assertEq(PAYEE.balance, 1 ether);
        assertEq(wallet.nonce(), 1);
    }

    function test_MoreSignaturesThanNeededAreFine() public {
        send(payment(), signaturesOf(digestOf(payment()), 0, 5));
        assertEq(PAYEE.balance, 1 ether);
    }

    function test_NonceGoesUpByOne() public {
        for (uint256 i; i < 3; ++i) {
            assertEq(wallet.nonce(), i);
            sign(payment());
        }
        assertEq(wallet.nonce(), 3);
        assertEq(PAYEE.balance, 3 ether);
    }

    /// @dev The wallet signs for contracts that ask it, as its owners decide, and for no other wallet, chain or purpose.
    function test_SignsMessagesByErc1271() public {
        bytes32 hash = keccak256("order of a market");
        bytes32 digest = messageDigest(hash);
        bytes memory three = signaturesOf(digest, 0, 3);
        assertEq(wallet.isValidSignature(hash, three), bytes4(0x1626ba7e));
        bytes memory two = signaturesOf(digest, 0, 2);
        vm.expectRevert(abi.encodeWithSelector(Owners.BelowThreshold.selector, 2, 3));
        wallet.isValidSignature(hash, two);
        bytes memory raw = signaturesOf(hash, 0, 3);
        vm.expectRevert();
        wallet.isValidSignature(hash, raw);
        vm.expectRevert();
        wallet.isValidSignature(keccak256("another order"), three);
        vm.chainId(4242);
        vm.expectRevert();
        wallet.isValidSignature(hash, three);
    }

    /// @dev Written out anew rather than taken from the contract under test.
    function messageDigest(bytes32 hash) private view returns (bytes32) {
        bytes32 typehash = keccak256("EIP712Domain(uint256 chainId,address verifyingContract)");
        bytes32 domain = keccak256(abi.encode(typehash, block.chainid, address(wallet)));
        bytes32 message = keccak256(abi.encode(keccak256("Message(bytes32 hash)"), hash));
        return keccak256(abi.encodePacked(hex"1901", domain, message));
    }

    /// @dev A wallet that owns a part of another one signs for it.
    function test_AWalletIsAnOwnerOfAWallet() public {
        address[] memory list = new address[](1);
        list[0] = address(wallet);
        MultiSigWallet parent = makeWallet(list, 1);
        vm.deal(address(parent), 1 ether);
        Signed memory call = payment();
        bytes32 digest = executionDigest(call, 0, address(parent), block.chainid);
        bytes memory inner = signaturesOf(messageDigest(digest), 1, 4);
        bytes memory signature = contractSignature(address(wallet), inner);
        parent.executeSignedTransaction(call.to, call.value, call.data, call.expiry, signature);
        assertEq(PAYEE.balance, 1 ether);
    }

    /// @dev What was signed and failed must not be made at any later time, without a call by signatures in between.
    function test_OwnersCanVoidWhatWasSigned() public {
        bytes memory signatures = signaturesOf(digestOf(payment()), 0, 3);
        pass(address(wallet), 0, abi.encodeCall(wallet.skipNonce, ()), SALT);
        assertEq(wallet.nonce(), 1);
        vm.prank(RELAYER);
        vm.expectRevert();
        wallet.executeSignedTransaction(PAYEE, 1 ether, "", 0, signatures);
        assertEq(PAYEE.balance, 0);
    }

    function test_RevertWhen_AnybodyElseSkipsTheNonce() public {
        vm.prank(owners[0]);
        vm.expectRevert(abi.encodeWithSelector(Owners.OnlyWallet.selector, owners[0]));
        wallet.skipNonce();
    }

    /// @dev The nonce never starts over, which would make every signature good again.
    function test_RevertWhen_NoncesHaveRunOut() public {
        uint256 council = uint256(vm.load(address(wallet), 0));
        vm.store(address(wallet), 0, bytes32(council | uint256(type(uint32).max - 1) << 216));
        sign(payment());
        assertEq(wallet.nonce(), type(uint32).max);
        bytes memory signatures = signaturesOf(digestOf(payment()), 0, 3);
        expectRefusal(abi.encodeWithSelector(Councils.NoncesUsedUp.selector), payment(), signatures);
    }

    function test_OwnersWhoJoinedLaterSignAmongTheFounders() public {
        address[] memory others = makeValidators(3);
        for (uint256 i; i < 3; ++i) {
            signSelf(abi.encodeCall(wallet.addOwner, (others[i], 3)));
        }
        signSelf(abi.encodeCall(wallet.removeOwner, (owners[1], 7)));
        address[] memory all = sorted(wallet.owners());
        bytes32 digest = digestOf(payment());
        bytes memory signatures;
        for (uint256 i; i < all.length; ++i) {
            signatures = bytes.concat(signatures, signatureOf(all[i], digest));
        }
        send(payment(), signatures);
        assertEq(PAYEE.balance, 1 ether);
    }

    function test_FailedCallLeavesTheNonce() public {
        Stubborn payee = new Stubborn();
        payee.setMood(Stubborn.Mood.Reverting);
        Signed memory call = Signed(address(payee), 1 ether, "", 0);
        bytes32 digest = digestOf(call);
        bytes memory signatures = signaturesOf(digest, 0, 3);
        bytes memory reason = abi.encodeWithSelector(Stubborn.NotToday.selector, 1 ether);
        expectRefusal(abi.encodeWithSelector(Calls.ExecutionFailed.selector, digest, reason), call, signatures);
        assertEq(wallet.nonce(), 0);

        payee.setMood(Stubborn.Mood.Willing);
        send(call, signatures);
        assertEq(address(payee).balance, 1 ether);
    }

    /// @dev Made by `cast wallet sign --data --from-file contracts/test/data/execution.json` with the keys 2, 3 and 1.
    function test_CastSignsTheSame() public {
        vm.chainId(1337);
        owners = new address[](3);
        (owners[0], owners[1], owners[2]) = (vm.addr(2), vm.addr(3), vm.addr(1));
        vm.startPrank(address(0xD0));
        wallet = makeWallet(owners, 3);
        vm.stopPrank();
        vm.deal(address(wallet), 1 ether);
        assertEq(address(wallet), 0xe61244BB1242d392fB53dF4979A62E955a9BC70d, "as in the file");
        bytes memory signatures = bytes.concat(
            hex"6b8056d3a7fc5fa049e6555a925f43806809ff309d9eda9bc94f1bf17210c0c5615547244a95d1a3e2c37a34efcae501801814f04fe543478df55510b7f6a3401b",
            hex"28651664b33450008ca63d356f1d2e924c925219e195f6e772a28050dd94df0907704c54383d89d89b335e614b747969c778d0e93cb403b03c10eb3e96ee2b9f1c",
            hex"90747356f8743cf78d88e918d3ba2ee2a2bdfd5b1b58f465c1d3516dedc32dd712888dfa89085561eed9992fbbfae216c55189c374748ea1b2f4dd53ff7e6af11b"
        );
        send(payment(), signatures);
        assertEq(PAYEE.balance, 1 ether);
    }

    // Threshold

    function test_RevertWhen_TooFewSign() public {
        bytes32 digest = digestOf(payment());
        for (uint256 have; have < 3; ++have) {
            bytes memory reason = abi.encodeWithSelector(Owners.BelowThreshold.selector, have, 3);
            expectRefusal(reason, payment(), signaturesOf(digest, 0, have));
        }
    }

    /// @dev Whoever signs: the call goes through exactly when at least the threshold of owners do.
    function testFuzz_ThresholdIsExact(uint8 n, uint8 k, uint256 who) public {
        n = uint8(bound(n, 1, 12));
        k = uint8(bound(k, 1, n));
        owners = makeOwners(n);
        wallet = makeWallet(owners, k);
        vm.deal(address(wallet), 1 ether);
        bytes32 digest = digestOf(payment());
        bytes memory signatures;
        uint256 have;
        for (uint256 i; i < n; ++i) {
            if ((who >> i) & 1 == 0) continue;
            signatures = bytes.concat(signatures, signatureOf(owners[i], digest));
            ++have;
        }
        if (have < k) {
            expectRefusal(abi.encodeWithSelector(Owners.BelowThreshold.selector, have, k), payment(), signatures);
        } else {
            send(payment(), signatures);
            assertEq(PAYEE.balance, 1 ether);
        }
    }

    // Who signs

    function test_RevertWhen_AStrangerSigns() public {
        (address stranger, uint256 key) = makeAddrAndKey("stranger");
        keyOf[stranger] = key;
        address[] memory signers = new address[](4);
        for (uint256 i; i < 3; ++i) {
            signers[i] = owners[i];
        }
        signers[3] = stranger;
        signers = sorted(signers);
        bytes memory signatures;
        for (uint256 i; i < 4; ++i) {
            signatures = bytes.concat(signatures, signatureOf(signers[i], digestOf(payment())));
        }
        expectRefusal(abi.encodeWithSelector(Owners.NotOwner.selector, stranger), payment(), signatures);
    }

    function test_RevertWhen_ARemovedOwnerSigns() public {
        signSelf(abi.encodeCall(wallet.removeOwner, (owners[1], 3)));
        bytes memory reason = abi.encodeWithSelector(Owners.NotOwner.selector, owners[1]);
        expectRefusal(reason, payment(), signaturesOf(digestOf(payment()), 0, 4));
        signSelf2(abi.encodeCall(wallet.addOwner, (owners[1], 3)));
        sign(payment());
        assertEq(PAYEE.balance, 1 ether);
    }

    function test_RevertWhen_AnOwnerSignsTwice() public {
        bytes32 digest = digestOf(payment());
        bytes memory twice = bytes.concat(signaturesOf(digest, 0, 2), signatureOf(owners[1], digest));
        expectNotAscending(owners[1], owners[1], twice);
    }

    /// @dev The other s of the same signature recovers to the same owner, if v is turned too.
    function test_RevertWhen_AnOwnerSignsTwiceWithTheOtherS() public {
        bytes32 digest = digestOf(payment());
        bytes memory signatures = bytes.concat(signaturesOf(digest, 0, 2), highS(owners[1], digest));
        expectInvalid(130, signatures);
    }

    function test_RevertWhen_SignaturesAreNotInOrder() public {
        bytes32 digest = digestOf(payment());
        bytes memory signatures = bytes.concat(signaturesOf(digest, 1, 3), signatureOf(owners[0], digest));
        expectNotAscending(owners[2], owners[0], signatures);
    }

    // Which signatures

    function test_RevertWhen_SIsHigh() public {
        bytes32 digest = digestOf(payment());
        expectInvalid(0, bytes.concat(highS(owners[0], digest), signaturesOf(digest, 1, 3)));
        expectInvalid(130, bytes.concat(signaturesOf(digest, 0, 2), highS(owners[2], digest)));
    }

    /// @dev The border itself: half the order is the last s that is looked at, the next one is not.
    function test_SIsHighAboveHalfTheOrder() public {
        bytes32 r = bytes32(uint256(0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798));
        bytes32 digest = digestOf(payment());
        address signer = ecrecover(digest, 27, r, bytes32(HALF_ORDER));
        bytes memory reason = abi.encodeWithSelector(Owners.NotOwner.selector, signer);
        expectRefusal(reason, payment(), abi.encodePacked(r, HALF_ORDER, uint8(27)));
        assertNotEq(ecrecover(digest, 27, r, bytes32(HALF_ORDER + 1)), address(0));
        expectInvalid(0, abi.encodePacked(r, HALF_ORDER + 1, uint8(27)));
    }

    function test_RevertWhen_NobodyIsRecovered() public {
        bytes32 digest = digestOf(payment());
        expectInvalid(195, bytes.concat(signaturesOf(digest, 0, 3), new bytes(64), hex"1b"));
        (, bytes32 r, bytes32 s) = vm.sign(keyOf[owners[0]], digest);
        uint8[4] memory wrong = [1, 26, 29, 255];
        for (uint256 i; i < 4; ++i) {
            expectInvalid(0, bytes.concat(abi.encodePacked(r, s, wrong[i]), signaturesOf(digest, 1, 4)));
        }
    }

    function test_RevertWhen_SignaturesAreCutShort() public {
        bytes memory signatures = signaturesOf(digestOf(payment()), 0, 3);
        for (uint256 size = 131; size < 195; ++size) {
            expectInvalid(130, cut(signatures, size));
        }
        expectInvalid(195, bytes.concat(signatures, hex"00"));
    }

    /// @dev The bytes are there, but the length says that they are not part of the signatures.
    function test_RevertWhen_SignaturesEndBeforeTheirBytes() public {
        bytes memory signatures = signaturesOf(digestOf(payment()), 0, 3);
        bytes memory data = abi.encodeCall(wallet.executeSignedTransaction, (PAYEE, 1 ether, "", uint64(0), signatures));
        // The length of the signatures stands before the seven words that they fill.
        assembly ("memory-safe") {
            mstore(add(data, sub(mload(data), 0xe0)), 194)
        }
        (bool ok, bytes memory reason) = address(wallet).call(data);
        assertFalse(ok);
        assertEq(reason, abi.encodeWithSelector(Signatures.InvalidSignature.selector, 130));
    }

    /// @dev Whatever is sent in place of signatures, nothing but the signatures themselves is taken.
    function testFuzz_NothingElsePasses(bytes memory signatures, uint256 where, uint8 what) public {
        vm.expectRevert();
        send(payment(), signatures);

        signatures = signaturesOf(digestOf(payment()), 0, 3);
        where = bound(where, 0, 194);
        vm.assume(uint8(signatures[where]) != what);
        signatures[where] = bytes1(what);
        vm.expectRevert();
        send(payment(), signatures);
    }

    // What is signed

    function test_RevertWhen_AnythingElseWasSigned() public {
        Signed memory call = payment();
        uint256 chain = block.chainid;
        refuseDigest(executionDigest(call, 0, address(wallet), chain + 1));
        refuseDigest(executionDigest(call, 0, address(this), chain));
        refuseDigest(executionDigest(call, 1, address(wallet), chain));
        refuseDigest(executionDigest(Signed(RELAYER, 1 ether, "", 0), 0, address(wallet), chain));
        refuseDigest(executionDigest(Signed(PAYEE, 2 ether, "", 0), 0, address(wallet), chain));
        refuseDigest(executionDigest(Signed(PAYEE, 1 ether, hex"00", 0), 0, address(wallet), chain));
        refuseDigest(executionDigest(Signed(PAYEE, 1 ether, "", type(uint64).max), 0, address(wallet), chain));
    }

    /// @dev The id of a proposal is a hash of another type, even if it says all the same.
    function test_RevertWhen_AProposalWasSigned() public {
        refuseDigest(wallet.hashTransaction(PAYEE, 1 ether, "", 0, 0));
    }

    function test_RevertWhen_SignedForAnotherWallet() public {
        MultiSigWallet other = makeWallet(owners, 3);
        vm.deal(address(other), 1 ether);
        bytes memory signatures = signaturesOf(digestOf(payment()), 0, 3);
        vm.expectRevert();
        other.executeSignedTransaction(PAYEE, 1 ether, "", 0, signatures);
        send(payment(), signatures);
    }

    function test_RevertWhen_TheChainSplit() public {
        bytes memory signatures = signaturesOf(digestOf(payment()), 0, 3);
        uint256 chain = 31337;
        vm.chainId(chain + 1);
        vm.expectRevert();
        send(payment(), signatures);
        vm.chainId(chain);
        send(payment(), signatures);
    }

    function test_RevertWhen_SentTwice() public {
        bytes memory signatures = signaturesOf(digestOf(payment()), 0, 3);
        send(payment(), signatures);
        vm.expectRevert();
        send(payment(), signatures);
        assertEq(PAYEE.balance, 1 ether);
    }

    /// @dev One call agreed on in both ways is two agreements; but neither makes it twice.
    function test_ProposalsAndSignaturesAreApart() public {
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(PAYEE, 1 ether, "", 0, 0);
        assertNotEq(id, digestOf(payment()));
        sign(payment());
        vm.prank(owners[1]);
        vm.expectRevert(abi.encodeWithSelector(Owners.BelowThreshold.selector, 2, 3));
        wallet.executeTransaction(PAYEE, 1 ether, "", 0, 0);
    }

    function test_RevertWhen_Expired() public {
        Signed memory call = Signed(PAYEE, 1 ether, "", uint64(block.timestamp));
        bytes memory signatures = signaturesOf(digestOf(call), 0, 3);
        vm.warp(call.expiry + 1);
        expectRefusal(abi.encodeWithSelector(Wallet.Expired.selector, call.expiry), call, signatures);
        vm.warp(call.expiry);
        send(call, signatures);
        assertEq(PAYEE.balance, 1 ether);
    }

    // Contracts as owners

    function test_ContractsSign() public {
        ContractOwner owner = addContract();
        bytes32 digest = digestOf(payment());
        owner.approve(digest, "whatever it checks, of any length that it likes");
        send(payment(), signedWith(owner, digest, "whatever it checks, of any length that it likes"));
        owner.approve(digestOf(payment()), "");
        send(payment(), signedWith(owner, digestOf(payment()), ""));
        assertEq(PAYEE.balance, 2 ether);
    }

    function testFuzz_ContractsSignWithAnyBytes(bytes calldata signature) public {
        ContractOwner owner = addContract();
        bytes32 digest = digestOf(payment());
        owner.approve(digest, signature);
        send(payment(), signedWith(owner, digest, signature));
        assertEq(PAYEE.balance, 1 ether);
    }

    function test_RevertWhen_AContractDoesNotSign() public {
        ContractOwner owner = addContract();
        bytes32 digest = digestOf(payment());
        owner.approve(digest, "yes");
        expectContractRefused(owner, digest, "no");
        for (uint256 mood = 1; mood <= uint256(ContractOwner.Mood.Burning); ++mood) {
            owner.setMood(ContractOwner.Mood(mood));
            expectContractRefused(owner, digest, "yes");
        }
        owner.setMood(ContractOwner.Mood.Honest);
        owner.approve(keccak256("another hash"), "yes");
        expectContractRefused(owner, digest, "yes");
        owner.approve(digest, "yes");
        send(payment(), signedWith(owner, digest, "yes"));
    }

    /// @dev As the first signer it is asked while scratch memory is zero still, so that a short answer looks like a full one.
    function test_RevertWhen_TheFirstSignersAnswerIsShort() public {
        ContractOwner owner = ContractOwner(address(0x10000));
        vm.etch(address(owner), address(new ContractOwner()).code);
        signSelf(abi.encodeCall(wallet.addOwner, (address(owner), 3)));
        bytes32 digest = digestOf(payment());
        owner.approve(digest, "");
        bytes memory signatures = bytes.concat(contractSignature(address(owner), ""), signaturesOf(digest, 0, 2));
        owner.setMood(ContractOwner.Mood.Short);
        expectInvalid(0, signatures);
        owner.setMood(ContractOwner.Mood.Honest);
        send(payment(), signatures);
    }

    function test_RevertWhen_AStrangeContractSigns() public {
        ContractOwner stranger = new ContractOwner();
        bytes32 digest = digestOf(payment());
        stranger.approve(digest, "");
        bytes memory signature = contractSignature(address(stranger), "");
        bytes memory reason = abi.encodeWithSelector(Owners.NotOwner.selector, stranger);
        expectRefusal(reason, payment(), signature);
    }

    /// @dev An account without code answers nothing, which is not a yes.
    function test_RevertWhen_AnAccountSignsAsAContract() public {
        bytes32 digest = digestOf(payment());
        expectInvalid(0, bytes.concat(contractSignature(owners[0], ""), signaturesOf(digest, 1, 3)));
        expectInvalid(0, bytes.concat(contractSignature(address(0), ""), signaturesOf(digest, 0, 3)));
    }

    function test_RevertWhen_AContractSignsTwice() public {
        ContractOwner owner = addContract();
        bytes32 digest = digestOf(payment());
        owner.approve(digest, "");
        bytes memory one = contractSignature(address(owner), "");
        expectNotAscending(address(owner), address(owner), bytes.concat(one, one, one));
    }

    function test_RevertWhen_AContractsSignatureIsCutShort() public {
        ContractOwner owner = addContract();
        bytes32 digest = digestOf(payment());
        owner.approve(digest, "");
        uint256[5] memory lengths = [uint256(1), 2 ** 64, type(uint128).max, type(uint256).max, type(uint256).max - 64];
        for (uint256 i; i < 5; ++i) {
            expectInvalid(0, abi.encodePacked(uint256(uint160(address(owner))), lengths[i], uint8(0)));
        }
    }

    /// @dev It is asked by a static call, in which it can do nothing but answer.
    function test_ContractCannotComeBackWhileItIsAsked() public {
        ContractOwner owner = addContract();
        bytes32 digest = digestOf(payment());
        bytes memory inner = signaturesOf(digest, 0, 3);
        owner.approve(digest, "");
        owner.prepare(
            address(wallet), abi.encodeCall(wallet.executeSignedTransaction, (PAYEE, 1 ether, "", uint64(0), inner))
        );
        expectContractRefused(owner, digest, "");
        assertEq(wallet.nonce(), 1);
        assertEq(PAYEE.balance, 0);
    }

    // Targets that come back

    /// @dev The same signatures are used up; those for the next nonce are as good as if sent afterwards.
    function test_PayeeComesBackWithSignatures() public {
        Intruder payee = new Intruder();
        Signed memory call = Signed(address(payee), 1 ether, "", 0);
        bytes memory signatures = signaturesOf(digestOf(call), 0, 3);
        bytes memory next = signaturesOf(executionDigest(call, 1, address(wallet), block.chainid), 0, 3);
        payee.prepare(
            address(wallet),
            abi.encodeCall(wallet.executeSignedTransaction, (address(payee), 1 ether, "", uint64(0), signatures)),
            abi.encodeCall(wallet.executeSignedTransaction, (address(payee), 1 ether, "", uint64(0), next))
        );
        send(call, signatures);
        assertFalse(payee.succeeded(0));
        assertTrue(payee.succeeded(1));
        assertEq(wallet.nonce(), 2);
        assertEq(address(payee).balance, 2 ether);
    }

    /// @dev As an owner, it confirms another proposal or executes it only if enough others agree.
    function test_PayeeComesBackAsAnOwner() public {
        Intruder payee = new Intruder();
        signSelf(abi.encodeCall(wallet.addOwner, (address(payee), 3)));
        vm.prank(owners[0]);
        bytes32 id = wallet.proposeTransaction(PAYEE, 1 ether, "", 0, SALT);
        payee.prepare(
            address(wallet),
            abi.encodeCall(wallet.confirmTransaction, (id)),
            abi.encodeCall(wallet.executeTransaction, (PAYEE, 1 ether, "", uint64(0), SALT))
        );
        sign(Signed(address(payee), 1 ether, "", 0));
        assertTrue(payee.succeeded(0));
        assertFalse(payee.succeeded(1));
        assertEq(payee.answers(1), abi.encodeWithSelector(Owners.BelowThreshold.selector, 2, 3));
        assertEq(PAYEE.balance, 0);
    }

    // Helpers

    /// @dev A contract in place of the last owner. Its address is not among the lowest two.
    function addContract() private returns (ContractOwner owner) {
        owner = ContractOwner(address(type(uint160).max));
        vm.etch(address(owner), address(new ContractOwner()).code);
        signSelf(abi.encodeCall(wallet.addOwner, (address(owner), 3)));
    }

    /// @dev By two founders and the contract.
    function signedWith(ContractOwner owner, bytes32 digest, bytes memory signature)
        private
        view
        returns (bytes memory)
    {
        return bytes.concat(signaturesOf(digest, 0, 2), contractSignature(address(owner), signature));
    }

    function expectContractRefused(ContractOwner owner, bytes32 digest, bytes memory signature) private {
        expectInvalid(130, signedWith(owner, digest, signature));
    }

    /// @dev By three owners of whom owner 1 is none.
    function signSelf2(bytes memory data) private {
        Signed memory call = Signed(address(wallet), 0, data, 0);
        bytes32 digest = digestOf(call);
        send(call, bytes.concat(signatureOf(owners[0], digest), signaturesOf(digest, 2, 4)));
    }

    /// @dev What three owners signed, if it is not what is sent, recovers to three others or to nobody.
    function refuseDigest(bytes32 digest) private {
        bytes memory signatures = signaturesOf(digest, 0, 3);
        vm.expectRevert();
        send(payment(), signatures);
        assertEq(wallet.nonce(), 0);
    }

    function highS(address owner, bytes32 digest) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[owner], digest);
        return abi.encodePacked(r, ORDER - uint256(s), v == 27 ? uint8(28) : uint8(27));
    }

    function cut(bytes memory data, uint256 size) private pure returns (bytes memory short) {
        short = new bytes(size);
        for (uint256 i; i < size; ++i) {
            short[i] = data[i];
        }
    }

    function sorted(address[] memory list) private pure returns (address[] memory) {
        for (uint256 i = 1; i < list.length; ++i) {
            for (uint256 j = i; j > 0 && list[j - 1] > list[j]; --j) {
                (list[j], list[j - 1]) = (list[j - 1], list[j]);
            }
        }
        return list;
    }

    function expectInvalid(uint256 position, bytes memory signatures) private {
        expectRefusal(abi.encodeWithSelector(Signatures.InvalidSignature.selector, position), payment(), signatures);
    }

    function expectNotAscending(address signer, address next, bytes memory signatures) private {
        bytes memory reason = abi.encodeWithSelector(Signatures.SignersNotAscending.selector, signer, next);
        expectRefusal(reason, payment(), signatures);
    }

    function expectRefusal(bytes memory reason, Signed memory call, bytes memory signatures) private {
        vm.prank(RELAYER);
        vm.expectRevert(reason);
        wallet.executeSignedTransaction(call.to, call.value, call.data, call.expiry, signatures);
    }
}
