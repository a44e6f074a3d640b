"""The architecture, held by reading every import: rooms use the rooms below them, never above."""

import ast
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, run_script

FLOORS = {
    "covid.errors": 0, "covid.project": 0, "covid.edge": 0,
    "covid.config": 1, "covid.config_augment": 1,
    "covid.config_sections": 1, "covid.config_messages": 1, "covid.config_tree": 1,
    "covid.model": 2, "covid.data": 2, "covid.evaluation": 2, "covid.collections": 2,
    "covid.training": 3, "covid.assessment": 3, "covid.export": 3,
    "train": 4, "evaluate": 4, "compare": 4, "export": 4, "calibrate": 4,
    "predict": 4, "prepare": 4,
}  # fmt: skip
EDGE_MAY_IMPORT = {"numpy", "PIL", "onnxruntime", "pydicom"}
FILES = sorted([*(PROJECT / "covid").rglob("*.py"), *PROJECT.glob("*.py")])


def room(module: str) -> str:
    """The longest name in FLOORS that `module` is or lies in."""
    return max((r for r in FLOORS if module == r or module.startswith(f"{r}.")), key=len)


def module_of(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            module = node.module or ""
            names |= {f"{module}.{alias.name}" if module == "covid" else module
                      for alias in node.names}  # fmt: skip
    return names


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_only_point_down(path: Path) -> None:
    module = module_of(path)
    if module == "covid":
        assert not imports_of(path)
        return
    here = room(module)
    for imported in imports_of(path):
        if not imported.startswith("covid"):
            continue
        there = room(imported)
        assert FLOORS[there] <= FLOORS[here], f"{module} imports {imported} from above"
        within = here == "covid.edge" or here.startswith("covid.config")
        if FLOORS[there] == FLOORS[here] and not within:
            assert there == here, f"{module} imports {imported} from beside"


@pytest.mark.parametrize("path", sorted((PROJECT / "covid/edge").glob("*.py")), ids=module_of)
def test_the_edge_needs_three_packages_only(path: Path) -> None:
    packages = {name.split(".")[0] for name in imports_of(path)} - {"covid"}
    assert packages - set(sys.stdlib_module_names) <= EDGE_MAY_IMPORT


@pytest.mark.parametrize("path", sorted((PROJECT / "covid/evaluation").glob("*.py")), ids=module_of)
def test_figures_know_neither_torch_nor_onnxruntime(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports_of(path)} & {"torch", "onnxruntime"}


@pytest.mark.parametrize("script", sorted(PROJECT.glob("*.py")), ids=lambda path: path.stem)
def test_help_imports_nothing_heavy(script: Path) -> None:
    # Counting modules instead of seconds: it says the same on every machine.
    code = (
        f"import runpy, sys; sys.argv = ['{script.name}', '--help']\n"
        f"try: runpy.run_path('{script.name}', run_name='__main__')\n"
        f"except SystemExit: pass\n"
        f"print(sorted({{'torch', 'numpy', 'accelerate', 'yaml'}} & set(sys.modules)))"
    )
    done = run_script("-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
