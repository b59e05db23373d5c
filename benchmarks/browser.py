"""A real browser beside the client: both watch the same desktop through the same lossy relay, one after the other.

``python benchmarks/browser.py`` writes ``docs/results/browser.md`` and ``browser.json``: frames and loss that each
counted, and the processor time that each took. Loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from chromium import Browser, page_proxy
from samples import Samples

from results import RESULTS, cpu_seconds, provenance, write
from vdibench.client import DesktopSession, Mode, SessionOptions
from vdibench.lab import DesktopSpec, Lab, LabSpec
from vdibench.links import Relay, RelayRoute, profile
from vdibench.records import Desktop
from vdibench.selkies import Role

_WARM_UP_SECONDS = 4.0
# A desktop lets go of a client's pipeline a moment after it left.
_BETWEEN_SECONDS = 4.0


def dropped(route: RelayRoute) -> int:
    """Video packets, as first sent, that the relay threw away towards the client until now."""
    down = route.counters().down
    video = max(down.media_passed, key=lambda payload_type: down.media_passed[payload_type])
    return down.media_dropped.get(video, 0)


async def by_browser(desktop: Desktop, route: RelayRoute, seconds: float) -> dict[str, Any]:
    """What Chromium's own statistics say of a window of time."""
    async with page_proxy(desktop.endpoint, route.udp) as url, Browser(url) as browser:
        await browser.playing()
        await asyncio.sleep(_WARM_UP_SECONDS)  # the window's warm-up
        before, thrown = await browser.video(), dropped(route)
        cpu, began = cpu_seconds([browser.pid]), time.monotonic()
        await asyncio.sleep(seconds)  # the window that is measured
        after, thrown, took = await browser.video(), dropped(route) - thrown, time.monotonic() - began
        cores = (cpu_seconds([browser.pid]) - cpu) / took
    assert before is not None
    assert after is not None
    # Chromium's packetsReceived holds what repairs the stream too; what was first sent is the rest.
    repairs = ("retransmittedPacketsReceived", "fecPacketsReceived")
    received, repairing, lost = (
        sum(after.get(name, 0) - before.get(name, 0) for name in names)
        for names in (("packetsReceived",), repairs, ("packetsLost",))
    )
    received -= repairing
    return {
        "seconds": took,
        "frames": after["framesReceived"] - before["framesReceived"],
        "frames_decoded": after["framesDecoded"] - before["framesDecoded"],
        "packets_received": received,
        "repairing_packets_received": repairing,
        "packets_lost": lost,
        "dropped_by_relay": thrown,
        "loss_ratio": lost / (received + lost),
        "cpu_cores": cores,
    }


async def by_client(desktop: Desktop, route: RelayRoute, seconds: float, mode: Mode) -> dict[str, Any]:
    """What our client says of a window as long."""
    samples = Samples()
    async with DesktopSession(
        desktop, samples, SessionOptions(role=Role.CONTROLLER, route=route, mode=mode)
    ) as session:
        await session.first_frame()
        await session.watch(_WARM_UP_SECONDS)
        before, thrown = session.read(), dropped(route)
        cpu, began, clock = time.process_time(), time.monotonic(), time.time()
        await session.watch(seconds)
        after, thrown, took = session.read(), dropped(route) - thrown, time.monotonic() - began
        cores = (time.process_time() - cpu) / took
        frames = samples.between(clock, clock + took)
    received = after.packets_received - before.packets_received
    lost = after.packets_lost - before.packets_lost
    return {
        "seconds": took,
        "frames": len(frames),
        "frames_decoded": sum(one.decoded_unix_seconds == one.decoded_unix_seconds for one in frames),
        "packets_received": int(received),
        "packets_lost": int(lost),
        "dropped_by_relay": thrown,
        "loss_ratio": lost / (received + lost),
        "cpu_cores": cores,
    }


def page(document: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    host, rows = document["host"], document["watchers"]
    chromium, client = rows["chromium"], rows["vdibench, every frame decoded"]
    frames = client["frames"] / client["seconds"] / (chromium["frames"] / chromium["seconds"]) - 1
    loss = client["loss_ratio"] / chromium["loss_ratio"] - 1
    lines = [
        "# A real browser beside the client",
        "",
        f"Measured {document['date']} by `python benchmarks/browser.py` on {host['cpu_model']}, {host['cpu_cores']} "
        "cores, no GPU. One desktop, 1920×1080 at 60 frames per second, 8 Mbit/s, selkies-2-webrtc, through the relay "
        f"of `vdibench.links` with {document['link']}; one watcher after the other, {document['seconds']:g} s each.",
        "",
        "| watcher | frames received | decoded | packets received | lost as first sent | dropped by the relay | loss "
        "| CPU, cores |",
        f"|{'---|' * 8}",
    ]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {row['frames']:,} | {row['frames_decoded']:,} | {row['packets_received']:,} "
            f"| {row['packets_lost']:,} | {row['dropped_by_relay']:,} | {100 * row['loss_ratio']:.2f} % "
            f"| {row['cpu_cores']:.3f} |"
        )
    lines += [
        "",
        f"Against Chromium the client counts {100 * frames:+.1f} % frames a second. Of the packets that the relay "
        f"dropped Chromium reported {chromium['packets_lost']} of {chromium['dropped_by_relay']}, the client "
        f"{client['packets_lost']} of {client['dropped_by_relay']}; their ratios differ by {100 * loss:+.1f} %. The "
        "link loses evenly: by chance alone two windows of so few losses may differ by more than the 5 % allowed. "
        f"Packets are counted as first sent; Chromium also had {chromium['repairing_packets_received']:,} of forward "
        "error correction and retransmission, which its packetsReceived includes.",
        "",
        "Chromium (all its processes, headless) decrypts, decodes, composes and plays sound to nobody. The client "
        "decodes every frame and reads its marker, and renders nothing; as a meter it reads headers only: it decrypts, "
        "decodes and renders nothing.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure, write, and say whether both agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--link", default="down.loss=1%,down.even=yes")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    link = profile(arguments.link)
    rows: dict[str, dict[str, Any]] = {}

    def through(relay: Relay, watcher: str) -> RelayRoute:
        print(f"{watcher}: {arguments.seconds:g} s", file=sys.stderr, flush=True)
        return relay.route(link, seed=1)

    with Lab.up(LabSpec(desktops=(DesktopSpec(),)), owned=True) as lab, Relay() as relay:
        desktop = lab.desktops[0]
        route = through(relay, "chromium")
        rows["chromium"] = asyncio.run(by_browser(desktop, route, arguments.seconds))
        route.close()
        for name, mode in (("vdibench, every frame decoded", Mode.DECODE), ("vdibench, meter", Mode.METER)):
            time.sleep(_BETWEEN_SECONDS)  # see there
            route = through(relay, name)
            rows[name] = asyncio.run(by_client(desktop, route, arguments.seconds, mode))
            route.close()
    document = {
        **provenance(),
        "link": arguments.link,
        "seconds": arguments.seconds,
        "watchers": rows,
    }
    write(arguments.output, "browser", document, page(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
