"""One event is one line, whatever it contains."""

import logging
import re
import subprocess
import sys
from functools import partial

import pytest
import structlog

from rljob.telemetry import log

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def lines(capsys):
    """The lines of stdout since the last call."""
    log.configure("trainer", 0)
    yield partial(_read, capsys)
    structlog.reset_defaults()
    logging.basicConfig(force=True)


def _read(capsys):
    return capsys.readouterr().out.splitlines()


def test_an_event_is_a_line_with_the_role_in_front(lines):
    structlog.get_logger().info("rollout.done", rollout=3, reward=0.61, text="a b")
    (line,) = lines()
    assert re.fullmatch(
        rf'{TIME} trainer\[0\] info rollout\.done rollout=3 reward=0\.61 text="a b"', line
    )


def test_line_breaks_and_quotes_do_not_break_the_line(lines):
    structlog.get_logger().warning("reward.failed", reason='a\r\nb "c" d=e')
    (line,) = lines()
    assert line.endswith(r'warning reward.failed reason="a\nb \"c\" d=e"')


def test_an_exception_stays_on_its_line(lines):
    try:
        int("no\nway")
    except ValueError:
        structlog.get_logger().exception("save.failed")
    (line,) = lines()
    assert "Traceback" in line
    assert r"\nValueError: invalid literal" in line


def test_the_standard_librarys_warnings_look_the_same(lines):
    logging.getLogger("redis").info("not told")
    logging.getLogger("redis").warning("gone for %d s", 3)
    (line,) = lines()
    assert line.endswith('trainer[0] warning library.message logger=redis message="gone for 3 s"')


def test_debug_is_not_told(lines):
    structlog.get_logger().debug("buffer.silent")
    assert lines() == []


def test_a_module_may_make_its_logger_before_the_role_is_known():
    program = (
        "import structlog; log = structlog.get_logger()\n"
        "from rljob.telemetry.log import configure; configure('router', 0); log.info('a.b')"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(rf"{TIME} router\[0\] info a\.b\n", out.stdout)
