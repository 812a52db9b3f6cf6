"""The Python references of training and of orders, which were written from the documentation and not from the Rust."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


kernel = load("kernel", "crates/train/tests/reference.py")
rules = load("rules", "crates/training/tests/reference.py")
