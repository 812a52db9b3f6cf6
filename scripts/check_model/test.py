"""Tests of the check itself: exports that are as they should be have nothing wrong, and whatever is changed in one is found."""

import copy
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
from onnx import numpy_helper

import maker
import models
import money
import plan
from checks import Checks
from compare import compare
from formats import Malformed, Model, Opening, Table
from order import Claim as ExportedClaim
from order import Order
from references import ROOT, kernel, rules
from report import Report

HERE = Path(__file__).parent

# By hand from docs/protocols/training.md.
CASES = {
    "a linear model": ("iris", maker.LINEAR, True,
                       {"training": 2880, "segment": 1200, "evaluation": 1125, "segments": 3, "points": 4}),
    "a network": ("iris", maker.NETWORK_OF_TWO, True,
                  {"training": 20256, "segment": 8440, "evaluation": 6225, "segments": 3, "points": 4}),
    "numbers": ("diabetes", maker.LINEAR, True,
                {"training": 6336, "segment": 880, "evaluation": 2420, "segments": 8, "points": 4}),
    "trees": ("wine", maker.TREES, True,
              {"training": 20280, "segment": 16650, "evaluation": 2112, "segments": 2, "points": 2}),
    "scores alone": ("iris", maker.LINEAR, False,
                     {"training": 0, "segment": 0, "evaluation": 375, "segments": 0, "points": 0}),
}

# Leaves of order.json that nothing else in an export says, so that a change of them is not found.
FREE = {"height", "leader", "baseline_q16", "money.bond", "claims.2.commitment", "claims.2.fault", "claims.3.fault"}




# Forgeries: what changes an export of the network's order, and the check that finds it.


def claimed(order):
    return order["claims"][order["winner"]]


def commit(claim):
    hashes = [bytes.fromhex(claim[key][2:]) for key in ("worker", "model", "trace")]
    claim["commitment"] = maker.text(rules.commitment(maker.ORDER, *hashes, claim["point"], claim["attempt"]))


def other_label(folder, order):
    path = folder / "opening.bin"
    opening = path.read_bytes()
    labels = [at for at in range(len(opening) - 2) if opening[at:at + 3] == b"\x02\x06\x20"]
    path.write_bytes(opening[:labels[0]] + b"\x04" + opening[labels[0] + 1:])
    order["rows"] = maker.text(kernel.keccak(path.read_bytes()))


def deeper_tree(folder, order):
    """In which each number has a second place, so that the requester could choose between two rows."""
    holdout = maker.Holdout(maker.part(kernel.Data("iris"), 2))
    holdout.levels[-1].append(bytes(32))
    holdout.levels.append([kernel.keccak(b"".join(holdout.levels[-1]))])
    drawn = rules.draw(b"DTN/train/rows", maker.ORDER, maker.BEACON, order["holdout"]["rows"])[:order["draw"]]
    opening = holdout.open(sorted(drawn))
    (folder / "opening.bin").write_bytes(opening)
    order["rows"], order["holdout"]["root"] = maker.text(kernel.keccak(opening)), maker.text(holdout.root())


def other_weight(folder, order):
    path = folder / f"claim-{order['winner']}" / "model.dtm"
    model = Model.decode(path.read_bytes())
    model.layers[-1][-1, 0] += 1 << 20
    data = model.data[:32] + b"".join(layer.astype("<i4").tobytes() for layer in model.layers)
    path.write_bytes(data)
    claimed(order)["model"] = maker.text(Model.decode(data).root())
    commit(claimed(order))


def other_graph(folder, order):
    path = folder / f"claim-{order['winner']}" / "model.onnx"
    graph = onnx.load(path)
    bias = next(one for one in graph.graph.initializer if one.name == "bias2")
    bias.raw_data = (numpy_helper.to_array(bias) + (1 << 30)).tobytes()
    onnx.save(graph, path)


def other_state(folder, order):
    path = folder / f"claim-{order['winner']}" / "trace.json"
    states = json.loads(path.read_text())
    states[1] = maker.text(bytes(32))
    path.write_text(json.dumps(states))
    states = [bytes.fromhex(state[2:]) for state in states]
    claimed(order)["trace"] = maker.text(kernel.tree_root(b"DTN/train/trace", len(states), states))
    commit(claimed(order))


def other_attempt(folder, order):
    claimed(order)["attempt"] += 1
    commit(claimed(order))


def wei_moved(folder, order):
    one, other = (payment for payment in order["payments"] if payment["why"]["kind"] in ("prize", "unearned"))
    one["amount"], other["amount"] = str(int(one["amount"]) + 1), str(int(other["amount"]) - 1)


def other_winner(folder, order):
    order["winner"] = order["leader"] = 1 - order["winner"]
    claimed(order)["audited"] = True


def no_winner(folder, order):
    order["winner"], order["ending"] = None, "none_good"


def bounty_for_a_friend(folder, order):
    order["right"] = [maker.text(bytes([0x77] * 20))]


def other_grade(folder, order):
    claimed(order)["grades"]["hidden"]["loss"] -= 1


def more_work(folder, order):
    order["committee"][0]["macs"] += order["work"]["segment"]


FORGERIES = {
    "a label of an opened row": (other_label, "opening.bin: rows that lead to the root held out"),
    "a tree with a level more": (deeper_tree, "opening.bin: rows that lead to the root held out"),
    "a weight of the winner": (other_weight, "claim {}, opened rows: rows that are right, and loss"),
    "a weight of its graph": (other_graph, "claim {}, fold: 150 logits, others in onnxruntime"),
    "a state of its run": (other_state, "claim {}: 4 states, others by training again"),
    "another seed": (other_attempt, "claim {}: the first state, by the worker's seed"),
    "a grade": (other_grade, "claim {}, opened rows: rows that are right, and loss"),
    "a wei from one to another": (wei_moved, "payments"),
    "a winner that is not the best": (other_winner, "the winner is the best claim that stands"),
    "a winner that is hidden": (no_winner, "nobody has won: none_good"),
    "a bounty for who has shown nothing": (bounty_for_a_friend, "who was right to challenge"),
    "more work than there was": (more_work, "member 0: multiplications behind what it states"),
}


def report_of(folder, payouts=None, train=False):
    report = Report(as_json=True)
    with report.about("order.json"):
        checks = Checks(folder, Order.load(folder), report)
        checks.all()
        if payouts:
            checks.payouts(payouts)
        if train:
            checks.train_again()
    return report


def wrong(report):
    return [check["check"] for check in report.checks if check["state"] == "WRONG"]


def leaves(value, path=()):
    """The paths of everything in a document that is neither an object nor a list."""
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, one in items for leaf in leaves(one, (*path, key))]
    return [path]


def changed(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if value is None:
        return "0x" + "11" * 20
    if value.startswith("0x"):
        return value[:-1] + ("0" if value[-1] != "0" else "1")
    return str(int(value) + 1) if value.isdecimal() else value + "?"


class Exports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        for at, (name, (data, recipe, traced, work)) in enumerate(CASES.items()):
            maker.make(cls.scratch / str(at), data, recipe, traced, work)
        cls.folders = {name: cls.scratch / str(at) for at, name in enumerate(CASES)}
        seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
        cls.random = random.Random(seed)
        print(f"SEED={seed}", file=sys.stderr)

    def copy(self, case):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory())) / "export"
        return shutil.copytree(self.folders[case], folder)

    def order(self, case):
        return json.loads((self.folders[case] / "order.json").read_bytes())

    def test_nothing_is_wrong_with_what_is_as_it_should_be(self):
        for case, folder in self.folders.items():
            with self.subTest(case):
                report = report_of(folder, train=True)
                self.assertEqual(wrong(report), [])
                left_out = {check["check"] for check in report.checks if check["state"] == "left out"}
                trace = set() if case == "scores alone" else {f"claim {1 - self.order(case)['winner']}: trace.json"}
                self.assertLessEqual(left_out - trace, {"claim 2", "training again"})
                self.assertGreater(len(report.checks), 25)

    def test_a_bit_that_is_changed_in_a_file_is_found(self):
        for case in self.folders:
            folder = self.copy(case)
            for path in sorted(path for path in folder.rglob("*.*") if path.name not in ("order.json", "model.onnx")):
                data = path.read_bytes()
                # Of safetensors, what its header says in words may be said otherwise; in hexadecimal a letter may be large.
                first = 8 + int.from_bytes(data[:8], "little") if path.suffix == ".safetensors" else 0
                bits = 4 if path.suffix == ".json" else 8
                for _ in range(3):
                    place, bit = self.random.randrange(first, len(data)), 1 << self.random.randrange(bits)
                    path.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1:])
                    with self.subTest(case, file=path.relative_to(folder), place=place, bit=bit):
                        self.assertNotEqual(wrong(report_of(folder)), [])
                path.write_bytes(data)

    def test_a_file_that_is_missing_or_cut_is_found(self):
        for case in self.folders:
            folder = self.copy(case)
            unneeded = f"claim-{1 - self.order(case)['winner']}", "claim-3"
            for path in sorted(folder.rglob("*.*")):
                data = path.read_bytes()
                path.write_bytes(data[:len(data) // 2])
                with self.subTest(case, cut=path.relative_to(folder)):
                    self.assertNotEqual(wrong(report_of(folder)), [])
                path.unlink()
                if path.name != "trace.json" or path.parent.name not in unneeded:
                    with self.subTest(case, missing=path.relative_to(folder)):
                        self.assertNotEqual(wrong(report_of(folder)), [])
                path.write_bytes(data)

    def test_a_forger_who_keeps_hashes_and_sums_in_order_is_found(self):
        for name, (forge, found) in FORGERIES.items():
            with self.subTest(name):
                folder, order = self.copy("a network"), self.order("a network")
                forge(folder, order)
                (folder / "order.json").write_text(json.dumps(order))
                self.assertIn(found.format(order["winner"]), wrong(report_of(folder, train=name == "a state of its run")))

    def test_whatever_is_changed_in_the_order_is_found(self):
        for case in ("a linear model", "trees"):
            folder, order = self.copy(case), self.order(case)
            # That the fourth claim is late too says nothing: it has fallen. The payee of who does not win is nowhere else.
            free = FREE | {"claims.3.late"} | {f"claims.{claim}.payee" for claim in (1 - order["winner"], 3)}
            # The seed shows in the first state of layers; of trees only where they are trained again.
            origin = {"network_id", "block"}
            for path in leaves(order):
                name = ".".join(map(str, path))
                if name in free or path[:2] == ("recipe", "grid") or (name in origin) != (case == "a linear model"):
                    continue
                document = copy.deepcopy(order)
                *parents, key = path
                at = document
                for parent in parents:
                    at = at[parent]
                at[key] = changed(at[key])
                (folder / "order.json").write_text(json.dumps(document))
                with self.subTest(case, leaf=name):
                    self.assertNotEqual(wrong(report_of(folder)), [])

    def test_what_a_chain_has_paid_covers_the_prize_or_is_found(self):
        order = self.order("numbers")
        payee = claimed(order)["payee"]
        prize = next(int(payment["amount"]) for payment in order["payments"] if payment["why"]["kind"] == "prize")
        path = self.scratch / "paid.json"
        for paid, is_wrong in (({payee: str(prize)}, False), ({payee.upper().replace("0X", "0x"): prize + 1}, False),
                               ({payee: str(prize - 1)}, True), ({}, True), ([], True), ({"me": "1"}, True)):
            with self.subTest(paid=paid):
                path.write_text(json.dumps(paid))
                self.assertEqual(report_of(self.folders["numbers"], payouts=path).is_wrong, is_wrong)

    def test_the_program_says_in_its_exit_code_whether_anything_is_wrong(self):
        changed = self.copy("trees")
        (changed / "claim-0" / "model.dtm").write_bytes(b"")
        for arguments, code, says in (([self.folders["trees"]], 0, ", 0 WRONG"), ([changed, "--json"], 1, '"ok": false'),
                                      ([changed / "claim-0"], 2, "order.json is not there")):
            with self.subTest(arguments):
                run = subprocess.run([sys.executable, "-B", HERE, *arguments], capture_output=True, text=True)
                self.assertEqual((run.returncode, says in run.stdout + run.stderr), (code, True), run)

    def test_beside_the_models_of_scikit_learn_the_winner_is_as_good_as_its_grade(self):
        folder, order = self.folders["a linear model"], self.order("a linear model")
        checks = Checks(folder, Order.load(folder), Report(as_json=True))
        checks.all()
        with warnings.catch_warnings(action="ignore"):
            found = compare(checks.train, checks.hidden, checks.models[order["winner"]])
        self.assertEqual(found[0][1], claimed(order)["grades"]["hidden"]["correct"] / order["draw"])
        self.assertEqual(len(found), 4)
        self.assertTrue(all(0.6 < how_good <= 1 for _, how_good in found), found)


class Formats(unittest.TestCase):
    def test_there_is_one_encoding_of_each_thing(self):
        model = b"DTNmodl\x01" + struct.pack("<HHBB", 0, 1, 0, 0) + bytes(18) + struct.pack("<2i", 1 << 28, -1)
        trees = b"DTNmodl\x01" + struct.pack("<HHBBI", 0, 1, 1, 1, 1) + bytes(14) + struct.pack("<Hhii", 0, 3, 1 << 22, 0)
        table = b"DTNdata\x01" + struct.pack("<HHI", 2, 1, 1) + struct.pack("<hi", -5, 1)
        opening = b"\x02\x01\x01" + b"\x00\x20" + bytes(32) + b"\x01\x09" + b"\x02" + b"\x00"
        for kind, data in ((Model, model), (Model, trees), (Table, table), (Opening, opening)):
            kind.decode(data)
            for other in (data + b"\0", data[:-1], b"", b"x" + data[1:-1]):
                self.assertRaises(Malformed, kind.decode, other)
        self.assertEqual(Opening.decode(opening).table(), Table.decode(table))
        # One class, a header that is not zero, a weight, a feature, a leaf and a label beyond their bounds.
        for place, byte, data in ((8, 1, model), (31, 1, model), (35, 17, model), (32, 1, trees), (36, 1, trees), (18, 2, table)):
            decode = Table.decode if data is table else Model.decode
            self.assertRaises(Malformed, decode, data[:place] + bytes([byte]) + data[place + 1:])

    def test_a_segment_has_no_more_steps_than_there_are(self):
        order = SimpleNamespace(recipe=maker.LINEAR | {"segment_steps": 100}, features=4, classes=3, draw=25,
                                data=SimpleNamespace(rows=50), fold=SimpleNamespace(rows=50))
        self.assertEqual(plan.work(order), CASES["a linear model"][3] | {"segment": 2880, "segments": 1})


class Grades(unittest.TestCase):
    def test_of_logits_that_are_equal_the_first_one_counts(self):
        table = Table(3, np.zeros((3, 1), np.int64), [0, 1, 2])
        self.assertEqual(models.grade(table, np.array([[5, 5, 5], [1, 7, 7], [7, 1, 7]]))[0], 2)

    def test_an_error_of_numbers_counts_for_no_more_than_64(self):
        table = Table(0, np.zeros((2, 1), np.int64), [-(1 << 22), 3])
        self.assertEqual(models.grade(table, np.array([[1 << 22], [0]])), (0, (1 << 44) + 9))


class Money(unittest.TestCase):
    """The split, against what the reference of the rules and the Rust come to, and where nobody wins."""

    def setUp(self):
        self.golden = json.loads((ROOT / "crates/training/tests/vectors.json").read_text())["paid"]

    def order(self, case):
        """What that reference's orders look like in an export."""
        amounts = {key: int(amount) for key, amount in case["money"].items()}
        claims = [claim_of(number) for number in range(3)]
        parameters = 65 * 10
        step, evaluation = 32 * 2 * parameters, parameters * 360
        places = rules.draw(b"DTN/train/committee", rules.ORDER, rules.BEACON, 4)
        committee = []
        for place, number in enumerate(places):
            idle = case["forged"] and place == 2
            segments = 0 if idle else len(rules.segments_of(place, 4, 2, 5))
            committee.append(SimpleNamespace(account=bytes([1 + number] * 20), macs=3 * evaluation + segments * 20 * step,
                                             late=int(idle), fault=None, shown_by=None))
        if case["forged"]:
            claims[1].fault, claims[1].shown_by = "segment 2", rules.WATCHER
        return SimpleNamespace(
            requester=rules.REQUESTER, money=amounts, claims=claims, committee=committee, forfeit=None, fold=object(),
            right=[rules.WATCHER] if case["forged"] else [], winner=0 if case["forged"] else 1,
            redundancy=2, committee_size=4, max_claims=3, work={"training": 95 * step, "evaluation": evaluation})

    def gains(self, order):
        """What everybody has gained: what was paid to it, less what it had locked."""
        gains = {account: 0 for account in (order.requester, rules.WATCHER)}
        gains[order.requester] -= order.money["reward"] + order.money["deposit"]
        gains |= {claim.worker: -order.money["worker"] for claim in order.claims}
        gains |= {member.account: -order.money["member"] for member in order.committee}
        paid = money.settlement(order)
        self.assertEqual(sum(payment.amount for payment in paid), money.locked(order))
        for payment in paid:
            gains[payment.to] = gains.get(payment.to, 0) + payment.amount
        return gains

    def test_it_is_that_of_the_golden_vectors(self):
        for case in self.golden:
            gains = self.gains(self.order(case))
            self.assertEqual(str(gains.pop(None, 0)), case["pot"])
            self.assertEqual({maker.text(account): str(gain) for account, gain in gains.items()}, case["gains"])

    def test_a_deposit_that_is_lost_goes_to_whoever_has_revealed_or_to_all_where_rows_were_withheld(self):
        order = self.order(self.golden[0])
        order.claims[2].model, order.claims[2].late = None, True
        order.winner, order.forfeit = None, "poisoned"
        gains = self.gains(order)
        half, tenth = order.money["deposit"] // 2, order.money["worker"] // 10
        self.assertEqual([gains[claim.worker] for claim in order.claims], [half, half, -tenth])
        self.assertEqual(gains[None], order.money["deposit"] - 2 * half + tenth)
        for claim in order.claims:
            claim.model, claim.late = None, False
        order.forfeit, order.fold = "withheld", None
        self.assertEqual([self.gains(order)[claim.worker] for claim in order.claims], [order.money["deposit"] // 3] * 3)

    def test_a_bounty_is_shared_for_each_time_and_what_is_left_of_it_is_the_winners(self):
        order = self.order(self.golden[0])
        before = self.gains(order)
        stranger, bounty = bytes([0x99] * 20), order.money["reward"] // 20
        order.right = [rules.WATCHER, stranger, rules.WATCHER]
        gains, winner = self.gains(order), order.claims[order.winner].worker
        self.assertEqual((gains[rules.WATCHER], gains[stranger]), (bounty // 3 * 2, bounty // 3))
        self.assertEqual(gains[winner], before[winner] - bounty // 3 * 3)

    def test_a_stake_that_nobody_has_taken_by_a_challenge_is_all_the_pots(self):
        order = self.order(self.golden[0])
        order.committee[0].fault = "what it states of claim 0 is false"
        self.assertEqual(self.gains(order)[None], order.money["member"])
        self.assertEqual(sum(payment.to is None for payment in money.settlement(order)), 1)
        order.committee[0].fault, order.committee[0].late = None, 11
        self.assertEqual(self.gains(order)[None], order.money["member"])

    def test_the_most_rows_right_win_then_the_least_loss_then_the_earliest_and_none_below_the_baseline(self):
        order = self.order(self.golden[0])
        order.classes, order.draw, order.baseline, order.fold = 10, 180, 1 << 15, SimpleNamespace(rows=180)
        for claim, hidden in zip(order.claims, ((100, 9), (101, 9), (101, 8))):
            claim.grades = {"hidden": hidden, "fold": (101, 7)}
        self.assertEqual(money.best(order), 2)
        order.claims[1].grades["hidden"] = (101, 8)
        self.assertEqual(money.best(order), 1)
        order.claims[1].late = order.claims[2].late = True
        self.assertEqual(money.best(order), 0)
        order.claims[0].grades["hidden"] = (90, 0)
        self.assertEqual(money.best(order), 0)
        order.claims[0].grades["hidden"] = (89, 0)
        self.assertIsNone(money.best(order))
        # So much worse than on the fold that it leads as one that may show that the rows are poisoned.
        order.claims[0].grades["hidden"] = (10, 0)
        self.assertEqual(money.best(order), 0)


def claim_of(number):
    return ExportedClaim(number, bytes([64 + number] * 20), bytes(32), bytes(32), bytes(32), 0, 0, bytes([64 + number] * 20), None,
                         False, False, None, None)


if __name__ == "__main__":
    unittest.main()
