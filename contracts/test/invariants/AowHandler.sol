// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.30;

import {console} from "forge-std/console.sol";
import {AowFixture} from "../helpers/AowFixture.sol";
import {Stubborn} from "../helpers/Mocks.sol";

/// @notice Posts honest and false claims, challenges them where they are wrong and where they are not, takes them back as
/// a whole, lets time pass and asks for the bonds; and keeps books of its own.
contract AowHandler is AowFixture {
    /// @dev `wrong` is the index of the only false checkpoint; the number of segments if there is none.
    struct Book {
        bytes32 id;
        address node;
        uint64 round;
        bytes checkpoints;
        uint256 segments;
        uint256 wrong;
        uint256 bond;
        uint256 deadline;
        bool upheld;
        bool slashed;
    }

    uint256 public breaches;
    uint256 public wrongRefusals;
    /// @notice Bonds that have not been paid out, by the books.
    uint256 public held;
    /// @notice What posters have forfeited to the pool, by the books.
    uint256 public forfeited;

    Book[] private books;
    mapping(bytes32 => bool) private posted;
    address[] private challengers;
    mapping(address => uint256) private expected;
    uint256[6] private done;

    constructor() {
        deployAow(4);
        // Strangers, whose gas costs nothing here, and validators.
        for (uint256 i; i < 3; ++i) {
            challengers.push(address(uint160(0x3000 + i)));
        }
        for (uint256 i; i < nodes.length; ++i) {
            challengers.push(nodes[i]);
        }
        for (uint256 i; i < nodes.length; ++i) {
            vm.deal(nodes[i], 1000 ether);
            expected[nodes[i]] = 1000 ether;
        }
    }

    /// @dev Few rounds, so that a node comes again.
    function post(uint256 by, uint64 round, uint256 segments, uint256 length, uint256 wrong, uint256 bond) external {
        Book memory book;
        book.node = nodes[by % nodes.length];
        book.round = round % 8;
        book.id = idOf(book.round, book.node);
        book.segments = bound(segments, 1, 5);
        length = bound(length, 1, 34);
        uint64 steps = uint64(book.segments * length);
        book.wrong = bound(wrong, 0, 2 * book.segments) % (book.segments + 1);
        book.bond = bound(bond, BOND - 1, 3 * BOND);
        uint256[] memory list = checkpointsFrom(startOf(book.round, book.node, steps), book.segments, length);
        if (book.wrong < book.segments) list[book.wrong] = addmod(list[book.wrong], 1 + bond % (P - 1), P);
        book.checkpoints = pack(list);
        book.deadline = block.timestamp + WINDOW;

        bool good = book.bond >= BOND && !posted[book.id];
        vm.prank(book.node);
        try aow.post{value: book.bond}(book.round, HEIGHT, steps, book.checkpoints, PROOF) {
            if (!good) ++breaches;
            posted[book.id] = true;
            expected[book.node] -= book.bond;
            held += book.bond;
            books.push(book);
            ++done[0];
        } catch {
            if (good) ++wrongRefusals;
            ++done[5];
        }
    }

    /// @dev Any segment, or where it hurts.
    function challenge(uint256 which, uint256 by, uint256 segment, bool aimed) external {
        if (books.length == 0) return;
        Book storage book = books[which % books.length];
        segment = aimed ? book.wrong + segment % 2 : segment % (book.segments + 1);
        bool touches = segment < book.segments && (segment == book.wrong || segment == book.wrong + 1);
        bool good = touches && isOpen(book);
        address challenger = challengers[by % challengers.length];
        bool isRewarded = by % challengers.length > 2 && challenger != book.node;
        commit(challenger, book.id, segment);
        vm.prank(challenger);
        try aow.challenge(book.id, book.checkpoints, segment, SALT) {
            if (!good) ++breaches;
            uint256 reward = isRewarded ? book.bond / 2 : 0;
            forfeited += book.bond - reward;
            settle(book, challenger, reward);
            book.slashed = true;
            ++done[1];
        } catch {
            if (good) ++wrongRefusals;
            ++done[5];
        }
    }

    function verifyWhole(uint256 which) external {
        if (books.length == 0) return;
        Book storage book = books[which % books.length];
        // Only the last checkpoint is the result.
        bool good = isOpen(book) && book.wrong != book.segments - 1;
        try aow.verifyWhole(book.id) {
            if (!good) ++breaches;
            book.upheld = true;
            ++done[2];
        } catch {
            if (good) ++wrongRefusals;
            ++done[5];
        }
    }

    function release(uint256 which) external {
        if (books.length == 0) return;
        Book storage book = books[which % books.length];
        bool good = isFinal(book) && book.bond != 0;
        try aow.release(book.id) {
            if (!good) ++breaches;
            settle(book, book.node, book.bond);
            ++done[3];
        } catch {
            if (good) ++wrongRefusals;
            ++done[5];
        }
    }

    function setMood(uint256 mood) external {
        pool.setMood(Stubborn.Mood(mood % 4));
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + bound(time, 1, WINDOW));
        ++done[4];
    }

    function checkFinality() external view {
        for (uint256 i; i < books.length; ++i) {
            assertEq(aow.isFinal(books[i].round, books[i].node), isFinal(books[i]));
            try aow.outcomeOf(books[i].id) {
                assertTrue(isFinal(books[i]), "an outcome before its time");
            } catch {
                assertFalse(isFinal(books[i]), "no outcome although it is final");
            }
        }
    }

    function checkBalances() external view {
        assertEq(address(aow).balance, held + aow.creditOf(address(pool)), "holds the bonds that are out, and credit");
        assertEq(address(pool).balance + aow.creditOf(address(pool)), forfeited, "a bond is paid out once");
        uint256 bonds;
        for (uint256 i; i < books.length; ++i) {
            bonds += aow.claimOf(books[i].id).bond;
        }
        assertEq(bonds, held, "and no claim's twice");
        for (uint256 i; i < nodes.length; ++i) {
            assertEq(nodes[i].balance, expected[nodes[i]], "nodes");
        }
        for (uint256 i; i < challengers.length; ++i) {
            assertEq(challengers[i].balance, expected[challengers[i]], "challengers");
        }
    }

    function summary() external view {
        console.log("posted %s, slashed %s, upheld %s", done[0], done[1], done[2]);
        console.log("released %s, waited %s, refused %s", done[3], done[4], done[5]);
    }

    function settle(Book storage book, address to, uint256 amount) private {
        expected[to] += amount;
        held -= book.bond;
        book.bond = 0;
    }

    function isOpen(Book storage book) private view returns (bool) {
        return !book.slashed && !book.upheld && block.timestamp <= book.deadline;
    }

    function isFinal(Book storage book) private view returns (bool) {
        return !book.slashed && (book.upheld || block.timestamp > book.deadline);
    }
}
