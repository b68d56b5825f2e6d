"""Records as bytes: a schema byte, then msgpack; arrays are raw little-endian extensions."""

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import msgpack
import numpy as np
from numpy.typing import NDArray

# A reader refuses records of another schema, so that trainer and rollout images of different
# versions never misread each other.
SCHEMA = 3

Tokens = NDArray[np.int32]
Numbers = NDArray[np.float32]
Mask = NDArray[np.uint8]

# msgpack extension codes. They are part of the schema: never change the meaning of one.
_BIG_INTEGER = 0  # labels of mathematical tasks can exceed 64 bits
_ARRAYS: dict[int, np.dtype[Any]] = {1: np.dtype("<i4"), 2: np.dtype("<f4"), 3: np.dtype("u1")}
_ARRAY_CODES = {dtype: code for code, dtype in _ARRAYS.items()}


class RecordError(ValueError):
    """Bytes that are not a record of this schema, or a record with inconsistent fields."""


if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R")


class Record:
    """A dataclass that travels through the buffer on its own."""

    def pack(self) -> bytes:
        """The record's bytes; TypeError for a value that a record can't hold."""
        body: bytes = msgpack.packb(
            vars(self),
            default=_encode,
            # JSON strings, and so prompts, may contain lone surrogates.
            unicode_errors="surrogatepass",
        )
        return bytes([SCHEMA]) + body

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """The record of this class in `data`; RecordError if it is not one."""
        name = cls.__name__.lower()
        if not data:
            raise RecordError(f"no bytes, expected a {name}")
        if data[0] != SCHEMA:
            raise RecordError(
                f"a {name} of record schema {data[0]}; this program reads schema {SCHEMA}: "
                "trainer and rollout must run the same version of rljob"
            )
        try:
            values = msgpack.unpackb(
                memoryview(data)[1:],
                ext_hook=_decode,
                strict_map_key=False,
                unicode_errors="surrogatepass",
            )
            return _build(cls, values)
        except RecordError:
            raise
        # msgpack's own errors are ValueErrors, but a truncated or foreign record fails in many
        # ways.
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RecordError(f"{len(data)} bytes are not a {name}: {error}") from error


def check_array(name: str, array: Any, dtype: type[np.generic], length: int) -> None:
    """Raises RecordError unless `array` is one of this type and length."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != (length,):
        found = (
            f"{array.dtype} of shape {array.shape}"
            if isinstance(array, np.ndarray)
            else type(array).__name__
        )
        raise RecordError(f"{name}: {found}, expected {np.dtype(dtype)} of shape ({length},)")


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises RecordError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise RecordError(f"{name}: {value!r}, allowed: {', '.join(allowed)}")


def _encode(value: Any) -> Any:
    """Encode values that msgpack does not support."""
    if is_dataclass(value):
        return vars(value)
    if isinstance(value, np.ndarray):
        little = value.dtype.newbyteorder("<")
        if value.ndim != 1 or little not in _ARRAY_CODES:
            raise TypeError(
                f"an array of {value.dtype}, {value.ndim} dimensions, in a record; "
                "allowed: int32, float32, uint8 of one dimension"
            )
        return msgpack.ExtType(_ARRAY_CODES[little], value.astype(little, copy=False).tobytes())
    if isinstance(value, np.generic):  # rewards and metadata of user code
        return value.item()
    if isinstance(value, int):
        return msgpack.ExtType(
            _BIG_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        )
    raise TypeError(f"a {type(value).__name__} in a record; allowed: JSON values, arrays")


def _decode(code: int, data: bytes) -> Any:
    if code == _BIG_INTEGER:
        return int.from_bytes(data, "little", signed=True)
    if code not in _ARRAYS:
        raise RecordError(f"unknown extension {code} in a record")
    array = np.frombuffer(data, _ARRAYS[code])
    # A writable copy in native byte order: torch warns about read-only arrays.
    return array.astype(array.dtype.newbyteorder("="))


def _build(cls: type[R], values: Any) -> R:
    if not isinstance(values, dict):
        raise RecordError(f"found a {type(values).__name__}, expected a {cls.__name__.lower()}")
    expected = {field.name for field in fields(cast("type[DataclassInstance]", cls))}
    if values.keys() != expected:
        raise RecordError(
            f"a {cls.__name__.lower()} with the fields {sorted(map(str, values))}; "
            f"expected {sorted(expected)}"
        )
    parts: dict[str, Any] = getattr(cls, "PARTS", {})
    for name, part in parts.items():
        found = values[name]
        if isinstance(found, list):
            values[name] = tuple(_build(part, each) for each in found)
        else:
            values[name] = _build(part, found)
    return cls(**values)
