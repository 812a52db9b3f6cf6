"""All checks of an export. Each begins with what the order states, and comes to the same from bytes, or does not."""

from collections import Counter
from math import isclose
from pathlib import Path

import models
import money
import plan
from formats import Malformed, Model, Opening, Table
from order import Payment, read_address, read_amount, read_hash, read_json
from references import kernel, rules


class Checks:
    def __init__(self, folder, order, report):
        self.folder, self.order, self.report = Path(folder), order, report
        self.train = self.fold = self.hidden = None  # tables
        self.models = {}  # by the number of their claim

    def read(self, *path):
        return self.folder.joinpath(*path).read_bytes()

    def all(self):
        if self.order.traced:
            self.data()
        self.opened_rows()
        self.members()
        for claim in self.order.claims:
            self.claim(claim)
        self.ends()
        self.paid()

    # What is trained on and what counts.

    def data(self):
        order, report = self.order, self.report
        self.train = self.table("data.dtd", order.data)
        self.fold = self.table("fold.dtd", order.fold)
        report.same("multiplications, segments and points", order.work, plan.work(order))

    def table(self, name, named):
        order, report = self.order, self.report
        with report.about(name):
            table = Table.decode(self.read(name))
            rows, features = table.features.shape
            report.same(f"{name}: its root", named.root, table.root())
            report.same(f"{name}: rows, features, classes", (named.rows, order.features, order.classes),
                        (rows, features, table.classes))
            return table if features == order.features and table.classes == order.classes else None

    def opened_rows(self):
        order, report = self.order, self.report
        if order.rows is None:
            return report.left_out("opening.bin", "the requester has not opened the drawn rows")
        with report.about("opening.bin"):
            data = self.read("opening.bin")
            report.same("opening.bin: its hash", order.rows, kernel.keccak(data))
            opening = Opening.decode(data)
            table = opening.table()
            drawn = sorted(rules.draw(b"DTN/train/rows", order.id, order.beacon, order.holdout.rows)[:order.draw])
            numbers = [row.number for row in opening.rows]
            report.same("opening.bin: classes", order.classes, opening.classes)
            if order.features is not None:
                report.same("opening.bin: features", order.features, opening.features)
            is_drawn = [number == row for number, row in zip(drawn, numbers)] if len(drawn) == len(numbers) else []
            report.same("opening.bin: rows that the beacon has drawn", order.draw, sum(is_drawn))
            depth = (order.holdout.rows - 1).bit_length()
            held_out = sum(row.number < order.holdout.rows and len(row.path) == depth
                           and opening.root(row, order.holdout.rows) == order.holdout.root for row in opening.rows)
            report.same("opening.bin: rows that lead to the root held out", order.draw, held_out)
            is_as_ordered = opening.classes == order.classes and opening.features == (order.features or opening.features)
            self.hidden = table if is_as_ordered else None

    def members(self):
        """Who may be in the committee, and what its statements can be worth."""
        order, report = self.order, self.report
        seated = [member.account for member in order.committee]
        if not seated:
            return report.left_out("the committee", "none was drawn")
        report.holds(f"the committee: {len(seated)} members, from {order.redundancy} to {order.committee_size}",
                     order.redundancy <= len(seated) <= order.committee_size)
        partial = {order.requester, *(claim.worker for claim in order.claims)}
        report.same("the committee: members twice, or who claim or pay", 0,
                    len(seated) - len(set(seated)) + len(partial.intersection(seated)))
        segments = [len(rules.segments_of(place, len(seated), order.redundancy, order.work["segments"]))
                    for place in range(len(seated))]
        if order.traced:
            report.same("the committee: audits of segments", order.redundancy * order.work["segments"], sum(segments))
        for place, member in enumerate(order.committee):
            if member.fault is None and order.winner is not None:
                self.worth(place, member, segments[place])

    def worth(self, place, member, segments):
        """A member has scored or not, and audited so many leaders; what is missing is late."""
        order = self.order
        leaders = sum(claim.audited for claim in order.claims)
        scores, audits = order.work["evaluation"] * len(order.revealed()), order.work["segment"] * segments
        able = {scores * scored + audits * audited
                for scored in (0, 1) for audited in range(leaders + 1)
                if member.late == (1 - scored) + (leaders - audited if segments else 0)}
        found = member.macs if member.macs in able else sorted(able)
        self.report.same(f"member {place}: multiplications behind what it states", member.macs, found)

    # Claims.

    def claim(self, claim):
        order, report, name = self.order, self.report, f"claim {claim.number}"
        if claim.model is None:
            return report.left_out(name, "it is not revealed")
        report.same(f"{name}: its commitment", claim.commitment, rules.commitment(
            order.id, claim.worker, claim.model, claim.trace, claim.point, claim.attempt))
        with report.about(f"{name}: model.dtm"):
            model = Model.decode(self.read(f"claim-{claim.number}", "model.dtm"))
            report.same(f"{name}: the model's root", claim.model, model.root())
            report.same(f"{name}: the model's classes", order.classes, model.classes)
            if order.traced and self.was_audited(claim):
                report.same(f"{name}: the model's family", plan.family(order.recipe), model.family())
            self.models[claim.number] = model
            self.score(claim, name, model)
        self.trace(claim, name)

    def score(self, claim, name, model):
        tables = {"hidden": ("opened rows", self.hidden), "fold": ("fold", self.fold)}
        if model.layers is not None:
            self.weights(claim, name, model)
        for table, (called, rows) in tables.items():
            if rows is None:
                if claim.grade(table) is not None:
                    self.report.wrong(f"{name}, {called}: grade", "there are no such rows")
                continue
            if (rows.classes, rows.features.shape[1]) != (model.classes, model.features):
                self.report.wrong(f"{name}, {called}: logits", "the model is for other rows")
                continue
            values = models.logits(model, rows)
            if model.layers is not None:
                with self.report.about(f"{name}, {called}: model.onnx"):
                    others = models.onnx_logits(self.read(f"claim-{claim.number}", "model.onnx"), rows)
                    if others.shape != values.shape:
                        raise Malformed(f"it gives {others.shape[1:]} logits")
                    self.report.same(f"{name}, {called}: {values.size} logits, others in onnxruntime", 0,
                                     int((values != others).sum()))
            self.grade(claim, f"{name}, {called}", claim.grade(table), rows, values)

    def grade(self, claim, name, stated, rows, values):
        if stated is None:
            return self.report.left_out(f"{name}: grade", "nothing was settled")
        found = models.grade(rows, values)
        self.report.same(f"{name}: rows that are right, and loss", stated, found)
        by_others = float(models.by_scikit_learn(rows, values))
        count = len(rows.labels)
        if rows.classes:
            return self.report.same(f"{name}: accuracy by scikit-learn", stated[0] / count, by_others)
        mean = stated[1] / (count << 32)
        # Sums of more than 53 bits are rounded in floats.
        is_equal = mean == by_others if stated[1] < 1 << 53 else isclose(mean, by_others, rel_tol=1e-12)
        self.report.same(f"{name}: mean squared error by scikit-learn", mean, mean if is_equal else by_others)

    def weights(self, claim, name, model):
        with self.report.about(f"{name}: model.safetensors"):
            layers = models.safetensors_layers(self.read(f"claim-{claim.number}", "model.safetensors"))
            shapes = [layer.shape for layer in layers]
            if shapes != [layer.shape for layer in model.layers]:
                raise Malformed(f"it has layers of {shapes}")
            others = sum(int((one != other).sum()) for one, other in zip(layers, model.layers))
            self.report.same(f"{name}: other weights in model.safetensors", 0, others)

    def seed(self, claim):
        order = self.order
        return kernel.seed_of({"network": order.network, "block": order.block, "order": order.id, "worker": claim.worker,
                               "attempt": claim.attempt})

    def states(self, claim):
        states = read_json(self.folder / f"claim-{claim.number}" / "trace.json")
        if not isinstance(states, list) or not states:
            raise Malformed("it is no list of hashes")
        return [read_hash(state) for state in states]

    def was_audited(self, claim):
        """Whether all of its trace has been found to hold; nothing else is known to be by the recipe."""
        return claim.fault is None and (claim.audited or claim.number == self.order.winner)

    def trace(self, claim, name):
        order, report = self.order, self.report
        if not order.traced:
            return
        was_audited = self.was_audited(claim)
        if not was_audited and not (self.folder / f"claim-{claim.number}" / "trace.json").exists():
            return report.left_out(f"{name}: trace.json", "the claim has not led")
        with report.about(f"{name}: trace.json"):
            states = self.states(claim)
            report.same(f"{name}: the trace's root", claim.trace, kernel.tree_root(b"DTN/train/trace", len(states), states))
            if was_audited:
                report.same(f"{name}: segments of the trace", order.work["segments"], len(states) - 1)
                self.run(claim, name, states)

    def run(self, claim, name, states):
        """What of a run shows without training: that it begins with the worker's seed; of trees all of it."""
        order, report = self.order, self.report
        if claim.point >= order.work["points"]:
            raise Malformed(f"the grid has no point {claim.point}")
        if "gbdt" in order.recipe["family"]:
            model, length = self.models.get(claim.number), order.recipe["segment_steps"]
            if model is None or model.trees is None:
                raise Malformed("there are no trees that it could lead to")
            found = [kernel.blake3(model.state(min(at, model.rounds))).digest() for at in range(0, model.rounds + length, length)]
            report.same(f"{name}: {len(states)} states, others by its trees", 0, differences(states, found))
        elif self.train is None:
            raise Malformed("there is no data that it could begin with")
        else:
            trainer = kernel.Dense(self.train, self.seed(claim), order.at_point(claim.point))
            report.same(f"{name}: the first state, by the worker's seed", states[0],
                        kernel.blake3(trainer.state(0)).digest())

    def train_again(self):
        """The training of the winner, with the reference."""
        order, report = self.order, self.report
        if not order.traced or order.winner is None:
            return report.left_out("training again", "nobody has won with a trace")
        claim = order.claims[order.winner]
        with report.about("training again"):
            states, model = self.states(claim), self.models.get(claim.number)
            if self.train is None or model is None:
                raise Malformed("there is no data or no model")
            trainer = kernel.Boosted if "gbdt" in order.recipe["family"] else kernel.Dense
            trainer = trainer(self.train, self.seed(claim), order.at_point(claim.point))
            found, _ = kernel.run(trainer, order.recipe["segment_steps"])
            report.same(f"claim {claim.number}: {len(states)} states, others by training again", 0,
                        differences(states, found))
            report.same(f"claim {claim.number}: the model by training again", claim.model,
                        Model.decode(trainer.model()).root())

    # The end.

    def ends(self):
        order, report = self.order, self.report
        shown_by = {one.shown_by for one in (*order.claims, *order.committee) if one.shown_by is not None}
        report.same("who was right to challenge", sorted(set(order.right)), sorted(shown_by))
        suspicious = [claim.number for claim in order.claims if claim.audited and money.is_suspicious(order, claim)]
        if order.forfeit == "poisoned":
            report.holds("an audited claim shows that the drawn rows are poisoned", suspicious)
        elif order.forfeit == "withheld":
            report.holds("the drawn rows are withheld", order.rows is None)
        elif order.winner is not None:
            report.same("the deposit is not lost: audited claims that are suspicious", 0, len(suspicious))
        if order.winner is not None:
            winner = order.claims[order.winner]
            report.same("the winner is the best claim that stands", order.winner, money.best(order))
            report.holds("the winner is revealed, and audited if there are traces",
                         winner.model is not None and (winner.audited or not order.traced))
        elif order.ending == "no_ruling":
            report.left_out("nobody has won", "what was in dispute was not ruled on, and order.json does not say what that was")
        elif order.payments:
            none = {
                "no_claim": not order.claims,
                "no_beacon": not order.committee,
                "few_members": not order.committee,
                "no_rows": order.rows is None and not order.traced,
                "no_reveal": not order.revealed(),
                "none_good": money.best(order) is None,
            }
            report.holds(f"nobody has won: {order.ending}", none.get(order.ending, False))

    def paid(self):
        order, report = self.order, self.report
        if not order.payments:
            return report.left_out("payments", "the order has not ended")
        at_end = [payment for payment in order.payments if payment.kind not in ("bond", "lost_bond")]
        bonds = [payment for payment in order.payments if payment.kind == "bond"]
        stated, found = Counter(at_end), Counter(money.settlement(order))
        only_stated, only_found = (sorted(map(str, rest.elements())) for rest in (stated - found, found - stated))
        if only_stated or only_found:
            report.same("payments", only_stated, only_found)
        else:
            report.same("payments at the end", len(at_end), found.total())
        report.same("payments at the end, as much as was locked", money.locked(order),
                    sum(payment.amount for payment in at_end))
        lost = Counter(payment for payment in order.payments if payment.kind == "lost_bond")
        if lost:
            due = Counter(Payment("lost_bond", None, order.money["bond"], account) for account in order.wrong)
            report.same("bonds that are lost", sorted(map(str, due.elements())), sorted(map(str, lost.elements())))
        if bonds:
            report.same("bonds that came back, of another amount", 0,
                        sum(payment.amount != order.money["bond"] for payment in bonds))

    def payouts(self, path):
        """What the chain has paid to the winner's payee is no less than the prize."""
        order, report = self.order, self.report
        with report.about(f"payouts in {path}"):
            given = read_json(Path(path))
            if not isinstance(given, dict):
                raise Malformed("it is no object of amounts by account")
            paid = Counter()
            for account, amount in given.items():
                paid[read_address(account)] += read_amount(str(amount))
            if order.winner is None:
                return report.left_out("payouts", "nobody has won")
            payee = order.claims[order.winner].payee
            prizes = sum(payment.amount for payment in money.settlement(order) if payment.kind == "prize")
            report.same(f"the chain has paid 0x{payee.hex()} {paid[payee]}, at least", prizes, min(prizes, paid[payee]))


def differences(one, other):
    return sum(a != b for a, b in zip(one, other)) + abs(len(one) - len(other))
