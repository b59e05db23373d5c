"""Open a target: get desktops, and end what was started for them afterwards. I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vdibench.errors import UsageError
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.recorder import Recorder
from vdibench.records import Credentials, Desktop, Display, Endpoint, Subjects, Workload
from vdibench.replay.process import DIALECTS, SPACING_SECONDS, ReplayServer
from vdibench.replay.trace import load_trace
from vdibench.replay.traces import LabTrace, cached_trace
from vdibench.selkies import Dialect
from vdibench.targets.address import TargetAddress

if TYPE_CHECKING:
    from vdibench.targets.cluster_sessions import PodSessions

__all__ = ["OpenTarget", "Wanted", "open_target"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a suite wants from a target. A URL's desktop is as it is; a lab makes what is wanted.

    :param desktops: how many at once.
    :param workloads: what they show, one after the other and from the first again when there are more desktops.
    :param take_control: of a URL's desktop: evicts its user, sends input and leaves settings behind.
    :param gpu: the desktops should have a GPU.
    :param token: session token of a URL's desktop in secure mode.
    :param template: the VDITemplate of target ``operator``.
    :param dialect: what a lab of its own should speak, and what a desktop must speak; None for whatever it speaks
        (a lab of its own then speaks WebRTC; pods speak what their manifests or their template say).
    :param context: of the kubeconfig, for pods on a user's cluster; empty for a lab's cluster.
    :param relay_only: of pods: the first picture comes through the TURN relay alone.
    :param pending_seconds: so long a pod may wait for a node before its session is given up.
    """

    desktops: int = 1
    display: Display = field(default_factory=lambda: Display(1920, 1080, 60))
    workloads: tuple[Workload, ...] = (Workload.TEXT,)
    bitrate_bps: int = 8_000_000
    credentials: Credentials | None = None
    take_control: bool = False
    ca_file: str = ""
    insecure: bool = False
    gpu: bool = False
    token: str = field(default="", repr=False)
    dialect: Dialect | None = None
    template: str = "desktop"
    context: str = ""
    relay_only: bool = False
    pending_seconds: float = 30.0

    def workload(self, index: int) -> Workload:
        """What the desktop of that index should show."""
        return self.workloads[index % len(self.workloads)]


@dataclass(frozen=True, slots=True)
class OpenTarget:
    """Desktops to measure.

    :param secrets: what must not reach any file.
    :param replay: what stands for the desktops, where there are none.
    :param pods: what the desktops are, on a cluster.
    """

    address: TargetAddress
    desktops: tuple[Desktop, ...]
    secrets: tuple[str, ...]
    lab: Lab | None = None
    replay: ReplayServer | None = None
    pods: PodSessions | None = None

    @property
    def subjects(self) -> Subjects | None:
        """What a measurement of them is of; None where no manifests of this package made them."""
        return self.pods.subjects if self.pods is not None else None

    def tell(self, recorder: Recorder) -> None:
        """Record what became known of the desktops while they came up."""
        if self.pods is not None:
            self.pods.tell(recorder)


@contextmanager
def open_target(address: TargetAddress, wanted: Wanted, on_progress: Callable[[str], None]) -> Iterator[OpenTarget]:
    """Open ``address``; leaving the block takes down what was started for it.

    :raises UsageError: more desktops than the target has.
    :raises LabError: the lab does not come up.
    :raises TargetUnavailable: no pod of a cluster comes up.
    :raises VdibenchError: there is no trace, and none can be recorded.
    """
    if address.kind == "replay":
        with _replayed(address, wanted, on_progress) as replay:
            yield replay
        return
    if address.kind == "manifests":
        from vdibench.targets.pods import open_pods  # a cluster's client is an extra

        with open_pods(address, wanted, on_progress) as pods:
            yield OpenTarget(address, pods.desktops, pods.secrets, pods=pods)
        return
    if address.kind == "operator":
        from vdibench.targets.vdisessions import open_vdisessions  # a cluster's client is an extra

        with open_vdisessions(address, wanted, on_progress) as sessions:
            yield OpenTarget(address, sessions.desktops, sessions.secrets, pods=sessions)
        return
    if address.kind == "url":
        if wanted.desktops > 1:
            raise UsageError(
                f"{address.name} is one desktop, and {wanted.desktops} are wanted",
                "set max_desktops to 1, or use target lab",
            )
        desktop = Desktop(
            "desktop-0",
            Endpoint(address.name, wanted.credentials, wanted.ca_file, wanted.insecure, wanted.token),
            owned=wanted.take_control,
            gpu=wanted.gpu,
            dialect=str(wanted.dialect or ""),
        )
        known = (wanted.credentials.password if wanted.credentials else "", wanted.token)
        yield OpenTarget(address, (desktop,), tuple(secret for secret in known if secret))
        return
    if address.name:
        lab = Lab.find(address.name)
        if len(lab.desktops) < wanted.desktops:
            raise UsageError(
                f"lab {address.name!r} has {len(lab.desktops)} desktops, and {wanted.desktops} are wanted",
                f"start it with vdibench lab up --name {address.name} --desktops {wanted.desktops}",
            )
        for index, desktop in enumerate(lab.desktops[: wanted.desktops]):
            if wanted.dialect is not None and desktop.dialect != wanted.dialect:
                raise UsageError(
                    f"lab {address.name!r} speaks {desktop.dialect}, and {wanted.dialect} is asked for",
                    f"start one with vdibench lab up --dialect {wanted.dialect}",
                )
            if (desktop.display, desktop.workload) != (wanted.display, wanted.workload(index)):
                raise UsageError(
                    f"{desktop.id} of lab {address.name!r} shows {desktop.workload} at {desktop.display}, and "
                    f"{wanted.workload(index)} at {wanted.display} is asked for",
                    "set the parameters width, height, framerate and workload to what it shows",
                )
        yield _of_lab(address, lab, wanted.desktops)
        return
    specs = tuple(
        DesktopSpec(
            display=wanted.display,
            workload=wanted.workload(index),
            bitrate_bps=wanted.bitrate_bps,
            dialect=wanted.dialect or Dialect.SELKIES_2_WEBRTC,
        )
        for index in range(wanted.desktops)
    )
    with Lab.up(LabSpec(desktops=specs), owned=True, on_progress=on_progress) as lab:
        yield _of_lab(address, lab, wanted.desktops)


def _of_lab(address: TargetAddress, lab: Lab, count: int) -> OpenTarget:
    return OpenTarget(address, lab.desktops[:count], lab.secrets, lab)


@contextmanager
def _replayed(address: TargetAddress, wanted: Wanted, on_progress: Callable[[str], None]) -> Iterator[OpenTarget]:
    """Any number of desktops at one address: as many sessions as are wanted of one trace, which is as it is."""
    if address.name:
        path = Path(address.name)
    else:
        path = cached_trace(LabTrace(wanted.display, wanted.bitrate_bps, wanted.workloads[0]), on_progress)
    came = load_trace(path).provenance
    dialect = wanted.dialect or Dialect.SELKIES_2_WEBRTC
    if dialect not in DIALECTS:
        raise UsageError(f"a replay cannot speak {dialect}", f"choose {' or '.join(DIALECTS)}")
    # All of them are one address to Selkies' limit on new connections, as users behind one proxy are.
    spacing = SPACING_SECONDS if dialect is Dialect.SELKIES_2_WEBSOCKET else 0.0
    on_progress(f"replaying {came.describe()}")
    with ReplayServer(path, dialect=dialect, spacing_seconds=spacing) as replay:
        desktops = tuple(
            Desktop(
                f"desktop-{number}",
                Endpoint(replay.url),
                owned=True,
                display=came.display,
                encoder="h264enc",
                dialect=str(dialect),
            )
            for number in range(wanted.desktops)
        )
        yield OpenTarget(address, desktops, (), replay=replay)
