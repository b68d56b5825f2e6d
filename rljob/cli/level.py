"""The levels of log lines."""

from enum import StrEnum


class Level(StrEnum):
    """The least that is shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


# As structlog, Python and sglang-router name them.
_NAMES = (("trace", "debug"), ("info",), ("warn", "warning"), ("error", "critical"))
_RANKS = {name: rank for rank, names in enumerate(_NAMES) for name in names}


def reaches(name: str, level: Level) -> bool:
    """Whether a line of the level `name` is to be shown; one without a level is not."""
    return _RANKS.get(name, -1) >= _RANKS[level]
