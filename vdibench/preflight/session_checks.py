"""Checks of running sessions: do they use our relay, and will they go on to? Pure judgement."""

from __future__ import annotations

import posixpath

from vdibench.preflight.cluster_findings import ClusterEvidence
from vdibench.preflight.cluster_snapshot import Object, name
from vdibench.preflight.findings import failed, no_data, not_applicable, passed
from vdibench.preflight.relay_checks import relay_addresses
from vdibench.records import Check
from vdibench.selkies.ice_servers import IceServer

__all__ = ["check_session_relay", "check_session_secret"]

_SETTING = "SELKIES_RTC_CONFIG_JSON"
_START = (
    "have a session and check again: apply manifests/overlays/k3s/session for a user, or check while notebook 02 "
    "has one (vdibench run 02 --target manifests)"
)


def check_session_relay(evidence: ClusterEvidence) -> Check:
    """Every running session names our relay, and nobody else's."""
    source = "/api/turn of each running session, asked in its pod"
    readings = evidence.readings
    ours = {*relay_addresses(evidence), *evidence.context.relay_names}
    if "sessions" in readings.missing:
        return no_data(
            "session_relay", readings.missing["sessions"], source, "report this as a defect, with the message"
        )
    if not readings.sessions:
        return not_applicable("session_relay", f"no session runs that could be asked for its relay: {_START}")
    foreign, without, broken = [], [], []
    for session in readings.sessions:
        servers = [IceServer(url) for url in session.urls]
        hosts = {server.host for server in servers}
        if session.error:
            broken.append(f"{session.pod}: {session.error}")
        elif hosts - ours:
            foreign.append(f"{session.pod} names {', '.join(sorted(hosts - ours))}")
        elif not any(server.is_turn for server in servers):
            without.append(f"{session.pod} names no relay")
    remedy = (
        "give the session its RTC configuration as a plain file: a file of a Secret is a link, which Selkies refuses "
        "in silence, and then it takes a public relay (manifests/session)"
    )
    if foreign or without:
        return failed("session_relay", "; ".join([*foreign, *without]), source, remedy)
    if broken:
        return no_data("session_relay", "; ".join(broken), source, "look at the log of the pod that it names")
    return passed("session_relay", f"{len(readings.sessions)} sessions name {', '.join(sorted(ours))} only", source)


def check_session_secret(evidence: ClusterEvidence) -> Check:
    """No session reads its RTC configuration from where Selkies does not."""
    source = f"{_SETTING} and the volumes of the running sessions"
    pods = list(evidence.snapshot.sessions(evidence.context.session_namespace))
    if not pods:
        return not_applicable("session_secret", f"no session runs whose configuration could be looked at: {_START}")
    linked = sorted({name(pod) for pod in pods for container in pod["spec"]["containers"] if _is_link(pod, container)})
    if linked:
        remedy = (
            "copy it to a plain file, as the image's entrypoint does from /run/rtc to /run/user/rtc.json; a mount with "
            "subPath is read too, and never follows a change"
        )
        return failed(
            "session_secret", f"{', '.join(linked)} reads a file of a Secret, which is a link", source, remedy
        )
    return passed("session_secret", f"{len(pods)} sessions read a plain file", source)


def _is_link(pod: Object, container: Object) -> bool:
    """Whether the setting names a file of a mounted Secret or ConfigMap: a link, but for mounts with ``subPath``."""
    setting: Object = next((one for one in container.get("env") or () if one["name"] == _SETTING), {})
    path = posixpath.normpath(str(setting.get("value") or "/"))
    sources = {
        volume["name"]
        for volume in pod["spec"].get("volumes") or ()
        if {"secret", "configMap", "projected"} & volume.keys()
    }
    mounts = [mount for mount in container.get("volumeMounts") or () if _holds(mount["mountPath"], path)]
    if not mounts or "..data" in path.split("/"):
        return False  # the link's own target is a plain file, which is read once
    nearest = max(mounts, key=lambda mount: len(mount["mountPath"]))
    return nearest["name"] in sources and not nearest.get("subPath")


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
