"""Rules and dashboard: what promtool says of them, and that they ask only for series that somebody has."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import fields
from inspect import getsource
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from vdi_operator.cluster import process
from vdi_operator.cluster.metrics import Metrics
from vdibench.preflight import ClusterContext
from vdibench.preflight.exporter_checks import DEVICE_LABELS, NODE_LABELS
from vdibench.telemetry.prometheus import duration_seconds
from vdibench.watch.exposition import Exposition
from vdibench.watch.gauge import Gauge
from vdibench.watch.reading import Reading, SessionFacts

from .kustomize import MANIFESTS, PLATFORMS, built, only

RULES = MANIFESTS / "observability" / "base" / "rules.yaml"
DATA = Path(__file__).resolve().parents[1] / "data"
CASES = DATA / "prometheus" / "objectives.test.yaml"
RECORDINGS = sorted((DATA / "dcgm").glob("*.prom"))
DASHBOARDS = ("vdi", "operator")
# What the exporter's default list (etc/default-counters.csv of 4.6.0) has of what is asked for here.
DCGM = {f"DCGM_FI_DEV_{name}" for name in ("GPU_UTIL", "ENC_UTIL", "FB_USED", "FB_FREE", "XID_ERRORS")}
WORDS = {"and", "or", "unless", "bool", "by", "on", "ignoring", "without", "group_left", "group_right", "offset"}
OF_DEVICES = re.compile(r"\bby\s*\(([^)]*)\)\s*\((DCGM_\w+)\)")
GROUPED = re.compile(r"\b(?:by|on|ignoring|without)\s*\([^)]*\)")
NAME = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])")


def exposed() -> set[str]:
    """Every series that a watch can have."""
    gauge = Gauge()
    gauge.totals.lossy = True  # WebRTC
    exposition = Exposition(gauge, sends_input=True)
    texts = dict.fromkeys(("role", "dialect"), "x")
    exposition.session(SessionFacts(**{f.name: texts.get(f.name, 1.0) for f in fields(SessionFacts)}))  # type: ignore[arg-type]  # any value will do
    now = Reading(**{f.name: 1.0 for f in fields(Reading)})  # type: ignore[arg-type]  # any value will do
    exposition.reading(now, now)
    return {sample.name for family in exposition.collect() for sample in family.samples}


def operated() -> set[str]:
    """Every series that the operator has."""
    metrics = Metrics()
    metrics.sessions(dict)
    metrics.started({"accepted": 1.0}, 2.0)
    metrics.passed(1.0, 0.0)
    metrics.requested("get", "Pod", 200)
    for name in re.findall(r'metrics\.gauge\(\s*"(\w+)"', getsource(process)):
        metrics.gauge(name, "of the queue", lambda: 0.0)
    return {sample.name for family in metrics.registry.collect() for sample in family.samples}


def groups() -> list[dict[str, Any]]:
    return list(yaml.safe_load(RULES.read_text())["spec"]["groups"])


def expressions() -> dict[str, str]:
    """Name -> expression of every rule."""
    return {rule.get("record") or rule["alert"]: rule["expr"] for group in groups() for rule in group["rules"]}


def recorded() -> set[str]:
    return {rule["record"] for group in groups() for rule in group["rules"] if "record" in rule}


def queries() -> dict[str, str]:
    """Title -> query of every panel."""
    files = [RULES.parent / f"{name}.json" for name in DASHBOARDS]
    panels = [panel for file in files for panel in json.loads(file.read_text())["panels"]]
    return {f"{panel['title']} {t['refId']}": t["expr"] for panel in panels for t in panel["targets"]}


def series(expression: str) -> set[str]:
    """The series that a query asks for."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", "", GROUPED.sub("", expression))
    return set(NAME.findall(bare)) - WORDS


def test_series_are_found_in_a_query() -> None:
    text = 'sum by (le) (rate(a_b{c="d"}[5m]) and on (e, f) (g:h <= 0.05)) / 100 unless on () absent(i)'
    assert series(text) == {"a_b", "g:h", "i"}


@pytest.fixture(scope="module")
def rule_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rules as the init container of the plain Prometheus makes them."""
    (command,) = only(built("overlays/lab"), "Deployment", "prometheus")["spec"]["template"]["spec"]["initContainers"]
    place = tmp_path_factory.mktemp("rules")
    (text,) = command["args"]
    for folder, there in (("/etc/prometheus/source", RULES.parent), ("/etc/prometheus/rules", place)):
        assert folder in text
        text = text.replace(folder, str(there))
    subprocess.run(["sh", "-euc", text], check=True, timeout=30)
    return place / "vdi.yml"


def promtool(*words: str | Path) -> str:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_plain_prometheus_gets_the_same_rules(rule_file: Path) -> None:
    assert yaml.safe_load(rule_file.read_text()) == {"groups": groups()}
    promtool("check", "rules", rule_file)


def test_its_configuration_is_one() -> None:
    promtool("check", "config", "--syntax-only", MANIFESTS / "observability" / "prometheus" / "prometheus.yml")


def test_the_rules_say_what_they_should_of_recorded_series(rule_file: Path, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(rule_file.read_text())
    (tmp_path / CASES.name).write_text(CASES.read_text())
    promtool("test", "rules", tmp_path / CASES.name)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("vdibench_clock_bound_seconds <= 0.005", "vdibench_clock_bound_seconds <= 5"),
        ("vdibench_trustworthy == 1)", "vdibench_trustworthy >= 0)"),
        (
            "expr: max by (Hostname, hostname, UUID, modelName) (DCGM_FI_DEV_GPU_UTIL) / 100",
            "expr: DCGM_FI_DEV_GPU_UTIL / 100",
        ),
        (
            "expr: max by (Hostname, hostname, UUID, modelName) (DCGM_FI_DEV_GPU_UTIL) / 100",
            "expr: max by (Hostname, UUID, modelName) (DCGM_FI_DEV_GPU_UTIL) / 100",
        ),
        ("8 * vdi:gpus:count", "1 * vdi:gpus:count"),
        ("vdi:session_ready_seconds:max >= 30", "vdi:session_ready_seconds:max >= 50"),
        ("vdi:glass_to_glass_seconds:p95_5m >= 0.05", "vdi:glass_to_glass_seconds:p95_5m >= 0.5"),
        ("vdi:session_start_seconds:p95_1h >= 30", "vdi:session_start_seconds:p95_1h >= 300"),
        ('_bucket{phase="total",le="30.0"}', '_bucket{phase="total",le="45.0"}'),
        ("vdi_queue_longest_wait_seconds > 30", "vdi_queue_longest_wait_seconds > 300"),
        ("unless on () count(vdi_sessions)", "unless on () count(vdi_sessions offset 1h)"),
    ],
)
def test_the_series_tell_a_wrong_rule(rule_file: Path, tmp_path: Path, old: str, new: str) -> None:
    text = rule_file.read_text()
    assert text.count(old) == 1
    (tmp_path / "rules.yml").write_text(text.replace(old, new))
    (tmp_path / CASES.name).write_text(CASES.read_text())
    argv = ["promtool", "test", "rules", tmp_path / CASES.name]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "FAILED" in done.stdout + done.stderr


def test_every_alert_is_in_a_case() -> None:
    names = {rule["alert"] for group in groups() for rule in group["rules"] if "alert" in rule}
    assert {name for name in names if name not in CASES.read_text()} == set()


def test_rules_ask_for_what_there_is() -> None:
    there = exposed() | operated() | DCGM | recorded()
    assert {name: series(text) - there for name, text in expressions().items() if series(text) - there} == {}
    assert all(rule["labels"]["objective"] for group in groups() for rule in group["rules"] if "alert" in rule)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda file: file.stem)
def test_rules_keep_the_devices_of_every_exporter_apart_and_name_their_node(recording: Path) -> None:
    families = text_string_to_metric_families(recording.read_text())
    samples = [sample for family in families for sample in family.samples]
    node = {value for sample in samples for name, value in sample.labels.items() if name in NODE_LABELS}
    devices = {sample.labels["UUID"] for sample in samples}
    found = [pair for text in expressions().values() for pair in OF_DEVICES.findall(text)]
    assert {metric for _, metric in found} == DCGM
    for by, metric in found:
        labels = [label.strip() for label in by.split(",")]
        assert set(labels) == {*DEVICE_LABELS, *NODE_LABELS}
        own = [sample.labels for sample in samples if sample.name == metric]
        groups = {tuple(one.get(label, "") for label in labels) for one in own}
        # A MIG instance has no utilisation; what there is of a device is one group, and its node is told.
        assert len(groups) == len(devices) * bool(own)
        assert all(node & set(group) for group in groups)


def test_figures_of_gpus_come_as_often_as_preflight_wants_them() -> None:
    longest = ClusterContext().dcgm_seconds
    (endpoint,) = only(built("overlays/k3s"), "ServiceMonitor", "dcgm-exporter")["spec"]["endpoints"]
    values = yaml.safe_load((MANIFESTS / "gpu" / "values.yaml").read_text())
    (interval,) = [one["value"] for one in values["dcgmExporter"]["env"] if one["name"] == "DCGM_EXPORTER_INTERVAL"]
    plain = yaml.safe_load((MANIFESTS / "observability" / "prometheus" / "prometheus.yml").read_text())
    for text in (endpoint["interval"], f"{interval}ms", plain["global"]["scrape_interval"]):
        seconds = duration_seconds(text)
        assert seconds is not None
        assert 0 < seconds <= longest, text


def test_the_dashboard_names_a_device_s_node_whatever_the_exporter_calls_it() -> None:
    panels = json.loads((RULES.parent / "vdi.json").read_text())["panels"]
    legends = [t.get("legendFormat", "") for panel in panels for t in panel["targets"] if "device_ratio" in t["expr"]]
    assert len(legends) >= 3
    for legend in legends:
        assert all(f"{{{{{label}}}}}" in legend for label in (*DEVICE_LABELS, *NODE_LABELS)), legend


def test_the_dashboard_asks_for_what_there_is() -> None:
    there = exposed() | operated() | DCGM | recorded()
    assert {title: series(text) - there for title, text in queries().items() if series(text) - there} == {}
    assert {"vdi:session_ready_seconds:max", "vdi:glass_to_glass_seconds:p95_5m", "vdi:gpu_utilization:ratio_15m"} <= {
        name for text in queries().values() for name in series(text)
    }


@pytest.mark.parametrize("query", queries().values(), ids=queries().keys())
def test_a_query_is_one_that_prometheus_reads(tmp_path: Path, query: str) -> None:
    rules = {"groups": [{"name": "g", "rules": [{"record": "r", "expr": query}]}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    promtool("check", "rules", tmp_path / "rules.yml")


def test_buckets_of_the_objective_are_counted_exactly() -> None:
    """A rule that reads ``le="0.05"`` finds nothing where the watch has no such bucket."""
    exposition = Exposition(Gauge(), sends_input=False)
    bounds = {
        s.labels["le"] for f in exposition.collect() for s in f.samples if s.name.endswith("latency_seconds_bucket")
    }
    assert {"0.05", "+Inf"} <= bounds


def test_the_bucket_of_a_start_is_counted_exactly() -> None:
    metrics = Metrics()
    metrics.started({}, 1.0)
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    bounds = {sample.labels["le"] for sample in samples if sample.name == "vdi_session_start_seconds_bucket"}
    assert "30.0" in bounds
    assert 'le="30.0"' in expressions()["vdi:session_start_within_objective:ratio_1h"]


@pytest.mark.parametrize("overlay", PLATFORMS)
def test_grafana_and_prometheus_find_what_is_theirs(overlay: str) -> None:
    items = built(overlay)
    dashboard = only(items, "ConfigMap", "vdi-dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {name: json.loads(text)["uid"] for name, text in dashboard["data"].items()} == {
        "vdi.json": "vdi-objectives",
        "operator.json": "vdi-operator",
    }
    assert only(items, "PrometheusRule")["spec"]["groups"] == groups()
    monitors = {name: only(items, "ServiceMonitor", name)["spec"] for name in ("dcgm-exporter", "vdi-operator")}
    assert {name: spec["namespaceSelector"]["matchNames"] for name, spec in monitors.items()} == {
        "dcgm-exporter": ["gpu-operator"],
        "vdi-operator": ["vdi-operator"],
    }
    values = yaml.safe_load((MANIFESTS / "gpu" / "values.yaml").read_text())
    assert values["dcgmExporter"]["serviceMonitor"]["enabled"] is False, "it would be scraped twice"


def test_the_prober_is_scraped_where_it_listens() -> None:
    items = built("overlays/k3s")
    template = only(items, "Deployment", "vdibench-prober")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    (port,) = container["ports"]
    assert f"--listen=0.0.0.0:{port['containerPort']}" in container["args"]
    monitor = only(items, "PodMonitor")["spec"]
    assert monitor["podMetricsEndpoints"][0]["port"] == port["name"]
    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    configuration = (MANIFESTS / "observability" / "prometheus" / "prometheus.yml").read_text()
    assert f"port: {port['containerPort']}" in configuration
