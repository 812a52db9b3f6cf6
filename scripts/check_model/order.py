"""What order.json says."""

import json
from dataclasses import dataclass
from pathlib import Path

from formats import Malformed

# The lists of a grid, of which the last one is counted fastest.
GRID = ("learning_rate", "momentum", "l2", "sample", "min_weight")


def read_hash(text, size=32):
    if not isinstance(text, str) or not text.startswith("0x") or len(text) != 2 + 2 * size:
        raise Malformed(f"{text!r} is not {size} bytes in hexadecimal")
    try:
        return bytes.fromhex(text[2:])
    except ValueError as error:
        raise Malformed(f"{text!r}: {error}") from None


def read_address(text):
    return read_hash(text, 20)


def read_amount(text):
    if not isinstance(text, str) or not text.isascii() or not text.isdecimal():
        raise Malformed(f"{text!r} is no amount")
    return int(text)


def read_number(value):
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Malformed(f"{value!r} is no number")
    return value


def perhaps(read, value):
    return None if value is None else read(value)


def read_json(path):
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise Malformed(f"it is no JSON: {error}") from None


def read_recipe(value):
    """What training is, where it is of a family that there is; what it may cost was checked when it was ordered."""
    family, grid = value["family"], value["grid"]
    is_family = family == "linear" or isinstance(family, dict) and len(family) == 1 and (
        "mlp" in family and [read_number(units) for units in family["mlp"]["hidden"]]
        or "gbdt" in family and read_number(family["gbdt"]["depth"]) and read_number(family["gbdt"]["bins"]))
    numbers = [read_number(value[key]) for key in ("epochs", "segment_steps", "batch")]
    is_fraction = lambda text: isinstance(text, str) and text.isascii() and text.replace(".", "", 1).isdecimal()
    if not is_family or not set(grid) <= set(GRID) or not all(is_fraction(one) for values in grid.values() for one in values):
        raise Malformed("the recipe has a family or a grid that there is not")
    if 0 in numbers[:2] or (numbers[2] == 0) != ("gbdt" in family) or "gbdt" in family and not grid.get("sample"):
        raise Malformed("the recipe has no steps, or no batch or sample where there has to be one")
    return value


@dataclass
class Rows:
    """A table as an order names it."""

    root: bytes
    rows: int

    @classmethod
    def read(cls, value):
        return cls(read_hash(value["root"]), read_number(value["rows"]))


@dataclass
class Claim:
    number: int
    worker: bytes
    commitment: bytes
    model: bytes | None
    trace: bytes | None
    point: int | None
    attempt: int | None
    payee: bytes | None
    grades: dict | None  # by "hidden" and "fold" (correct, loss) or None
    audited: bool
    late: bool
    fault: str | None
    shown_by: bytes | None

    @property
    def stands(self):
        return not self.late and self.fault is None

    def grade(self, table):
        return self.grades and self.grades[table]

    @classmethod
    def read(cls, value, number):
        if value["claim"] != number:
            raise Malformed(f"claim {number} has the number {value['claim']!r}")
        revealed = {value[key] is None for key in ("model", "trace", "point", "attempt", "payee")}
        if len(revealed) != 1:
            raise Malformed(f"claim {number} is revealed in part")
        grade = lambda it: (read_number(it["correct"]), read_number(it["loss"]))
        grades = perhaps(lambda it: {table: perhaps(grade, it[table]) for table in ("hidden", "fold")}, value["grades"])
        hashes = [perhaps(read_hash, value[key]) for key in ("model", "trace")]
        numbers = [perhaps(read_number, value[key]) for key in ("point", "attempt")]
        return cls(number, read_address(value["worker"]), read_hash(value["commitment"]), *hashes, *numbers,
                   perhaps(read_address, value["payee"]), grades, bool(value["audited"]), bool(value["late"]),
                   value["fault"], perhaps(read_address, value["shown_by"]))


@dataclass
class Member:
    account: bytes
    macs: int
    late: int
    fault: str | None
    shown_by: bytes | None

    @classmethod
    def read(cls, value):
        return cls(read_address(value["account"]), read_number(value["macs"]), read_number(value["late"]), value["fault"],
                   perhaps(read_address, value["shown_by"]))


@dataclass(frozen=True)
class Payment:
    """Money that leaves an order, to nobody if it is the pot's; about is the worker, the account or the multiplications."""

    kind: str
    to: bytes | None
    amount: int
    about: bytes | int | None = None

    def __str__(self):
        to = "the pot" if self.to is None else "0x" + self.to.hex()
        about = "" if self.about is None else f" ({self.about if isinstance(self.about, int) else '0x' + self.about.hex()})"
        return f"{self.kind}{about} of {self.amount} to {to}"

    @classmethod
    def read(cls, value):
        why = dict(value["why"])
        kind, about = why.pop("kind"), list(why.values())
        about = about[0] if about else None
        return cls(kind, perhaps(read_address, value["to"]), read_amount(value["amount"]),
                   read_address(about) if isinstance(about, str) else about)


class Order:
    def __init__(self, value):
        self.network, self.id, self.block = (read_hash(value[key]) for key in ("network_id", "order", "block"))
        self.requester = read_address(value["requester"])
        if value["proof"] not in ("trace", "score"):
            raise Malformed(f"{value['proof']!r} is no proof")
        self.traced = value["proof"] == "trace"
        self.recipe, self.features = perhaps(read_recipe, value["recipe"]), perhaps(read_number, value["features"])
        self.classes, self.draw = read_number(value["classes"]), read_number(value["draw"])
        self.baseline = read_number(value["baseline_q16"])
        self.data, self.fold = (perhaps(Rows.read, value[key]) for key in ("data", "fold"))
        self.holdout = Rows.read(value["holdout"])
        self.money = {key: read_amount(value["money"][key]) for key in ("reward", "deposit", "worker", "member", "bond")}
        self.committee_size, self.redundancy, self.max_claims = (
            read_number(value[key]) for key in ("committee_size", "redundancy", "max_claims"))
        self.beacon, self.rows, self.forfeit = read_hash(value["beacon"]), perhaps(read_hash, value["rows"]), value["forfeit"]
        self.claims = [Claim.read(claim, number) for number, claim in enumerate(value["claims"])]
        self.committee = [Member.read(member) for member in value["committee"]]
        self.right, self.wrong = ([read_address(one) for one in value[key]] for key in ("right", "wrong"))
        self.leader, self.winner = (perhaps(read_number, value[key]) for key in ("leader", "winner"))
        self.ending = value["ending"]
        if (self.ending == "final") != (self.winner is not None):
            raise Malformed(f"the order is {self.ending}, and its winner {self.winner}")
        self.work = {key: read_number(value["work"][key])
                     for key in ("training", "segment", "evaluation", "segments", "points")}
        self.payments = [Payment.read(payment) for payment in value["payments"]]
        if self.forfeit not in (None, "withheld", "poisoned"):
            raise Malformed(f"{self.forfeit!r} is no reason to lose a deposit")
        if any(claim is not None and claim >= len(self.claims) for claim in (self.leader, self.winner)):
            raise Malformed("a claim that is not there leads or has won")
        if self.traced and None in (self.recipe, self.features, self.data, self.fold):
            raise Malformed("an order with traces lacks its recipe or its data")

    @classmethod
    def load(cls, folder):
        value = read_json(Path(folder) / "order.json")
        try:
            return cls(value)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Malformed(f"something is missing or of another kind: {error!r}") from None

    def revealed(self):
        return [claim for claim in self.claims if claim.model is not None]

    def at_point(self, point):
        """The recipe with the values of a point of its grid, of which the last list is counted fastest."""
        grid = {}
        for name in reversed(GRID):
            values = self.recipe["grid"].get(name) or ["0"]
            point, place = divmod(point, len(values))
            grid[name] = [values[place]]
        return self.recipe | {"grid": grid}
