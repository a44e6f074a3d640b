"""The study's tables: published figures beside ours, empty cells with their reason."""

import json
import re
from collections.abc import Sequence
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


FIGURE = {"value": 0.5, "low": 0.25, "high": 0.75}


def finished_run(output: Path, name: str, splits: Sequence[str]) -> Path:
    """The files of a run that its table is made from."""
    for split in splits:
        folder = output / name / "evaluation" / split
        folder.mkdir(parents=True)
        metrics = {"accuracy": FIGURE, "macro_f1": FIGURE, "images": 4}
        (folder / "metrics.json").write_text(json.dumps(metrics))
    config = load_config(PROJECT / "configs" / f"{name}.yaml", ["model.weights=none"])
    (output / name / "config.yaml").write_text(config.to_yaml())
    return output / name / "evaluation"


def test_a_finished_run_fills_its_row(tmp_path: Path) -> None:
    finished_run(tmp_path, "resnet18_multilabel", ["validation", "test"])
    lines = tables(tmp_path, "resnet18_multilabel", "--json", tmp_path / "figures.json")
    assert "| 0.957 | 0.913 | random | | | 0.500 (0.250–0.750) |" in re.sub(" +", " ", lines[2])
    keys = {"name", "value", "unit", "target", "holds", "details"}
    assert all(set(one) == keys for one in json.loads((tmp_path / "figures.json").read_text()))


def test_folds_stand_beside_the_single_split(tmp_path: Path) -> None:
    finished_run(tmp_path, "resnet18_multilabel", ["validation", "test", "folds"])
    lines = tables(tmp_path, "resnet18_multilabel")
    assert lines[2].count("0.500 (0.250–0.750)") == 6


PREDICTIONS = """\
path,label,probability_covid,probability_normal,probability_pneumonia,predicted,correct,\
target_covid,target_normal,target_pneumonia,patient,source,fold
a.png,covid,0.9,0.1,0.9,covid+pneumonia,true,1,0,1,a,one,1of2
b.png,normal,0.1,{normal},0.1,{predicted},{correct},0,1,0,b,one,1of2
c.png,covid,0.9,0.1,0.9,covid+pneumonia,true,1,0,1,c,one,2of2
d.png,normal,0.1,0.9,0.1,normal,true,0,1,0,d,one,2of2
"""


def test_focal_loss_is_compared_over_patients_where_both_losses_were_trained(
    tmp_path: Path,
) -> None:
    names = ("resnet18_multilabel", "resnet18_multilabel_focal")
    cells = ({"normal": 0.9, "predicted": "normal", "correct": "true"},
             {"normal": 0.2, "predicted": "", "correct": "false"})  # fmt: skip
    for name, own in zip(names, cells, strict=True):
        evaluation = finished_run(tmp_path, name, ["folds"])
        (evaluation / "folds" / "predictions.csv").write_text(PREDICTIONS.format(**own))
    assert "| resnet18_multilabel | 4, folds | -0.250 (" in tables(tmp_path, *names)[-1]


def test_the_run_of_another_config_is_not_taken_for_the_experiment(tmp_path: Path) -> None:
    finished_run(tmp_path, "resnet18_multilabel", ["validation"])
    done = run_script(SCRIPT, "resnet18_multilabel", "--data", tmp_path, "--output", tmp_path)
    assert done.returncode == 2 and "another data.root, model.weights" in done.stderr


def test_it_stops_with_the_sentence_of_a_run_that_cannot_start(tmp_path: Path) -> None:
    done = run_script(SCRIPT, "resnet18_multilabel", "--data", tmp_path, "--output", tmp_path)
    assert done.returncode == 2 and "there is no folder" in done.stderr
