"""docs/manifest.md matches the models."""

from pathlib import Path

from rljob.api.reference import reference
from rljob.api.vocabulary import root, words

REPOSITORY = Path(__file__).parents[2]


def test_reference_has_not_drifted() -> None:
    """`make generate` where it has."""
    assert (REPOSITORY / "docs" / "manifest.md").read_text() == reference()


def test_every_field_is_described_and_has_words() -> None:
    for name, part in {**root()["$defs"], "RLJob": root()}.items():
        for key, field in part.get("properties", {}).items():
            assert words(field), f"{name}.{key}"
            assert field.get("description") or "$ref" in field, f"{name}.{key}"
