"""A function for processes that read ahead; in its own module, as they import all of it."""

from pathlib import Path


class Counting:
    """Leaves a line in a file for every number that it is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, number: int) -> int:
        with self._path.open("a") as file:
            file.write(f"{number}\n")
        if number == 200:
            raise ZeroDivisionError("no number")
        return number * number

    @property
    def asked(self) -> list[int]:
        return sorted(map(int, self._path.read_text().split()))
