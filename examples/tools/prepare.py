"""Makes the inputs of the calculator task: products to find, demonstrations, a tiny model."""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.tiny_chat import write_lines, write_model

BUILD = Path(__file__).parent / "build"
DEMONSTRATIONS = 8000
HELD_OUT = 100


def question(a: int, b: int) -> dict[str, Any]:
    """What the user asks."""
    return {"role": "user", "content": f"{a}*{b}?"}


def call(expression: str) -> str:
    """How the model calls its calculator."""
    asked = json.dumps({"name": "calculate", "arguments": {"expression": expression}})
    return f"<tool_call>\n{asked}\n</tool_call>"


def demonstrations(chosen: random.Random) -> Iterator[dict[str, Any]]:
    """Of each kind: a guess, a call with wrong numbers, a right call, an answer after a result.

    So the model learns how to call and to repeat a result, but not that calling pays.
    """
    while True:
        a, b = chosen.randint(100, 999), chosen.randint(2, 9)
        asked = [question(a, b)]
        yield {"prompt": asked, "label": str(chosen.randint(200, 8991))}
        yield {"prompt": asked, "label": call(f"{chosen.randint(100, 999)}*{b}")}
        yield {"prompt": asked, "label": call(f"{a}*{b}")}
        result = str(chosen.randint(200, 8991))
        messages = [
            *asked,
            {"role": "assistant", "content": call(f"{a}*{b}")},
            {"role": "tool", "content": result},
        ]
        yield {"prompt": messages, "label": result}


def prepare(directory: Path, *, seed: int) -> None:
    """Writes prompts, demonstrations, tokenizer and model."""
    directory.mkdir(parents=True, exist_ok=True)
    numbers = random.Random(1234)  # the same prompts are held out, whatever the seed of the model
    products = [(a, b) for a in range(100, 1000) for b in range(2, 10)]
    numbers.shuffle(products)
    for name, chosen in (("held_out", products[:HELD_OUT]), ("train", products[HELD_OUT:])):
        lines = [{"prompt": [question(a, b)], "label": str(a * b)} for a, b in chosen]
        write_lines(directory / f"{name}.jsonl", lines)
    shown = demonstrations(random.Random(seed))
    lines = [next(shown) for _ in range(DEMONSTRATIONS)]
    write_lines(directory / "demonstrations.jsonl", lines)
    texts = [f"user\n{question(100, 2)['content']}assistant\n{line['label']}" for line in lines]
    write_model(directory / "model", texts, seed=seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the model and the demonstrations")
    prepare(BUILD, seed=parser.parse_args().seed)
