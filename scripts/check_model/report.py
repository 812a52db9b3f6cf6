"""What was checked, and what came of it."""

import json
import sys
from contextlib import contextmanager

from formats import Malformed


def shown(value, whole=False):
    """A value for people; the middle of hashes is left out, unless the whole is asked for."""
    if isinstance(value, bytes):
        text = "0x" + value.hex()
        return text if whole or len(value) < 20 else f"{text[:10]}…{text[-4:]}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {shown(one, whole)}" for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(one, whole) for one in value) or "nothing"
    return "none" if value is None else str(value)


class Report:
    def __init__(self, as_json=False):
        self.as_json, self.checks, self.is_wrong = as_json, [], False

    def same(self, what, stated, found):
        """A check: what the export states, and what was found here."""
        self.add("ok" if stated == found else "WRONG", what, stated, found)

    def holds(self, what, is_so):
        self.same(what, "yes", "yes" if is_so else "no")

    def wrong(self, what, why):
        self.add("WRONG", what, None, why)

    def left_out(self, what, why):
        self.add("left out", what, None, why)

    @contextmanager
    def about(self, what):
        """Checks of something that may be missing or malformed, which is wrong and does not end the other checks."""
        try:
            yield
        except FileNotFoundError as error:
            self.wrong(what, f"{error.filename} is missing")
        except (Malformed, OSError) as error:
            self.wrong(what, str(error))

    def add(self, state, what, stated, found):
        self.is_wrong |= state == "WRONG"
        texts = [shown(stated, True), shown(found, True)]
        self.checks.append({"check": what, "state": state, "stated": texts[0] if stated is not None else None, "found": texts[1]})
        if self.as_json:
            return
        if state == "ok":
            line = f"{shown(stated)} = {shown(found)}"
        elif stated is None:
            line = texts[1]
        else:
            line = f"{texts[0]} is stated, but it is {texts[1]}"
        print(f"{state:8}  {what:66}  {line}", flush=True)

    def end(self, **more):
        counts = {state: sum(check["state"] == state for check in self.checks) for state in ("ok", "WRONG", "left out")}
        if self.as_json:
            json.dump({"ok": not self.is_wrong, "checks": self.checks, **more}, sys.stdout, indent=2)
            print()
        else:
            print(", ".join(f"{count} {state}" for state, count in counts.items()))
        return int(self.is_wrong)
