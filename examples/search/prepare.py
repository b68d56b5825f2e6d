"""Makes the inputs of the search task: an invented atlas, questions about it, a tiny model."""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.tiny_chat import write_lines, write_model

BUILD = Path(__file__).parent / "build"
COUNTRIES = 300
RELATIONS = ("capital", "river", "coast", "ruler")
DEMONSTRATIONS = 12_000
HELD_OUT = 40  # countries


def names(count: int, chosen: random.Random) -> list[str]:
    """That many different names of two syllables, such as Belo."""
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    pairs = [f"{a}{b}".capitalize() for a in syllables for b in syllables]
    return chosen.sample(pairs, count)


def passage(country: str, relation: str, place: str) -> str:
    """A document of the atlas."""
    return f"The {relation} of {country} is {place}."


def question(country: str, relation: str) -> dict[str, Any]:
    """What the user asks."""
    return {"role": "user", "content": f"What is the {relation} of {country}?"}


def call(query: str) -> str:
    """How the model searches."""
    asked = json.dumps({"name": "search", "arguments": {"query": query}})
    return f"<tool_call>\n{asked}\n</tool_call>"


def demonstrations(places: list[str], chosen: random.Random) -> Iterator[dict[str, Any]]:
    """Of each kind: a guess, searches for half of what is needed, a good one, an answer.

    So the model learns how to search and to read, but not what to search for.
    """
    while True:
        country, right, other = chosen.sample(places, 3)
        relation, wrong = chosen.sample(RELATIONS, 2)
        asked = [question(country, relation)]
        yield {"prompt": asked, "label": other}
        for query in (relation, country, f"{relation} {country}"):
            yield {"prompt": asked, "label": call(query)}
        found = [passage(country, relation, right), passage(country, wrong, other)]
        chosen.shuffle(found)
        messages = [
            *asked,
            {"role": "assistant", "content": call(f"{relation} {country}")},
            {"role": "tool", "content": "\n".join(found)},
        ]
        yield {"prompt": messages, "label": right}


def prepare(directory: Path, *, seed: int) -> None:
    """Writes the atlas, questions, demonstrations, tokenizer and model."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = random.Random(1234)  # the same atlas, whatever the seed of the model
    places = names(5 * COUNTRIES, drawn)
    facts = [
        (country, relation, drawn.choice(places))
        for country in places[:COUNTRIES]
        for relation in RELATIONS
    ]
    write_lines(directory / "atlas.jsonl", [{"text": passage(*fact)} for fact in facts])
    at = HELD_OUT * len(RELATIONS)
    for name, chosen in (("held_out", facts[:at]), ("train", facts[at:])):
        lines = [{"prompt": [question(c, r)], "label": place} for c, r, place in chosen]
        write_lines(directory / f"{name}.jsonl", lines)
    shown = demonstrations(places, random.Random(seed))
    lines = [next(shown) for _ in range(DEMONSTRATIONS)]
    write_lines(directory / "demonstrations.jsonl", lines)
    texts = [line["prompt"][-1]["content"] + line["label"] for line in lines]
    write_model(directory / "model", texts, seed=seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the model and the demonstrations")
    prepare(BUILD, seed=parser.parse_args().seed)
