"""Until when an operator may write."""

import asyncio
import math

import pytest

from rljob_operator.leadership import Leadership, NotLeadingError


def test_it_writes_from_a_renewal_to_its_end() -> None:
    now = 100.0
    leadership = Leadership(lambda: now)
    with pytest.raises(NotLeadingError):
        leadership.check()
    leadership.extend(leadership.now() + 10)
    now = 109.9
    leadership.check()
    now = 110.0
    with pytest.raises(NotLeadingError):
        leadership.check()
    leadership.extend(120)
    leadership.check()
    leadership.end()
    with pytest.raises(NotLeadingError):
        leadership.check()


def test_the_only_operator_leads_for_good() -> None:
    leadership = Leadership()
    leadership.extend(math.inf)
    assert leadership.holds()


def test_the_end_is_waited_for_only_after_it_has_led() -> None:
    async def lose() -> list[bool]:
        leadership = Leadership()
        lost = asyncio.create_task(leadership.wait_until_lost())
        leadership.end()  # another leads
        await asyncio.sleep(0)
        before = lost.done()
        leadership.extend(math.inf)
        leadership.end()
        await lost
        return [before, lost.done()]

    assert asyncio.run(lose()) == [False, True]
