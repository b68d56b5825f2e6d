"""Kubernetes quantities as numbers."""

from decimal import Decimal

_DECIMAL = ("", *"kMGTPE")
_BINARY = ("", *(f"{letter}i" for letter in "KMGTPE"))
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


def times(quantity: str, factor: int) -> str:
    """A multiple of a quantity, as the API server writes it, in the same family of suffixes."""
    number = quantity.rstrip("kKMGTPEi")
    return canonical(f"{Decimal(number) * factor}{quantity[len(number) :]}")


def canonical(quantity: str) -> str:
    """The same whole number of bytes as the API server writes it: 1024Mi is 1Gi, 1000M is 1G."""
    base, suffixes = (1024, _BINARY) if quantity.endswith("i") else (1000, _DECIMAL)
    value, power = bytes_of(quantity), 0
    while value and value % base == 0 and power < len(suffixes) - 1:
        value, power = value // base, power + 1
    return f"{value}{suffixes[power]}"
