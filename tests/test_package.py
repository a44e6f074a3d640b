"""The project as pip installs it: what it needs, what comes along, where it starts from."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT, MakeImages, clean_environment, run_script, write_image
from tests.edge.networks import write_network

BUILD = tomllib.loads((PROJECT / "pyproject.toml").read_text())
EXTRAS = BUILD["project"]["optional-dependencies"]
SCRIPTS = sorted(path.stem for path in PROJECT.glob("*.py"))
# What a build reads. Copied, because it leaves `build/` and a `covid.egg-info` beside it.
SOURCES = ("pyproject.toml", "LICENSE", "covid", "tests", "benchmarks", "examples", "configs")


def lines(name: str) -> Iterator[str]:
    """A requirements file's lines without its comments."""
    for line in (PROJECT / name).read_text().splitlines():
        if requirement := line.partition("#")[0].strip():
            yield requirement


# What it needs ------------------------------------------------------------------------------


def test_the_edge_s_requirements_are_what_is_always_installed() -> None:
    assert list(lines("requirements-edge.txt")) == BUILD["project"]["dependencies"]


def test_the_requirements_are_those_and_what_training_adds() -> None:
    both = [*BUILD["project"]["dependencies"], *EXTRAS["train"]]
    assert sorted(lines("requirements.txt")) == sorted(both)


def test_the_developers_requirements_are_all_extras() -> None:
    written = list(lines("requirements-dev.txt"))
    assert (written[0], EXTRAS["dev"][0]) == ("-r requirements.txt", "covid[train,dicom]")
    assert sorted(written[1:]) == sorted([*EXTRAS["dicom"], *EXTRAS["dev"][1:]])


def test_tests_build_with_what_pip_builds_with() -> None:
    assert set(BUILD["build-system"]["requires"]) <= set(EXTRAS["dev"])


def test_every_script_is_a_command() -> None:
    commands = {f"covid-{name}": f"covid.scripts.{name}:main" for name in SCRIPTS}
    assert BUILD["project"]["scripts"] == commands


# What comes along ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip installed a copy of the project into, without what it depends on."""
    copy = tmp_path_factory.mktemp("copy")
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in (*SOURCES, *(f"{script}.py" for script in SCRIPTS)):
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=unwanted)
        else:
            shutil.copy(source, copy)
    target = tmp_path_factory.mktemp("site")
    done = run_script(
        "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index",
        "--no-deps", "--no-build-isolation", "--no-compile", "--target", target, copy,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return target


def installed(
    site: Path, folder: Path, *command: str | Path
) -> subprocess.CompletedProcess[str]:
    """Runs a command, or python with `-…`, in `folder`, where `site` is what is installed."""
    program = [sys.executable] if str(command[0]).startswith("-") else [site / "bin" / command[0]]
    arguments = command if program == [sys.executable] else command[1:]
    return subprocess.run(
        [*program, *arguments],
        cwd=folder, env={**clean_environment(), "PYTHONPATH": str(site)},
        capture_output=True, text=True,
    )  # fmt: skip


def test_the_package_and_the_scripts_are_installed_and_nothing_else(site: Path) -> None:
    package = {path.relative_to(PROJECT) for path in (PROJECT / "covid").rglob("*.py")}
    expected = {*package, Path("covid/py.typed")}
    expected |= {Path(f"covid/scripts/{name}.py") for name in SCRIPTS}
    expected |= {Path(f"bin/covid-{name}") for name in SCRIPTS}
    files = {path.relative_to(site) for path in site.rglob("*") if path.is_file()}
    assert {path for path in files if not path.parts[0].endswith(".dist-info")} == expected


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_command_starts(site: Path, tmp_path: Path, name: str) -> None:
    done = installed(site, tmp_path, f"covid-{name}", "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: covid-{name} "), done.stderr


@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - {"predict"}))
def test_what_needs_more_than_is_installed_says_how_to_install_it(
    site: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine")
    needed = {
        "train": ["--config", "mine.yaml"],
        "compare": ["a.csv", "b.csv"],
        "calibrate": ["a.onnx", "--data", "images"],
    }
    words = needed.get(name, [])
    code = f"import sys; from covid.scripts.{name} import main; sys.exit(main())"
    # -S leaves out the folder where this environment's packages are.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, *words],
        cwd=tmp_path, env={**clean_environment(), "PYTHONPATH": str(site)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "is not installed; install all that training needs with" in done.stderr


def test_predicting_takes_three_packages_only(site: Path, tmp_path: Path) -> None:
    for name in ("numpy", "pillow", "onnxruntime"):  # as wheels lay them out: a package, libraries
        files = distribution(name).files or []
        for folder in {file.parts[0] for file in files if len(file.parts) > 1} - {".."}:
            (tmp_path / folder).symlink_to(Path(str(distribution(name).locate_file(folder))))
    write_image(tmp_path / "images" / "a.png", 1, brightness=200)
    code = "import sys; from covid.scripts.predict import main; sys.exit(main())"
    # -S leaves out the folder where this environment's packages are.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, write_network(tmp_path), "images", "--format", "csv"],
        cwd=tmp_path, env={**clean_environment(), "PYTHONPATH": f"{site}{os.pathsep}{tmp_path}"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


# Where it starts from -----------------------------------------------------------------------


def test_relative_paths_and_runs_start_at_the_working_directory(
    site: Path, make_images: MakeImages, tmp_path: Path
) -> None:
    make_images()  # in tmp_path / "images"
    config = yaml.safe_load((PROJECT / "configs/resnet18_multilabel.yaml").read_text())
    config |= {"name": "mine", "data": config["data"] | {"root": "images"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    small = ("model.weights=none", "data.image_size=32", "epochs=1", "precision=no")
    settings = [part for value in small for part in ("--set", value)]
    done = installed(
        site, tmp_path, "-m", "accelerate.commands.launch", "-m", "covid.scripts.train",
        "--config", "mine.yaml", *settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "mine"
    assert f"Next: covid-evaluate {run}" in done.stdout
    assert json.loads((run / "summary.json").read_text())["status"] == "finished"
    assert list((tmp_path / ".cache").iterdir())


def test_advice_names_commands_that_are_there(site: Path, tmp_path: Path) -> None:
    done = installed(site, tmp_path, "covid-evaluate")
    assert done.returncode == 2
    assert done.stderr == (
        f"Error: {tmp_path / 'runs'}: holds no finished run; make one with "
        f"`accelerate launch -m covid.scripts.train --config CONFIG.yaml`.\n"
    )
