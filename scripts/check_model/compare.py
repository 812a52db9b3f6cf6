"""What scikit-learn's models, which train in floats, come to on the same rows."""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor

import models
from references import kernel


def candidates(classes):
    layers = {"hidden_layer_sizes": (64,), "max_iter": 500, "random_state": 0}
    if classes:
        return [LogisticRegression(max_iter=5000), MLPClassifier(**layers), HistGradientBoostingClassifier(random_state=0)]
    return [LinearRegression(), MLPRegressor(**layers), HistGradientBoostingRegressor(random_state=0)]


def measured(table, predicted):
    """The accuracy, or of numbers the coefficient of determination."""
    return float(accuracy_score(table.labels, predicted) if table.classes else r2_score(table.labels, predicted))


def compare(train, test, winner):
    """The names of models and how good they are on rows, the winner's first."""
    values = models.logits(winner, test)
    found = [("the winner", measured(test, values.argmax(axis=1) if test.classes else values[:, 0]))]
    one = 1 if train.classes else kernel.ONE
    for model in candidates(train.classes):
        model.fit(train.features / (1 << 12), np.array(train.labels) / one if one > 1 else train.labels)
        predicted = model.predict(test.features / (1 << 12))
        found.append((type(model).__name__, measured(test, predicted * one if one > 1 else predicted)))
    return found
