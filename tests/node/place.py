"""Where the nodes keep their files."""

from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
# Beside .venv, on the same file system: images are made of hard links to it.
DIRECTORY = CHECKOUT / "build" / "node"
INSIDE = "RLJOB_TEST_NODE"  # a variable that is set within the namespaces
