"""Versions on a disk: an engine loads, to the byte, what the trainer writes."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rljob.weights.version import DamagedError, Version
from rljob_rollout.local_weights import LocalWeights
from rljob_trainer.models.checkpoint import Safetensors
from rljob_trainer.weights.bucket import Bucket, buckets
from rljob_trainer.weights.host_memory import HostMemory
from rljob_trainer.weights.snapshot import IncompleteError, Snapshot
from rljob_trainer.weights.version_store import VersionStore
from tests.support.waiting import wait_for
from tests.trainer.models.tiny import make_checkpoint

Weights = dict[str, Tensor]
LIMIT = 600  # bytes of a bucket


def weights(version: int) -> Weights:
    """Two formats, several buckets; one that never changes, one that changes little."""
    numbers = torch.Generator().manual_seed(0)
    still = torch.randn(5, 7, generator=numbers)
    dense = torch.randn(20, 10, generator=numbers)
    short = torch.randn(300, generator=numbers)
    return {
        "still": still,
        "dense": dense + 1e-3 * version,
        "scalar": torch.tensor(float(version)),
        "short": (short + 1e-4 * version).bfloat16(),
    }


def snapshot_of(version: int) -> Snapshot:
    snapshot = Snapshot(version)
    snapshot.fill(buckets(weights(version).items(), LIMIT, HostMemory()))
    return snapshot


def same(checkpoint: Path, version: int) -> bool:
    read = Safetensors(checkpoint)
    return all(torch.equal(read.read(name), value) for name, value in weights(version).items())


@pytest.fixture(scope="module")
def companions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model"))


class Place:
    """A shared disk, and engines that read from it."""

    def __init__(self, directory: Path, companions: Path) -> None:
        self.shared = directory / "weights"
        self.own = directory / "own"
        self._companions = companions

    def store(self, full_interval: int = 1) -> VersionStore:
        return VersionStore(self.shared, companions=self._companions, full_interval=full_interval)

    def engine(self, name: str = "first") -> LocalWeights:
        return LocalWeights(self.own / name)

    def versions(self) -> list[str]:
        """Numbers of what is there, in order; `.` before what is not whole."""
        return sorted(path.name.partition("-")[0] for path in self.shared.iterdir())


@pytest.fixture
def place(tmp_path: Path, companions: Path) -> Place:
    return Place(tmp_path, companions)


def written(store: VersionStore, *versions: int) -> list[Path]:
    """Writes versions; returns their directories."""

    async def write() -> list[Path]:
        return [await store.write(snapshot_of(version), "test") for version in versions]

    return asyncio.run(write())


def test_a_full_version_is_a_checkpoint(place: Place, companions: Path) -> None:
    (version,) = written(place.store(), 3)
    assert place.engine().checkpoint(version) == version
    assert same(version, 3)
    assert len(list(version.glob("*.safetensors"))) == 4
    assert (version / "config.json").read_bytes() == (companions / "config.json").read_bytes()


def test_engines_follow_deltas_to_the_byte(place: Place, tmp_path: Path, companions: Path) -> None:
    store, engine = place.store(full_interval=4), place.engine()
    before = ""
    for number in range(6):
        (version,) = written(store, number)
        full = number in (0, 4)
        assert Version.read(version).base == (None if full else before)
        before = version.name
        got = engine.checkpoint(version)
        assert same(got, number)
        (whole,) = written(Place(tmp_path / str(number), companions).store(), number)
        files = sorted(path.name for path in got.glob("*.safetensors"))
        assert files == sorted(path.name for path in whole.glob("*.safetensors"))
        assert all((got / name).read_bytes() == (whole / name).read_bytes() for name in files)
    assert [path.name for path in (place.own / "first").iterdir()] == [before]


def test_an_engine_that_comes_late_needs_nothing_written_for_it(place: Place) -> None:
    store = place.store(full_interval=10)
    *_, last = written(store, *range(4))
    before = sorted(place.shared.rglob("*"))
    assert same(place.engine("late").checkpoint(last), 3)
    assert sorted(place.shared.rglob("*")) == before


def test_a_version_is_written_once(place: Place) -> None:
    store = place.store(full_interval=2)

    async def ask() -> None:
        first, second = snapshot_of(0), snapshot_of(1)
        a, b = await asyncio.gather(store.write(first, "a"), store.write(first, "b"))
        assert a == b
        await store.write(second, "a")
        assert await store.write(first, "b") == a
        assert place.versions() == ["000000", "000001"]
        # Two trainings of the same number are two versions.
        again = await store.write(snapshot_of(1), "a")
        assert again.name != (await store.write(second, "a")).name

    asyncio.run(ask())


def test_only_what_is_needed_is_kept(place: Place) -> None:
    store = place.store()
    for number in range(4):
        written(store, number)
        assert place.versions() == [f"{n:06d}" for n in range(max(0, number - 1), number + 1)]
    store = place.store(full_interval=3)
    kept = []
    for number in range(7):
        written(store, number)
        kept.append([int(name) for name in place.versions()])
    assert kept == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [3, 4], [3, 4, 5], [3, 4, 5, 6]]


def test_what_is_being_read_is_kept(place: Place) -> None:
    store, engine = place.store(full_interval=3), place.engine()
    read = asyncio.run(store.write(snapshot_of(0), "reader"))
    delta = asyncio.run(store.write(snapshot_of(1), "reader"))
    written(store, 2, 3, 4, 5, 6, 7)
    assert same(engine.checkpoint(delta), 1)
    store.release("reader")
    written(store, 8)
    assert not read.exists()
    assert not delta.exists()


def test_what_a_killed_trainer_left_is_removed(place: Place) -> None:
    written(place.store(full_interval=3), 0, 1)
    (place.shared / ".000002-01234567").mkdir()
    (place.shared / ".000002-01234567" / "model-00001.safetensors").write_bytes(b"half")
    inode = place.shared.stat().st_ino
    place.store()
    assert list(place.shared.iterdir()) == []
    assert place.shared.stat().st_ino == inode  # a container may have mounted it


def test_buckets_are_written_while_the_next_is_gathered(place: Place) -> None:
    store, snapshot = place.store(), Snapshot(0)

    def gather() -> Iterator[Bucket]:
        first, second, *rest = buckets(weights(0).items(), LIMIT, HostMemory())
        yield first
        yield second  # a bucket goes out once it is known not to be the last
        wait_for(lambda: bool(list(place.shared.glob(".*/*00001.safetensors"))), "the first file")
        yield from rest

    gathering = threading.Thread(target=snapshot.fill, args=[gather()])
    gathering.start()
    version = asyncio.run(store.write(snapshot, "test"))
    gathering.join()
    assert same(version, 0)


def test_what_breaks_off_is_no_version(place: Place) -> None:
    store, snapshot = place.store(), Snapshot(0)

    def gather() -> Iterator[Bucket]:
        yield from list(buckets(weights(0).items(), LIMIT, HostMemory()))[:2]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        snapshot.fill(gather())
    with pytest.raises(IncompleteError):
        asyncio.run(store.write(snapshot, "test"))
    assert not [path for path in place.shared.iterdir() if path.name[0] != "."]
    written(store, 1)
    assert place.versions() == ["000001"]


def flipped(file: Path) -> Iterator[int]:
    """The file with each of its bytes changed in turn, and whole again in the end."""
    content = file.read_bytes()
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :])
        yield place
    file.write_bytes(content)


def test_every_changed_byte_of_a_full_version_is_noticed(place: Place) -> None:
    (version,) = written(place.store(), 0)
    engine = place.engine()
    for file in version.glob("*.safetensors"):
        for _ in flipped(file):
            with pytest.raises(DamagedError, match=f"{file.name} was changed"):
                engine.checkpoint(version)
    assert engine.checkpoint(version) == version


def test_no_changed_byte_of_a_delta_leads_to_other_weights(place: Place) -> None:
    full, version = written(place.store(full_interval=2), 0, 1)
    engine, noticed = place.engine(), 0
    files = [*version.glob("*.delta"), full / "model-00002.safetensors"]
    for file in files:
        for _ in flipped(file):
            try:
                # Some bits of a frame's header mean nothing.
                assert same(engine.checkpoint(version), 1)
                engine = place.engine()
            except DamagedError:
                noticed += 1
                assert not (place.own / "first" / version.name).exists()
    assert noticed > 0.99 * sum(file.stat().st_size for file in files)
    assert same(engine.checkpoint(version), 1)


@pytest.mark.parametrize("lost", ["model-00002.safetensors", "version.json", "."])
def test_a_base_that_is_lost_is_missed(place: Place, lost: str) -> None:
    full, version = written(place.store(full_interval=2), 0, 1)
    path = full / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DamagedError, match=full.name):
        place.engine().checkpoint(version)


def test_an_engine_with_its_own_copy_needs_no_base(place: Place) -> None:
    full, first, second = written(place.store(full_interval=3), 0, 1, 2)
    engine = place.engine()
    engine.checkpoint(first)
    shutil.rmtree(full)
    shutil.rmtree(first)
    assert same(engine.checkpoint(second), 2)


def test_a_copy_that_is_damaged_is_made_anew(place: Place) -> None:
    _, first, second = written(place.store(full_interval=3), 0, 1, 2)
    engine = place.engine()
    (engine.checkpoint(first) / "model-00002.safetensors").write_bytes(b"other")
    assert same(engine.checkpoint(second), 2)


def test_a_new_engine_begins_without_the_copy_of_the_last(place: Place) -> None:
    _, version = written(place.store(full_interval=3), 0, 1)
    assert place.engine().checkpoint(version).is_dir()
    place.engine()
    assert not list(place.own.rglob("*.safetensors"))


def test_after_a_damage_deltas_build_on_what_was_written_anew(place: Place) -> None:
    store, engine = place.store(full_interval=9), place.engine()

    async def write() -> list[Path]:
        snapshot = snapshot_of(1)
        await store.write(snapshot_of(0), "test")
        await store.write(snapshot, "test")
        return [
            await store.rewrite(snapshot, "test"),
            await store.write(snapshot_of(2), "test"),
        ]

    anew, after = asyncio.run(write())
    assert Version.read(anew).base is None
    assert Version.read(after).base == anew.name
    assert same(engine.checkpoint(anew), 1)
    assert same(engine.checkpoint(after), 2)
