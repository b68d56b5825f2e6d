"""Reads from a host's last traceback which episode blocked it, and where."""

import re
from pathlib import Path

from rljob_rollout.episodes.host import EPISODE

# Of faulthandler: frames from the inside out.
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)


def blocked_at(trace: str) -> tuple[int, str] | None:
    """The number of the episode and the place in its code; None if the traceback shows none."""
    for thread in trace.split("\n\n"):
        frames = _FRAME.findall(thread)
        for file, _, name in frames:
            if name.startswith(EPISODE) and Path(file).name == "host.py":
                inner_file, line, function = frames[0]
                place = f"{Path(inner_file).name}:{line} in {function}"
                return int(name.removeprefix(EPISODE)), place
    return None
