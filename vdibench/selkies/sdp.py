"""Session descriptions as text: repairs of what Selkies 1.6 offers, and candidates looked at, moved or hidden. Pure.

A description that needs nothing comes back unchanged, so each function may be applied twice. Line ends stay as they
are. A candidate's address is the pair (host, port), as :rfc:`8839` §5.1 writes it; only UDP candidates count, because
nothing here speaks ICE over TCP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = [
    "Address",
    "candidate_address",
    "candidate_addresses",
    "repair_offer",
    "rewrite_candidate",
    "rewrite_candidates",
    "without_candidates",
]

Address = tuple[str, int]

# What webrtcbin writes when it does not lose the race against its encoder's caps; the stream is mode 1 in any case.
_H264_PARAMETERS = "packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1"

_H264 = re.compile(r"^a=rtpmap:(\d+) H264/90000[ \t]*(\r?\n|\Z)", re.MULTILINE | re.IGNORECASE)
_ACTPASS = re.compile(r"^(a=setup:)actpass(?=[ \t]*\r?$)", re.MULTILINE)
_CANDIDATE_LINE = re.compile(r"^a=(candidate:[^\r\n]*)", re.MULTILINE)
_CANDIDATE = re.compile(r"^(candidate:\S+ \d+ (?P<transport>\S+) \d+ )(?P<host>\S+) (?P<port>\d{1,5})(?= typ )")
_GATHERED = re.compile(r"^a=(?:candidate:|end-of-candidates)[^\n]*(?:\n|\Z)", re.MULTILINE)
_DEFAULT_ADDRESS = re.compile(r"^c=IN IP[46] [^\r\n]+", re.MULTILINE)
_DEFAULT_PORT = re.compile(r"^(m=\S+ )[1-9]\d*(?= )", re.MULTILINE)
_RTCP_PORT = re.compile(r"^a=rtcp:\d+[^\r\n]*", re.MULTILINE)


def repair_offer(sdp: str) -> str:
    """Make an offer of Selkies 1.6 acceptable to aiortc.

    H.264 without format parameters, which webrtcbin leaves out about once in ten offers, gets those that the stream
    has. And the desktop is made the DTLS client (``a=setup:active``), because its certificate is RSA and aiortc, as a
    DTLS client, proposes ciphers for elliptic curves only; as a DTLS server it accepts what is proposed.
    """

    def complete(line: re.Match[str]) -> str:
        payload_type, end = line[1], line[2]
        if re.search(rf"^a=fmtp:{payload_type} ", sdp, re.MULTILINE):
            return line[0]
        return f"{line[0]}{'' if end else chr(13) + chr(10)}a=fmtp:{payload_type} {_H264_PARAMETERS}{end}"

    return _ACTPASS.sub(r"\1active", _H264.sub(complete, sdp))


def candidate_address(candidate: str) -> Address | None:
    """Where one candidate (``candidate:…``, as it is trickled) is reached; None when it is not UDP or no candidate."""
    found = _CANDIDATE.match(candidate)
    if found is None or found["transport"].lower() != "udp":
        return None
    return found["host"], int(found["port"])


def rewrite_candidate(candidate: str, address_map: Mapping[Address, Address]) -> str:
    """Move one candidate to the address that stands for its own in the map, if one does."""
    address = candidate_address(candidate)
    if address is None or address not in address_map:
        return candidate
    host, port = address_map[address]
    return _CANDIDATE.sub(lambda found: f"{found[1]}{host} {port}", candidate)


def candidate_addresses(sdp: str) -> list[Address]:
    """The addresses of all UDP candidates in a description, each once, in its order."""
    addresses = (candidate_address(line[1]) for line in _CANDIDATE_LINE.finditer(sdp))
    return list(dict.fromkeys(address for address in addresses if address is not None))


def rewrite_candidates(sdp: str, address_map: Mapping[Address, Address]) -> str:
    """Move every candidate whose address is in the map; the others stay as they are."""
    return _CANDIDATE_LINE.sub(lambda line: "a=" + rewrite_candidate(line[1], address_map), sdp)


def without_candidates(sdp: str) -> str:
    """Take every address of the sender out: candidates, their end marker, and the defaults in ``c=`` and ``m=``.

    The other side then learns addresses only from the packets that reach it. Rejected sections stay rejected.
    """
    bare = _GATHERED.sub("", sdp)
    bare = _DEFAULT_ADDRESS.sub("c=IN IP4 0.0.0.0", bare)
    bare = _RTCP_PORT.sub("a=rtcp:9 IN IP4 0.0.0.0", bare)
    return _DEFAULT_PORT.sub(r"\g<1>9", bare)
