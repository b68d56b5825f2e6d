"""Makes the inputs of the sums: problems, demonstrations of which most are wrong, a tiny model."""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.tiny_chat import write_lines, write_model

BUILD = Path(__file__).parent / "build"
DEMONSTRATIONS = 20000
HELD_OUT = 200


def problem(a: int, b: int) -> list[dict[str, Any]]:
    """What the user asks."""
    return [{"role": "user", "content": f"What is {a}+{b}?"}]


def demonstrations(chosen: random.Random, sums: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """Solutions in the form that the reward reads; of three, one is right."""
    while True:
        a, b = chosen.choice(sums)
        wrong = chosen.choice((-10, -1, 1, 10)) if chosen.random() < 2 / 3 else 0
        yield {"prompt": problem(a, b), "label": f"The sum is \\boxed{{{a + b + wrong}}}."}


def prepare(directory: Path, *, seed: int) -> None:
    """Writes problems, demonstrations, tokenizer and model."""
    directory.mkdir(parents=True, exist_ok=True)
    numbers = random.Random(1234)  # the same problems are held out, whatever the seed of the model
    sums = [(a, b) for a in range(10, 100) for b in range(10, 100)]
    numbers.shuffle(sums)
    held_out, train = sums[:HELD_OUT], sums[HELD_OUT:]
    for name, chosen in (("held_out", held_out), ("train", train)):
        lines = [{"prompt": problem(a, b), "label": a + b} for a, b in chosen]
        write_lines(directory / f"{name}.jsonl", lines)
    shown = demonstrations(random.Random(seed), train)
    lines = [next(shown) for _ in range(DEMONSTRATIONS)]
    write_lines(directory / "demonstrations.jsonl", lines)
    texts = [f"user\nWhat is 10+10?assistant\n{line['label']}" for line in lines[:2000]]
    write_model(directory / "model", texts, seed=seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the model and the demonstrations")
    prepare(BUILD, seed=parser.parse_args().seed)
