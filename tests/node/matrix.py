"""What failed while a job trained, and how long it took to recover: docs/failure-matrix.md.

`make test-node` notes the results; `python -m tests.node.matrix` prints them as a page.
"""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tests.node.place import CHECKOUT

_RESULTS = CHECKOUT / "build" / "failure-matrix.json"
_HEAD = """# Failure matrix

Measured in real pods (containerd, kubelet and a control plane on one machine) by `make test-node`
and `make test-faults-node` with {cores} CPU cores and no GPU. The
[sorting demo](../examples/sort_digits/README.md) trains with one trainer and two engines; then the
row's first column happens. Nobody intervenes. In the end the run has reached its target, and
`rljob audit` finds that each group was trained on once. The run that loses a node is another one,
with an engine on each of two nodes, audited before its end.

*Training continues* is the time from the event until the second batch after it has been trained on,
by the run's records; the first may have been under way, and a batch takes about 3 s. *All is back*
is the time until both engines hold the trainer's weights again, as the job's status shows it. An
engine takes half a minute to load on these cores, where it needs both; with a second engine,
training continues meanwhile. A machine that also does other work takes longer, as for some of these
rows: read them as upper bounds.

| what happens | training continues after (s) | all is back after (s) |
| --- | ---: | ---: |
"""


@dataclass(frozen=True)
class Result:
    """One row.

    Args:
        fault: what happened.
        trained: seconds until two further batches were trained on.
        whole: seconds until both engines held the trainer's weights.
    """

    fault: str
    trained: float
    whole: float


def note(result: Result) -> None:
    """Adds or replaces a row."""
    rows = {row.fault: row for row in _read()} | {result.fault: result}
    _RESULTS.write_text(json.dumps([asdict(row) for row in rows.values()], indent=1))


def page() -> str:
    """The page in Markdown."""
    rows = [f"| {row.fault} | {row.trained:.0f} | {row.whole:.0f} |" for row in _read()]
    return _HEAD.format(cores=os.cpu_count()) + "\n".join(rows) + "\n"


def _read(path: Path = _RESULTS) -> list[Result]:
    if not path.exists():
        return []
    columns = {each.name for each in fields(Result)}
    rows = json.loads(path.read_text())
    return [Result(**row) for row in rows if row.keys() == columns]  # others are of another version


if __name__ == "__main__":
    print(page(), end="")
