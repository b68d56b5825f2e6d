"""Kubernetes quantities as numbers."""

from decimal import Decimal

_FACTORS = {
    "": 1,
    **{letter: 1000**power for power, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)},
    "K": 1000,
}


def bytes_of(quantity: str) -> int:
    """The bytes that a quantity of the manifest means, rounded down: 1.5Ki is 1536."""
    number = quantity.rstrip("kKMGTPEi")
    return int(Decimal(number) * _FACTORS[quantity[len(number) :]])
