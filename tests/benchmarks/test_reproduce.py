"""The study's tables: published figures beside ours, empty cells with their reason."""

import json
from pathlib import Path

from covid.config import load_config
from tests.conftest import PROJECT, run_script

SCRIPT = "benchmarks/reproduce.py"


def tables(output: Path, *arguments: str | Path) -> list[str]:
    done = run_script(SCRIPT, "--report-only", "--output", output, *arguments)
    assert done.returncode == 0, done.stderr
    return (output / "tables.md").read_text().splitlines()


def test_every_experiment_has_its_row(tmp_path: Path) -> None:
    lines = tables(tmp_path)
    configs = {path.stem: load_config(path) for path in (PROJECT / "configs").glob("*.yaml")}
    names = {name for name, c in configs.items() if c.data.root in ("data/xray2", "data/xray3")}
    assert names == {line.split()[1] for line in lines if line.startswith("| ") and "_" in line}


def test_a_published_figure_stands_in_its_row(tmp_path: Path) -> None:
    (row,) = [line for line in tables(tmp_path) if line.startswith("| vgg16_binary_head ")]
    assert "| 0.953 | 0.961 | 0.891 |" in row


def test_what_would_mean_nothing_says_why(tmp_path: Path) -> None:
    lines = tables(tmp_path, "--scratch", "resnet18_binary_head")
    assert "must come from ImageNet" in lines[2]


def test_a_finished_run_fills_its_row(tmp_path: Path) -> None:
    folder = tmp_path / "resnet18_multilabel"
    figure = {"value": 0.5, "low": 0.25, "high": 0.75}
    metrics = {"accuracy": figure, "macro_f1": figure, "images": 4}
    for split in ("validation", "test"):
        (folder / "evaluation" / split).mkdir(parents=True)
        (folder / "evaluation" / split / "metrics.json").write_text(json.dumps(metrics))
    (folder / "config.yaml").write_text("model:\n  weights: none\n")
    lines = tables(tmp_path, "resnet18_multilabel", "--json", tmp_path / "figures.json")
    assert "0.500 (0.250–0.750)" in lines[2] and "random" in lines[2]
    keys = {"name", "value", "unit", "target", "holds", "details"}
    assert all(set(one) == keys for one in json.loads((tmp_path / "figures.json").read_text()))


def test_it_stops_with_the_sentence_of_a_run_that_cannot_start(tmp_path: Path) -> None:
    done = run_script(SCRIPT, "resnet18_multilabel", "--data", tmp_path, "--output", tmp_path)
    assert done.returncode == 2 and "there is no folder" in done.stderr
