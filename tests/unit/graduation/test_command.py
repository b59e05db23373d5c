"""``vdibench graduate`` as a person calls it: exit codes, what is said where, and what stays on the disk."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from vdibench.errors import ParameterError, StoreError
from vdibench.graduation.findings import Required, Waiver
from vdibench.graduation.refusal import Refused
from vdibench.records import RunState
from vdibench.store import RunFolder
from vdibench.suites import graduation as suite
from vdibench.suites.pipeline import PipelineOptions, plan_pipeline, run_pipeline

from ...e2e.commands import called
from .candidates import CHART, RUN_NAME, Site, edit, site
from .runs import SUITES, described, resample

pytestmark = pytest.mark.timeout(300)  # the first test of all may have to build kubectl and helm
CHART_FOLDER = Path("build", "chart", "vdi-operator")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A folder with a passing run in its ``results``, and others beside it."""
    made = site(tmp_path_factory.mktemp("home"))
    results = made.place / "results"
    for name, run in {
        "slow": {"latency": 0.5},
        "short": {"suites": SUITES[:3]},
        "disturbed": {"invalid": {"gpu_density": ["the machine was disturbed"]}},
        "unknown": {"without_subjects": True},
    }.items():
        other = site(made.place / "others" / name, name_folder=name, **run)
        shutil.copytree(other.run, results / name)
    changed = shutil.copytree(made.run, results / "changed")
    resample(changed, "frames", "gpu_density", lambda rows: rows.assign(packets=rows["packets"] + 1))
    return made


def graduate(home: Site, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    results = str(home.place / "results")
    return called("graduate", *words, "--results", results, "--manifests", str(home.manifests), cwd=cwd or home.place)


def test_a_passing_run_is_graduated_and_says_how_it_is_checked(home: Site, tmp_path: Path) -> None:
    done = graduate(home, RUN_NAME, "--chart", str(CHART), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / CHART_FOLDER / "graduated" / "evidence.json").is_file()
    for said in ("2 a GPU", "glass_to_glass_seconds", "stream_validation", "NVIDIA L4", "(not signed)"):
        assert said in done.stdout
    assert f"helm install vdi {CHART_FOLDER}" in done.stdout
    assert f"vdibench graduate --verify {CHART_FOLDER}" in done.stdout
    checked = graduate(home, "--verify", str(CHART_FOLDER), "--run", RUN_NAME, cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.rstrip().splitlines()[-1].startswith(f"valid: {CHART_FOLDER} agrees with its evidence")


def test_a_dry_run_leaves_nothing(home: Site, tmp_path: Path) -> None:
    done = graduate(home, RUN_NAME, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nothing was written" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("run", "code", "said"),
    [
        ("slow", 99, "glass_to_glass_seconds"),
        ("short", 98, "gpu_density"),
        ("disturbed", 97, "gpu_density"),
        ("unknown", 98, "does not say"),
        ("changed", 97, "frames-gpu_density"),
    ],
)
def test_a_refusal_names_cause_and_remedy_a_line_each(
    home: Site, tmp_path: Path, run: str, code: int, said: str
) -> None:
    done = graduate(home, run, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("vdibench: refused: ")]
    assert any(said in line for line in lines), lines
    assert all(": " in line.removeprefix("vdibench: refused: ") for line in lines), "no remedy"
    assert done.stderr.rstrip().endswith("nothing was written")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "build").exists()


def test_a_waiver_lets_a_run_pass_and_is_told(home: Site, tmp_path: Path) -> None:
    done = graduate(home, "short", "--waive", "gpu_density=one user a GPU here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "waived: one user a GPU here" in done.stdout


def test_json_says_what_was_done_and_what_was_not(home: Site, tmp_path: Path) -> None:
    done = graduate(home, RUN_NAME, "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"], document["findings"]) == (0, 0, [])
    assert document["templates"] == ["desktop"]
    assert document["evidence"]["capacity"]["sessionsPerGPU"] == 2
    refused = graduate(home, "slow", "--json", cwd=tmp_path)
    document = json.loads(refused.stdout)
    assert (refused.returncode, document["exit_code"], document["chart"]) == (99, 99, None)
    assert {"kind", "cause", "remedy"} == set(document["findings"][0])
    checked = graduate(home, "--verify", str(CHART_FOLDER), "--json", cwd=tmp_path)
    document = json.loads(checked.stdout)
    assert (checked.returncode, document["findings"]) == (0, [])
    assert document["evidence"]["verdict"] == "pass"


def test_a_chart_that_was_changed_is_not_valid(home: Site, tmp_path: Path) -> None:
    assert graduate(home, RUN_NAME, cwd=tmp_path).returncode == 0
    edit(tmp_path / CHART_FOLDER / "graduated" / "templates.yaml", "sessionsPerGPU: 2", "sessionsPerGPU: 3")
    done = graduate(home, "--verify", str(CHART_FOLDER), cwd=tmp_path)
    assert done.returncode == 99
    assert "graduated/templates.yaml was changed" in done.stderr
    assert "valid: " not in done.stdout


def test_what_is_no_graduated_chart_is_not_replaced(home: Site, tmp_path: Path) -> None:
    kept = tmp_path / CHART_FOLDER / "notes.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("keep me")
    done = graduate(home, RUN_NAME, cwd=tmp_path)
    assert done.returncode == 2
    assert "no graduated chart" in done.stderr
    assert kept.read_text() == "keep me"


CALLS = {
    "no run": ([], "no run is named", 2),
    "unknown run": (["yesterday"], "there is no run 'yesterday'", 1),
    "unknown waiver": ([RUN_NAME, "--waive", "fps=too slow"], "nothing that is required is called 'fps'", 2),
    "waiver without reason": ([RUN_NAME, "--waive", "policies"], "policies is waived without a reason", 2),
    "waived twice": ([RUN_NAME, "--waive", "policies=a", "--waive", "policies=b"], "policies is waived twice", 2),
    "no duration": ([RUN_NAME, "--max-age", "soon"], "'soon' is no duration", 2),
    "no name": ([RUN_NAME, "--name", "My Desktop"], "no name of a template", 2),
    "no key": ([RUN_NAME, "--key", "missing.pem"], "missing.pem", 2),
    "no chart": ([RUN_NAME, "--chart", "nowhere"], "there is no chart at nowhere", 2),
    "no chart to verify": (["--verify", "nowhere"], "there is no chart nowhere", 2),
    "run and verify": ([RUN_NAME, "--verify", "nowhere"], "are two things", 2),
    "public key without verify": ([RUN_NAME, "--public-key", "key.pub"], "says nothing without --verify", 2),
    "output beside verify": (["--verify", "nowhere", "--output", "x"], "has no place beside --verify", 2),
    "dry run beside verify": (["--verify", "nowhere", "--dry-run"], "has no place beside --verify", 2),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_cannot_be_is_said_in_a_line(home: Site, tmp_path: Path, call: str) -> None:
    words, told, code = CALLS[call]
    done = graduate(home, *words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


# the suite that the notebook calls


def test_latest_is_the_newest_run_that_measured(home: Site, tmp_path: Path) -> None:
    shutil.copytree(home.run, tmp_path / RUN_NAME)
    with RunFolder.create(tmp_path, described(4e9, (), suite="graduation")) as folder:
        folder.finish(RunState.FINISHED)
    assert suite.find_run(tmp_path, "latest") == tmp_path / RUN_NAME
    assert suite.find_run(tmp_path, RUN_NAME) == tmp_path / RUN_NAME
    shutil.rmtree(tmp_path / RUN_NAME)
    with pytest.raises(StoreError, match=r"no run in .* that measured"):
        suite.find_run(tmp_path, "latest")


def test_waivers_are_read_as_they_are_typed() -> None:
    found = suite.waivers(["policies = the firewall  does it", "gpu_density=a=b"])
    assert found == (Waiver(Required.POLICIES, "the firewall does it"), Waiver(Required.DENSITY, "a=b"))
    with pytest.raises(ParameterError, match="nothing that is required"):
        suite.waivers(["frames=none"])


def pipeline(home: Site, run: str, output: Path) -> PipelineOptions:
    given = {"run": run, "output": str(output)}
    return PipelineOptions(
        notebooks=("05",), results=home.place / "results", given=given, without_notebooks=True, selftest=False
    )


def test_the_runner_takes_the_run_as_it_was_before_its_own(home: Site, tmp_path: Path) -> None:
    plan = plan_pipeline(pipeline(home, "latest", tmp_path / "chart"))
    ((_, parameters),) = plan.steps
    assert Path(parameters.run).is_absolute()
    assert not plan.measures
    assert Path(parameters.run).parent == home.place / "results"


def test_the_runner_refuses_to_graduate_what_it_still_measures(home: Site) -> None:
    with pytest.raises(ParameterError, match="a run that has ended"):
        plan_pipeline(PipelineOptions(notebooks=("04", "05"), results=home.place / "results"))


def test_the_runner_ends_with_the_code_of_the_refusal(home: Site, tmp_path: Path) -> None:
    result = run_pipeline(
        pipeline(home, "slow", tmp_path / "chart"), show=lambda suite, reading: None, done=lambda line: None
    )
    assert result.exit_code == 99
    assert result.failure is not None
    assert "is refused" in result.failure.message
    shutil.rmtree(result.folder)


def test_the_steps_of_the_notebook_show_what_they_found(
    home: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parameters = suite.Parameters(run=str(home.run), output=str(tmp_path / "chart"))
    steps = suite.Graduation(parameters)
    assert "Kubernetes v1.31.4" in steps.what_was_run()._repr_html_()
    # The manifests of the package are those of no site yet.
    assert "the overlay k3s/session" in repr(steps.findings())
    table = steps.verdicts()
    assert set(table["suite"]) == {*SUITES, "the run"}
    assert (table["stored"] == table["recomputed"]).all()
    assert "sessionsPerGPU: 2" in repr(steps.template())
    assert repr(steps.equality()) == "What the operator makes is what was validated."
    with pytest.raises(Refused):
        steps.write()
    assert steps.how_to_verify()._repr_html_().count("Nothing was written") == 1
