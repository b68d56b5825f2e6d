"""What the workers wait for: reward servers that do not answer."""

from collections.abc import Callable, Iterable

from rljob.buffer.records import Engine


class Outages:
    """Tells when workers begin to wait, and when that is over. Lives on rank 0."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        """
        Args:
            tell: notes an incident, given its event and a sentence.
        """
        self._tell = tell
        self._waiting = False

    def look(self, engines: Iterable[Engine]) -> str:
        """What the workers of these engines wait for; empty: nothing."""
        # Of workers that wait for the same server, one speaks for all: their seconds differ.
        told = next((engine.trouble for engine in engines if engine.trouble), "")
        message = f"samples wait to be judged: {told}" if told else ""
        if told and not self._waiting:
            self._tell("reward.unavailable", message)
        elif self._waiting and not told:
            self._tell("reward.back", "the reward server answers again")
        self._waiting = bool(told)
        return message
