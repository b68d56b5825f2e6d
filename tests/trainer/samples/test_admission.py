"""How many groups may be open, and which of them the next batch must contain."""

import pytest

from rljob_trainer.samples.admission import Admission


def capacity(admission: Admission, unused: int, used: int = 0, left: int = 0, **given: int) -> int:
    """Without `left`: every group open may be used once."""
    return admission.capacity(
        unused_groups=unused,
        used_groups=used,
        uses_left=left or unused,
        uses_since_publish=given.get("since", 0),
        still_needed=given.get("needed", 99),
    )


def test_synchronous_window_is_one_batch() -> None:
    admission = Admission(rollout_batch_size=4, max_staleness=0, update_weights_interval=1)
    assert capacity(admission, 0) == 4
    assert capacity(admission, 0, since=4) == 0
    assert capacity(admission, 3) == 1


def test_nothing_is_generated_beyond_the_end_of_the_run() -> None:
    admission = Admission(rollout_batch_size=4, max_staleness=2, update_weights_interval=1)
    assert capacity(admission, 4, needed=7) == 3
    assert capacity(admission, 4, needed=3) == 0
    assert capacity(admission, 0, needed=0) == 0


@pytest.mark.parametrize(
    ("unused", "used", "left", "since", "needed", "admitted"),
    [
        (0, 0, 0, 0, 99, 8),  # the window of 16 uses is filled by 8 groups
        (8, 0, 16, 0, 99, 0),
        (0, 8, 8, 4, 99, 2),  # 16 - 4 - 8 uses are not spoken for
        (0, 8, 8, 5, 99, 1),  # an odd one is left to the next version
        (0, 2, 2, 0, 99, 7),
        (1, 0, 2, 12, 99, 3),  # two uses, but a batch wants four groups
        (4, 0, 8, 12, 99, 0),
        (0, 2, 2, 0, 8, 3),  # six uses more
        (0, 2, 2, 0, 7, 3),  # five uses more
        (0, 3, 3, 0, 4, 1),
        (0, 4, 4, 0, 4, 0),
        (0, 0, 0, 0, 0, 0),
    ],
)
def test_capacity_counts_uses(
    unused: int, used: int, left: int, since: int, needed: int, admitted: int
) -> None:
    """Batches of 4, a staleness of 3, two uses of a group."""
    admission = Admission(4, max_staleness=3, update_weights_interval=1, max_uses=2)
    assert capacity(admission, unused, used, left, since=since, needed=needed) == admitted


def test_filter_leaves_a_batch_of_the_window_free() -> None:
    """Of 12 places 8 are filled ahead; the last 4 only if the batch has no other groups."""
    admission = Admission(4, max_staleness=2, update_weights_interval=1, spare=4)
    assert capacity(admission, 0) == 8
    assert capacity(admission, 4, since=4) == 0
    assert capacity(admission, 0, since=8) == 4


@pytest.mark.parametrize(
    ("admitted", "version", "since", "due"),
    [
        ([], 5, 0, {}),
        ([5] * 8, 5, 0, {5: 0}),  # they have this version and the next
        ([5] * 16, 5, 0, {5: 4}),  # four batches for 16 places: any four of them
        ([5] * 8, 5, 4, {5: 0}),
        ([4] * 8, 5, 0, {4: 4}),  # the last version for all: both batches are full
        ([4] * 4, 5, 4, {4: 4}),
        ([4] * 5, 5, 0, {4: 1}),  # one now, for the second batch has room for four
        ([4] * 2, 5, 4, {4: 2}),
        ([4] * 3 + [5] * 12, 5, 0, {4: 0, 5: 3}),  # 15, of which 12 fit after this batch
        ([4] * 6 + [5] * 10, 5, 0, {4: 2, 5: 4}),
    ],
)
def test_groups_are_due_when_later_batches_have_no_room(
    admitted: list[int], version: int, since: int, due: dict[int, int]
) -> None:
    """Two batches of 4 a version, a staleness of 1."""
    admission = Admission(4, max_staleness=1, update_weights_interval=2)
    assert admission.due(admitted, version=version, uses_since_publish=since) == due
