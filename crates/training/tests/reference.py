"""What is hashed, drawn and paid of training orders, from docs/protocols/orders.md and not from the Rust: writes the golden
vectors of this folder.

    pip install pycryptodome && python reference.py > vectors.json
"""

import json
import struct
import sys

from Crypto.Cipher import ChaCha20
from Crypto.Hash import keccak as _keccak


def keccak(data):
    return _keccak.new(digest_bits=256, data=data).digest()


def shuffle(seed, count):
    """By Fisher and Yates from the end, with the words of ChaCha20: the key is the seed, the nonce zero."""
    cipher, numbers = ChaCha20.new(key=seed, nonce=bytes(8)), list(range(count))
    for last in range(count - 1, 0, -1):
        (word,) = struct.unpack("<I", cipher.encrypt(bytes(4)))
        other = (word * (last + 1)) >> 32
        numbers[last], numbers[other] = numbers[other], numbers[last]
    return numbers


def merkle(leaves):
    """The levels of a tree with children in ascending order; an odd last node moves up."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        level = levels[-1]
        pairs = [level[at:at + 2] for at in range(0, len(level), 2)]
        levels.append([keccak(b"".join(sorted(pair))) if len(pair) == 2 else pair[0] for pair in pairs])
    return levels


def statements(numbers, stated):
    return merkle([keccak(keccak(struct.pack(">I", number) + one)) for number, one in zip(numbers, stated)])


def path(levels, place):
    siblings = []
    for level in levels:
        if place ^ 1 < len(level):
            siblings.append(level[place ^ 1])
        place >>= 1
    return siblings


def commitment(order, worker, model, trace, point, attempt):
    return keccak(b"DTN/train/claim" + order + worker + model + trace + struct.pack(">HH", point, attempt))


def draw(tag, order, beacon, count):
    return shuffle(keccak(tag + order + beacon), count)


def segments_of(member, members, redundancy, segments):
    return [k for k in range(segments) if member in [(k + i) % members for i in range(redundancy)]]


REQUESTER, WATCHER = bytes([0xEE] * 20), bytes([0xCC] * 20)
ORDER, BEACON = bytes([0x0D] * 32), bytes([0xBE] * 32)


def worker(number):
    return bytes([64 + number] * 20)


def validator(number):
    return bytes([number] * 20)


def paid(money, forged):
    """What everybody has gained: the second of three claims wins; or it is forged, somebody shows that, the first one wins, and the
    member in place 2 audits nothing."""
    committee = [validator(1 + place) for place in draw(b"DTN/train/committee", ORDER, BEACON, 4)]
    # 64 features and a bias, 10 classes; 95 steps of 32 rows, 20 in a segment, so that there are 5.
    parameters = 65 * 10
    step = 32 * 2 * parameters
    training, segment, evaluation = 95 * step, 20 * step, parameters * (180 + 180)
    macs = [3 * evaluation] * 4
    audits = [len(segments_of(member, 4, 2, 5)) for member in range(4)]
    idle = 2 if forged else None
    for member in range(4):
        macs[member] += 0 if member == idle else audits[member] * segment
    budget = max(2 * training + 4 * 3 * evaluation, sum(macs))
    statements_part, bounty = money["reward"] * 1500 // 10000, money["reward"] * 500 // 10000
    gains = {account: 0 for account in [REQUESTER, WATCHER, *map(worker, range(3)), *committee]}
    earned = [statements_part * one // budget for one in macs]
    for account, one in zip(committee, earned):
        gains[account] += one
    prize, pot = money["reward"] - statements_part, 0
    if forged:
        gains[WATCHER] += bounty + money["worker"] // 2
        gains[worker(1)] -= money["worker"]
        late = money["member"] * 1000 // 10000
        gains[committee[idle]] -= late
        prize, pot = prize - bounty, money["worker"] - money["worker"] // 2 + late
    gains[worker(0 if forged else 1)] += prize
    gains[REQUESTER] += statements_part - sum(earned) - money["reward"]
    assert sum(gains.values()) + pot == 0
    return {"money": {key: str(value) for key, value in money.items()}, "forged": forged, "pot": str(pot),
            "gains": {text(account): str(gain) for account, gain in gains.items()}}


def far_below(rows, hidden, fold_rows, fold, classes):
    """By fractions, and not by the products that the Rust compares."""
    from fractions import Fraction

    if classes:
        mean = Fraction(hidden + fold, rows + fold_rows)
        worse = Fraction(fold, fold_rows) - Fraction(hidden, rows)
        variance = mean * (1 - mean) * (Fraction(1, rows) + Fraction(1, fold_rows))
    else:
        worse = Fraction(hidden, rows) - Fraction(fold, fold_rows)
        variance = 4 * Fraction(fold, fold_rows) ** 2 * (Fraction(1, rows) + Fraction(1, fold_rows))
    return worse > 0 and worse**2 > 25 * variance


def far_cases():
    cases = []
    for classes in (0, 10):
        for rows, fold_rows in ((180, 180), (90, 360), (1000, 37)):
            for fold in (fold_rows, fold_rows * 9 // 10, fold_rows // 2):
                hiddens = range(0, rows + 1, max(1, rows // 60)) if classes else range(rows // 4, 6 * rows, rows // 7)
                verdicts = [(hidden, far_below(rows, hidden, fold_rows, fold, classes)) for hidden in hiddens]
                case = {"classes": classes, "rows": rows, "fold_rows": fold_rows, "fold": fold}
                cases.append(case | {"far": [h for h, far in verdicts if far], "near": [h for h, far in verdicts if not far]})
    return cases


def text(data):
    return "0x" + data.hex()


def vectors():
    order, model, trace = bytes([3] * 32), bytes([4] * 32), bytes([5] * 32)
    numbers, stated = [0, 3, 7, 10, 479], [bytes([40 + at] * 32) for at in range(5)]
    levels = statements(numbers, stated)
    money = {"reward": 1_000_000_000_000_000_007, "deposit": 200_000_000_000_000_003, "worker": 250_000_000_000_000_001,
             "member": 250_000_000_000_000_003, "bond": 20_000_000_000_000_009}
    return {
        "commitment": text(commitment(order, bytes([6] * 20), model, trace, 258, 65534)),
        "statements": {"numbers": numbers, "stated": [text(one) for one in stated], "root": text(levels[-1][0]),
                       "paths": [[text(one) for one in path(levels, place)] for place in range(5)]},
        "rows": sorted(draw(b"DTN/train/rows", ORDER, BEACON, 900)[:180]),
        "committee": [text(validator(1 + place)) for place in draw(b"DTN/train/committee", ORDER, BEACON, 10)[:4]],
        "segments": [segments_of(member, 7, 3, 12) for member in range(7)],
        "paid": [paid(money, False), paid(money, True)],
        "far_below": far_cases(),
    }


if __name__ == "__main__":
    json.dump(vectors(), sys.stdout)
    print()
