"""The kernel once more, from docs/protocols/training.md and not from the Rust: writes the golden vectors of this folder.

    pip install pycryptodome blake3 && python reference.py > vectors.json

It is slow and plain on purpose. Integers are Python's, so that nothing can overflow unnoticed. `scripts/check-model` trains with
it again what was paid for.
"""

import csv
import json
import struct
import sys
from decimal import Decimal
from math import isqrt
from pathlib import Path

from blake3 import blake3
from Crypto.Cipher import ChaCha20
from Crypto.Hash import keccak as _keccak

ONE = 1 << 16
MAX_ACTIVATION, MAX_WEIGHT, MAX_VELOCITY = 1 << 22, 1 << 28, 1 << 44
DATA = Path(__file__).parent.parent / "data"


def keccak(data):
    return _keccak.new(digest_bits=256, data=data).digest()


def clamp(value, limit):
    return max(-limit, min(limit, value))


def round_shift(value, shift):
    return (value + (1 << shift >> 1)) >> shift


def divide(dividend, divisor):
    """To the nearest, halves away from zero."""
    quotient, rest = divmod(abs(dividend), divisor)
    quotient += 2 * rest >= divisor
    return quotient if dividend >= 0 else -quotient


# Chance.


class Stream:
    def __init__(self, seed, number):
        self.cipher = ChaCha20.new(key=seed, nonce=struct.pack("<Q", number))

    def below(self, bound):
        (word,) = struct.unpack("<I", self.cipher.encrypt(bytes(4)))
        return word * bound >> 32


def shuffled(count, stream):
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        other = stream.below(last + 1)
        order[last], order[other] = order[other], order[last]
    return order


def seed_of(origin):
    return keccak(b"DTN/train/seed" + origin["network"] + origin["block"] + origin["order"] + origin["worker"]
                  + struct.pack(">H", origin["attempt"]))


# Data.


def standard(column, bits):
    """The column's Decimals, scaled to a mean of 0 and a deviation of 1."""
    places = max(-number.as_tuple().exponent for number in column)
    while True:
        numbers = [divide(int(number.scaleb(40)), 10 ** (40 - places)) for number in column]
        if all(abs(number) < 1 << 36 for number in numbers):
            break
        places -= 1
    count, total = len(numbers), sum(numbers)
    spread = count * sum(number * number for number in numbers) - total * total
    if spread == 0:
        return [0] * count
    shift = max(0, 128 - spread.bit_length() - 3) // 2
    root = isqrt(spread << 2 * shift)
    return [divide((number * count - total) << (bits + shift), root) for number in numbers]


class Data:
    def __init__(self, name):
        rows = list(csv.reader((DATA / f"{name}.csv").read_text().splitlines()))[1:]
        self.classes = 0 if name == "diabetes" else len({row[-1] for row in rows})
        if name == "digits":
            self.rows = [[int(shade, 17) << 8 for shade in row[0]] for row in rows]
        else:
            columns = [standard([Decimal(row[at]) for row in rows], 12) for at in range(len(rows[0]) - 1)]
            self.rows = [[max(-32768, min(32767, value)) for value in row] for row in zip(*columns)]
        if self.classes:
            self.labels = [int(row[-1]) for row in rows]
        else:
            labels = standard([Decimal(row[-1]) for row in rows], 16)
            self.labels = [clamp(label, MAX_ACTIVATION) for label in labels]
        self.outputs = self.classes or 1

    def header(self):
        return b"DTNdata\x01" + struct.pack("<HHI", self.classes, len(self.rows[0]), len(self.rows))

    def root(self):
        rows = [struct.pack(f"<{len(row)}hi", *row, label) for row, label in zip(self.rows, self.labels)]
        return keccak(b"DTN/train/data" + self.header() + merkle(rows))


def merkle(items):
    """OpenZeppelin's tree: leaves hashed twice, pairs in ascending order, an odd last node moves up."""
    level = [keccak(keccak(struct.pack(">I", number) + item)) for number, item in enumerate(items)]
    while len(level) > 1:
        level = [keccak(b"".join(sorted(level[at:at + 2]))) if at + 1 < len(level) else level[at]
                 for at in range(0, len(level), 2)]
    return level[0]


def tree_root(tag, number, items):
    return keccak(tag + struct.pack(">I", number) + merkle(items))


# Probabilities.

EXP2 = [1 << 30, -744257403, 257891465, -59375086, 9884650, -1014583]


def powers(logits):
    found = []
    for logit in logits:
        bits = (max(logits) - logit) * 1549082005 >> 16
        whole, fraction = bits >> 30, bits & (1 << 30) - 1
        value = EXP2[5]
        for constant in EXP2[4::-1]:
            value = constant + (value * fraction >> 30)
        found.append(value >> min(whole, 63))
    return found


def errors_of(data, row, logits):
    if not data.classes:
        return [clamp(logits[0] - data.labels[row], MAX_ACTIVATION)]
    found = powers(logits)
    errors = [((power << 16) + sum(found) // 2) // sum(found) for power in found]
    errors[data.labels[row]] -= ONE
    return errors


def surprise(logits, label):
    total = sum(powers(logits))
    whole = total.bit_length() - 1 - 30
    rest = total << 1 - whole if whole <= 1 else total >> whole - 1
    fraction = 0
    for _ in range(16):
        rest = rest * rest >> 31
        bit = rest >> 32
        rest >>= bit
        fraction = fraction << 1 | bit
    below = ((max(logits) - logits[label]) * 1549082005 >> 16) >> 14
    return max(0, (whole << 16) + fraction + below)


# Layers. A matrix has a row for each input and a last one for the bias.


class Dense:
    def __init__(self, data, seed, recipe):
        hidden = recipe["family"]["mlp"]["hidden"] if recipe["family"] != "linear" else []
        self.data, self.seed, self.hidden, self.batch = data, seed, hidden, recipe["batch"]
        self.epoch_steps = len(data.rows) // self.batch
        self.steps = recipe["epochs"] * self.epoch_steps
        grid = recipe["grid"]
        self.rate, self.momentum, self.l2 = (fraction(grid[name][0]) for name in ["learning_rate", "momentum", "l2"])
        widths = [len(data.rows[0]), *hidden, data.outputs]
        stream = Stream(seed, 0)
        self.layers, self.velocities = [], []
        for inputs, outputs in zip(widths, widths[1:]):
            limit = isqrt((6 << 48) // (inputs + outputs))
            layer = [[stream.below(2 * limit + 1) - limit for _ in range(outputs)] for _ in range(inputs)]
            self.layers.append(layer + [[0] * outputs])
            self.velocities.append([[0] * outputs for _ in range(inputs + 1)])

    def forward(self, row):
        taken_in = [[value << 4 for value in self.data.rows[row]] + [ONE]]
        for at, layer in enumerate(self.layers):
            sums = [sum(a * w for a, w in zip(taken_in[-1], column)) for column in zip(*layer)]
            values = [clamp(round_shift(total, 24), MAX_ACTIVATION) for total in sums]
            if at + 1 == len(self.layers):
                return taken_in, values
            taken_in.append([max(0, value) for value in values] + [ONE])

    def logits(self, row):
        return self.forward(row)[1]

    def step(self, number):
        epoch, place = divmod(number, self.epoch_steps)
        order = shuffled(len(self.data.rows), Stream(self.seed, epoch + 1))
        rows = order[place * self.batch:(place + 1) * self.batch]
        passes = [self.forward(row) for row in rows]
        errors = behind = [errors_of(self.data, row, logits) for row, (_, logits) in zip(rows, passes)]
        for at in reversed(range(len(self.layers))):
            layer, inputs = self.layers[at], [taken_in[at] for taken_in, _ in passes]
            before = [[clamp(round_shift(sum(e * w for e, w in zip(of_row, weights)), 24), MAX_ACTIVATION) if a else 0
                       for a, weights in zip(taken_in[:-1], layer)] for taken_in, of_row in zip(inputs, behind)]
            for i, weights in enumerate(layer):
                for o in range(len(weights)):
                    total = sum(taken_in[i] * of_row[o] for taken_in, of_row in zip(inputs, behind))
                    gradient = round_shift(total, self.batch.bit_length() - 1)
                    if i + 1 < len(layer):
                        gradient += round_shift(weights[o] * self.l2, 8)
                    velocity = clamp(round_shift(self.velocities[at][i][o] * self.momentum, 16) + gradient, MAX_VELOCITY)
                    self.velocities[at][i][o] = velocity
                    weights[o] = clamp(weights[o] - round_shift(velocity * self.rate, 24), MAX_WEIGHT)
            behind = before
        return errors

    def body(self):
        return b"".join(struct.pack("<i", weight) for layer in self.layers for row in layer for weight in row)

    def state(self, step):
        velocities = (velocity for layer in self.velocities for row in layer for velocity in row)
        return self.body() + b"".join(struct.pack("<q", velocity) for velocity in velocities) + struct.pack("<Q", step)

    def model(self):
        form = struct.pack(f"<BB{len(self.hidden)}H", 0, len(self.hidden), *self.hidden)
        header = b"DTNmodl\x01" + struct.pack("<HH", self.data.classes, len(self.data.rows[0])) + form
        return header.ljust(32, b"\0") + self.body()


# Trees.


class Boosted:
    def __init__(self, data, seed, recipe):
        self.data, self.seed, self.steps = data, seed, recipe["epochs"]
        self.depth, self.most = recipe["family"]["gbdt"]["depth"], recipe["family"]["gbdt"]["bins"]
        grid = recipe["grid"]
        self.rate, self.l2, self.sample = (fraction(grid[name][0]) for name in ["learning_rate", "l2", "sample"])
        self.min_weight = fraction(grid["min_weight"][0]) if "min_weight" in grid else 0
        self.uppers = [self.uppers_of(column) for column in zip(*data.rows)]
        self.trees = []

    def uppers_of(self, column):
        values = sorted(set(column))
        if len(values) > self.most:
            column = sorted(column)
            values = sorted({column[-(-q * len(column) // self.most) - 1] for q in range(1, self.most + 1)})
        return values

    @staticmethod
    def value(tree, row):
        nodes, leaves = tree
        at = 0
        while at < len(nodes):
            feature, threshold = nodes[at]
            at = 2 * at + 1 + (row[feature] > threshold)
        return leaves[at - len(nodes)]

    def logits(self, row):
        outputs = self.data.outputs
        sums = [sum(self.value(tree, self.data.rows[row]) for tree in self.trees[o::outputs]) for o in range(outputs)]
        return [clamp(total, MAX_ACTIVATION) for total in sums]

    def step(self, number):
        count = len(self.data.rows)
        errors = [errors_of(self.data, row, self.logits(row)) for row in range(count)]
        rows = sorted(shuffled(count, Stream(self.seed, number + 1))[:count * self.sample >> 16])
        self.trees += [self.grow(rows, [of_row[o] for of_row in errors]) for o in range(self.data.outputs)]
        return errors

    def grow(self, rows, errors):
        def weight(error):
            p = error + ONE if error < 0 else error
            return p * (ONE - p) >> 16 if self.data.classes else ONE

        def gain(g, h):
            return g * g // (h + self.l2)

        nodes, leaves = [(0, 32767)] * ((1 << self.depth) - 1), [0] * (1 << self.depth)

        def split(node, level, rows):
            g, h = sum(errors[row] for row in rows), sum(weight(errors[row]) for row in rows)
            best, most = None, gain(g, h)
            if level < self.depth:
                for feature, uppers in enumerate(self.uppers):
                    for upper in uppers[:-1]:
                        left = [row for row in rows if self.data.rows[row][feature] <= upper]
                        gl, hl = sum(errors[row] for row in left), sum(weight(errors[row]) for row in left)
                        if min(hl, h - hl) >= self.min_weight and gain(gl, hl) + gain(g - gl, h - hl) > most:
                            best, most = (feature, upper), gain(gl, hl) + gain(g - gl, h - hl)
            if best is None:
                while node < len(nodes):
                    node = 2 * node + 1
                leaves[node - len(nodes)] = clamp(divide(-g * self.rate, h + self.l2), MAX_ACTIVATION)
                return
            nodes[node] = best
            goes_left = [self.data.rows[row][best[0]] <= best[1] for row in rows]
            split(2 * node + 1, level + 1, [row for row, left in zip(rows, goes_left) if left])
            split(2 * node + 2, level + 1, [row for row, left in zip(rows, goes_left) if not left])

        split(0, 0, rows)
        return nodes, leaves

    def body(self):
        return b"".join(b"".join(struct.pack("<Hh", *node) for node in nodes) + struct.pack(f"<{len(leaves)}i", *leaves)
                        for nodes, leaves in self.trees)

    def state(self, step):
        return self.body() + struct.pack("<Q", step)

    def model(self):
        header = b"DTNmodl\x01" + struct.pack("<HHBBI", self.data.classes, len(self.data.rows[0]), 1, self.depth,
                                              len(self.trees) // self.data.outputs)
        return header.ljust(32, b"\0") + self.body()


def fraction(text):
    return divide(int(Decimal(text).scaleb(20) * ONE), 10 ** 20)


# A run.


def run(trainer, segment_steps):
    """The hashes of the states, and the witness of each segment."""
    states, witnesses, step = [blake3(trainer.state(0)).digest()], [], 0
    while step < trainer.steps:
        witness = blake3()
        for step in range(step, min(trainer.steps, step + segment_steps)):
            for of_row in trainer.step(step):
                witness.update(struct.pack(f"<{len(of_row)}i", *of_row))
        step += 1
        states.append(blake3(trainer.state(step)).digest())
        witnesses.append(witness.digest())
    return states, witnesses


def vector(name, recipe, attempt):
    data = Data(name)
    origin = {"network": bytes([1] * 32), "block": bytes([2] * 32), "order": bytes([3] * 32), "worker": bytes([4] * 20),
              "attempt": attempt}
    seed = seed_of(origin)
    trainer = (Boosted if "gbdt" in recipe["family"] else Dense)(data, seed, recipe)
    states, witnesses = run(trainer, recipe["segment_steps"])
    logits = [trainer.logits(row) for row in range(len(data.rows))]
    if data.classes:
        correct = sum(of_row.index(max(of_row)) == label for of_row, label in zip(logits, data.labels))
        loss = sum(surprise(of_row, label) for of_row, label in zip(logits, data.labels))
        score = {"task": "classes", "rows": len(logits), "correct": correct, "loss": loss}
    else:
        errors = (clamp(of_row[0] - label, MAX_ACTIVATION) for of_row, label in zip(logits, data.labels))
        score = {"task": "number", "rows": len(logits), "squared_error": sum(error * error for error in errors)}
    model = trainer.model()
    chunks = [model[at:at + 1024] for at in range(0, len(model), 1024)]
    bytes_of_logits = b"".join(struct.pack(f"<{len(of_row)}i", *of_row) for of_row in logits)
    order, claim, validator = bytes([3] * 32), bytes([5] * 32), bytes([6] * 20)
    text = lambda data: "0x" + data.hex()
    return {
        "data": name,
        "recipe": recipe,
        "origin": {key: value if key == "attempt" else text(value) for key, value in origin.items()},
        "seed": text(seed),
        "data_root": text(data.root()),
        "states": [text(state) for state in states],
        "witnesses": [text(witness) for witness in witnesses],
        "trace_root": text(tree_root(b"DTN/train/trace", len(states), states)),
        "model_root": text(tree_root(b"DTN/train/model", len(model), chunks)),
        "score": score,
        "score_statement": text(keccak(b"DTN/train/score" + order + claim + validator + bytes_of_logits)),
        "audit_statement": text(keccak(b"DTN/train/audit" + order + claim + validator + struct.pack(">I", 0) + witnesses[0])),
    }


def descent(family, epochs, batch, segment_steps, rate, momentum, l2):
    grid = {"learning_rate": [rate], "momentum": [momentum], "l2": [l2]}
    return {"family": family, "grid": grid, "epochs": epochs, "batch": batch, "segment_steps": segment_steps}


def trees(depth, bins, rounds, segment_steps, rate, l2, sample, **more):
    grid = {"learning_rate": [rate], "l2": [l2], "sample": [sample], **more}
    return {"family": {"gbdt": {"depth": depth, "bins": bins}}, "grid": grid, "epochs": rounds, "segment_steps": segment_steps}


CASES = [
    ("iris", descent("linear", 3, 16, 10, "0.05", "0.9", "0.001"), 0),
    ("diabetes", descent("linear", 2, 32, 8, "0.01", "0.9", "0"), 1),
    # 43 = 32 + 8 + 2 + 1, and each may be a vector.
    ("digits", descent({"mlp": {"hidden": [43]}}, 1, 64, 10, "0.1", "0.5", "0.01"), 2),
    ("wine", descent({"mlp": {"hidden": [7, 11]}}, 2, 8, 16, "0.05", "0.9", "0.001"), 3),
    ("breast-cancer", descent({"mlp": {"hidden": [5, 4, 3]}}, 1, 32, 7, "1", "0.99", "1"), 4),
    # Everything runs into its bounds here.
    ("diabetes", descent({"mlp": {"hidden": [6]}}, 3, 1, 500, "1", "0.99998", "0"), 65535),
    ("iris", trees(3, 64, 5, 2, "0.3", "0.3", "0.5"), 0),
    ("wine", trees(2, 8, 3, 3, "0.1", "1", "0.8", min_weight=["2.5"]), 1),
    ("diabetes", trees(4, 16, 3, 1, "1", "0.00002", "0.99998", min_weight=["5"]), 2),
]

if __name__ == "__main__":
    json.dump([vector(*case) for case in CASES], sys.stdout, indent=2)
    print()
