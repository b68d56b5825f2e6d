"""Kubernetes quantities: values from its documentation of resource units, and by hand."""

import pytest

from rljob.api.quantity import bytes_of


@pytest.mark.parametrize(
    ("quantity", "found"),
    [
        ("128974848", 128974848),
        ("129M", 129_000_000),
        ("123Mi", 128974848),  # "roughly the same value" as the first, which it is exactly
        ("1k", 1000),
        ("1.5Ki", 1536),
        ("2Gi", 2147483648),
        ("0.5Ti", 549755813888),
        ("1E", 10**18),
    ],
)
def test_bytes(quantity: str, found: int) -> None:
    assert bytes_of(quantity) == found
