// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {console} from "forge-std/console.sol";
import {Test} from "forge-std/Test.sol";
import {IMultiSigWallet, Status} from "../../src/interfaces/IMultiSigWallet.sol";
import {MultiSigWallet} from "../../src/wallet/MultiSigWallet.sol";
import {newClone, newTemplate, newWallet} from "../helpers/Deployed.sol";
import {Signed, contractSignature, executionDigest, proposalDigest} from "../helpers/Digests.sol";
import {ContractOwner} from "../helpers/WalletMocks.sol";

/// @notice Calls a wallet at random, on chain and with signatures, and keeps a model of what must come of it. The model
/// knows nothing of indexes and bitmaps: it has a flag per account for owners and a flag per proposal and account for
/// confirmations, and clears the latter when an owner leaves.
contract WalletHandler is Test {
    uint256 private constant ACTORS = 8;
    uint256 private constant CONTRACTS = 3;
    uint256 private constant TRANSACTIONS = 6;
    uint256 private constant KINDS = 10;
    address private constant PAYEE = address(0xCAFE);

    struct Call {
        address to;
        uint256 value;
        bytes data;
        uint64 expiry;
        bytes32 salt;
    }

    MultiSigWallet public immutable wallet;
    uint256 public deposited;
    uint256 public sent;
    uint256 public unapprovedExecutions;
    uint256 public wrongRefusals;

    address[] private actors;
    mapping(address => uint256) private keyOf;
    Call[] private calls;
    bytes32[] private ids;
    mapping(address => bool) private isOwner;
    uint256 private ownerCount;
    uint256 private threshold;
    mapping(bytes32 => Status) private status;
    mapping(bytes32 => address) private proposer;
    mapping(bytes32 => mapping(address => bool)) private confirmed;
    uint256 private nonce;
    Call private lastSigned;
    Call private used;
    bytes private usedSignatures;
    uint256[8] private done;
    uint256 private dismissals;
    uint256 private batches;

    constructor(bool cloned) {
        vm.warp(1_700_000_000);
        makeActors();
        address[] memory first = new address[](4);
        for (uint256 i; i < 4; ++i) {
            // Every other one, so that later owners are among the founders in the order of addresses.
            first[i] = actors[2 * i];
            isOwner[first[i]] = true;
        }
        (ownerCount, threshold) = (4, 2);
        wallet = cloned ? newClone(newTemplate(), first, 2) : newWallet(first, 2);
        deposit(50 ether);
    }

    /// @dev In ascending order of address, as wallets and signatures want them. Three of them are contracts.
    function makeActors() private {
        for (uint256 key = 1; key <= ACTORS; ++key) {
            address account = key <= CONTRACTS ? address(new ContractOwner()) : vm.addr(key);
            if (key > CONTRACTS) keyOf[account] = key;
            actors.push(account);
            for (uint256 slot = key - 1; slot > 0 && actors[slot - 1] > account; --slot) {
                (actors[slot], actors[slot - 1]) = (actors[slot - 1], account);
            }
        }
    }

    function deposit(uint256 amount) public {
        amount = bound(amount, 0, 50 ether);
        vm.deal(address(this), amount);
        (bool ok,) = address(wallet).call{value: amount}("");
        assertTrue(ok);
        deposited += amount;
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, 20));
    }

    /// @dev Calls pay, change owners or the threshold, or do both in a batch.
    function propose(uint256 actor, uint256 kind, uint256 a, uint256 b, uint256 c) external {
        address by = actors[actor % ACTORS];
        Call memory call = makeCall(kind, a, b, c);
        bytes32 id = idOf(call);
        vm.prank(by);
        try wallet.proposeTransaction(call.to, call.value, call.data, call.expiry, call.salt) {
            require(isOwner[by], "a stranger proposed");
            require(status[id] == Status.None || status[id] == Status.Cancelled, "proposed twice");
            if (status[id] == Status.None) {
                ids.push(id);
                calls.push(call);
            }
            clear(id);
            status[id] = Status.Pending;
            proposer[id] = by;
            confirmed[id][by] = true;
            ++done[0];
        } catch {}
    }

    /// @dev The same few payments again and again, so that ids meet again after a cancellation.
    function proposeKnown(uint256 actor, uint256 which) external {
        this.propose(actor, 0, which % TRANSACTIONS, 0, 0);
    }

    function confirm(uint256 actor, uint256 which) external {
        if (ids.length == 0) return;
        (address by, bytes32 id) = (actors[actor % ACTORS], ids[which % ids.length]);
        vm.prank(by);
        try wallet.confirmTransaction(id) {
            require(isOwner[by] && status[id] == Status.Pending && !confirmed[id][by], "a confirmation too many");
            confirmed[id][by] = true;
            ++done[1];
        } catch {}
    }

    function revoke(uint256 actor, uint256 which) external {
        if (ids.length == 0) return;
        (address by, bytes32 id) = (actors[actor % ACTORS], ids[which % ids.length]);
        vm.prank(by);
        try wallet.revokeConfirmation(id) {
            require(isOwner[by] && status[id] == Status.Pending && confirmed[id][by], "nothing to revoke");
            confirmed[id][by] = false;
            ++done[2];
        } catch {}
    }

    function cancel(uint256 actor, uint256 which) external {
        if (ids.length == 0) return;
        (address by, bytes32 id) = (actors[actor % ACTORS], ids[which % ids.length]);
        vm.prank(by);
        try wallet.cancelTransaction(id) {
            require(isOwner[by] && proposer[id] == by && status[id] == Status.Pending, "not for this one to cancel");
            require(count(id) == (confirmed[id][by] ? 1 : 0), "others confirm");
            status[id] = Status.Cancelled;
            ++done[3];
        } catch {}
    }

    function execute(uint256 actor, uint256 which) external {
        if (ids.length == 0) return;
        attempt(actors[actor % ACTORS], which % ids.length);
    }

    /// @dev A call signed by any of the accounts, sent by anybody.
    function sign(uint256 who, uint256 kind, uint256 a, uint256 b, uint256 c) public {
        lastSigned = makeCall(kind, a, b, c);
        (bytes memory signatures, uint256 signers, uint256 strangers) = signaturesOf(who, digestOf(lastSigned, nonce));
        bool expired = lastSigned.expiry != 0 && block.timestamp > lastSigned.expiry;
        bool approved = strangers == 0 && signers >= threshold && !expired;
        sendSigned(signatures, approved);
    }

    /// @dev By all owners, so that runs get past the threshold.
    function signAll(uint256 kind, uint256 a, uint256 b, uint256 c) external {
        uint256 who;
        for (uint256 i; i < ACTORS; ++i) {
            if (isOwner[actors[i]]) who |= 1 << i;
        }
        sign(who, kind, a, b, c);
    }

    /// @dev The signatures that have been used already.
    function signAgain() external {
        if (usedSignatures.length == 0) return;
        lastSigned = used;
        sendSigned(usedSignatures, false);
    }

    /// @dev One signature more often than once, or another nonce than the next.
    function signWrongly(uint256 who, uint256 a, uint256 skip) external {
        lastSigned = makeCall(0, a, 0, 0);
        skip = bound(skip, 0, 3);
        (bytes memory signatures,,) =
            signaturesOf(who % 4 == 0 ? (1 << ACTORS) - 1 : uint8(who), digestOf(lastSigned, nonce + skip));
        if (skip == 0) signatures = bytes.concat(signatures, signatures);
        if (signatures.length != 0) sendSigned(signatures, false);
    }

    function sendSigned(bytes memory signatures, bool approved) private {
        Call memory call = lastSigned;
        uint256 before = address(wallet).balance;
        try wallet.executeSignedTransaction(call.to, call.value, call.data, call.expiry, signatures) {
            if (!approved) ++unapprovedExecutions;
            ++nonce;
            (used, usedSignatures) = (call, signatures);
            sent += before - address(wallet).balance;
            if (call.to == address(wallet)) apply_(call.data);
            ++done[6];
        } catch {
            (bool pays, uint256 amount) = paymentOf(call);
            if (approved && pays && amount <= before) ++wrongRefusals;
            ++done[7];
        }
    }

    /// @dev Of those whose bits are set. A contract refuses if both of two further bits are.
    function signaturesOf(uint256 who, bytes32 digest)
        private
        returns (bytes memory signatures, uint256 signers, uint256 strangers)
    {
        for (uint256 i; i < ACTORS; ++i) {
            if ((who >> i) & 1 == 0) continue;
            bool refuses = keyOf[actors[i]] == 0 && (who >> (ACTORS + 2 * i)) & 3 == 3;
            signatures = bytes.concat(signatures, signatureOf(actors[i], digest, refuses));
            ++signers;
            if (!isOwner[actors[i]] || refuses) ++strangers;
        }
    }

    function signatureOf(address actor, bytes32 digest, bool refuses) private returns (bytes memory signature) {
        if (keyOf[actor] == 0) {
            signature = abi.encodePacked(digest, "as it likes");
            ContractOwner(actor).approve(refuses ? bytes32(0) : digest, signature);
            return contractSignature(actor, signature);
        }
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf[actor], digest);
        return bytes.concat(r, s, bytes1(v));
    }

    /// @dev Lets every account confirm before it executes, so that runs get past the threshold.
    function confirmAllAndExecute(uint256 actor, uint256 which) external {
        if (ids.length == 0) return;
        for (uint256 i; i < ACTORS; ++i) {
            this.confirm(i, which);
        }
        attempt(actors[actor % ACTORS], which % ids.length);
    }

    /// @dev An owner leaves, by everybody's vote, and another one tries what the leaver may have confirmed. A proposal
    /// of the handler's own making, so that owners come and go often enough to matter.
    function dismiss(uint256 actor, uint256 which) external {
        if (ids.length == 0 || ownerCount == 1) return;
        which %= ids.length;
        address leaver = actors[actor % ACTORS];
        uint8 k = uint8(threshold < ownerCount ? threshold : ownerCount - 1);
        uint256 kind = 5 + KINDS * ++dismissals;
        uint256 known = ids.length;
        this.propose(firstOwner(), kind, actor % ACTORS, k - 1, kind);
        if (ids.length == known) return;
        this.confirmAllAndExecute(firstOwner(), known);
        if (!isOwner[leaver]) attempt(actors[firstOwner()], which);
    }

    function firstOwner() private view returns (uint256 i) {
        while (!isOwner[actors[i]]) ++i;
    }

    function attempt(address by, uint256 which) private {
        Call memory call = calls[which];
        bytes32 id = ids[which];
        bool expired = call.expiry != 0 && block.timestamp > call.expiry;
        uint256 have = count(id) + (confirmed[id][by] ? 0 : 1);
        bool approved = isOwner[by] && status[id] == Status.Pending && !expired && have >= threshold;
        uint256 before = address(wallet).balance;
        vm.prank(by);
        try wallet.executeTransaction(call.to, call.value, call.data, call.expiry, call.salt) {
            if (!approved) ++unapprovedExecutions;
            status[id] = Status.Executed;
            confirmed[id][by] = true;
            sent += before - address(wallet).balance;
            if (call.to == address(wallet)) apply_(call.data);
            ++done[4];
        } catch {
            // Changes of owners may be refused for what they ask; a payment that is covered has no excuse.
            (bool pays, uint256 amount) = paymentOf(call);
            if (approved && pays && amount <= before) ++wrongRefusals;
            ++done[5];
        }
    }

    /// @dev Executed changes, in the model.
    function apply_(bytes memory data) private {
        bytes4 selector = bytes4(data);
        if (selector == wallet.batch.selector) {
            IMultiSigWallet.Call memory last = callsOf(data)[1];
            if (last.to == address(wallet)) apply_(last.data);
            ++batches;
            return;
        }
        (uint256 a, uint256 b) = words(data);
        address account = address(uint160(a));
        if (selector == wallet.addOwner.selector) {
            join(account);
            threshold = b;
        } else if (selector == wallet.removeOwner.selector) {
            quit(account);
            threshold = b;
        } else if (selector == wallet.replaceOwner.selector) {
            quit(account);
            join(address(uint160(b)));
        } else {
            threshold = a;
        }
    }

    function join(address account) private {
        require(!isOwner[account], "an owner twice");
        isOwner[account] = true;
        ++ownerCount;
    }

    function quit(address account) private {
        require(isOwner[account], "no owner to remove");
        isOwner[account] = false;
        --ownerCount;
        for (uint256 i; i < ids.length; ++i) {
            confirmed[ids[i]][account] = false;
            if (proposer[ids[i]] == account) proposer[ids[i]] = address(0);
        }
    }

    function clear(bytes32 id) private {
        for (uint256 i; i < ACTORS; ++i) {
            confirmed[id][actors[i]] = false;
        }
    }

    function count(bytes32 id) private view returns (uint256 n) {
        for (uint256 i; i < ACTORS; ++i) {
            if (confirmed[id][actors[i]]) ++n;
        }
    }

    function makeCall(uint256 kind, uint256 a, uint256 b, uint256 c) private view returns (Call memory call) {
        kind %= KINDS;
        if (kind > 7) return makeBatch(kind, a, b, c);
        address account = actors[a % ACTORS];
        uint8 k = uint8(1 + b % 5);
        if (kind < 4) {
            uint64 expiry = kind == 3 ? uint64(block.timestamp + c % 60) : 0;
            return Call(PAYEE, 1 ether * (a % TRANSACTIONS), "", expiry, bytes32(a % TRANSACTIONS));
        }
        bytes memory data;
        if (kind == 4) data = abi.encodeCall(wallet.addOwner, (account, k));
        else if (kind == 5) data = abi.encodeCall(wallet.removeOwner, (account, k));
        else if (kind == 6) data = abi.encodeCall(wallet.replaceOwner, (account, actors[b % ACTORS]));
        else data = abi.encodeCall(wallet.changeThreshold, (k));
        return Call(address(wallet), 0, data, 0, bytes32(c));
    }

    /// @dev A payment, and either a change of owners, which must succeed for the payment to stand, or more than there is.
    function makeBatch(uint256 kind, uint256 a, uint256 b, uint256 c) private view returns (Call memory) {
        IMultiSigWallet.Call[] memory batch = new IMultiSigWallet.Call[](2);
        batch[0] = IMultiSigWallet.Call(PAYEE, 1 ether * (a % TRANSACTIONS), "", false);
        Call memory change = makeCall(4 + c % 4, a, b, c);
        if (kind == 8) batch[1] = IMultiSigWallet.Call(change.to, 0, change.data, false);
        else batch[1] = IMultiSigWallet.Call(PAYEE, type(uint128).max, "", true);
        return Call(address(wallet), 0, abi.encodeCall(wallet.batch, (batch)), 0, bytes32(c));
    }

    /// @dev Whether a call changes no owners, so that it has no excuse to fail, and what it pays.
    function paymentOf(Call memory call) private view returns (bool pays, uint256 amount) {
        if (call.to == PAYEE) return (true, call.value);
        if (bytes4(call.data) != wallet.batch.selector) return (false, 0);
        IMultiSigWallet.Call[] memory batch = callsOf(call.data);
        return (batch[1].to == PAYEE, batch[0].value);
    }

    function callsOf(bytes memory data) private pure returns (IMultiSigWallet.Call[] memory) {
        bytes memory arguments = new bytes(data.length - 4);
        for (uint256 i; i < arguments.length; ++i) {
            arguments[i] = data[i + 4];
        }
        return abi.decode(arguments, (IMultiSigWallet.Call[]));
    }

    function digestOf(Call memory call, uint256 nonce_) private view returns (bytes32) {
        Signed memory signed = Signed(call.to, call.value, call.data, call.expiry);
        return executionDigest(signed, nonce_, address(wallet), block.chainid);
    }

    function idOf(Call memory call) private view returns (bytes32) {
        Signed memory proposed = Signed(call.to, call.value, call.data, call.expiry);
        return proposalDigest(proposed, call.salt, address(wallet), block.chainid);
    }

    /// @dev The first two arguments of a call.
    function words(bytes memory data) private pure returns (uint256 a, uint256 b) {
        assembly ("memory-safe") {
            a := mload(add(data, 0x24))
            if gt(mload(data), 0x43) { b := mload(add(data, 0x44)) }
        }
    }

    function checkAgainstModel() external view {
        assertEq(wallet.threshold(), threshold);
        assertEq(wallet.owners().length, ownerCount);
        for (uint256 i; i < ACTORS; ++i) {
            assertEq(wallet.isOwner(actors[i]), isOwner[actors[i]]);
        }
        assertEq(wallet.nonce(), nonce);
        for (uint256 i; i < ids.length; ++i) {
            bytes32 id = ids[i];
            (Status status_,,, address[] memory confirmations) = wallet.getTransaction(id);
            assertEq(uint8(status_), uint8(status[id]));
            assertEq(confirmations.length, count(id));
            for (uint256 j; j < confirmations.length; ++j) {
                assertTrue(confirmed[id][confirmations[j]]);
            }
        }
    }

    function summary() external view {
        console.log("proposed %s, confirmed %s, revoked %s", done[0], done[1], done[2]);
        console.log("cancelled %s, executed %s, refused %s", done[3], done[4], done[5]);
        console.log("executed by signatures %s, refused %s", done[6], done[7]);
        console.log("owners %s, threshold %s, batches %s", ownerCount, threshold, batches);
    }
}
