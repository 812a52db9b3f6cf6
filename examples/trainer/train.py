#!/usr/bin/env python3
"""A trainer of one's own, with scikit-learn, for orders in which only scores count.

    dtn-cli train run digits --mlp 64 --trainer examples/trainer/train.py --out model.dtm     to try it
    dtn-cli train claim --from alice --trainer examples/trainer/train.py                      to earn by it

It is run with a folder. There it finds task.json, data.csv (to learn from) and fold.csv (to see how good it is), and leaves
model.json: the layers of a network, with a ReLU between them. From a torch.nn.Sequential of Linear and ReLU that would be

    layers = [{"weights": layer.weight.T.tolist(), "bias": layer.bias.tolist()} for layer in net if hasattr(layer, "weight")]
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor

MOST_UNITS = 256


def rows(file, task):
    """Features and labels: the last column."""
    table = np.loadtxt(file, delimiter=",", skiprows=1, ndmin=2)
    labels = table[:, -1]
    return table[:, :-1], labels.astype(int) if task["task"] == "classes" else labels


def units(task):
    """The widest hidden layer that the order takes: a row costs (features + 1) * units + (units + 1) * outputs."""
    most = min(task["max_row_macs"], task["max_parameters"])
    return min(MOST_UNITS, (most - task["outputs"]) // (task["features"] + 1 + task["outputs"]))


def candidates(task):
    """Models to try, the most promising first."""
    classes, width = task["task"] == "classes", units(task)
    for strength in (1e-3, 1e-2, 1e-1) if width > 0 else ():
        network = MLPClassifier if classes else MLPRegressor
        yield network(hidden_layer_sizes=(width,), alpha=strength, max_iter=200, random_state=1)
    if (task["features"] + 1) * task["outputs"] <= task["max_row_macs"]:
        yield LogisticRegression(max_iter=1000) if classes else Ridge()


def layers(model, task):
    """The weights of a model, a row for each input, as lists."""
    if hasattr(model, "coefs_"):
        pairs = list(zip(model.coefs_, model.intercepts_))
    else:
        pairs = [(np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_))]
    weights, bias = pairs[-1]
    if task["outputs"] == 2 and weights.shape[1] == 1:
        # One logit for two classes: half of it for the second, and half against the first.
        pairs[-1] = np.hstack([-weights / 2, weights / 2]), np.hstack([-bias / 2, bias / 2])
    most = task["max_weight"]
    return [{"weights": np.clip(w, -most, most).tolist(), "bias": np.clip(b, -most, most).tolist()} for w, b in pairs]


def main(folder):
    began = time.monotonic()
    task = json.loads((folder / "task.json").read_text())
    data, fold = (rows(folder / name, task) for name in ("data.csv", "fold.csv"))
    if task["task"] == "classes" and len(set(data[1])) < task["classes"]:
        sys.exit("a class has no row to learn from")
    best = None
    for model in candidates(task):
        if best and time.monotonic() - began > task["seconds"] / 3:
            break
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score = model.fit(*data).score(*fold)
        print(f"{type(model).__name__}: {score:.4f} on the fold", file=sys.stderr)
        if best is None or score > best[0]:
            best = score, model
    if best is None:
        sys.exit(f"no model is as small as {task['max_row_macs']} multiplications a row")
    (folder / "model.json").write_text(json.dumps({"layers": layers(best[1], task)}))


main(Path(sys.argv[1]))
