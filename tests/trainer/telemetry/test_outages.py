"""Reward servers that do not answer, as the trainer tells it."""

from dataclasses import replace

from rljob.buffer.records import Engine
from rljob_trainer.telemetry.outages import Outages

WELL = Engine("a/1", "a", "http://127.0.0.1:1")
TROUBLE = "http://judge: no answer for 3 s (refused)"


def test_an_outage_is_one_incident_and_its_end_another() -> None:
    told: list[tuple[str, str]] = []
    outages = Outages(lambda event, message: told.append((event, message)))
    assert outages.look([WELL]) == ""
    assert outages.look([WELL, replace(WELL, trouble=TROUBLE)]) == (
        f"samples wait to be judged: {TROUBLE}"
    )
    longer = TROUBLE.replace("3 s", "8 s")
    assert outages.look([replace(WELL, trouble=longer)]) == f"samples wait to be judged: {longer}"
    assert outages.look([WELL]) == ""
    assert told == [
        ("reward.unavailable", f"samples wait to be judged: {TROUBLE}"),
        ("reward.back", "the reward server answers again"),
    ]
