#!/usr/bin/env python3
"""A scorer of one's own that needs nothing but Python: balanced accuracy, or of numbers the mean distance, negative.

    dtn-cli train score model.dtm digits --scorer examples/trainer/score.py
    dtn-cli train claim --from alice --points 4 --scorer examples/trainer/score.py

It is run with a folder. There it finds task.json, rows.csv (the last column is the label) and outputs.csv (what the model says of
each row: a logit for each class, or a number), and prints a number, which is better the larger it is.
"""

import csv
import json
import sys
from pathlib import Path


def table(file):
    with open(file, newline="") as lines:
        return [[float(value) for value in row] for row in list(csv.reader(lines))[1:]]


folder = Path(sys.argv[1])
is_number = json.loads((folder / "task.json").read_text())["task"] == "number"
labels = [row[-1] for row in table(folder / "rows.csv")]
said = table(folder / "outputs.csv")
if is_number:
    print(-sum(abs(row[0] - label) for row, label in zip(said, labels)) / len(labels))
else:
    right, seen = {}, {}
    for row, label in zip(said, labels):
        seen[label] = seen.get(label, 0) + 1
        right[label] = right.get(label, 0) + (row.index(max(row)) == label)
    print(sum(right[label] / seen[label] for label in seen) / len(seen))
