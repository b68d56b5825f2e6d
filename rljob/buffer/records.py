"""What trainer and workers tell each other through the buffer.

Group and Completion travel as bytes: a schema byte, then msgpack; arrays are raw little-endian
bytes in msgpack extensions. A reader of another schema refuses the record: trainer and rollout
images of different versions must not half-understand each other.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import msgpack
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")

SCHEMA = 1

# In a sample's metadata: why it could not be judged, and got `reward.failureReward`.
REWARD_ERROR = "reward_error"

Tokens = NDArray[np.int32]
LogProbs = NDArray[np.float32]
Mask = NDArray[np.uint8]

Kind = Literal["train", "evaluation"]
Finish = Literal["stop", "length", "abort"]
Status = Literal["completed", "truncated", "aborted", "failed"]
Phase = Literal["starting", "running", "stopping", "finished"]

# msgpack extension codes. They are part of the schema: never give one a new meaning.
_BIG_INTEGER = 0  # labels of mathematical tasks can exceed 64 bits
_ARRAYS: dict[int, np.dtype[Any]] = {1: np.dtype("<i4"), 2: np.dtype("<f4"), 3: np.dtype("u1")}
_ARRAY_CODES = {dtype: code for code, dtype in _ARRAYS.items()}


class RecordError(ValueError):
    """Bytes that are no record of this schema, or a record whose parts contradict each other."""


@dataclass(frozen=True, eq=False)
class Group:
    """A prompt of which `samples` responses are wanted; what a worker leases.

    `label` and `metadata` are the prompt's JSON values, `sampling` and `reward` the fields of
    SamplingSpec and RewardSpec. Samples are seeded from `seed`.
    """

    id: int
    incarnation: int
    kind: Kind
    prompt: str
    prompt_tokens: Tokens
    label: Any
    metadata: dict[str, Any]
    samples: int
    sampling: dict[str, Any]
    reward: dict[str, Any]
    seed: int

    def __post_init__(self) -> None:
        _check_array("prompt_tokens", self.prompt_tokens, np.int32, len(self.prompt_tokens))
        _check_choice("kind", self.kind, ("train", "evaluation"))

    def pack(self) -> bytes:
        """The record's bytes; TypeError names a value that no record can hold."""
        return _pack(self)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """The group in `data`; RecordError where it holds none."""
        return _unpack(cls, data)


@dataclass(frozen=True)
class VersionSpan:
    """Response tokens `start` to `end` (exclusive) were made by one weight version."""

    version: int
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Response:
    """What an engine has sampled for one prompt.

    Args:
        tokens: int32 "response", as sampled; an end-of-sequence token is the last of them.
        logprobs: float32 "response", at the sampling temperature, before top-p and top-k.
        versions: the weight version of each token, in spans without gaps.
        finish: why it ends; "abort": it was interrupted, and can be continued.
    """

    tokens: Tokens
    logprobs: LogProbs
    versions: tuple[VersionSpan, ...]
    finish: Finish

    def __post_init__(self) -> None:
        length = len(self.tokens)
        _check_array("tokens", self.tokens, np.int32, length)
        _check_array("logprobs", self.logprobs, np.float32, length)
        _check_choice("finish", self.finish, ("stop", "length", "abort"))

    def continued(self, more: "Response") -> "Response":
        """This interrupted response with what was sampled after it."""
        length = len(self.tokens)
        versions = [span for span in self.versions if span.start < span.end]
        for span in more.versions:
            moved = VersionSpan(span.version, span.start + length, span.end + length)
            if versions and versions[-1].version == span.version:
                moved = VersionSpan(span.version, versions.pop().start, moved.end)
            versions.append(moved)
        return Response(
            tokens=np.concatenate([self.tokens, more.tokens]),
            logprobs=np.concatenate([self.logprobs, more.logprobs]),
            versions=tuple(versions),
            finish=more.finish,
        )


@dataclass(frozen=True, eq=False)
class Partial:
    """What a worker that had to leave has generated of a group: a response for each sample."""

    group: int
    incarnation: int
    responses: tuple[Response, ...]

    def pack(self) -> bytes:
        """The record's bytes."""
        return _pack(self)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """The responses in `data`; RecordError where it holds none."""
        return _unpack(cls, data)


@dataclass(frozen=True, eq=False)
class Sample:
    """One response. The arrays have one value per response token.

    `response` is its text with special tokens, except the one that has ended it.
    `loss_mask` is 0 for tokens that the model did not choose (a tool's, the environment's);
    `logprobs` are natural logarithms, as the engine gave them at the sampling temperature.
    """

    index: int
    response: str
    response_tokens: Tokens
    logprobs: LogProbs
    loss_mask: Mask
    versions: tuple[VersionSpan, ...]
    reward: float
    status: Status
    metadata: dict[str, Any]

    def __post_init__(self) -> None:
        length = len(self.response_tokens)
        _check_array("response_tokens", self.response_tokens, np.int32, length)
        _check_array("logprobs", self.logprobs, np.float32, length)
        _check_array("loss_mask", self.loss_mask, np.uint8, length)
        _check_choice("status", self.status, ("completed", "truncated", "aborted", "failed"))
        for span in self.versions:
            if not 0 <= span.start <= span.end <= length:
                raise RecordError(f"versions: {span} lies outside the {length} response tokens")


@dataclass(frozen=True, eq=False)
class Completion:
    """A finished group. Times are unix seconds of the worker's clock.

    With `failure` set the group failed for good, for that reason, and `samples` may be empty;
    `failure_is_usage` tells that the user has to change something (a hook, the data).
    """

    group: int
    incarnation: int
    worker: str
    samples: tuple[Sample, ...]
    failure: str | None
    failure_is_usage: bool
    leased: float
    finished: float

    def pack(self) -> bytes:
        """The record's bytes; TypeError names a value that no record can hold."""
        return _pack(self)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """The completion in `data`; RecordError where it holds none."""
        return _unpack(cls, data)


@dataclass(frozen=True)
class Engine:
    """A live engine. `id` is new at every start of the engine, as its weights then are.

    `groups` are those that its worker has in hand, `busy_seconds` the time since its start in which
    there was one; both as of the last heartbeat, and no part of what makes it this engine.
    """

    id: str
    worker: str
    url: str
    groups: int = field(default=0, compare=False)
    busy_seconds: float = field(default=0.0, compare=False)

    @classmethod
    def unpack_all(cls, reply: Sequence[bytes]) -> list[Self]:
        """The engines of a script's reply, by id; it holds id and JSON record of each in turn."""
        found = (
            cls(id=key.decode(), **json.loads(record))
            for key, record in zip(reply[::2], reply[1::2], strict=True)
        )
        return sorted(found, key=lambda engine: engine.id)


@dataclass(frozen=True)
class RunState:
    """The run as the buffer knows it. `version` -1: no weights published yet."""

    incarnation: int
    version: int
    phase: Phase


@dataclass(frozen=True)
class Lease:
    """A group that this worker owns until `deadline` (seconds of time.monotonic).

    `attempt` counts the workers that were given it and were lost with it, and this one. `partial`
    is what a worker that gave it back had generated.
    """

    entry: str
    group: Group
    deadline: float
    attempt: int
    partial: Partial | None


@dataclass(frozen=True)
class Occupancy:
    """Groups in the buffer: not leased, leased, completed and not yet collected."""

    waiting: int
    leased: int
    ready: int


def _check_array(name: str, array: Any, dtype: type[np.generic], length: int) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != (length,):
        found = (
            f"{array.dtype} of shape {array.shape}"
            if isinstance(array, np.ndarray)
            else type(array).__name__
        )
        raise RecordError(f"{name}: {found}, expected {np.dtype(dtype)} of shape ({length},)")


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise RecordError(f"{name}: {value!r}, allowed: {', '.join(allowed)}")


def _pack(record: object) -> bytes:
    body: bytes = msgpack.packb(
        vars(record),
        default=_encode,
        # JSON allows lone surrogates in texts; a prompt may hold one.
        unicode_errors="surrogatepass",
    )
    return bytes([SCHEMA]) + body


def _encode(value: Any) -> Any:
    """What msgpack cannot hold by itself."""
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
    # A copy in the machine's byte order: torch warns about arrays that it may not write.
    return array.astype(array.dtype.newbyteorder("="))


def _unpack(cls: type[R], data: bytes) -> R:
    name = cls.__name__.lower()
    if not data:
        raise RecordError(f"no bytes where a {name} was expected")
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
    # msgpack's own errors are ValueErrors, but a truncated or foreign record fails in many ways.
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RecordError(f"{len(data)} bytes are no {name}: {error}") from error


def _build(cls: type[R], values: Any) -> R:
    if not isinstance(values, dict):
        raise RecordError(f"a {type(values).__name__} where a {cls.__name__.lower()} was expected")
    expected = {field.name for field in fields(cls)}
    if values.keys() != expected:
        raise RecordError(
            f"a {cls.__name__.lower()} with the fields {sorted(map(str, values))}; "
            f"expected {sorted(expected)}"
        )
    if cls is Completion:
        values["samples"] = tuple(_build(Sample, sample) for sample in values["samples"])
    if cls is Partial:
        values["responses"] = tuple(_build(Response, response) for response in values["responses"])
    if cls in (Sample, Response):
        values["versions"] = tuple(_build(VersionSpan, span) for span in values["versions"])
    return cls(**values)
