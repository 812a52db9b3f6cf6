"""Writes the data sets of this folder from the copies in scikit-learn's wheel: pip install scikit-learn, then run it here."""

import csv

import sklearn.datasets as sets

NAMES = {
    "breast-cancer": sets.load_breast_cancer(),
    "diabetes": sets.load_diabetes(scaled=False),
    "iris": sets.load_iris(),
    "wine": sets.load_wine(),
}


def plain(value):
    """A number as people write it: no exponent, no fraction of a whole number."""
    text = f"{value:.12f}".rstrip("0").rstrip(".")
    assert float(text) == float(value), value
    return text


for name, data in NAMES.items():
    with open(f"{name}.csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([*(feature.replace(" (cm)", "") for feature in data.feature_names), "label"])
        for row, label in zip(data.data, data.target):
            out.writerow([*map(plain, row), plain(label)])

# Shades of 0 to 16 as the digits 0 to g: a picture is a word of 64 letters.
digits = sets.load_digits()
with open("digits.csv", "w") as file:
    file.write("picture,label\n")
    for row, label in zip(digits.data, digits.target):
        file.write("".join("0123456789abcdefg"[int(shade)] for shade in row) + f",{label}\n")
