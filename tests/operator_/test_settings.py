"""Which default images may be another one tomorrow."""

import pytest

from rljob_operator.settings import floats


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("trainer", True),
        ("ghcr.io/rljob/trainer:latest", True),
        ("registry:5000/trainer", True),
        ("registry:5000/trainer:0.1.0", False),
        ("ghcr.io/rljob/trainer@sha256:0123", False),
        ("ghcr.io/rljob/trainer:latest@sha256:0123", False),
    ],
)
def test_a_tag_that_moves(image: str, expected: bool) -> None:
    assert floats(image) == expected
