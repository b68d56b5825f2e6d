"""Logs, one line per event: roles write their name and logfmt, the operator writes JSON.

`2026-11-23T06:00:01Z trainer[0] info rollout.done rollout=3 reward=0.61`
"""

import logging
import traceback

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_logfmt = structlog.processors.LogfmtRenderer(bool_as_flag=False)


def configure(role: str, replica: int) -> None:
    """Send every event of this process to stdout; from standard logging, warnings and above.

    Values are logfmt: quoted if they contain spaces, with line breaks written as `\\n`.
    """
    _configure(_Line(f"{role}[{replica}]"))


def configure_json() -> None:
    """Like `configure`, but with one JSON object per line."""
    _configure(structlog.processors.JSONRenderer(default=str))


def _configure(renderer: Processor) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(),
        # Modules create their loggers before the role is known.
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Handler()], level=logging.WARNING, force=True)


class _Line:
    """Renders an event: time, role, level, name, then key=value."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        time, level, name = (_one_line(event.pop(key)) for key in ("timestamp", "level", "event"))
        values = {key.replace(" ", "_"): _value(value) for key, value in event.items()}
        pairs = str(_logfmt(logger, method, values))
        return " ".join(part for part in (time, self._prefix, level, name, pairs) if part)


def _value(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    # The renderer handles line feeds and quotes.
    return str(value).replace("\r\n", "\n").replace("\r", "\n")


def _one_line(value: object) -> str:
    return str(value).replace("\r", "\\r").replace("\n", "\\n")


class _Handler(logging.Handler):
    """Forwards records of standard logging to structlog, so that all lines look alike."""

    def emit(self, record: logging.LogRecord) -> None:
        values = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            values["exception"] = "".join(traceback.format_exception(*record.exc_info))
        level = max(logging.DEBUG, min(record.levelno // 10 * 10, logging.CRITICAL))
        structlog.get_logger().log(level, "library.message", **values)
