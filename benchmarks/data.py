"""Prompts from a large file: seconds and memory to index it, and what a prompt costs the trainer.

A process that does nothing else builds the index and opens it again: its peak memory is compared
with that before. Prompts are short (100 characters) or long (4,000), one token per character. Only
the processor time of the drawing process is counted, with and without processes that read ahead.

    python benchmarks/data.py [--gigabytes 1]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from examples.sort_digits.prepare import write_tokenizer
from rljob.api.data import DataSpec
from rljob_trainer.data.jsonl import JsonlSource
from rljob_trainer.data.tokenizer import PromptTokenizer

LONG = 4000
DRAWN = {"short": 4000, "long": 600}
INDEX = """
import json, sys, time
from pathlib import Path
from rljob_trainer.data.index import LineIndex

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

path, directory = map(Path, sys.argv[1:])
before, times = peak(), []
for _ in range(2):
    began = time.perf_counter()
    lines = LineIndex.open(path, directory).lines
    times.append(time.perf_counter() - began)
print(json.dumps({"lines": lines, "index_s": times[0], "found_s": times[1],
    "index_mebibytes": peak() - before}))
"""


def write_prompts(path: Path, characters: int, size: int) -> None:
    """A file of `size` bytes or a little more."""
    written, number = 0, 0
    with path.open("wb") as file:
        while written < size:
            lines = (
                f'{{"prompt": "{n:0{characters}d}", "label": "{n}"}}\n'
                for n in range(number, number + 1000)
            )
            written += file.write("".join(lines).encode())
            number += 1000


def index(path: Path, directory: Path) -> dict[str, float]:
    """Seconds and memory for indexing a file."""
    command = [sys.executable, "-c", INDEX, str(path), str(directory)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def cost(
    path: Path, tokenizer: PromptTokenizer, count: int, workers: int = 0, block: int | None = None
) -> float:
    """Milliseconds of processor time per prompt, after the processes have started."""
    spec = DataSpec(prompts=[str(path)], max_prompt_tokens=LONG, shuffle_block=block)
    directory = path.parent / "index"
    source = JsonlSource(
        spec, [str(path)], tokenizer, 1, directory, reward="exact", workers=workers
    )
    source.draw(100)
    began = time.process_time()
    source.draw(count)
    seconds = time.process_time() - began
    source.close()
    return 1000 * seconds / count


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    size = int(parser.parse_args().gigabytes * 1e9)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_tokenizer(directory)
        tokenizer = PromptTokenizer(directory, chat=False)
        short, long = directory / "short.jsonl", directory / "long.jsonl"
        write_prompts(short, 100, size)
        write_prompts(long, LONG, size // 10)
        result = {"bytes": short.stat().st_size, **index(short, directory / "index")}
        cores = os.cpu_count() or 1
        for kind, path in (("short", short), ("long", long)):
            for workers in (0, cores):
                spent = cost(path, tokenizer, DRAWN[kind], workers)
                result[f"{kind}_ms_{workers}_workers"] = spent
        result["short_ms_blocks"] = cost(short, tokenizer, DRAWN["short"], block=4096)
    print(json.dumps({key: round(value, 3) for key, value in result.items()}))


if __name__ == "__main__":
    main()
