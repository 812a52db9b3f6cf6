#!/usr/bin/env python3
"""A trainer of one's own that needs nothing but Python: softmax regression, or least squares, a row at a time.

    dtn-cli train run digits --linear --trainer examples/trainer/plain.py --out model.dtm

See train.py beside it for what a trainer finds and leaves.
"""

import csv
import json
import math
import random
import sys
import time
from pathlib import Path

EPOCHS, RATE = 10, 0.02


def rows(file):
    with open(file, newline="") as lines:
        table = [[float(value) for value in row] for row in list(csv.reader(lines))[1:]]
    return [(row[:-1], row[-1]) for row in table]


def outputs(weights, bias, row):
    return [sum(map(float.__mul__, column, row)) + b for column, b in zip(weights, bias)]


def errors(logits, label, is_number):
    if is_number:
        return [max(-1.0, min(1.0, logits[0] - label))]
    powers = [math.exp(logit - max(logits)) for logit in logits]
    return [power / sum(powers) - (place == label) for place, power in enumerate(powers)]


def train(data, task, ends):
    """A column of weights for each output, and the biases."""
    weights, bias = [[0.0] * task["features"] for _ in range(task["outputs"])], [0.0] * task["outputs"]
    chance = random.Random(1)
    for epoch in range(EPOCHS):
        chance.shuffle(data)
        for row, label in data:
            for place, error in enumerate(errors(outputs(weights, bias, row), label, task["task"] == "number")):
                step = RATE * error
                weights[place] = [weight - step * value for weight, value in zip(weights[place], row)]
                bias[place] -= step
        print(f"epoch {epoch + 1} of {EPOCHS}", file=sys.stderr)
        if time.monotonic() > ends:
            break
    return weights, bias


def main(folder):
    task = json.loads((folder / "task.json").read_text())
    if (task["features"] + 1) * task["outputs"] > task["max_row_macs"]:
        sys.exit(f"no linear model is as small as {task['max_row_macs']} multiplications a row")
    weights, bias = train(rows(folder / "data.csv"), task, time.monotonic() + task["seconds"] / 2)
    clip = lambda values: [max(-task["max_weight"], min(task["max_weight"], value)) for value in values]
    # A row for each input, where training has a column for each output.
    layer = {"weights": [clip(row) for row in zip(*weights)], "bias": clip(bias)}
    (folder / "model.json").write_text(json.dumps({"layers": [layer]}))


main(Path(sys.argv[1]))
