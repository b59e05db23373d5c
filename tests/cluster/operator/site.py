"""The lab as a site of the operator: what is asked of its API server, and how a user reaches a desktop."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vdi_operator.api.objects import Object
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.children import names
from vdi_operator.children.all import children
from vdi_operator.children.kinds import KINDS
from vdi_operator.core.world import World
from vdi_operator.settings import Settings
from vdibench.clusters.api import Api
from vdibench.clusters.connection import connect
from vdibench.lab.cluster.access import ClusterAccess
from vdibench.lab.cluster.differences import differences
from vdibench.lab.cluster.furnishing import DOMAIN, TURN_SECRET, WILDCARD_AUTHORITY
from vdibench.lab.cluster.images import image_names
from vdibench.lab.cluster.operating import NAMESPACE as OPERATOR
from vdibench.lab.cluster.operating import RELEASE, apply, chart_folder, lab_values, run
from vdibench.lab.cluster.played_desktops import played_storage, played_template
from vdibench.records import Credentials, Desktop, Display, Endpoint

LAB = "operator"
SESSIONS = "vdi-sessions"
PORT = 30443
MANAGED = f"app.kubernetes.io/managed-by={names.MANAGER}"
CHILDREN = ("Pod", "Service", "Secret", "IngressRoute", "Middleware", "NetworkPolicy")
PATIENCE = 120.0  # for a busy machine; what is waited for comes in seconds
LOOK_SECONDS = 0.05

# A desktop on the lab's real node, small enough for two cores.
REAL: Object = {
    "gpu": {"resource": "nvidia.com/gpu", "runtimeClassName": "", "nodeSelector": {"vdibench.io/real": "true"}},
    "display": {"width": 640, "height": 360, "framerate": 15, "bitrate": 1_000_000},
    "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
    "home": {"storageClassName": "vdi-home", "size": "1Gi"},
}


class Site:
    """One, for the tests of this folder."""

    def __init__(self, cluster: ClusterAccess) -> None:
        self.cluster = cluster
        self.authority = cluster.kubeconfig.parents[1] / WILDCARD_AUTHORITY
        self._connection = connect(lab=LAB)
        self._api = Api(self._connection)

    def close(self) -> None:
        self._connection.close()

    def kubectl(self, *words: str) -> str:
        return run(self.cluster, "kubectl", *words)

    def helm(self, *words: str, given: str = "") -> str:
        return run(self.cluster, "helm", f"--namespace={OPERATOR}", *words, given=given)

    # the platform

    def install(self, values: Mapping[str, Any]) -> str:
        """The chart with what a lab needs; gives helm's notes."""
        self._secrets()
        chosen = lab_values(self.cluster)
        chosen["settings"] |= values.get("settings", {})
        chosen["image"] = _image("operator")
        real = {"nodeSelector": {"vdibench.io/real": "true"}}
        chosen["operator"] = real
        chosen["checker"] = {**real, "image": _image("checker"), "authorityConfigMap": "vdi-authority"}
        chosen["templates"] = [{"name": "desktop", "spec": played_template(SESSIONS, **REAL)["spec"]}]
        chosen |= {key: value for key, value in values.items() if key != "settings"}
        words = ("install", RELEASE, str(chart_folder()), "--values=-", "--wait", "--timeout=120s")
        return self.helm(*words, given=json.dumps(chosen))

    def install_again(self, values: str) -> None:
        """An upgrade with the values of before, as JSON."""
        words = ("upgrade", RELEASE, str(chart_folder()), "--values=-", "--wait", "--timeout=120s")
        self.helm(*words, given=values)

    def _secrets(self) -> None:
        """What an administrator makes before: a copy of coturn's secret, and the authority of the hosts."""
        secret = (self.cluster.kubeconfig.parents[1] / TURN_SECRET).read_bytes()
        metadata = {"namespace": OPERATOR}
        apply(
            self.cluster,
            [
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {**metadata, "name": "coturn-auth"},
                    "data": {"static-auth-secret": base64.b64encode(secret).decode()},
                },
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {**metadata, "name": "vdi-authority"},
                    "data": {"ca.crt": self.authority.read_text()},
                },
            ],
        )

    def play(self, users: Iterable[str]) -> None:
        """A template of played desktops, and a volume for each user's home."""
        apply(self.cluster, [*played_storage(SESSIONS, map(names.home_name, users)), played_template(SESSIONS)])

    def clear(self) -> None:
        """No session, no home, no volume of a played one."""
        for name in self.all("VDISession"):
            self.delete("VDISession", name)
        self.until(lambda: not self.managed(), "the end of the sessions' children")
        homes = "app.kubernetes.io/component=home"
        self.kubectl("-n", SESSIONS, "delete", "pvc", "-l", homes, "--wait=true", "--timeout=60s")
        self.kubectl("delete", "pv", "-l", "vdibench.io/played=true", "--wait=true", "--timeout=60s")
        self.kubectl("-n", SESSIONS, "delete", "vditemplates", "--all")

    # objects

    def _path(self, kind: str, name: str = "") -> str:
        return KINDS[kind].path(SESSIONS, name)

    def get(self, kind: str, name: str) -> Object | None:
        return self._api.get(self._path(kind, name))

    def all(self, kind: str, labels: str = "") -> dict[str, Object]:
        """Name -> object of a kind."""
        found = self._api.items(self._path(kind), {"labelSelector": labels} if labels else None)
        return {one["metadata"]["name"]: {"kind": kind, **one} for one in found}

    def merge(self, kind: str, name: str, change: Object) -> Object:
        made = self._api.merge(self._path(kind, name), change)
        assert made is not None, f"there is no {kind} {name}"
        return made

    def delete(self, kind: str, name: str) -> bool:
        return self._api.delete(self._path(kind, name))

    def create(self, one: Object) -> None:
        """As a user does, by POST: apply would take over what is there."""
        run(self.cluster, "kubectl", "create", "-f", "-", given=json.dumps(one))

    def apply(self, one: Object) -> None:
        """In one request: a start is timed from here."""
        made = self._api.apply(self._path(one["kind"], one["metadata"]["name"]), one, manager="user")
        assert made is not None, f"the cluster knows no {one['kind']}"

    def managed(self) -> dict[tuple[str, str], Object]:
        """Kind and name -> object, of everything that the operator has made and that goes with a session."""
        return {(kind, name): one for kind in CHILDREN for name, one in self.all(kind, MANAGED).items()}

    # sessions

    def wish(self, name: str, template: str = "desktop", **spec: Any) -> Object:
        """A VDISession's document."""
        return {
            "apiVersion": "vdibench.io/v1alpha1",
            "kind": "VDISession",
            "metadata": {"name": name, "namespace": SESSIONS},
            "spec": {"user": f"{name}@{DOMAIN}", "templateRef": {"name": template}, **spec},
        }

    def condition(self, name: str, kind: str = "Ready") -> Object:
        """Of a session; empty: not written yet."""
        status = (self.get("VDISession", name) or {}).get("status") or {}
        return next((one for one in status.get("conditions") or () if one["type"] == kind), {})

    def ready(self, name: str) -> bool:
        return self.condition(name).get("status") == "True"

    def await_ready(self, name: str, seconds: float = PATIENCE) -> None:
        """Return when a session is Ready."""
        try:
            self.until(lambda: self.ready(name), f"the desktop {name}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {(self.get('VDISession', name) or {}).get('status')}") from error

    def until(self, holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
            time.sleep(LOOK_SECONDS)  # the cluster is at work; there is nothing of it to wait on

    def wanted(self, name: str, settings: Settings) -> dict[tuple[str, str], Object]:
        """Kind and name -> what ought to be there of a session that runs, by the operator's own builders."""
        document = self.get("VDISession", name)
        assert document is not None
        session = Session.of(document)
        template = Template.of(self.get("VDITemplate", session.template) or {})
        world = World(
            now=time.time(),
            settings=settings,
            seen_unix_seconds=0.0,
            auth=self.get("Secret", names.auth_name(session)),
            rtc=self.get("Secret", names.rtc_name(session)),
            relay_addresses=settings.relay_addresses,
            turn_secret=(self.cluster.kubeconfig.parents[1] / TURN_SECRET).read_text(),
            spare_password="never-used-since-one-is-stored",
        )
        return {(one["kind"], one["metadata"]["name"]): one for one in children(session, template, world)}

    def wrong(self, name: str, settings: Settings) -> list[str]:
        """What is not as it ought to be of a session that runs."""
        found = []
        for (kind, child), wanted in self.wanted(name, settings).items():
            actual = self.get(kind, child)
            if actual is None:
                found.append(f"{kind} {child} is not there")
            else:
                found += [f"{kind} {child}: {where}" for where in differences(actual, wanted)]
        return found

    # desktops

    def login(self, name: str) -> Credentials:
        """What the Secret of a session says, which its status names."""
        status = (self.get("VDISession", name) or {})["status"]
        data = (self.get("Secret", status["credentialsSecretRef"]["name"]) or {})["data"]
        user, password = (base64.b64decode(data[key]).decode() for key in ("username", "password"))
        return Credentials(user, password)

    def rtc(self, name: str) -> Object:
        """The RTC configuration in a session's Secret."""
        data = (self.get("Secret", f"vdi-session-rtc-{name}") or {})["data"]
        document: Object = json.loads(base64.b64decode(data["rtc.json"]))
        return document

    def desktop(self, name: str) -> Desktop:
        """A session, as vdibench's client takes it."""
        url = (self.get("VDISession", name) or {})["status"]["url"].rstrip("/")
        endpoint = Endpoint(
            url,
            self.login(name),
            ca_file=str(self.authority),
            resolve=f"{self.cluster.node_address}:{PORT}",
        )
        return Desktop(name, endpoint, owned=True, display=Display(640, 360, 15))

    def ask(self, name: str, path: str, login: Credentials | None = None) -> tuple[int, str]:
        """Status and text that a user gets at a path of a session's host."""
        status, text, _ = self._ask(name, path, login)
        return status, text

    def challenge(self, name: str, path: str) -> str:
        """How a browser that comes without a password is asked for one."""
        _, _, headers = self._ask(name, path, None)
        return headers["WWW-Authenticate"] or ""

    def _ask(self, name: str, path: str, login: Credentials | None) -> tuple[int, str, http.client.HTTPMessage]:
        host = f"{name}.{DOMAIN}"
        context = ssl.create_default_context(cafile=str(self.authority))
        headers = {}
        if login is not None:
            pair = base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        with (
            socket.create_connection((self.cluster.node_address, PORT), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            connection = http.client.HTTPConnection(host)
            connection.sock = tls
            connection.request("GET", path, headers=headers)
            with connection.getresponse() as answer:
                return answer.status, answer.read().decode(errors="replace"), answer.headers

    def inside(self, name: str, script: str) -> str:
        """What a shell in a session's desktop prints."""
        return self.kubectl("-n", SESSIONS, "exec", f"vdi-session-{name}", "--", "sh", "-euc", script)


def _image(name: str) -> Object:
    repository, _, tag = image_names()[name].rpartition(":")
    return {"repository": repository, "tag": tag, "pullPolicy": "Never"}
