"""Kubernetes quantities: values from its documentation of resource units, and by hand."""

import pytest

from rljob.api.quantity import bytes_of, canonical, times


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


@pytest.mark.parametrize(
    ("quantity", "found"),
    [
        ("1Gi", "1Gi"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("768Mi", "768Mi"),
        ("1000M", "1G"),
        ("1500M", "1500M"),
        ("4096", "4096"),
        ("2000", "2k"),
    ],
)
def test_it_is_written_as_the_api_server_writes_it(quantity: str, found: str) -> None:
    assert canonical(quantity) == found


@pytest.mark.parametrize(
    ("quantity", "factor", "found"),
    [
        ("256Mi", 4, "1Gi"),
        ("1.5Gi", 2, "3Gi"),
        ("3G", 2, "6G"),
        ("500", 2, "1k"),
        ("1Ki", 3, "3Ki"),
    ],
)
def test_a_multiple_keeps_its_family_of_suffixes(quantity: str, factor: int, found: str) -> None:
    assert times(quantity, factor) == found
