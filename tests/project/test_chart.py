"""The files of the chart agree with each other, with the version and with the CRD."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.project.metadata import ROOT, project

CHART = ROOT / "helm" / "rljob"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
KEY = re.compile(r"( *)(\w+):")


def comments() -> dict[str, str]:
    """The comment above each value of values.yaml, by the path of the value."""
    found: dict[str, str] = {}
    path: list[str] = []
    above: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        if line.lstrip().startswith("# "):
            above.append(line.lstrip()[2:])
            continue
        if (key := KEY.match(line)) is not None:
            path = [*path[: len(key[1]) // 2], key[2]]
            if above:
                found[".".join(path)] = " ".join(above)
        above = []
    return found


def descriptions(part: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The description of each value of the schema, by the path of the value."""
    for name, field in part.get("properties", {}).items():
        if "description" in field:
            yield prefix + name, field["description"]
            yield from descriptions(field, f"{prefix}{name}.")


def test_comments_and_descriptions_are_the_same() -> None:
    described = dict(descriptions(SCHEMA))
    described.pop("global")  # of Helm
    assert comments() == described


def test_each_value_is_in_the_schema() -> None:
    values = YAML(typ="safe", pure=True).load((CHART / "values.yaml").read_text())
    assert values.keys() == SCHEMA["properties"].keys() - {"global"}


@pytest.mark.parametrize("name", sorted(SCHEMA["properties"].keys() - {"global"}))
def test_each_value_is_read(name: str) -> None:
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    assert re.search(rf"\.Values\.{name}\b", templates)


def test_it_has_the_version_of_the_project() -> None:
    chart = YAML(typ="safe", pure=True).load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project()["version"]


def test_its_crd_has_not_drifted() -> None:
    """`make generate` where it has."""
    name = "rljob.dev_rljobs.yaml"
    assert (CHART / "files" / name).read_bytes() == (ROOT / "crds" / name).read_bytes()


def test_its_readme_has_not_drifted() -> None:
    """`make generate` where it has."""
    command = [sys.executable, ROOT / "helm" / "readme.py"]
    generated = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (CHART / "README.md").read_text() == generated
