"""Data, opened rows and models, read as docs/protocols says that they are written. What is written otherwise is Malformed."""

import struct
from dataclasses import dataclass

import numpy as np

from references import kernel


class Malformed(Exception):
    """Bytes that are no encoding of what they should be."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        part = self.data[self.at:self.at + count]
        if len(part) < count:
            raise Malformed(f"it ends after {len(self.data)} bytes")
        self.at += count
        return part

    def fixed(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def varint(self, bits):
        """Postcard's: seven bits a byte, the least significant first."""
        value, shift = 0, 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            shift += 7
            if value >> bits:
                raise Malformed(f"a number has more than {bits} bits")
            if byte < 128:
                return value

    def signed(self, bits):
        value = self.varint(bits)
        return value >> 1 ^ -(value & 1)

    def hash(self):
        if self.varint(32) != 32:
            raise Malformed("a hash has not 32 bytes")
        return self.take(32)

    def end(self):
        if self.at < len(self.data):
            raise Malformed(f"{len(self.data) - self.at} bytes follow its end")


@dataclass
class Table:
    """Rows with labels. The references train on it as on their own data."""

    classes: int
    features: np.ndarray  # rows × features, Q12
    labels: list

    @property
    def outputs(self):
        return self.classes or 1

    @property
    def rows(self):
        return self.features.tolist()

    def encode(self):
        return self.header() + b"".join(self.encoded_rows())

    def header(self):
        rows, features = self.features.shape
        return b"DTNdata\x01" + struct.pack("<HHI", self.classes, features, rows)

    def encoded_rows(self):
        return [row.tobytes() + struct.pack("<i", label) for row, label in zip(self.features.astype("<i2"), self.labels)]

    def root(self):
        return kernel.keccak(b"DTN/train/data" + self.header() + kernel.merkle(self.encoded_rows()))

    @classmethod
    def decode(cls, data):
        reader = Reader(data)
        if reader.take(8) != b"DTNdata\x01":
            raise Malformed("it is no data set of version 1")
        classes, features, rows = reader.fixed("<HHI")
        kind = np.dtype([("features", "<i2", (features,)), ("label", "<i4")])
        table = np.frombuffer(reader.take(rows * kind.itemsize), kind)
        reader.end()
        if features == 0 or rows == 0:
            raise Malformed("it has no rows, or rows without features")
        return cls.checked(classes, table["features"].astype(np.int64), table["label"].tolist())

    @classmethod
    def checked(cls, classes, features, labels):
        least, most = (0, classes - 1) if classes else (-kernel.MAX_ACTIVATION, kernel.MAX_ACTIVATION)
        if not least <= min(labels) <= max(labels) <= most:
            raise Malformed(f"it has a label that is not from {least} to {most}")
        return cls(classes, features, labels)


@dataclass
class OpenRow:
    number: int
    salt: bytes
    values: list
    label: int
    path: list

    def leaf(self):
        values = struct.pack(f"<{len(self.values)}hi", *self.values, self.label)
        return kernel.keccak(kernel.keccak(struct.pack(">I", self.number) + self.salt + values))

    def top(self):
        node = self.leaf()
        for level, sibling in enumerate(self.path):
            node = kernel.keccak(sibling + node if self.number >> level & 1 else node + sibling)
        return node


@dataclass
class Opening:
    """Rows that were held out, as the requester has shown them."""

    classes: int
    features: int
    rows: list

    @classmethod
    def decode(cls, data):
        reader = Reader(data)
        opening = cls(reader.varint(16), reader.varint(16), [])
        for _ in range(reader.varint(32)):
            number, salt = reader.varint(32), reader.hash()
            values = [reader.signed(16) for _ in range(reader.varint(32))]
            label = reader.signed(32)
            opening.rows.append(OpenRow(number, salt, values, label, [reader.hash() for _ in range(reader.varint(32))]))
        reader.end()
        return opening

    def root(self, row, held_out):
        """Of all rows that are held out, if this row is one of them."""
        head = struct.pack(">HHI", self.classes, self.features, held_out)
        return kernel.keccak(b"DTN/train/holdout" + head + row.top())

    def table(self):
        if any(len(row.values) != self.features for row in self.rows) or not self.rows:
            raise Malformed(f"it has no rows, or one that has not {self.features} features")
        features = np.array([row.values for row in self.rows], np.int64)
        return Table.checked(self.classes, features, [row.label for row in self.rows])


@dataclass
class Model:
    """A model: either matrices with a last row for the bias, or trees of nodes (feature, threshold) and leaves."""

    data: bytes
    classes: int
    features: int
    hidden: list | None = None
    layers: list | None = None
    depth: int = 0
    rounds: int = 0
    trees: tuple | None = None

    @property
    def outputs(self):
        return self.classes or 1

    def root(self):
        chunks = [self.data[at:at + 1024] for at in range(0, len(self.data), 1024)]
        return kernel.tree_root(b"DTN/train/model", len(self.data), chunks)

    def family(self):
        """As a recipe has it, but for the bins, which a model does not keep; and the rounds, for trees."""
        if self.trees is not None:
            return {"gbdt": {"depth": self.depth}}, self.rounds
        return ({"mlp": {"hidden": self.hidden}} if self.hidden else "linear"), None

    @classmethod
    def decode(cls, data):
        reader = Reader(data)
        if reader.take(8) != b"DTNmodl\x01":
            raise Malformed("it is no model of version 1")
        model = cls(data, *reader.fixed("<HH"))
        kind, count = reader.fixed("<BB")
        if model.classes == 1 or model.features == 0 or kind > 1:
            raise Malformed("its header says what no model is")
        if kind == 0 and count > 3 or kind == 1 and not 1 <= count <= 8:
            raise Malformed(f"it has {count} hidden layers, or levels")
        if kind == 0:
            model.hidden = list(reader.fixed(f"<{count}H"))
        else:
            model.depth, (model.rounds,) = count, reader.fixed("<I")
        if any(reader.take(32 - reader.at)):
            raise Malformed("what its header does not use is not zero")
        model.read_layers(reader) if kind == 0 else model.read_trees(reader)
        reader.end()
        return model

    def read_layers(self, reader):
        widths = [self.features, *self.hidden, self.outputs]
        self.layers = []
        for inputs, outputs in zip(widths, widths[1:]):
            weights = np.frombuffer(reader.take(4 * (inputs + 1) * outputs), "<i4").astype(np.int64)
            if np.abs(weights).max(initial=0) > kernel.MAX_WEIGHT:
                raise Malformed("a weight is beyond its bound")
            self.layers.append(weights.reshape(inputs + 1, outputs))

    def read_trees(self, reader):
        nodes = (1 << self.depth) - 1
        kind = np.dtype([("node", [("feature", "<u2"), ("threshold", "<i2")], (nodes,)), ("leaf", "<i4", (nodes + 1,))])
        trees = np.frombuffer(reader.take(self.rounds * self.outputs * kind.itemsize), kind)
        leaves = trees["leaf"].astype(np.int64)
        if (trees["node"]["feature"] >= self.features).any() or np.abs(leaves).max(initial=0) > kernel.MAX_ACTIVATION:
            raise Malformed("a node has a feature that is not there, or a leaf is beyond its bound")
        self.trees = (trees["node"]["feature"].astype(np.int64), trees["node"]["threshold"].astype(np.int64), leaves)

    def state(self, rounds):
        """Of trees: what the state after so many rounds is, which is how the model begins."""
        size = (len(self.data) - 32) // self.rounds if self.rounds else 0
        return self.data[32:32 + rounds * size] + struct.pack("<Q", rounds)
