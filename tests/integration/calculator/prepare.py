"""Makes the inputs of the calculator task: sums of two-digit numbers, and a tiny model."""

import json
import random
from pathlib import Path

from examples.sort_digits.prepare import write_model, write_tokenizer

HELD_OUT = 200


def prepare(directory: Path, seed: int) -> None:
    """Writes prompts, tokenizer and model."""
    (directory / "model").mkdir(parents=True, exist_ok=True)
    sums = [(a, b) for a in range(100) for b in range(100)]
    random.Random(1234).shuffle(sums)
    for name, chosen in (("held_out", sums[:HELD_OUT]), ("train", sums[HELD_OUT:])):
        lines = [
            json.dumps({"prompt": f"{a:02d}+{b:02d}>", "label": f"{a + b:03d}"}) for a, b in chosen
        ]
        (directory / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    write_tokenizer(directory / "model")
    write_model(directory / "model", seed)
