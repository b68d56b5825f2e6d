"""Faults of a run, chosen at random from a seed."""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.faults.samples.scene import Scene, stopped

_LONG = 2.0  # seconds; longer than a lease


def kill_worker(scene: Scene, chance: random.Random) -> None:
    _kill(chance.choice(scene.workers).process.pid)


def kill_engine(scene: Scene, chance: random.Random) -> None:
    engines = scene.engines()
    if engines:
        _kill(chance.choice(engines).pid)


def drain_worker(scene: Scene, chance: random.Random) -> None:
    """As Kubernetes does when it scales down."""
    _kill(chance.choice(scene.workers).process.pid, signal.SIGTERM)


def freeze_worker(scene: Scene, chance: random.Random) -> None:
    """It comes back when others have its groups."""
    _freeze(chance.choice(scene.workers).process.pid, chance.uniform(0.05, _LONG))


def freeze_engine(scene: Scene, chance: random.Random) -> None:
    engines = scene.engines()
    if engines:
        _freeze(chance.choice(engines).pid, chance.uniform(0.05, _LONG))


def kill_trainer(scene: Scene, chance: random.Random) -> None:
    _kill(scene.trainer.process.pid)


def stop_trainer(scene: Scene, chance: random.Random) -> None:
    """In order, with a checkpoint."""
    _kill(scene.trainer.process.pid, signal.SIGTERM)


def freeze_trainer(scene: Scene, chance: random.Random) -> None:
    _freeze(scene.trainer.process.pid, chance.uniform(0.05, 1.0))


def tear_checkpoint(scene: Scene, chance: random.Random) -> None:
    """The trainer dies, and the disk has kept only a part of its last checkpoint."""
    with scene.restarting():
        process = scene.trainer.process
        _kill(process.pid)
        process.join()
        found = (scene.run_dir / "checkpoints").glob("step-*")
        whole = sorted(path for path in found if path.name.removeprefix("step-").isdecimal())
        if len(whole) > 1:  # those before it are whole: nothing else damages any
            _damage(whole[-1], chance)


def reset_connections(scene: Scene, chance: random.Random) -> None:
    scene.proxy.reset()


def tear_replies(scene: Scene, chance: random.Random) -> None:
    """What was asked for is done, and nobody is told."""
    scene.proxy.tear(chance.randint(1, 5))


def hold_connections(scene: Scene, chance: random.Random) -> None:
    scene.proxy.hold(True)
    time.sleep(chance.uniform(0.05, 0.5))
    scene.proxy.hold(False)


def restart_server(scene: Scene, chance: random.Random) -> None:
    scene.server.restart(empty=False)


def empty_server(scene: Scene, chance: random.Random) -> None:
    scene.server.restart(empty=True)


def freeze_server(scene: Scene, chance: random.Random) -> None:
    scene.server.pause()
    time.sleep(chance.uniform(0.05, 0.5))
    scene.server.resume()


def jump_clock(scene: Scene, chance: random.Random) -> None:
    """The wall clock of a role's machine is set, by up to a day."""
    place = chance.choice([scene.trainer, *scene.workers])
    place.clock.value = chance.uniform(-86400, 86400)


FAULTS: dict[Callable[[Scene, random.Random], None], float] = {
    kill_worker: 3,
    kill_engine: 2,
    drain_worker: 3,
    freeze_worker: 3,
    freeze_engine: 2,
    kill_trainer: 1.5,
    stop_trainer: 1,
    freeze_trainer: 1,
    tear_checkpoint: 1,
    reset_connections: 4,
    tear_replies: 4,
    hold_connections: 1,
    restart_server: 1.5,
    empty_server: 1.5,
    freeze_server: 1,
    jump_clock: 2,
}
"""Each with its weight."""


def strike(scene: Scene, count: int, rollouts: int, seed: int, patience: float) -> Counter[str]:
    """Brings faults over a run, spread over its batches; returns how many there were of each.

    Args:
        scene: the run.
        count: faults.
        rollouts: batches of the run.
        seed: of the choice. The times at which they strike are the machine's, too.
        patience: seconds without a batch after which the run counts as hanging.
    """
    chance = random.Random(seed)
    struck: Counter[str] = Counter()
    for number in range(count):
        fault = chance.choices(list(FAULTS), list(FAULTS.values()))[0]
        own = random.Random(chance.random())  # so that one fault's draws don't move the next
        _await(scene, number * rollouts // count, patience)
        if scene.ended.is_set():
            break
        time.sleep(own.uniform(0, 0.2))
        fault(scene, own)
        struck[fault.__name__] += 1
        scene.allowed.value = (number + 1) * rollouts // count + 1
    scene.allowed.value = rollouts + 1
    return struck


def _await(scene: Scene, batch: int, patience: float) -> None:
    """Until so many batches were trained on."""
    until = time.monotonic() + patience
    best = -1
    while scene.trained.value < batch and not scene.ended.is_set():
        if scene.trained.value > best:
            best = scene.trained.value
            until = time.monotonic() + patience
        assert time.monotonic() < until, f"hangs before batch {batch}: {_last_lines(scene)}"
        time.sleep(0.01)


def _last_lines(scene: Scene) -> str:
    paths = [*scene.run_dir.glob("*.log")]
    return "\n".join(f"== {path.name}\n{path.read_text()[-1500:]}" for path in paths)


def _kill(pid: int | None, number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        if pid is not None:
            os.kill(pid, number)


def _freeze(pid: int | None, seconds: float) -> None:
    if pid is not None:
        threading.Thread(target=stopped, args=(pid, seconds), daemon=True).start()


def _damage(checkpoint: Path, chance: random.Random) -> None:
    path = chance.choice([path for path in checkpoint.rglob("*") if path.is_file()])
    data = path.read_bytes()
    kind = chance.choice(("lost", "cut", "changed"))
    if kind == "lost":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(data[: chance.randrange(len(data))])
    else:
        place = chance.randrange(len(data))
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
