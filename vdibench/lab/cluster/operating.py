"""The operator on a cluster lab as a process of this host, with exactly the rights of its chart. Linux only, as root.

For tests and benchmarks: a process can be killed at any moment, and played nodes need no image of it. It is the
checkout's operator, started as a program: nothing of it is imported here.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

import vdibench
from vdibench.errors import LabError
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.furnishing import DOMAIN, TURN_SECRET
from vdibench.lab.cluster.versions import KUBERNETES
from vdibench.lab.files import write_private

__all__ = ["NAMESPACE", "RELEASE", "OperatorProcess", "apply", "chart_folder", "chart_objects", "lab_values", "run"]

Object = dict[str, Any]

NAMESPACE = "vdi-operator"
RELEASE = "vdi"

_ACCOUNT = "vdi-operator"
_TOKEN_LIFETIME = "6h"
_PORT = 30443
_UP_SECONDS, _DOWN_SECONDS = 30.0, 20.0
_LOOK_SECONDS = 0.02
_SHARED_MEMORY = Path("/dev/shm")
_RIGHTS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def chart_folder() -> Path:
    """The operator's chart.

    :raises LabError: it is not there, as in an installation without the repository.
    """
    folder = Path(vdibench.__file__).parents[1] / "operator" / "chart" / "vdi-operator"
    if not folder.is_dir():
        raise LabError(f"the operator's chart is not at {folder}", "run this from a checkout of the repository")
    return folder


def lab_values(cluster: ClusterAccess) -> Object:
    """What a site writes into the chart's values, for a lab: its domain, its port, its relay."""
    settings = {
        "domain": DOMAIN,
        "port": _PORT,
        "relayAddresses": [cluster.node_address],
        # Nobody's DNS knows the lab's domain.
        "checkerAddress": f"{cluster.node_address}:{_PORT}",
    }
    return {"settings": settings}


def chart_objects(cluster: ClusterAccess, values: Mapping[str, Any]) -> list[Object]:
    """What the chart makes of values.

    :raises LabError: helm refuses.
    """
    text = run(
        cluster,
        "helm",
        "template",
        RELEASE,
        str(chart_folder()),
        f"--namespace={NAMESPACE}",
        # It asks no cluster, and as it is built here it knows no version of its own.
        f"--kube-version={KUBERNETES}",
        "--values=-",
        given=json.dumps(values),
    )
    return [one for one in yaml.safe_load_all(text) if one]


def run(cluster: ClusterAccess, *command: str, given: str = "") -> str:
    """What kubectl or helm prints.

    :param given: to their standard input.
    :raises LabError: it fails.
    """
    done = subprocess.run(command, env=cluster.environment(), input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-500:]}", "see what it says")
    return done.stdout


def apply(cluster: ClusterAccess, objects: Iterable[Mapping[str, Any]]) -> None:
    """Apply objects server-side, whoever had their fields before.

    :raises LabError: one is refused.
    """
    document = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    run(
        cluster,
        *("kubectl", "apply", "--server-side", "--force-conflicts", "--field-manager=vdibench-lab", "-f", "-"),
        given=json.dumps(document),
    )


class OperatorProcess:
    """The operator, outside of the cluster, as its chart's service account. A context manager that ends it.

    :param folder: for its settings, its kubeconfig and its log; private.
    :param checker_url: of the frame checker, empty: none.
    :param values: of the chart, in the place of those of a lab.
    :param server: URL in the place of the API server's, such as a fault proxy's.
    :raises LabError: the chart's definitions or rights cannot be applied.
    """

    def __init__(
        self,
        cluster: ClusterAccess,
        folder: Path,
        checker_url: str = "",
        values: Mapping[str, Any] | None = None,
        *,
        server: str = "",
    ) -> None:
        self.log = folder / "operator.log"
        self.environment: dict[str, str] = {}
        """Of the next start, beside what it needs."""
        self.checker_token = secrets.token_urlsafe(24)
        self._cluster = cluster
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""
        objects = chart_objects(cluster, values if values is not None else lab_values(cluster))
        self.role = next(one for one in objects if one["kind"] == "Role")
        definitions = [str(path) for path in sorted((chart_folder() / "crds").glob("*.yaml"))]
        apply(cluster, [yaml.safe_load(Path(path).read_text()) for path in definitions])
        kinds = ("vdisessions.vdibench.io", "vditemplates.vdibench.io")
        run(
            cluster,
            *("kubectl", "wait", "--for=condition=Established", "--timeout=60s"),
            *(f"customresourcedefinition/{kind}" for kind in kinds),
        )
        # Not the checker's account.
        rights = [one for one in objects if one["kind"] in _RIGHTS and one["metadata"]["name"].startswith(_ACCOUNT)]
        apply(cluster, rights)
        self._write_settings(objects, checker_url)
        self._write_kubeconfig(server or cluster.api_url)

    @property
    def pid(self) -> int:
        """Of the living one.

        :raises LabError: there is none.
        """
        if self._process is None or self._process.poll() is not None:
            raise LabError("the operator has ended", f"read {self.log}")
        return self._process.pid

    def start(self) -> None:
        """Start it and return when it listens; it has not listed anything by then.

        :raises LabError: it ends instead.
        """
        line = [sys.executable, "-m", "vdi_operator", "run", f"--settings={self._folder / 'settings.yaml'}"]
        line += [f"--kubeconfig={self._folder / 'kubeconfig'}", "--listen=127.0.0.1:0"]
        environment = {**self._cluster.environment(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        environment |= self.environment
        begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(line, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + _UP_SECONDS
        while not (url := self._listening(begin)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"the operator does not start: {self._last_line()}", f"read {self.log}")
            time.sleep(_LOOK_SECONDS)  # it says so in its log, and nowhere else
        self._url = url

    def ready(self) -> bool:
        """Whether it has listed everything and makes passes."""
        try:
            with urllib.request.urlopen(f"{self._url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as refused:
            refused.close()
            return False
        except OSError:
            return False

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Its metrics: name and sorted labels -> value."""
        with urllib.request.urlopen(f"{self._url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def requests(self) -> dict[tuple[str, str, str], float]:
        """Requests to the API server: verb, kind and code -> how many. kopf's own are not among them."""
        found = {}
        for (name, labels), value in self.samples().items():
            if name == "vdi_api_requests_total":
                of = dict(labels)
                found[of["verb"], of["kind"], of["code"]] = value
        return found

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            # What libfaketime leaves of a process that could not clean up, where it had one.
            for name in ("faketime_shm_{}", "sem.faketime_sem_{}"):
                (_SHARED_MEMORY / name.format(self._process.pid)).unlink(missing_ok=True)

    def end(self) -> float:
        """End it as a cluster does, and say how many seconds it took.

        :raises LabError: it does not end by itself.
        """
        if self._process is None or self._process.poll() is not None:
            return 0.0
        began = time.monotonic()
        self._process.terminate()
        try:
            self._process.wait(_DOWN_SECONDS)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise LabError(f"the operator did not end within {_DOWN_SECONDS:g} s", f"read {self.log}") from error
        return time.monotonic() - began

    def __enter__(self) -> OperatorProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _listening(self, begin: int) -> str:
        """Where it is, from its log after that place; empty: not yet."""
        with self.log.open() as log:
            log.seek(begin)
            for line in log:
                _, mark, url = line.partition("health and metrics at ")
                if mark:
                    return url.partition('"')[0].strip()
        return ""

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return lines[-1][-300:] if lines else "it said nothing"

    def _write_settings(self, objects: Iterable[Object], checker_url: str) -> None:
        (config,) = (one for one in objects if one["metadata"]["name"] == "vdi-operator-settings")
        settings = yaml.safe_load(config["data"]["settings.yaml"])
        token = self._folder / "checker-token"
        write_private(token, self.checker_token)
        settings["turnSecretFile"] = str(self._cluster.kubeconfig.parents[1] / TURN_SECRET)
        settings["checkerUrl"], settings["checkerTokenFile"] = checker_url, str(token)
        (self._folder / "settings.yaml").write_text(yaml.safe_dump(settings))

    def _write_kubeconfig(self, server: str) -> None:
        """Of the service account: an administrator's would hide every missing right, and is never throttled."""
        token = run(
            self._cluster,
            *("kubectl", "--namespace", NAMESPACE, "create", "token", _ACCOUNT, f"--duration={_TOKEN_LIFETIME}"),
        )
        cluster = {"server": server}
        if server.startswith("https://"):
            cluster["certificate-authority"] = str(self._cluster.kubeconfig.parent / "ca.crt")
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "operator", "user": {"token": token.strip()}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "operator"}}],
            "current-context": "lab",
        }
        write_private(self._folder / "kubeconfig", json.dumps(document))
