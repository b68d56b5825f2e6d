"""The manifests of tests/manifests, and what their last lines say of them.

An invalid manifest ends with who refuses it on a cluster, and with its problems as `rljob validate`
tells them:

    # server: cel
    # expect: LINE:COLUMN: FIELD: found ..., allowed ...

`server` is one of

- yaml: kubectl can't read it, or knows no such kind, so nothing is sent;
- schema: the API server, by the structural schema;
- cel: the API server, by a rule of the CRD, with the words of `rljob validate`;
- operator: the operator, by the condition Accepted, with those words;
- file: nobody; only the file, or a checkpoint beside it, shows that it is wrong.
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
        server: who refuses it on a cluster.
        expected: its problems, with their places.
    """

    name: str
    server: str
    expected: tuple[str, ...]

    @property
    def messages(self) -> list[str]:
        """The problems without places, a default told as a value: as of an object in a cluster."""
        return [PLACE.sub("", line).replace(", the default,", ",") for line in self.expected]

    @property
    def path(self) -> Path:
        """Of the file, relative to the repository."""
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
