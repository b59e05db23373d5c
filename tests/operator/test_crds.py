"""`vdi-operator crds`, and the chart's files that it wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml
from click.testing import CliRunner

from vdi_operator.api.schema import definitions
from vdi_operator.commands.crds import files
from vdi_operator.main import cli

from .schemas import OPERATOR

CHART = OPERATOR / "chart" / "vdi-operator" / "crds"


def test_it_prints_both_definitions() -> None:
    done = CliRunner().invoke(cli, ["crds"])
    assert done.exit_code == 0, done.output
    assert tuple(yaml.safe_load_all(done.output)) == definitions()
    assert "&id" not in done.output


def test_the_chart_has_what_it_writes(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["crds", "--directory", str(tmp_path)])
    assert (done.exit_code, done.output) == (0, "")
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert sorted(written) == ["vdibench.io_vdisessions.yaml", "vdibench.io_vditemplates.yaml"]
    assert written == files()
    there = {path.name: path.read_text() for path in CHART.iterdir()}
    assert there == written, f"write them anew: vdi-operator crds --directory {CHART.relative_to(OPERATOR.parent)}"


def test_a_folder_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["crds", "--directory", str(tmp_path / "absent")])
    assert done.exit_code == 2
    assert "does not exist" in done.output


def test_a_command_that_there_is_not() -> None:
    done = CliRunner().invoke(cli, ["destroy"])
    assert done.exit_code == 2
    assert "No such command 'destroy'" in done.output


def test_it_loads_neither_kopf_nor_an_http_client() -> None:
    program = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from vdi_operator.main import cli\n"
        "assert CliRunner().invoke(cli, ['crds']).exit_code == 0\n"
        "print(sorted({'kopf', 'aiohttp', 'prometheus_client', 'vdibench'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
