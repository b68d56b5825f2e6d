"""Metrics of a batch before it is trained on."""

from dataclasses import replace

import pytest

from rljob.buffer.records import VersionSpan
from rljob_trainer.data.source import PromptRef
from rljob_trainer.samples.batch import batch_metrics
from rljob_trainer.samples.ledger import OpenGroup
from tests.support.a_sample import a_sample
from tests.trainer.records import a_completion, a_group


def of_length(length: int) -> OpenGroup:
    completion = a_completion(1, 0)
    sample = a_sample([0] * length, versions=[VersionSpan(0, 0, length)])
    whole = replace(completion, samples=(sample,))
    return OpenGroup(a_group(1), PromptRef(0, 0), 0, completion=whole)


def test_lengths_of_responses() -> None:
    """1 to 101: the median is 51, and 95 % are not above 96."""
    found = batch_metrics([of_length(length) for length in range(1, 102)], version=0)
    assert found["response/length_min"] == 1
    assert found["response/length_p50"] == 51
    assert found["response/length_p95"] == pytest.approx(96)
    assert found["response/length_max"] == 101
    assert found["response/length_mean"] == 51
