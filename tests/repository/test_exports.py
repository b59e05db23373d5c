"""Each module says what it offers, and offers what it says."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "vdibench": ROOT / "vdibench",
    "vdi_operator": ROOT / "operator" / "vdi_operator",
    "vdi_checker": ROOT / "operator" / "checker" / "vdi_checker",
}
MODULES = sorted(
    ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
    for package, folder in PACKAGES.items()
    for path in folder.rglob("*.py")
    if "native" not in path.relative_to(folder).parts  # a distribution of its own
)
# Some of them import Locust, which changes the interpreter: they are looked at in another one.
LOAD = [name for name in MODULES if name.startswith("vdibench.load.")]
LONGEST = 400
ONE_FILE_BY_DESIGN = {"vdibench.desk.desk"}  # it is copied into desktops


def source(name: str) -> Path:
    package, *rest = name.split(".")
    stem = PACKAGES[package].joinpath(*rest)
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")


def test_modules_are_found() -> None:
    assert {"vdibench", "vdibench.cli", "vdibench.errors", "vdibench.records"} <= set(MODULES)
    assert {"vdi_operator.api.schema", "vdi_checker"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_module_offers_what_it_says(name: str) -> None:
    text = source(name).read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{name} has no docstring"
    assert name in ONE_FILE_BY_DESIGN or len(text.splitlines()) <= LONGEST, f"{name} is too long"
    assert any(
        isinstance(target, ast.Name) and target.id == "__all__"
        for node in tree.body
        for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
    ), f"{name} has no __all__"
    if name.endswith("__main__") or name in LOAD:
        return  # importing it would run it, or change the interpreter
    module = importlib.import_module(name)
    assert [n for n in module.__all__ if not hasattr(module, n)] == []
    assert len(set(module.__all__)) == len(module.__all__)


def test_modules_of_load_offer_what_they_say() -> None:
    program = (
        "import importlib, sys\n"
        "import locust.main\n"
        "for name in sys.argv[1:]:\n"
        "    module = importlib.import_module(name)\n"
        "    assert [n for n in module.__all__ if not hasattr(module, n)] == [], name\n"
        "    assert len(set(module.__all__)) == len(module.__all__), name\n"
    )
    assert "vdibench.load.users" in LOAD
    subprocess.run([sys.executable, "-c", program, *LOAD], check=True, timeout=120)


def test_what_an_owner_imports_leaves_the_interpreter_alone() -> None:
    program = "import sys, vdibench.load.driver; assert not {'gevent', 'locust'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_what_reads_a_run_loads_no_slow_part_of_scipy() -> None:
    """Each takes up to a second to load, for a few functions."""
    slow = {"scipy.stats", "scipy.optimize", "scipy.signal"}
    program = f"import sys, vdibench.report, vdibench.suites; print({slow} & set(sys.modules) or '')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == ""
