"""Checks of coturn: where it runs, its version, whether it answers and relays. Pure judgement."""

from __future__ import annotations

import re

from vdibench.preflight.cluster_findings import ClusterEvidence
from vdibench.preflight.cluster_readings import TurnReading
from vdibench.preflight.cluster_snapshot import container_images, name, version_numbers
from vdibench.preflight.findings import failed, no_data, passed
from vdibench.records import Check

__all__ = [
    "check_relay",
    "check_relay_tcp",
    "check_relay_udp",
    "check_relay_version",
    "check_udp_path",
    "relay_addresses",
]

# Before 4.9 an IPv4-mapped address walks around denied-peer-ip (CVE-2026-27624); from this one on link-local and unique
# local addresses are denied by default.
_OLDEST_COTURN = (4, 13, 1)
_LOG_VERSION = re.compile(r"Coturn-(\d+(?:\.\d+)+)", re.IGNORECASE)
_TAG_VERSION = re.compile(r"coturn[^@]*:v?(\d+\.\d+(?:\.\d+)?)")
_FIREWALL = "open 3478 by UDP and TCP, and 49152–65535 by UDP, from users to coturn's node"


def relay_addresses(evidence: ClusterEvidence) -> list[str]:
    """Addresses of the nodes whose network a coturn is on."""
    found = (
        str(pod["status"].get("hostIP", ""))
        for pod in evidence.snapshot.relays(evidence.context.turn_namespace)
        if pod["spec"].get("hostNetwork")
    )
    return sorted({address for address in found if address})


def check_relay(evidence: ClusterEvidence) -> Check:
    """A coturn runs, on its node's network."""
    namespace = evidence.context.turn_namespace
    pods = list(evidence.snapshot.relays(namespace))
    source = f"running pods of {namespace}"
    if not pods:
        remedy = "kubectl apply -k manifests/network/turn, and label its node vdibench.io/turn=true"
        return failed("relay", f"no coturn runs in {namespace}", source, remedy)
    inner = sorted(name(pod) for pod in pods if not pod["spec"].get("hostNetwork"))
    if inner:
        remedy = "hostNetwork: true: 16,000 relay ports are no Service, and it must know its own address"
        return failed("relay", f"{', '.join(inner)} is not on its node's network", source, remedy)
    return passed("relay", f"coturn at {', '.join(relay_addresses(evidence))}", source)


def check_relay_version(evidence: ClusterEvidence) -> Check:
    """coturn is new enough to deny what it should."""
    said = _versions(evidence)
    oldest = ".".join(map(str, _OLDEST_COTURN))
    source = "STUN's SOFTWARE, coturn's log, tag of its image"
    if not said:
        remedy = f"see 'turnserver --version' in its pod: {oldest} is the oldest that is safe"
        return no_data("relay_version", "coturn says no version", source, remedy)
    version, where = said[0]
    if version_numbers(version) < _OLDEST_COTURN:
        remedy = f"take {oldest} or newer (manifests/network/turn has 4.17.1)"
        finding = f"coturn {version} is older than {oldest}: peers that are denied can be reached (CVE-2026-27624)"
        return failed("relay_version", finding, where, remedy)
    return passed("relay_version", f"coturn {version}", where)


def check_udp_path(evidence: ClusterEvidence) -> Check:
    """A datagram gets from here to coturn and back."""
    readings = evidence.readings
    source = "STUN Binding by UDP from this host"
    if not readings.bindings:
        reason = readings.missing.get("relay", "there is no coturn to ask")
        return no_data("udp_path", reason, source, "start coturn first")
    lost = [f"{one.server}: {one.error}" for one in readings.bindings if one.error]
    if lost:
        return failed("udp_path", "; ".join(lost), source, _FIREWALL)
    said = ", ".join(f"{one.server} sees this host as {one.mapped}" for one in readings.bindings)
    return passed("udp_path", said, source)


def check_relay_udp(evidence: ClusterEvidence) -> Check:
    """coturn relays for credentials that were minted as a session's are, reached by UDP."""
    return _relays(evidence, "udp")


def check_relay_tcp(evidence: ClusterEvidence) -> Check:
    """The same, reached by TCP: the way of users whose network has no UDP."""
    return _relays(evidence, "tcp")


def _relays(evidence: ClusterEvidence, transport: str) -> Check:
    check = f"relay_{transport}"
    source = f"TURN Allocate, CreatePermission, Send by {transport.upper()} with minted and with wrong credentials"
    found = [one for one in evidence.readings.turn if one.transport == transport]
    if not found:
        reason = evidence.readings.missing.get("turn", "there is no coturn to ask")
        remedy = "start coturn, and let this user read its Secret: credentials are minted with it"
        return no_data(check, reason, source, remedy)
    for one in found:
        wrong = _what_is_wrong(one)
        if wrong is not None:
            return failed(check, f"{one.server} {wrong[0]}", source, wrong[1])
    said = ", ".join(
        f"{one.server} gives {one.relay} after {one.allocation_seconds * 1000:.1f} ms, a datagram between two relay "
        f"addresses takes {(one.passage_seconds or 0.0) * 1000:.1f} ms"
        for one in found
    )
    return passed(check, f"{said}; a wrong password: {found[0].wrong_password}", source)


def _what_is_wrong(one: TurnReading) -> tuple[str, str] | None:
    """Finding and remedy; None when nothing is."""
    if one.error:
        remedy = f"{_FIREWALL}; a refusal with 401 means another secret, or clocks that are apart"
        return f"gives no relay: {one.error}", remedy
    if one.passage_seconds is None:
        remedy = (
            "allow the node's own address (allowed-peer-ip): a session and its user meet there; behind address "
            "translation set EXTERNAL_ADDRESS"
        )
        return f"gives {one.relay} and relays nothing between two such addresses: {one.passage_error}", remedy
    if one.wrong_password == "accepted":
        remedy = "set use-auth-secret: whoever finds the port has a way into the network"
        return "relays for anybody: a wrong password got an allocation", remedy
    if not one.wrong_password.startswith("refused"):
        return f"says nothing to a wrong password: {one.wrong_password}", "read coturn's log"
    return None


def _versions(evidence: ClusterEvidence) -> list[tuple[str, str]]:
    """Versions and where each is from, by the surest source that says any; of several relays the oldest first."""
    spoken = [
        (match[1], f"STUN SOFTWARE of {binding.server}: {binding.software}")
        for binding in evidence.readings.bindings
        if (match := _LOG_VERSION.search(binding.software))
    ]
    match = _LOG_VERSION.search(evidence.readings.turn_log)
    logged = [(match[1], "coturn's log")] if match else []
    tagged = [
        (match[1], f"image {image}")
        for pod in evidence.snapshot.relays(evidence.context.turn_namespace)
        for image in container_images(pod)
        if (match := _TAG_VERSION.search(image))
    ]
    return sorted(spoken or logged or tagged, key=lambda one: version_numbers(one[0]))
