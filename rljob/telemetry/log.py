"""Structured logs: one line per event, to standard output, prefixed by the role.

2026-11-23T06:00:01Z trainer[0] info rollout.done rollout=3 reward=0.61
"""

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger


def configure(role: str, replica: int) -> None:
    """Sets up structlog for this process."""
    prefix = f"{role}[{replica}]"
    values = structlog.processors.LogfmtRenderer()

    def render(logger: WrappedLogger, method: str, event: EventDict) -> str:
        head = (event.pop("timestamp"), prefix, event.pop("level"), event.pop("event"))
        return " ".join([*map(str, head), str(values(logger, method, event))]).rstrip()

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=False,
    )
