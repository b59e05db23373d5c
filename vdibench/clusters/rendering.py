"""The objects of sessions, from the same kustomize overlay that a team applies by hand.

An overlay is built once, for a user who does not exist; each session is a copy with its own name. Runs ``kubectl``;
what says so is pure.
"""

from __future__ import annotations

import copy
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vdibench.clusters.api import Object
from vdibench.clusters.connection import Cluster
from vdibench.errors import UsageError
from vdibench.lab.cluster.prepared import manifests_folder
from vdibench.records import Display, Workload
from vdibench.selkies import Dialect

__all__ = [
    "PLACEHOLDER",
    "Template",
    "Wishes",
    "for_session",
    "kubectl",
    "platform_objects",
    "render",
    "with_variables",
]

# A DNS label that occurs in no manifest: replaced wherever it stands.
PLACEHOLDER = "nobody-yet"

_SETTINGS = "vdi-session-settings"
# Of objects that only an overlay itself reads.
_LOCAL = "config.kubernetes.io/local-config"
_EXAMPLE = ("example.com", "example.org", "example.net")
_NO_DIGEST = "sha256:" + "0" * 64
_MODES = {Dialect.SELKIES_2_WEBRTC: "webrtc", Dialect.SELKIES_2_WEBSOCKET: "websockets"}


@dataclass(frozen=True, slots=True)
class Template:
    """An overlay as kustomize built it.

    :param objects: of the user :data:`PLACEHOLDER`.
    :param domain: below which each session has its host.
    :param turn_address: of the relay.
    """

    objects: tuple[Object, ...]
    domain: str
    turn_address: str

    def host(self, user: str) -> str:
        """Where that user's desktop is served."""
        return f"{user}.{self.domain}"

    def speaking(self, wanted: Dialect | None) -> Dialect:
        """What its desktops speak when ``wanted`` is asked for; None: as the overlay stands.

        :raises UsageError: the overlay's generation of Selkies cannot.
        """
        mode = self.variable("SELKIES_MODE")
        if mode is None:
            found = Dialect.SELKIES_1_WEBRTC
        elif wanted is not None and wanted in _MODES:
            return wanted
        else:
            found = Dialect.SELKIES_2_WEBSOCKET if mode == "websockets" else Dialect.SELKIES_2_WEBRTC
        if wanted not in (None, found):
            raise UsageError(
                f"the session's overlay speaks {found}, and {wanted} is asked for",
                "take another generation's component into its kustomization.yaml",
            )
        return found

    def variable(self, name: str) -> str | None:
        """A variable of the desktop's container as the overlay sets it; None where it does not."""
        environment = {one["name"]: str(one.get("value", "")) for one in _desktop(_pod(self.objects))["env"]}
        return environment.get(name)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is measured of one session, beside what its manifests say.

    :param marker_id: number that its desk draws.
    :param dialect: what it shall speak.
    """

    marker_id: int
    display: Display
    workload: Workload
    bitrate_bps: int
    dialect: Dialect

    def environment(self) -> dict[str, str]:
        """Variables of the desktop's container."""
        display, kbps = self.display, self.bitrate_bps // 1000
        old = self.dialect is Dialect.SELKIES_1_WEBRTC
        desk = f"--session-id {self.marker_id} --rate {display.framerate} --workload {self.workload}"
        made = {
            "SCREEN": f"{display.width}x{display.height}",
            "VDIBENCH_DESK": "1",
            "VDIBENCH_DESK_OPTIONS": desk,
            # 2.x takes a range of one value as locked: neither a client nor a busy moment changes what is measured.
            "SELKIES_FRAMERATE": str(display.framerate) if old else f"{display.framerate}-{display.framerate}",
            "SELKIES_VIDEO_BITRATE": str(kbps) if old else f"{kbps}-{kbps}",
        }
        return made if old else {**made, "SELKIES_MODE": _MODES[self.dialect]}


def kubectl(cluster: Cluster) -> str:
    """The program: the lab's own, or the machine's.

    :raises UsageError: there is none.
    """
    own = cluster.lab.cluster if cluster.lab is not None else None
    if own is not None and "kubectl" in own.programs:
        return str(own.programs["kubectl"])
    found = shutil.which("kubectl")
    if found is None:
        raise UsageError("there is no kubectl, which builds the session's manifests", "install kubectl 1.27 or newer")
    return found


def render(program: str, overlay: str, *, turn_address: str = "", manifests: Path | None = None) -> Template:
    """Build an overlay of one session.

    :param program: kubectl.
    :param overlay: below ``overlays`` of the manifests, such as ``lab/session``.
    :param turn_address: another one than its settings have.
    :param manifests: the folder; None for the one that belongs to this package.
    :raises UsageError: it cannot be built, or still holds an example's values.
    """
    source = manifests or manifests_folder()
    if not (source / "overlays" / overlay / "settings.yaml").is_file():
        raise UsageError(f"there is no overlay {overlay} of a session in {source}", "copy it from overlays/k3s/session")
    with tempfile.TemporaryDirectory(prefix="vdibench-manifests-") as place:
        # A copy, since the overlay's own settings name a user; nothing outside of these two folders belongs to it.
        for part in ("session", f"overlays/{overlay}"):
            shutil.copytree(source / part, Path(place, part), ignore=shutil.ignore_patterns("image"))
        folder = Path(place, "overlays", overlay)
        settings = yaml.safe_load((folder / "settings.yaml").read_text())
        data = settings["data"]
        domain = str(data["host"]).partition(".")[2]
        address = turn_address or str(data["turnAddress"])
        settings["data"] = {
            **data,
            "user": PLACEHOLDER,
            "host": f"{PLACEHOLDER}.{domain}",
            "turnAddress": address,
        }
        (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
        built = _built(program, folder, overlay)
    objects = [one for one in built if one["metadata"]["name"] != _SETTINGS]
    _refuse_examples(overlay, domain, objects)
    return Template(tuple(objects), domain, address)


def platform_objects(program: str, overlay: str, *, manifests: Path | None = None) -> tuple[Object, ...]:
    """What an overlay gives a whole cluster, as kustomize builds it, without what is only the overlay's own.

    :param program: kubectl.
    :param overlay: below ``overlays`` of the manifests, such as ``k3s``.
    :param manifests: the folder; None for the one that belongs to this package.
    :raises UsageError: it cannot be built.
    """
    objects = _built(program, (manifests or manifests_folder()) / "overlays" / overlay, overlay)
    return tuple(one for one in objects if one["metadata"].get("annotations", {}).get(_LOCAL) != "true")


def for_session(template: Template, user: str, wishes: Wishes) -> list[Object]:
    """The objects of one session, its pod last. Pure.

    :param user: whose it is, a DNS label.
    """
    return with_variables([_renamed(one, user) for one in template.objects], wishes.environment())


def with_variables(objects: Sequence[Object], variables: Mapping[str, str]) -> list[Object]:
    """A session's objects with these variables in its desktop's container, its pod last. Pure."""
    made = copy.deepcopy(list(objects))
    container = _desktop(_pod(made))
    container["env"] = [
        *(one for one in container["env"] if one["name"] not in variables),
        *({"name": name, "value": value} for name, value in variables.items()),
    ]
    return sorted(made, key=lambda one: one["kind"] == "Pod")


def _built(program: str, folder: Path, overlay: str) -> list[Object]:
    done = subprocess.run([program, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"cannot build the overlay {overlay}: {done.stderr.strip()}", "mend it: kubectl kustomize")
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def _refuse_examples(overlay: str, domain: str, objects: Sequence[Object]) -> None:
    if domain.endswith(_EXAMPLE):
        raise UsageError(
            f"the overlay {overlay} still serves {domain}", "write your host and relay into its settings.yaml"
        )
    image = str(_desktop(_pod(objects))["image"])
    if image.endswith(_NO_DIGEST):
        raise UsageError(
            f"the overlay {overlay} has no image yet ({image.partition('@')[0]})",
            "write its name and digest into kustomization.yaml",
        )


def _pod(objects: Sequence[Object]) -> Object:
    (found,) = (one for one in objects if one["kind"] == "Pod")
    return found


def _desktop(pod: Object) -> Object:
    container: Object
    (container,) = (one for one in pod["spec"]["containers"] if one["name"] == "desktop")
    return container


def _renamed(value: Any, user: str) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(item, user) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, user) for item in value]
    return value.replace(PLACEHOLDER, user) if isinstance(value, str) else value
