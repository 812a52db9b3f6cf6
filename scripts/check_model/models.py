"""What models say of rows, in 64-bit integers, and how good that is."""

import json
import struct

import numpy as np

from formats import Malformed
from references import kernel

ROWS = 4096  # of a computation, so that it takes little memory


def in_parts(table, compute):
    features = table.features
    return np.concatenate([compute(features[at:at + ROWS]) for at in range(0, len(features), ROWS)])


def logits(model, table):
    return in_parts(table, lambda rows: by_trees(model, rows) if model.trees else by_layers(model, rows))


def by_layers(model, rows):
    values = rows << 4
    for at, layer in enumerate(model.layers):
        values = (np.column_stack([values, np.full(len(rows), kernel.ONE)]) @ layer + (1 << 23)) >> 24
        values = np.clip(values, -kernel.MAX_ACTIVATION, kernel.MAX_ACTIVATION)
        if at + 1 < len(model.layers):
            values = np.maximum(values, 0)
    return values


def by_trees(model, rows):
    sums = np.zeros((len(rows), model.outputs), np.int64)
    each = np.arange(len(rows))
    for number, (features, thresholds, leaves) in enumerate(zip(*model.trees)):
        node = np.zeros(len(rows), np.int64)
        for _ in range(model.depth):
            node = 2 * node + 1 + (rows[each, features[node]] > thresholds[node])
        sums[:, number % model.outputs] += leaves[node - len(features)]
    return np.clip(sums, -kernel.MAX_ACTIVATION, kernel.MAX_ACTIVATION)


def onnx_logits(data, table):
    """By onnxruntime, which knows nothing of DTN."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    try:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        given = [(one.name, one.type) for one in (*session.get_inputs(), *session.get_outputs())]
        if given != [("features", "tensor(int64)"), ("logits", "tensor(int64)")]:
            raise Malformed(f"it takes and gives {given}")
        return in_parts(table, lambda rows: session.run(["logits"], {"features": np.ascontiguousarray(rows)})[0])
    except Malformed:
        raise
    except Exception as error:  # onnxruntime has its own kinds for every way in which a graph can be wrong.
        raise Malformed(f"onnxruntime refuses it: {str(error).splitlines()[0]}") from None


def safetensors_layers(data):
    """The layers of a file of safetensors: eight bytes with the header's length, the header, and the numbers."""
    try:
        (length,) = struct.unpack("<Q", data[:8])
        header, numbers = json.loads(data[8:8 + length]), data[8 + length:]
        header.pop("__metadata__", None)

        def tensor(name):
            about = header.pop(name)
            if about["dtype"] != "I32":
                raise Malformed(f"{name} is of {about['dtype']}")
            begin, end = about["data_offsets"]
            return np.frombuffer(numbers[begin:end], "<i4").astype(np.int64).reshape(about["shape"])

        layers = []
        while header:
            name = f"layer.{len(layers)}"
            layers.append(np.vstack([tensor(f"{name}.weight"), tensor(f"{name}.bias")]))
        return layers
    except (AttributeError, KeyError, TypeError, ValueError, struct.error) as error:
        raise Malformed(f"it is no safetensors with layers: {error!r}") from None


def grade(table, values):
    """The rows that are right and the loss; of numbers 0 and the squares of errors."""
    if table.classes == 0:
        errors = np.clip(values[:, 0] - np.array(table.labels), -kernel.MAX_ACTIVATION, kernel.MAX_ACTIVATION)
        return 0, sum(error * error for error in errors.tolist())
    correct = int((values.argmax(axis=1) == table.labels).sum())
    return correct, sum(kernel.surprise(of_row, label) for of_row, label in zip(values.tolist(), table.labels))


def by_scikit_learn(table, values):
    """The accuracy, or of numbers the mean of squared errors, each no more than 64."""
    from sklearn import metrics

    if table.classes:
        return metrics.accuracy_score(table.labels, values.argmax(axis=1))
    labels = np.array(table.labels)
    most = kernel.MAX_ACTIVATION
    predicted = labels + np.clip(values[:, 0] - labels, -most, most)
    return metrics.mean_squared_error(labels / kernel.ONE, predicted / kernel.ONE)
