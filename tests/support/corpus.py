"""The manifests of tests/manifests, and what their last lines say about them.

The last lines of an invalid manifest say what refuses it on a cluster, and which problems
`rljob validate` reports:

    # server: cel
    # expect: LINE:COLUMN: FIELD: found ..., allowed ...

`server` is one of

- yaml: kubectl can't read it, or does not know its kind, so nothing is sent;
- schema: the API server, by the structural schema;
- cel: the API server, by a rule of the CRD, with the same message as `rljob validate`;
- operator: the operator, in the condition Accepted, with the same message;
- file: nothing on a cluster; the error only shows in the file, or in a checkpoint next to it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
CORPUS = Path("tests/manifests")  # messages name files as given: relative to the repository
SERVER, EXPECT = "# server: ", "# expect: "
PLACE = re.compile(r"^\d+:\d+: ")


@dataclass(frozen=True)
class Invalid:
    """An invalid manifest.

    Args:
        name: of the file.
        server: what refuses it on a cluster.
        expected: its problems, with their line and column.
    """

    name: str
    server: str
    expected: tuple[str, ...]

    @property
    def messages(self) -> list[str]:
        """The problems without line and column, and with a default shown as a given value."""
        return [PLACE.sub("", line).replace(", the default,", ",") for line in self.expected]

    @property
    def path(self) -> Path:
        """The path of the file, relative to the repository."""
        return CORPUS / "invalid" / self.name


def valid() -> list[str]:
    """Names of the valid manifests."""
    return sorted(file.name for file in (REPOSITORY / CORPUS / "valid").glob("*.yaml"))


def invalid() -> list[Invalid]:
    """The invalid manifests."""
    return [_invalid(file) for file in sorted((REPOSITORY / CORPUS / "invalid").glob("*.yaml"))]


def _invalid(file: Path) -> Invalid:
    lines = file.read_text().splitlines()
    expected = tuple(line.removeprefix(EXPECT) for line in lines if line.startswith(EXPECT))
    servers = [line.removeprefix(SERVER) for line in lines if line.startswith(SERVER)]
    return Invalid(file.name, servers[0] if len(servers) == 1 else "", expected)
