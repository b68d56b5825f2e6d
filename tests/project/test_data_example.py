"""The source of prompts in docs/data.md is the example that tests run."""

import re

from tests.project.metadata import ROOT

EXAMPLE = ROOT / "examples" / "sort_digits" / "curriculum.py"


def test_document_shows_the_example() -> None:
    (shown,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "data.md").read_text(), re.M | re.S
    )
    assert EXAMPLE.read_text().endswith("\n\n" + shown)
