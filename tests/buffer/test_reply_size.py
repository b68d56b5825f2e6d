"""Large records: a reply holds as many as can be sent within the client's timeout."""

import dataclasses

import numpy as np

from rljob.buffer.connection import REPLY_BYTES
from rljob.buffer.records import Partial, Response, Segment, VersionSpan
from tests.buffer.conftest import completion, group

THIRD = REPLY_BYTES // 3


def large(number, size=THIRD):
    return dataclasses.replace(group(number, 1), prompt="x" * size)


def large_completion(lease, size=THIRD):
    done = completion(lease)
    return dataclasses.replace(
        done, samples=(dataclasses.replace(done.samples[0], response="x" * size),)
    )


def ids(leases):
    return [lease.group.id for lease in leases]


def test_groups_that_do_not_fit_stay_for_others(trainer, a, b):
    trainer.admit([large(number) for number in range(1, 6)])
    assert ids(a.take(9)) == [1, 2]
    later = b.take(9)
    assert ids(later) == [3, 4]
    assert [lease.attempt for lease in later] == [1, 1]
    last = a.take(9)
    assert ids(last) == [5]
    assert last[0].attempt == 1


def test_a_small_group_does_not_overtake_a_large_one(trainer, a):
    trainer.admit([large(1), large(2), large(3), group(4, 1)])
    assert ids(a.take(9)) == [1, 2]
    assert ids(a.take(9)) == [3, 4]


def test_a_group_larger_than_a_reply_comes_alone(trainer, a):
    trainer.admit([group(1, 1), large(2, REPLY_BYTES + 1), group(3, 1)])
    assert [ids(a.take(9)) for _ in range(3)] == [[1], [2], [3]]


def test_what_was_generated_counts(trainer, a):
    trainer.admit([group(number, 1) for number in (1, 2, 3)])
    count = THIRD // 9  # a token, its log-probability and its mask take 9 bytes
    segment = Segment.generated(
        np.zeros(count, np.int32), np.zeros(count, np.float32), [VersionSpan(0, 0, count)]
    )
    response = Response(segment, "abort")
    for lease in a.take(9):
        a.release(lease, Partial(lease.group.id, 1, (response,)))
    assert ids(a.take(9)) == [1, 2]
    assert ids(a.take(9)) == [3]


def test_completions_that_do_not_fit_come_with_the_next(trainer, a):
    trainer.admit([group(number, 1) for number in range(1, 6)])
    for lease in a.take(9):
        a.complete(lease, large_completion(lease))
    collected = [[done.group for done in trainer.collect(0)] for _ in range(4)]
    assert collected == [[1, 2], [3, 4], [5], []]


def test_a_completion_larger_than_a_reply_comes_alone(trainer, a):
    trainer.admit([group(number, 1) for number in range(1, 4)])
    first, second, third = a.take(9)
    a.complete(first, completion(first))
    a.complete(second, large_completion(second, REPLY_BYTES + 1))
    a.complete(third, completion(third))
    collected = [[done.group for done in trainer.collect(0)] for _ in range(4)]
    assert collected == [[1], [2], [3], []]
