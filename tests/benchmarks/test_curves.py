"""What the learning benchmark keeps, tells and draws of its runs."""

import dataclasses
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.curves.picture import picture, table
from benchmarks.curves.record import Record, load, save

SYNCHRONOUS = Record(
    estimator="grpo",
    staleness=0,
    correction="none",
    settings={},
    rewards=[0.2, 0.6, 0.86, 0.88, 0.9, 0.92, 0.94],  # the last five: 0.9
    seconds=[2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.4],
)
STALE = dataclasses.replace(
    SYNCHRONOUS,
    staleness=4,
    correction="tis",
    settings={"schedule": {"maxStaleness": 4}, "algorithm": {"mismatch": {"correction": "tis"}}},
    rewards=[0.2, 0.6, 0.85, 0.88, 0.9, 0.92, 0.94],
)


def test_a_run_has_learned_once_the_mean_of_five_batches_is_at_the_target() -> None:
    assert SYNCHRONOUS.learned
    assert not STALE.learned
    assert not dataclasses.replace(SYNCHRONOUS, rewards=[0.95] * 4).learned


def test_a_file_keeps_the_last_run_of_each_name(tmp_path: Path) -> None:
    path = tmp_path / "new" / "learning.json"
    assert load(path) == []
    save(path, dataclasses.replace(SYNCHRONOUS, rewards=[0.1] * 7))
    save(path, STALE)
    save(path, SYNCHRONOUS)
    assert load(path) == [STALE, SYNCHRONOUS]


def test_the_table_tells_how_long_each_took_and_with_what_settings() -> None:
    assert table([SYNCHRONOUS, STALE]).splitlines()[2:] == [
        "| grpo, maxStaleness 0 | 7 | 14 | 0.940 | the example's |",
        "| grpo, maxStaleness 4, tis | not in 7 | 14 | 0.940 | `schedule.maxStaleness: 4`, "
        "`algorithm.mismatch.correction: tis` |",
    ]


def test_the_picture_has_a_panel_for_each_staleness_and_a_line_for_each_run() -> None:
    plain = dataclasses.replace(STALE, correction="none")
    drawn = ET.fromstring(picture([SYNCHRONOUS, STALE, plain]))
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Mean reward, synchronous", "Mean reward, maxStaleness 4"} <= set(texts)
    assert {"grpo", "grpo with tis"} <= set(texts)
    paths = [each.get("fill") for each in drawn.iter("{http://www.w3.org/2000/svg}path")]
    assert paths.count("none") == 3
