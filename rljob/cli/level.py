"""The levels of log lines."""

from enum import StrEnum


class Level(StrEnum):
    """The lowest level that is shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


# The names in structlog, Python and sglang-router.
_NAMES = (("trace", "debug"), ("info",), ("warn", "warning"), ("error", "critical"))
_RANKS = {name: rank for rank, names in enumerate(_NAMES) for name in names}


def reaches(name: str, level: Level) -> bool:
    """Whether a line of the level `name` is to be shown; one without a level is not."""
    return _RANKS.get(name, -1) >= _RANKS[level]
