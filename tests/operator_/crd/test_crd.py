"""crds/ matches the models, and describes each field."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from rljob.api.vocabulary import part_of, root
from rljob_operator.crd.__main__ import text
from rljob_operator.crd.definition import definition, object_schema

FILE = Path(__file__).parents[3] / "crds" / "rljob.dev_rljobs.yaml"


def fields(part: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All fields of a structural schema by their paths, items of lists as `[]`."""
    for name, field in part.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        yield here, field
        yield from fields(field, here)
        yield from fields(field.get("items", {}), f"{here}[]")


def test_the_file_has_not_drifted() -> None:
    """`make generate` where it has."""
    assert FILE.read_text() == text()


def test_the_file_means_the_same_in_both_versions_of_yaml() -> None:
    """Kubernetes reads 1.1, where a plain `Off` is false."""
    for version in ((1, 1), (1, 2)):
        yaml = YAML(typ="safe", pure=True)
        yaml.version = version
        assert yaml.load(FILE.read_text()) == definition()


def test_each_field_is_described() -> None:
    found = dict(fields(object_schema()))
    own = {path for path in found if not path.startswith("metadata")}
    assert len(own) > 180
    assert [path for path in own if not found[path].get("description", "").endswith(".")] == []


def test_each_field_of_the_manifest_is_in_it() -> None:
    found = dict(fields(object_schema()))
    spec = part_of(root()["properties"]["spec"])
    assert spec is not None
    assert {f"spec.{name}" for name in spec["properties"]} <= found.keys()
    assert "spec.evaluation[].sampling.topP" in found
    assert found["spec.schedule.rolloutBatchSize"]["default"] == 16
