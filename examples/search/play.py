"""Search over a local index: the model asks, reads the best passages, and answers."""

import json
import re
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any

from rljob_rollout.generate import Context, Engine, Sample

ATLAS = Path(__file__).parent / "build" / "atlas.jsonl"
PASSAGES = 2  # that a search returns
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "search",
            "description": "Finds passages of the atlas.",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string"}},
                "required": ["query"],
            },
        },
    }
]


@cache
def index() -> sqlite3.Connection:
    """The passages in SQLite's full-text index, which ranks by BM25."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute("CREATE VIRTUAL TABLE passages USING fts5(text)")
    lines = ATLAS.read_text().splitlines()
    texts = [(json.loads(line)["text"],) for line in lines]
    connection.executemany("INSERT INTO passages VALUES (?)", texts)
    return connection


def search(arguments: str) -> str:
    """The best passages for a call's query, or what is wrong with the call."""
    try:
        words = re.findall(r"\w+", json.loads(arguments)["query"])
    except (ValueError, TypeError, KeyError):
        words = []
    if not words:
        return "error"
    query = " OR ".join(f'"{word}"' for word in words)
    found = index().execute(
        "SELECT text FROM passages WHERE passages MATCH ? ORDER BY rank LIMIT ?", (query, PASSAGES)
    )
    return "\n".join(text for (text,) in found) or "nothing"


async def play(sample: Sample, engine: Engine, context: Context) -> dict[str, Any]:
    """Plays until the model answers without a search; what it then says is judged."""
    messages = list(sample.messages)
    while True:
        message = await engine.chat(messages, tools=TOOLS)
        messages.append(message)
        calls = message.get("tool_calls") or []
        if not calls:
            return {"response": message["content"] or "", "searches": len(messages) // 2 - 1}
        for call in calls:
            passages = await context.tool(search, call["function"]["arguments"])
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": passages})
