"""Reports of made-up runs: finished, unfinished, truncated, hostile."""

import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rljob.report import page as page_module
from rljob.report.page import render, write_report
from rljob.report.run import read_run
from rljob.telemetry.incident import Incidents
from tests.support.run_dir import MANIFEST, job, write_run_dir

HOSTILE = '</script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }} & "quoted"'


class Page(HTMLParser):
    """What a browser makes of the page: sections, texts, scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.nonces: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        if tag == "section":
            self.sections.append(values["id"])
        if tag == "script":
            self.nonces.append(values.get("nonce"))
            self.scripts.append("")
        assert not [name for name in values if name.startswith("on")]
        assert "src" not in values and "href" not in values  # nothing from elsewhere

    def handle_data(self, data):
        if self.lasttag == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def figures(self) -> list[dict]:
        return json.loads(self.scripts[0])


def page(directory: Path) -> Page:
    return Page(render(read_run(directory)))


def curve(figure: dict, name: str) -> dict:
    return next(trace for trace in figure["data"] if trace["name"] == name)


def test_a_finished_run_has_every_section(tmp_path):
    shown = page(write_run_dir(tmp_path))
    assert shown.sections == [
        "summary",
        "curves",
        "time",
        "evaluations",
        "samples",
        "manifest",
    ]
    for title in (
        "Reward",
        "Loss",
        "KL divergence from the reference",
        "Entropy",
        "Response length",
        "Staleness",
        "Samples per second",
        "Wall time of each rollout batch",
    ):
        assert title in shown.text
    assert "succeeded" in shown.text
    assert MANIFEST in shown.text
    assert shown.tags.count("figure") == len(shown.figures)


def test_curves_hold_the_runs_numbers(tmp_path):
    write_run_dir(tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    rewards = [json.loads(line)["reward/mean"] for line in lines]
    reward = page(tmp_path).figures[0]
    assert curve(reward, "mean")["x"] == list(range(1, 91))
    assert curve(reward, "mean")["y"] == rewards
    evaluations = page(tmp_path).figures[-1]
    assert curve(evaluations, "held-out")["x"] == [0, 30, 60, 90]


def test_an_evaluation_has_its_margin_and_a_table(tmp_path):
    write_run_dir(tmp_path)
    path = tmp_path / "evaluations.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    shown = page(tmp_path)
    band = curve(shown.figures[-1], "95% confidence")
    assert band["x"] == [0, 30, 60, 90, 90, 60, 30, 0]
    assert band["y"][0] == 0.03
    assert band["y"][-1] == -0.03
    assert "±0.030" in shown.text
    for column in ("pass@1", "pass@2", "majority@2", "length", "truncated", "failed"):
        assert column in shown.text
    # Earlier versions told the mean reward alone.
    only = [
        {name: record[name] for name in ("rollout", "time", "name", "reward", "count", "samples")}
        for record in records
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in only))
    shown = page(tmp_path)
    assert [trace["name"] for trace in shown.figures[-1]["data"]] == ["held-out"]
    assert "±0" not in shown.text
    assert "pass@1" not in shown.text


def test_the_stages_of_the_time_split_add_up_to_the_total(tmp_path):
    write_run_dir(tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    totals = [json.loads(line)["time/total"] for line in lines]
    time_split = page(tmp_path).figures[-2]
    assert {trace["name"] for trace in time_split["data"]} == {
        "wait", "logprob", "train", "publish", "save", "evaluate", "other"
    }  # fmt: skip
    stacked = [sum(values) for values in zip(*(t["y"] for t in time_split["data"]), strict=True)]
    assert stacked == pytest.approx(totals, abs=1e-3)


def test_samples_reach_from_the_first_batch_to_the_last(tmp_path):
    text = page(write_run_dir(tmp_path)).text
    moments = [line for line in text.splitlines() if line.strip().startswith("rollout ")]
    assert len(moments) == 8
    assert (moments[0].strip(), moments[-1].strip()) == ("rollout 1", "rollout 90")


def test_a_half_finished_run(tmp_path):
    shown = page(write_run_dir(tmp_path, rollouts=7, finished=False))
    assert "not finished" in shown.text
    assert curve(shown.figures[0], "mean")["x"] == list(range(1, 8))


def test_a_run_that_goes_on_is_not_called_finished(tmp_path):
    write_run_dir(tmp_path, rollouts=91)
    summary = json.loads((tmp_path / "summary.json").read_text())
    (tmp_path / "summary.json").write_text(json.dumps(summary | {"rollouts": 90}))
    assert "not finished" in page(tmp_path).text


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_that_only_evaluates_has_scores_and_no_curves(tmp_path, finished):
    write_run_dir(tmp_path, rollouts=0, finished=finished)
    (tmp_path / "job.json").write_text(job(rollouts=0).model_dump_json(by_alias=True))
    shown = page(tmp_path)
    assert shown.sections == ["summary", "evaluations", "manifest"]
    assert ("succeeded" if finished else "not finished") in shown.text
    assert "Rollout batches" not in shown.text
    assert "held-out: all numbers" in shown.text
    assert shown.figures == [None, None]


def test_a_directory_with_nothing_in_it(tmp_path):
    shown = page(tmp_path)
    assert shown.sections == ["summary", "curves", "manifest"]
    assert "no rollout batch yet" in shown.text
    assert shown.figures == [None, None]


def test_torn_last_lines_and_wrong_values_are_left_out(tmp_path):
    write_run_dir(tmp_path, rollouts=5, finished=False)
    for name, tail in (
        ("metrics", '{"rollout": 6, "reward/mean": 0.'),
        ("samples", '{"rollout": 6, "prompt": "40\xff'),
        ("evaluations", "[]\n"),
    ):
        with (tmp_path / f"{name}.jsonl").open("ab") as file:
            file.write(tail.encode("latin-1"))
    (tmp_path / "summary.json").write_text('{"state": "succ')
    shown = page(tmp_path)
    assert "3 incomplete lines" in shown.text
    assert curve(shown.figures[0], "mean")["x"] == [1, 2, 3, 4, 5]


def test_numbers_that_are_none_leave_gaps(tmp_path):
    write_run_dir(tmp_path, rollouts=2, finished=False)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"rollout": 3, "reward/mean": NaN, "loss/total": Infinity}\n')
        file.write('{"rollout": 4, "reward/mean": "high"}\n')
    reward = page(tmp_path).figures[0]
    assert curve(reward, "mean")["y"][2:] == [None, None]


def test_a_batch_that_was_trained_again_counts_once(tmp_path):
    write_run_dir(tmp_path, rollouts=3, finished=False)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"rollout": 2, "reward/mean": 0.75}\n')
    reward = curve(page(tmp_path).figures[0], "mean")
    assert reward["x"] == [1, 2, 3]
    assert reward["y"][1] == 0.75


def test_texts_of_models_and_users_stay_texts(tmp_path):
    write_run_dir(tmp_path, rollouts=2)
    (tmp_path / "job.yaml").write_text(f"# {HOSTILE}\n")
    job = json.loads((tmp_path / "job.json").read_text())
    job["metadata"]["name"] = HOSTILE
    (tmp_path / "job.json").write_text(json.dumps(job))
    sample = dict.fromkeys(("prompt", "response", "label"), HOSTILE) | {"reward": HOSTILE}
    with (tmp_path / "samples.jsonl").open("a") as file:
        file.write(json.dumps({"rollout": 3, **sample}) + "\n")
    with (tmp_path / "evaluations.jsonl").open("a") as file:
        record = {"rollout": 2, "name": HOSTILE, "reward": 0.5, "samples": [sample]}
        file.write(json.dumps(record) + "\n")
    shown = page(tmp_path)
    # The data, the library, and the few lines that draw: no script came with a text.
    assert len(shown.scripts) == 3
    assert len(set(shown.nonces)) == 1
    assert "img" not in shown.tags
    assert shown.text.count(HOSTILE) >= 8
    names = [trace["name"] for figure in shown.figures if figure for trace in figure["data"]]
    assert not [name for name in names if "<" in name]


def test_a_sample_of_another_shape_is_left_out(tmp_path):
    write_run_dir(tmp_path, rollouts=2)
    with (tmp_path / "evaluations.jsonl").open("a") as file:
        file.write('{"rollout": 2, "name": "other", "reward": null, "samples": [1, null, "x"]}\n')
        file.write('{"rollout": 2, "name": "third", "reward": null, "samples": 5}\n')
    assert "other" in page(tmp_path).text


# JSON texts that a model, a label or a reward's metadata can have.
ODD = [
    '"\\ud83d half of a surrogate pair"',
    '"\\u0000\\u001b[31m\\u2028"',
    '"' + "x" * 100_000 + '"',
    "[" * 500 + "]" * 500,
    "1" + "0" * 400,
    "1e999",
    "null",
    '{"a": [1, {"b": "\\udead"}]}',
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_any_text_in_samples_is_survived(tmp_path, odd):
    write_run_dir(tmp_path, rollouts=2)
    sample = f'"prompt": {odd}, "response": {odd}, "label": {odd}, "reward": {odd}'
    with (tmp_path / "samples.jsonl").open("a") as file:
        file.write(f'{{"rollout": 3, {sample}}}\n')
    with (tmp_path / "evaluations.jsonl").open("a") as file:
        file.write(f'{{"rollout": 2, "name": {odd}, "reward": {odd}, "samples": [{{{sample}}}]}}\n')
    shown = Page(write_report(tmp_path).read_text())
    assert "Training samples over time" in shown.text


def test_a_line_nested_too_deeply_is_torn(tmp_path):
    write_run_dir(tmp_path, rollouts=2)
    with (tmp_path / "samples.jsonl").open("a") as file:
        file.write("[" * 100_000 + "\n")
    assert "1 incomplete line in" in page(tmp_path).text


def test_incidents_are_told_in_their_order(tmp_path):
    write_run_dir(tmp_path, rollouts=2)
    assert "incidents" not in page(tmp_path).sections
    incidents = Incidents(tmp_path)
    incidents.add("run.resumed", "resumed from checkpoint step-000002")
    incidents.add("group.dropped", f"batch 3: 2 groups were dropped; the first: {HOSTILE}")
    (tmp_path / "incidents.jsonl").open("a").write("torn")
    shown = page(tmp_path)
    assert "incidents" in shown.sections
    first = shown.text.index("resumed from checkpoint step-000002")
    assert first < shown.text.index(f"2 groups were dropped; the first: {HOSTILE}")


def test_the_report_can_be_sent_by_mail(tmp_path):
    """Under 1.5 MB with the library that draws, which is the one that its README names."""
    assert write_report(write_run_dir(tmp_path)).stat().st_size < 1_500_000
    library = Path(page_module.__file__).parent / "plotly"
    checksum = hashlib.sha256((library / "plotly-basic.min.js").read_bytes()).hexdigest()
    assert checksum in (library / "README.md").read_text()


def test_the_report_replaces_the_one_before(tmp_path):
    write_run_dir(tmp_path)
    first = write_report(tmp_path)
    (tmp_path / "summary.json").unlink()
    assert write_report(tmp_path) == first
    assert "succeeded" not in Page(first.read_text()).text
    assert [path.name for path in tmp_path.glob("report*")] == ["report.html"]
