"""Makes an export of a small order that has gone through all that orders go through, for the tests: by the references and not by
what is tested."""

import json
import struct
from types import SimpleNamespace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from references import kernel, rules

NETWORK, BLOCK, ORDER, BEACON = (bytes([value] * 32) for value in (0xA1, 0xB2, 0xC3, 0xD4))
REQUESTER, WATCHER = bytes([0xEE] * 20), bytes([0xCC] * 20)
SECRET = bytes([7] * 32)
MONEY = {"reward": 1_000_000_000_000_000_007, "deposit": 200_000_000_000_000_003, "worker": 250_000_000_000_000_001,
         "member": 250_000_000_000_000_003, "bond": 20_000_000_000_000_009}

LINEAR = {"family": "linear", "epochs": 2, "batch": 8, "segment_steps": 5,
          "grid": {"learning_rate": ["0.05", "0.1"], "momentum": ["0.9"], "l2": ["0.001", "0"], "sample": [], "min_weight": []}}
NETWORK_OF_TWO = LINEAR | {"family": {"mlp": {"hidden": [6, 5]}}}
TREES = {"family": {"gbdt": {"depth": 2, "bins": 16}}, "epochs": 4, "batch": 0, "segment_steps": 3,
         "grid": {"learning_rate": ["0.3"], "momentum": [], "l2": ["1"], "sample": ["0.5", "0.7"], "min_weight": ["1.5"]}}


def text(data):
    return "0x" + data.hex()


def part(data, first, step=3):
    """Every third row."""
    rows, labels = data.rows[first::step], data.labels[first::step]
    kept = SimpleNamespace(classes=data.classes, outputs=data.outputs, rows=rows, labels=labels)
    kept.header = lambda: kernel.Data.header(kept)
    kept.root = lambda: kernel.Data.root(kept)
    return kept


def encoded(data):
    return data.header() + b"".join(encoded_row(row, label) for row, label in zip(data.rows, data.labels))


def encoded_row(row, label):
    return struct.pack(f"<{len(row)}hi", *row, label)


# Rows that are held out.


def varint(value):
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def signed(value):
    return varint(2 * value if value >= 0 else -2 * value - 1)


class Holdout:
    def __init__(self, data):
        self.data = data
        self.salts = [kernel.keccak(SECRET + struct.pack(">I", row)) for row in range(len(data.rows))]
        level = [kernel.keccak(kernel.keccak(struct.pack(">I", row) + salt + encoded_row(data.rows[row], data.labels[row])))
                 for row, salt in enumerate(self.salts)]
        while len(level).bit_count() > 1:
            level.append(bytes(32))
        self.levels = [level]
        while len(level) > 1:
            level = [kernel.keccak(level[at] + level[at + 1]) for at in range(0, len(level), 2)]
            self.levels.append(level)

    def root(self):
        head = struct.pack(">HHI", self.data.classes, len(self.data.rows[0]), len(self.data.rows))
        return kernel.keccak(b"DTN/train/holdout" + head + self.levels[-1][0])

    def open(self, numbers):
        row = lambda number: b"".join([
            varint(number), b"\x20" + self.salts[number],
            varint(len(self.data.rows[number])), *map(signed, self.data.rows[number]), signed(self.data.labels[number]),
            varint(len(self.levels) - 1),
            *(b"\x20" + level[number >> depth ^ 1] for depth, level in enumerate(self.levels[:-1]))])
        head = varint(self.data.classes) + varint(len(self.data.rows[0])) + varint(len(numbers))
        return head + b"".join(map(row, numbers))


# Files of other programs.


def onnx_graph(layers):
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.array(value, np.int64), name))
        return name

    def node(kind, *inputs):
        nodes.append(helper.make_node(kind, inputs, [f"value{len(nodes)}"]))
        return nodes[-1].output[0]

    one, half, most, least, zero = (constant(name, [value]) for name, value in (
        ("one", 1 << 24), ("half", 1 << 23), ("most", 1 << 22), ("least", -(1 << 22)), ("zero", 0)))
    values = node("Mul", "features", constant("scale", [1 << 4]))
    for at, layer in enumerate(layers):
        weights, bias = constant(f"weights{at}", layer[:-1]), constant(f"bias{at}", [kernel.ONE * weight for weight in layer[-1]])
        raised = node("Add", node("Add", node("MatMul", values, weights), bias), half)
        values = node("Div", node("Sub", raised, node("Mod", raised, one)), one)
        values = node("Min", node("Max", values, least), most)
        if at + 1 < len(layers):
            values = node("Max", values, zero)
    nodes[-1].output[0] = "logits"
    value = lambda name, columns: helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", columns])
    given, found = value("features", len(layers[0]) - 1), value("logits", len(layers[-1][0]))
    graph = helper.make_graph(nodes, "model", [given], [found], constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    onnx.checker.check_model(model)
    return model.SerializeToString()


def safetensors(layers):
    header, numbers = {"__metadata__": {"weights": "divide by 2^24"}}, b""
    for at, layer in enumerate(layers):
        for name, values in ((f"layer.{at}.weight", layer[:-1]), (f"layer.{at}.bias", layer[-1])):
            values = np.array(values, "<i4")
            begin, numbers = len(numbers), numbers + values.tobytes()
            header[name] = {"dtype": "I32", "shape": list(values.shape), "data_offsets": [begin, len(numbers)]}
    header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + numbers


# Claims.


class Claim:
    def __init__(self, number, recipe, train, point, attempt=0):
        self.number, self.point, self.attempt = number, point, attempt
        self.worker, self.payee = bytes([0x40 + number] * 20), bytes([0x80 + number] * 20)
        seed = kernel.seed_of({"network": NETWORK, "block": BLOCK, "order": ORDER, "worker": self.worker, "attempt": attempt})
        values, rest = {}, point
        for name in ("min_weight", "sample", "l2", "momentum", "learning_rate"):
            list_of = recipe["grid"][name] or ["0"]
            values[name], rest = [list_of[rest % len(list_of)]], rest // len(list_of)
        kind = kernel.Boosted if "gbdt" in recipe["family"] else kernel.Dense
        self.trainer = kind(train, seed, recipe | {"grid": values})
        self.states, _ = kernel.run(self.trainer, recipe["segment_steps"])
        self.model = self.trainer.model()
        self.late, self.fault, self.shown_by, self.audited = False, None, None, False

    def roots(self):
        chunks = [self.model[at:at + 1024] for at in range(0, len(self.model), 1024)]
        model = kernel.tree_root(b"DTN/train/model", len(self.model), chunks)
        return model, kernel.tree_root(b"DTN/train/trace", len(self.states), self.states)

    def grade(self, data):
        self.trainer.data = data
        logits = [self.trainer.logits(row) for row in range(len(data.rows))]
        if not data.classes:
            errors = [kernel.clamp(of_row[0] - label, 1 << 22) for of_row, label in zip(logits, data.labels)]
            return {"correct": 0, "loss": sum(error * error for error in errors)}
        return {"correct": sum(of_row.index(max(of_row)) == label for of_row, label in zip(logits, data.labels)),
                "loss": sum(kernel.surprise(of_row, label) for of_row, label in zip(logits, data.labels))}

    def write(self, folder, traced):
        folder.mkdir()
        (folder / "model.dtm").write_bytes(self.model)
        if traced:
            (folder / "trace.json").write_text(json.dumps([text(state) for state in self.states]))
        if isinstance(self.trainer, kernel.Dense):
            (folder / "model.onnx").write_bytes(onnx_graph(self.trainer.layers))
            (folder / "model.safetensors").write_bytes(safetensors(self.trainer.layers))

    def document(self, tables, traced):
        model, trace = self.roots()
        trace = trace if traced else bytes(32)
        point, attempt = (self.point, self.attempt) if traced else (0, 0)
        committed = rules.commitment(ORDER, self.worker, model, trace, point, attempt)
        revealed = {"model": text(model), "trace": text(trace), "point": point, "attempt": attempt, "payee": text(self.payee),
                    "grades": {name: self.grade(data) if data else None for name, data in tables.items()}}
        revealed = dict.fromkeys(revealed) if self.late else revealed
        return {"claim": self.number, "worker": text(self.worker), "commitment": text(committed), **revealed,
                "audited": self.audited, "late": self.late, "fault": self.fault,
                "shown_by": self.shown_by and text(self.shown_by)}


# Orders.


def make(folder, name, recipe, traced=True, work=None):
    """Of four claims the third is not revealed; the fourth is forged, and somebody shows it. The member in place 2 audits
    nothing."""
    data = kernel.Data(name)
    train, fold, holdout = part(data, 0), part(data, 1), Holdout(part(data, 2))
    draw = len(holdout.data.rows) // 2
    numbers = sorted(rules.draw(b"DTN/train/rows", ORDER, BEACON, len(holdout.data.rows))[:draw])
    hidden = part(holdout.data, 0, 1)
    hidden.rows, hidden.labels = [hidden.rows[row] for row in numbers], [hidden.labels[row] for row in numbers]
    claims = [Claim(number, recipe, train, number % 2, 3 * number) for number in range(4)]
    claims[2].late = True
    if traced:
        claims[3].states[-1] = bytes([0xF0] * 32)
        claims[3].fault, claims[3].shown_by = "segment 1 does not lead where its trace says", WATCHER
    tables = {"hidden": hidden, "fold": fold if traced else None}
    grades = [claim.grade(hidden) for claim in claims]
    able = [claim.number for claim in claims if not claim.late and claim.fault is None]
    winner = min(able, key=lambda number: (-grades[number]["correct"], grades[number]["loss"], number))
    claims[winner].audited = traced
    opening = holdout.open(numbers)
    folder.mkdir()
    if traced:
        (folder / "data.dtd").write_bytes(encoded(train))
        (folder / "fold.dtd").write_bytes(encoded(fold))
    (folder / "opening.bin").write_bytes(opening)
    for claim in claims:
        claim.late or claim.write(folder / f"claim-{claim.number}", traced)
    rows = lambda of, count: {"root": text(of.root()), "rows": count}
    document = {
        "network_id": text(NETWORK), "order": text(ORDER), "block": text(BLOCK), "height": 9, "requester": text(REQUESTER),
        "proof": "trace" if traced else "score", "recipe": recipe if traced else None,
        "features": len(train.rows[0]) if traced else None, "classes": data.classes,
        "data": rows(train, len(train.rows)) if traced else None, "fold": rows(fold, len(fold.rows)) if traced else None,
        "holdout": rows(holdout, len(holdout.data.rows)), "draw": draw,
        "baseline_q16": 1 << 14 if data.classes else 40 << 16, "money": {key: str(amount) for key, amount in MONEY.items()},
        "committee_size": 4, "redundancy": 2, "max_claims": 4, "beacon": text(BEACON), "rows": text(kernel.keccak(opening)),
        "forfeit": None, "claims": [claim.document(tables, traced) for claim in claims],
        "committee": members(work, traced), "right": [text(WATCHER)] if traced else [], "wrong": [],
        "leader": winner, "winner": winner, "ending": "final", "work": work,
        "payments": [{"to": to and text(to), "amount": str(amount), "why": why}
                     for to, amount, why in payments(winner, work, traced)],
    }
    (folder / "order.json").write_text(json.dumps(document, indent=1))


def audits(work, traced):
    of = [len(rules.segments_of(member, 4, 2, work["segments"])) for member in range(4)]
    return [0 if member == 2 else segments for member, segments in enumerate(of)] if traced else [0] * 4


def macs(work, traced):
    return [3 * work["evaluation"] + work["segment"] * segments for segments in audits(work, traced)]


def is_late(member, traced):
    return traced and member == 2


def members(work, traced):
    return [{"account": text(bytes([1 + place] * 20)), "macs": done, "late": int(is_late(place, traced)), "fault": None,
             "shown_by": None}
            for place, done in enumerate(macs(work, traced))]


def payments(winner, work, traced):
    """What this order pays, written down for it alone."""
    reward, worker, member = MONEY["reward"], MONEY["worker"], MONEY["member"]
    statements, bounty = reward * 15 // 100, reward * 5 // 100
    # The last segment is shorter than it counts, so that all statements can be worth more than was foreseen.
    budget = max(2 * work["training"] + 16 * work["evaluation"], sum(macs(work, traced)))
    earned = [statements * done // budget for done in macs(work, traced)]
    for place, done in enumerate(macs(work, traced)):
        yield bytes([1 + place] * 20), earned[place], {"kind": "statements", "macs": done}
    if traced:
        yield WATCHER, bounty, {"kind": "bounty"}
        yield WATCHER, worker // 2, {"kind": "slashed", "from": text(bytes([0x43] * 20))}
        yield None, worker - worker // 2, {"kind": "slashed", "from": text(bytes([0x43] * 20))}
        yield None, member // 10, {"kind": "late", "from": text(bytes([3] * 20))}
    yield REQUESTER, statements - sum(earned), {"kind": "unearned"}
    yield REQUESTER, MONEY["deposit"], {"kind": "deposit"}
    prize = reward - statements - (bounty if traced else 0)
    yield bytes([0x80 + winner] * 20), prize, {"kind": "prize", "worker": text(bytes([0x40 + winner] * 20))}
    for number in range(3 if traced else 4):
        lost = worker // 10 if number == 2 else 0
        yield bytes([0x40 + number] * 20), worker - lost, {"kind": "stake"}
    yield None, worker // 10, {"kind": "late", "from": text(bytes([0x42] * 20))}
    for place in range(4):
        yield bytes([1 + place] * 20), member - (member // 10 if is_late(place, traced) else 0), {"kind": "stake"}
