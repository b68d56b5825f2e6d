"""The engine's own copy of the weights for the disk transport, to which deltas are applied."""

import shutil
import threading
from pathlib import Path

import structlog

from rljob.plan.environment import RoleEnvironment
from rljob.weights.version import DamagedError, Version, changed, content_of, delta_of

log = structlog.get_logger()


def copy_directory(environment: RoleEnvironment) -> Path:
    """Where a worker's engine keeps its copy: on Kubernetes, on the pod's own disk."""
    name = str(environment.name or environment.replica)
    return Path(environment.run_dir) / "engines" / name


class LocalWeights:
    """Turns a version into a checkpoint; keeps the result of the last delta."""

    def __init__(self, directory: Path) -> None:
        """Removes what an earlier engine has left in `directory`."""
        self._directory = directory
        self._lock = threading.Lock()  # a client may give up on a request that still runs
        shutil.rmtree(directory, ignore_errors=True)

    def checkpoint(self, version: Path) -> Path:
        """A directory with exactly the version's weights, every file verified by its checksum.

        Args:
            version: its directory on the shared disk. The base of a delta is looked up in our copy
                first, then next to the version.

        Raises:
            DamagedError: the version, or one that it builds on, is damaged or missing.
        """
        with self._lock:
            if Version.read(version).base is None:
                _verify(version)
                return version
            result = self._directory / version.name
            if not result.is_dir():
                self._apply(version, result)
            return result

    def _apply(self, version: Path, result: Path) -> None:
        base, deltas = self._way_to(version)
        try:
            self._build(version, base, deltas, result)
        except DamagedError as error:
            if base.parent != self._directory:
                raise
            log.warning("weights.copy_damaged", reason=str(error))
            shutil.rmtree(base)
            self._build(version, *self._way_to(version), result)
        log.info("weights.applied", version=version.name, base=base.name, deltas=len(deltas))

    def _way_to(self, version: Path) -> tuple[Path, list[Path]]:
        """The base (our copy, else a full version) and the deltas to apply to it, in order."""
        deltas: list[Path] = []
        while (name := Version.read(version).base) is not None:
            deltas.insert(0, version)
            version = version.parent / name
            if (self._directory / name).is_dir():
                return self._directory / name, deltas
        return version, deltas

    def _build(self, version: Path, base: Path, deltas: list[Path], result: Path) -> None:
        """Writes `result`, which appears only when it is complete, and drops other copies."""
        partial = self._directory / f".{result.name}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, file in Version.read(version).files.items():
            content = content_of(base / name)
            for delta in deltas:
                content = changed(content, delta_of(delta / name), file.word)
            file.verify(content, version / name)
            (partial / name).write_bytes(content)
        partial.rename(result)
        for other in self._directory.iterdir():
            if other != result:
                shutil.rmtree(other)


def _verify(version: Path) -> None:
    for name, file in Version.read(version).files.items():
        file.verify(content_of(version / name), version / name)
