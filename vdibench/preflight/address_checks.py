"""Checks of what a user's browser meets first: name, certificate, and of the nodes' clocks. Pure judgement."""

from __future__ import annotations

import datetime
import re
from collections import Counter

from vdibench.preflight.cluster_context import ClusterContext
from vdibench.preflight.cluster_findings import ClusterEvidence
from vdibench.preflight.cluster_snapshot import ClusterSnapshot
from vdibench.preflight.findings import failed, no_data, passed
from vdibench.records import Check

__all__ = ["check_certificate", "check_clocks", "check_wildcard_name", "domain_of"]

# A certificate of 90 days is renewed a month before its end; with two weeks left somebody should have a look.
_LEAST_DAYS = 14
_DAY_SECONDS = 86_400
_HOST = re.compile(r"Host\(`[^`.]+\.([^`]+)`\)")
_NO_DOMAIN = "say which domain the desktops have: --domain vdi.example.com"


def domain_of(context: ClusterContext, snapshot: ClusterSnapshot) -> str:
    """The desktops' domain: as it was said, else the one of Traefik's certificate, else the one of most routes."""
    if context.domain:
        return context.domain
    for store in snapshot.all("TLSStore"):
        generated = (store.get("spec") or {}).get("defaultGeneratedCert") or {}
        main = str((generated.get("domain") or {}).get("main") or "")
        if main:
            return main.removeprefix("*.")
    hosts = Counter(
        match[1]
        for route in snapshot.all("IngressRoute")
        for rule in route["spec"].get("routes") or ()
        if (match := _HOST.search(rule.get("match", "")))
    )
    return hosts.most_common(1)[0][0] if hosts else ""


def check_wildcard_name(evidence: ClusterEvidence) -> Check:
    """A name under the domain that nobody used before leads to Traefik."""
    source = "getaddrinfo on this host"
    readings = evidence.readings
    resolved = readings.resolved
    if resolved is None:
        return no_data("wildcard_name", readings.missing.get("ingress", "there is no domain"), source, _NO_DOMAIN)
    remedy = f"add the record *.{resolved.name.partition('.')[2]} with the addresses of Traefik"
    if resolved.error:
        return failed("wildcard_name", f"{resolved.name}: {resolved.error}", source, remedy)
    found = ", ".join(resolved.addresses)
    if not readings.ingress:
        reason = f"{resolved.name} is {found}; nobody knows where Traefik is"
        return no_data("wildcard_name", reason, source, "say where users reach it: --ingress ADDRESS")
    elsewhere = sorted(set(resolved.addresses) - set(readings.ingress))
    if elsewhere:
        finding = f"{resolved.name} is {', '.join(elsewhere)}, Traefik is at {', '.join(readings.ingress)}"
        return failed("wildcard_name", finding, source, f"{remedy}; where something stands in front, give --ingress")
    return passed("wildcard_name", f"{resolved.name} is {found}", source)


def check_certificate(evidence: ClusterEvidence) -> Check:
    """A browser trusts what Traefik shows for a desktop's name, and will in two weeks."""
    readings = evidence.readings
    shown = readings.certificate
    if shown is None:
        source = "TLS handshake at the ingress"
        reason = readings.missing.get("ingress", "there is no domain")
        remedy = f"{_NO_DOMAIN}, and where users reach Traefik: --ingress ADDRESS"
        return no_data("certificate", reason, source, remedy)
    source = f"TLS handshake at {shown.server} for {shown.name}"
    remedy = (
        "give Traefik one wildcard by DNS-01 in the TLSStore default of its namespace (manifests/network/base); "
        "its log says why there is none"
    )
    if shown.error:
        return failed(
            "certificate", f"no handshake: {shown.error}", source, "start Traefik, and open its port to users"
        )
    wildcard = f"*.{shown.name.partition('.')[2]}"
    days = (shown.ends_unix_seconds - readings.now_unix_seconds) / _DAY_SECONDS
    end = datetime.datetime.fromtimestamp(shown.ends_unix_seconds, datetime.UTC).date()
    said = f"by {shown.issuer}, for {', '.join(shown.names) or 'nobody'}, until {end}"
    if wildcard not in shown.names:
        return failed("certificate", f"not for {wildcard}: {said}", source, remedy)
    if shown.begins_unix_seconds > readings.now_unix_seconds:
        return failed(
            "certificate", f"not valid yet: {said}", source, "look at the clocks of this host and of Traefik's node"
        )
    if days < _LEAST_DAYS:
        return failed("certificate", f"{days:.0f} days left: {said}", source, remedy)
    if shown.distrust:
        other = "take an authority that browsers know, or give this one to them (and to preflight: --ca-file)"
        return failed("certificate", f"not trusted, {shown.distrust}: {said}", source, other)
    return passed("certificate", f"trusted, {said}, {days:.0f} days left", source)


def check_clocks(evidence: ClusterEvidence) -> Check:
    """The nodes' clocks agree with ours."""
    source = "time of a pod on the node, between two readings of ours"
    readings, limit = evidence.readings, evidence.context.clock_seconds
    if not readings.clocks:
        reason = readings.missing.get("pods", "no pod was placed")
        return no_data("clocks", reason, source, "let preflight place its pods, with --image of the desktop")
    apart, unsure, said = [], [], []
    for clock in readings.clocks:
        if clock.error:
            unsure.append(f"{clock.node}: {clock.error}")
            continue
        offset = abs(clock.offset_seconds)
        text = f"{clock.node} {clock.offset_seconds * 1000:+.1f} ± {clock.bound_seconds * 1000:.1f} ms"
        said.append(text)
        if offset - clock.bound_seconds > limit:
            apart.append(text)
        elif offset + clock.bound_seconds > limit:
            unsure.append(f"{text} cannot be told from {limit:g} s")
    if apart:
        remedy = "run a time service on the nodes and on this host (timedatectl, chronyc tracking)"
        return failed("clocks", f"more than {limit:g} s from ours: {', '.join(apart)}", source, remedy)
    if unsure:
        return no_data("clocks", "; ".join(unsure), source, "try again from nearer to the cluster")
    return passed("clocks", ", ".join(said), source)
