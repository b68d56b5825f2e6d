"""A calculator as a tool: the model writes a sum, the tool answers, the model repeats it."""

import re

from rljob_rollout.generate import Context, Engine, Sample

SUM = re.compile(r"(\d+)\+(\d+)")


def calculate(text: str) -> str:
    """The sum that a text asks for, in three digits; `~~~` if it asks for none."""
    asked = SUM.fullmatch(text)
    return f"{int(asked[1]) + int(asked[2]):03d}" if asked else "~~~"


async def play(sample: Sample, engine: Engine, context: Context) -> dict[str, object]:
    """Two turns: `37+58`, which is what the tool gets, and `095`, which is what it says."""
    call = await engine.generate(sample.prompt_tokens, max_response_tokens=5)
    result = await context.tool(calculate, call.text)
    said = await engine.tokenize(f"={result}|")
    history = [*sample.prompt_tokens, *call.tokens, *said]
    answer = await engine.generate(history, max_response_tokens=3)
    wanted = sample.prompt.removesuffix(">") + sample.label
    pairs = list(zip(call.text + answer.text, wanted, strict=False))
    return {
        "reward": sum(ours == right for ours, right in pairs) / len(wanted),
        "response": f"{call.text}={result}|{answer.text}",
        "right": answer.text == sample.label,
    }
