import contextlib
import dataclasses

import hypothesis.extra.numpy as hnp
import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rljob.buffer.records import (
    Completion,
    Group,
    Partial,
    RecordError,
    Response,
    Sample,
    Segment,
    Trajectory,
    VersionSpan,
)

INTEGERS = st.integers(-(2**70), 2**70)
# All that a line of JSONL can hold, lone surrogates and huge integers included.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | INTEGERS
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
TOKENS = hnp.arrays(np.int32, st.integers(0, 20))

GROUPS = st.builds(
    Group,
    id=st.integers(0, 2**53),
    incarnation=st.integers(0, 2**53),
    kind=st.sampled_from(["train", "evaluation"]),
    prompt=st.text(),
    prompt_tokens=TOKENS,
    messages=st.none() | st.lists(st.dictionaries(st.text(), JSON, max_size=2), max_size=2),
    label=JSON,
    metadata=st.dictionaries(st.text(), JSON, max_size=3),
    samples=st.integers(1, 64),
    sampling=st.just({"temperature": 1.0, "stop": ["\n"]}),
    rewards=st.just([{"type": "exact", "url": None}]),
    seed=INTEGERS,
)


@st.composite
def segments(draw):
    length = draw(st.integers(0, 20))
    cuts = sorted(draw(st.lists(st.integers(0, length), min_size=4, max_size=4)))
    return Segment(
        tokens=draw(hnp.arrays(np.int32, length)),
        logprobs=draw(hnp.arrays(np.float32, length)),
        loss_mask=draw(hnp.arrays(np.uint8, length)),
        versions=(VersionSpan(3, cuts[0], cuts[1]), VersionSpan(4, cuts[2], cuts[3])),
    )


@st.composite
def trajectories(draw):
    segment = draw(segments())
    rewards = hnp.arrays(np.float32, len(segment))
    return Trajectory(draw(st.none() | TOKENS), segment, draw(st.none() | rewards))


@st.composite
def samples(draw):
    return Sample(
        index=draw(st.integers(0, 64)),
        trajectories=tuple(draw(st.lists(trajectories(), max_size=3))),
        response=draw(st.text()),
        reward=draw(st.floats(allow_nan=False)),
        rewards=draw(st.dictionaries(st.text(), st.floats(allow_nan=False), max_size=3)),
        status=draw(st.sampled_from(["completed", "truncated", "aborted", "failed"])),
        metadata=draw(st.dictionaries(st.text(), JSON, max_size=3)),
    )


PARTIALS = st.builds(
    Partial,
    group=st.integers(0, 2**53),
    incarnation=st.integers(0, 2**53),
    responses=st.lists(
        st.builds(Response, segments(), st.sampled_from(["stop", "length", "abort"])), max_size=3
    ).map(tuple),
)
COMPLETIONS = st.builds(
    Completion,
    group=st.integers(0, 2**53),
    incarnation=st.integers(0, 2**53),
    worker=st.text(),
    samples=st.lists(samples(), max_size=3).map(tuple),
    failure=st.none() | st.text(),
    failure_is_usage=st.booleans(),
    leased=st.floats(0, 2**40),
    finished=st.floats(0, 2**40),
)


def assert_same(left, right):
    assert type(left) is type(right)
    if isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    elif dataclasses.is_dataclass(left):
        for field in dataclasses.fields(left):
            assert_same(getattr(left, field.name), getattr(right, field.name))
    elif isinstance(left, tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


@given(GROUPS)
def test_a_group_comes_back_as_it_went(group):
    assert_same(group, Group.unpack(group.pack()))


@given(PARTIALS)
def test_a_partial_comes_back_as_it_went(partial):
    assert_same(partial, Partial.unpack(partial.pack()))


@given(COMPLETIONS)
def test_a_completion_comes_back_as_it_went(completion):
    assert_same(completion, Completion.unpack(completion.pack()))


def a_segment(**changes):
    values = {
        "tokens": np.array([258, -2], np.int32),
        "logprobs": np.array([-0.5, -1.0], np.float32),
        "loss_mask": np.array([1, 0], np.uint8),
        "versions": (VersionSpan(7, 0, 2),),
    }
    return Segment(**values | changes)


def a_sample(**changes):
    values = {
        "index": 0,
        "trajectories": (Trajectory(None, a_segment()),),
        "response": "ab",
        "reward": 1.0,
        "rewards": {},
        "status": "completed",
        "metadata": {},
    }
    return Sample(**values | changes)


def a_completion(*samples):
    return Completion(5, 2, "rollout-0", samples, None, False, 1.0, 2.0)


def test_the_layout_is_a_schema_byte_msgpack_and_little_endian_arrays():
    data = a_completion(a_sample()).pack()
    assert data[0] == 3
    body = msgpack.unpackb(data[1:])
    assert body["group"] == 5
    sample = body["samples"][0]
    assert sample["trajectories"][0]["prompt"] is None
    segment = sample["trajectories"][0]["segment"]
    assert segment["tokens"].data == bytes.fromhex("02010000feffffff")
    assert segment["logprobs"].data == bytes.fromhex("000000bf000080bf")
    assert segment["loss_mask"].data == b"\x01\x00"
    assert segment["versions"] == [{"version": 7, "start": 0, "end": 2}]


def test_arrays_read_back_may_be_written():
    read = Completion.unpack(a_completion(a_sample()).pack())
    assert read.samples[0].segments[0].tokens.flags.writeable


def test_numbers_of_user_code_become_plain_ones():
    sample = a_sample(reward=np.float32(0.5), metadata={"turns": np.int64(3)})
    read = Completion.unpack(a_completion(sample).pack()).samples[0]
    assert read.reward == 0.5 and type(read.reward) is float
    assert read.metadata == {"turns": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logprobs": np.zeros(3, np.float32)}, r"logprobs: float32 of shape \(3,\), expected"),
        ({"logprobs": np.zeros(2)}, r"logprobs: float64 of shape \(2,\), expected float32"),
        ({"tokens": [1, 2]}, "tokens: list, expected int32"),
        ({"versions": (VersionSpan(1, 0, 3),)}, "end=3.* of 2 tokens, after a span that ends at 0"),
        ({"versions": (VersionSpan(1, 1, 2), VersionSpan(2, 0, 1))}, "that ends at 2"),
    ],
)
def test_a_segment_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(RecordError, match=message):
        a_segment(**changes)


def test_a_sample_and_a_trajectory_that_contradict_themselves_are_refused():
    with pytest.raises(RecordError, match="'done', allowed: completed, truncated, aborted, failed"):
        a_sample(status="done")
    with pytest.raises(RecordError, match=r"rewards: float32 of shape \(3,\), expected"):
        Trajectory(None, a_segment(), np.zeros(3, np.float32))


@given(segments(), segments())
def test_segments_in_a_row_keep_each_token_with_what_is_known_of_it(first, second):
    def by_token(segment):
        versions = [None] * len(segment)
        for span in segment.versions:
            versions[span.start : span.end] = [span.version] * (span.end - span.start)
        return list(
            zip(
                segment.tokens.tolist(),
                segment.logprobs.view(np.int32).tolist(),  # NaN equals NaN
                segment.loss_mask.tolist(),
                versions,
                strict=True,
            )
        )

    assert by_token(first.followed_by(second)) == by_token(first) + by_token(second)


def test_given_tokens_have_no_version_and_are_not_learned():
    turn = Segment.generated(
        np.array([1, 2], np.int32), np.array([-1.0, -2.0], np.float32), [VersionSpan(3, 0, 2)]
    )
    tool = Segment.given(np.array([9], np.int32))
    whole = turn.followed_by(tool).followed_by(turn)
    assert whole.tokens.tolist() == [1, 2, 9, 1, 2]
    assert whole.loss_mask.tolist() == [1, 1, 0, 1, 1]
    assert whole.versions == (VersionSpan(3, 0, 2), VersionSpan(3, 3, 5))


def test_a_value_that_no_record_can_hold_is_named():
    with pytest.raises(TypeError, match="a set in a record"):
        a_completion(a_sample(metadata={"seen": {1}})).pack()
    with pytest.raises(TypeError, match="an array of float64, 1 dimensions, in a record"):
        a_completion(a_sample(metadata={"scores": np.zeros(2)})).pack()


def test_another_schema_is_refused():
    data = a_completion().pack()
    with pytest.raises(RecordError, match=r"completion of record schema 1; .* reads schema 3"):
        Completion.unpack(b"\x01" + data[1:])


def test_a_record_of_another_kind_is_refused():
    with pytest.raises(RecordError, match=r"a group with the fields .* expected"):
        Group.unpack(a_completion().pack())


@given(st.binary())
def test_garbage_gives_a_record_error(data):
    with pytest.raises(RecordError):
        Group.unpack(data)


@given(COMPLETIONS, st.data())
def test_damaged_bytes_give_a_record_or_a_record_error_and_nothing_else(completion, data):
    packed = bytearray(completion.pack())
    packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(RecordError):
        assert isinstance(Completion.unpack(bytes(packed)), Completion)


@given(COMPLETIONS, st.data())
def test_a_part_of_a_record_is_refused(completion, data):
    packed = completion.pack()
    with pytest.raises(RecordError):
        Completion.unpack(packed[: data.draw(st.integers(0, len(packed) - 1))])
