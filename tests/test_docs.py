"""README and docs: every command can be typed, every file, key and link is there."""

import importlib.util
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from covid.config import Config, NoScheduler, config_from_tree
from covid.config_tree import read_tree
from tests.conftest import PROJECT

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
TEXTS = {page.relative_to(PROJECT).as_posix(): page.read_text() for page in PAGES}
# What runs, exports and evaluations write, and what the reader brings along.
WRITTEN = {
    "config.yaml", "history.csv", "curves.png", "best.safetensors", "summary.json",
    "augmentation.png", "data_audit.json", "metrics.json", "predictions.csv", "confusion.png",
    "examples.png", "report.json", "model.onnx", "model.int8.onnx", "model.anysize.onnx",
    "model.calibrated.onnx", "model.calibrated.calibration.json", "operating_point.json",
    "calibration.png", "operating.png", "external.json", "external.png", "MODEL_CARD.md",
    "shortcuts.json", "shortcuts.png",
    "comparison.json", "comparison.csv", "comparison.png", "manifest.csv", "labels.csv",
    "samples.csv", "SOURCE.md",
    # What public collections hold.
    "train.csv", "valid.csv", "test.csv", "train_val_list.txt", "test_list.txt", "metadata.csv",
    "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv", "train.txt", "val.txt",
    "test.txt",
}  # fmt: skip
SCRIPT = re.compile(r"(?:python|accelerate launch(?: --quiet)?) ((?:\w+/)*\w+\.py)(.*)")
INSTALLED = re.compile(r"(?:covid-|accelerate launch -m covid\.scripts\.)(\w+)(.*)")
BUILD = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
FILE = re.compile(r"`([\w./-]+\.(?:py|yaml|yml|txt|md|csv|json|png|onnx|mjs|safetensors))`")


def commands() -> Iterator[tuple[str, str]]:
    """Page and line: what stands indented as code, or between backticks, and starts a program."""
    for page, text in TEXTS.items():
        lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
        for line in [*lines, *re.findall(r"`([^`]+)`", text.replace("\n", " "))]:
            starts = line.startswith(("python ", "accelerate ")) and re.search(r"\.py| -m ", line)
            if starts or re.match(r"(make|pip|covid-\w+) ", line):
                yield page, re.split(r"\s+#", line)[0]


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"documented_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for the module that they are in
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())), ids=str)
def test_every_command_can_be_typed(
    page: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        targets = set(re.findall(r"^([\w-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in words[1:] if "=" not in word} <= targets
        return
    if words[0] == "pip":
        lists = [words[place + 1] for place, word in enumerate(words) if word == "-r"]
        assert all((PROJECT / name).is_file() for name in lists)
        extras = [names[1].split(",") for word in words if (names := re.match(r"\.\[(.+)]$", word))]
        assert all(set(names) <= BUILD["optional-dependencies"].keys() for names in extras)
        wheels = [word for word in words if word.endswith(".whl")]
        assert all(word.startswith(f"covid-{BUILD['version']}-") for word in wheels)
        return
    installed, script = INSTALLED.match(command), SCRIPT.match(command)
    if installed is not None:
        assert f"covid-{installed[1]}" in BUILD["scripts"]
    started = installed or script
    assert started is not None, f"{page}: {command}"
    module = load_script(PROJECT / (f"{started[1]}.py" if installed else started[1]))
    if hasattr(module, "parse_arguments"):
        monkeypatch.setattr("sys.argv", [started[1], *shlex.split(started[2])])
        arguments = module.parse_arguments()  # exits where it does not know them
        if hasattr(arguments, "config") and not installed:  # then it is the reader's own
            assert (PROJECT / arguments.config).is_file()


@pytest.mark.parametrize("page", TEXTS)
def test_every_file_named_is_there(page: str) -> None:
    here = {path.name for path in PROJECT.rglob("*") if ".venv" not in path.parts}
    for name in FILE.findall(TEXTS[page]):
        known = name in WRITTEN or Path(name).name in WRITTEN or (PROJECT / name).exists()
        assert known or ("/" not in name and name in here), name


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXTS[page]):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (PROJECT / page).parent / name if name else PROJECT / page
        assert path.is_file(), target
        assert not anchor or anchor in anchors(path.read_text()), target


def fields_of(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """All keys by dotted names; one of several shapes, such as an optimizer, is one key."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from fields_of(inner, f"{before}{name}.")
        else:
            yield f"{before}{name}", field


def keys_in_the_table() -> Iterator[tuple[str, str]]:
    """Each key with what its row says that its default is."""
    text = TEXTS["docs/configuration.md"]
    for keys, defaults in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", text, re.MULTILINE):
        names = re.findall(r"`([\w.]+)`", keys)
        said = defaults.split(", ")
        assert len(names) == len(said), keys
        yield from zip(names, said, strict=True)


def test_every_key_of_a_config_is_explained_and_no_other() -> None:
    assert {key for key, _ in keys_in_the_table()} == {key for key, _ in fields_of(Config)}


def test_every_default_is_the_config_s() -> None:
    fields = dict(fields_of(Config))
    for key, said in keys_in_the_table():
        default = fields[key].default
        if fields[key].is_required():
            assert said == "must be given", key
        else:
            written = default.name if isinstance(default, NoScheduler) else default
            value = yaml.safe_load(said.strip("`"))
            assert value == (list(written) if isinstance(written, tuple) else written), key


def configs_in_text() -> Iterator[tuple[str, str]]:
    for page, text in TEXTS.items():
        for block in re.findall(r"(?:^    base: .*\n)(?:^    .*\n)+", text, re.MULTILINE):
            yield page, block


@pytest.mark.parametrize(("page", "block"), list(configs_in_text()), ids=lambda one: one[:25])
def test_every_config_shown_is_one(page: str, block: str, tmp_path: Path) -> None:
    tree = yaml.safe_load(block)
    tree["base"] = str(PROJECT / "configs" / tree["base"])
    written = tmp_path / "mine.yaml"
    written.write_text(yaml.safe_dump(tree))
    config_from_tree(read_tree(written, ()), page)


@pytest.mark.parametrize("page", TEXTS)
def test_no_page_speaks_to_whoever_set_a_target(page: str) -> None:
    assert not re.findall(r"asked for\b|falls short|\*\*short\*\*|not run \|", TEXTS[page])


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 160
