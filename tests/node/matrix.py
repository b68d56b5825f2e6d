"""What failed while a job trained, and how long it took to recover: docs/failure-matrix.md.

`make test-node` notes the results; `python -m tests.node.matrix` prints them as a page.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.node.place import CHECKOUT

_RESULTS = CHECKOUT / "build" / "failure-matrix.json"
_HEAD = """# Failure matrix

Measured by `make test-node`, in real pods: containerd, kubelet and a control plane on a machine
with {cores} CPU cores and no GPU. The [sorting demo](../examples/sort_digits/README.md) trains with
one trainer and two engines; then the row's first column happens. *Seconds* is the time from there
until two further batches have been trained on, as `kubectl get rlj` shows it (the operator looks
every 5 s). Nobody intervenes. In the end the run has reached its target, and `rljob audit` finds
that each group was trained on once.

An engine takes most of a minute to load on these cores, where it needs both. With a second engine
training continues meanwhile.

| what happens | seconds until training continues |
| --- | --- |
"""


@dataclass(frozen=True)
class Result:
    """One row.

    Args:
        fault: what happened.
        seconds: until two further batches were trained on.
    """

    fault: str
    seconds: float


def note(result: Result) -> None:
    """Adds or replaces a row."""
    rows = {row.fault: row for row in _read()} | {result.fault: result}
    _RESULTS.write_text(json.dumps([asdict(row) for row in rows.values()], indent=1))


def page() -> str:
    """The page in Markdown."""
    rows = [f"| {row.fault} | {row.seconds:.0f} |" for row in _read()]
    return _HEAD.format(cores=os.cpu_count()) + "\n".join(rows) + "\n"


def _read(path: Path = _RESULTS) -> list[Result]:
    if not path.exists():
        return []
    return [Result(**row) for row in json.loads(path.read_text())]


if __name__ == "__main__":
    print(page(), end="")
