"""Checks an export of a training order without any program of DTN."""

import argparse
import importlib.util
import sys
import warnings
from pathlib import Path

EXAMPLES = """\
dtn-cli train export ORDER --out FOLDER writes what is checked. Examples:
  scripts/check-model FOLDER
  scripts/check-model FOLDER --payouts paid.json    {"0x…": "850000000000000006"}
  scripts/check-model FOLDER --train --compare
  scripts/check-model --self-test                   (the tests of this program)

Exits with 0 if nothing is wrong, 1 if something is, 2 if it could not begin. What is left out is said and is not wrong."""

IMPORTS = {"pycryptodome": "Crypto", "scikit-learn": "sklearn"}


def arguments():
    parser = argparse.ArgumentParser("check-model", description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="what dtn-cli train export has written")
    parser.add_argument("--payouts", type=Path, metavar="FILE", help="JSON of what a chain has paid in wei, by account")
    parser.add_argument("--train", action="store_true", help="train the winner's model again, in plain Python: slow")
    parser.add_argument("--compare", action="store_true", help="train models of scikit-learn on the same rows beside it")
    parser.add_argument("--json", action="store_true", help="print one document instead of lines")
    return parser.parse_args()


def missing_packages():
    lines = Path(__file__).with_name("requirements.txt").read_text().splitlines()
    needed = [line for line in lines if line and not line.startswith(("#", "onnx="))]
    return [line for line in needed if importlib.util.find_spec(IMPORTS.get(line.split("==")[0], line.split("==")[0])) is None]


def fail(why):
    print(f"check-model: {why}", file=sys.stderr)
    return 2


def main():
    given = arguments()
    missing = missing_packages()
    if missing:
        return fail(f"packages are missing: pip install {' '.join(missing)}")
    if not (given.folder / "order.json").is_file():
        return fail(f"{given.folder / 'order.json'} is not there: give a folder that dtn-cli train export has written")

    from checks import Checks
    from order import Order
    from report import Report

    report, more = Report(given.json), {}
    with report.about("order.json"):
        order = Order.load(given.folder)
        checks = Checks(given.folder, order, report)
        checks.all()
        if given.payouts:
            checks.payouts(given.payouts)
        if given.train:
            checks.train_again()
        if given.compare:
            more["compared"] = compared(checks, report)
    return report.end(**more)


def compared(checks, report):
    from compare import compare

    winner, test = checks.models.get(checks.order.winner), checks.hidden or checks.fold
    if winner is None or checks.train is None or test is None:
        report.left_out("the comparison with scikit-learn", "there is no winner, or no data that it was trained on")
        return []
    warnings.simplefilter("ignore")  # of models that could be trained for longer
    found = compare(checks.train, test, winner)
    if not report.as_json:
        measure = "accuracy" if test.classes else "R²"
        print(f"\n{measure} on {len(test.labels)} {'opened rows' if checks.hidden else 'rows of the fold'}")
        for name, how_good in found:
            print(f"  {name:32}{how_good:.4f}")
        print()
    return [{"model": name, "value": how_good} for name, how_good in found]


sys.exit(main())
