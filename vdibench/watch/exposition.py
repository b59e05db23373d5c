"""A watch as Prometheus sees it: one registry of its own, served over HTTP. A server thread of its own reads the gauge.

Names follow docs/howto/watch.md. Labels have few values and name no session, host or URL: which desktop it is says the
scrape configuration. What is not measured is absent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from vdibench import __version__
from vdibench.errors import UsageError
from vdibench.watch.distribution import Distribution
from vdibench.watch.gauge import Gauge
from vdibench.watch.options import ListenAddress
from vdibench.watch.reading import Down, Reading, SessionFacts, Summary

__all__ = ["Exposition", "serve"]


class Exposition(Collector):
    """The numbers of one watch; an output of the monitor, and a collector of Prometheus' client.

    :param sends_input: input-to-photon is measured.
    """

    def __init__(self, gauge: Gauge, *, sends_input: bool) -> None:
        self._gauge = gauge
        self._sends_input = sends_input
        self._facts: SessionFacts | None = None
        self._now: Reading | None = None
        self._ready_seconds: float | None = None
        self._connections = 0
        # A late packet takes back a loss; a counter that falls would look like a restart.
        self._lost = {"video": 0, "audio": 0}

    def connecting(self) -> None:
        """A connection is being tried."""
        self._connections += 1

    def session(self, facts: SessionFacts) -> None:
        """The desktop is up."""
        self._facts = facts
        self._ready_seconds = facts.session_ready_seconds

    def reading(self, now: Reading, minute: Reading) -> None:
        """Gauges show the last interval."""
        self._now = now

    def down(self, down: Down) -> None:
        """The desktop is down: what described its stream is gone."""
        self._facts = self._now = None

    def summary(self, summary: Summary) -> None:
        """Nothing is watched any more."""
        self._facts = self._now = None

    def collect(self) -> Iterable[Metric]:
        """All metrics of one instant; called by the server's threads."""
        with self._gauge.lock:
            return [*self._state(), *self._counters(), *self._gauges()]

    def _state(self) -> Iterator[Metric]:
        facts = self._facts
        yield _labelled("vdibench_build_info", "Version of vdibench.", {"version": __version__})
        yield GaugeMetricFamily("vdibench_up", "The desktop shows a picture to this watcher.", facts is not None)
        yield CounterMetricFamily(
            "vdibench_reconnects", "Connections tried after the first.", max(0, self._connections - 1)
        )
        if self._ready_seconds is not None:
            yield GaugeMetricFamily(
                "vdibench_session_ready_duration_seconds",
                "From the first request to the first decoded frame, of the last connection.",
                self._ready_seconds,
            )
        if facts is None:
            return
        hardware = {True: "true", False: "false", None: "unknown"}[facts.hardware]
        yield _labelled(
            "vdibench_session_info",
            "What is being watched.",
            {
                "role": facts.role,
                "dialect": facts.dialect,
                "codec": facts.codec or "unknown",
                "encoder": facts.encoder or facts.encoder_setting or "unknown",
                "hardware": hardware,
                "relay": {True: "true", False: "false", None: "unknown"}[facts.relay],
            },
        )
        if facts.clock_bound_seconds is not None:
            yield GaugeMetricFamily(
                "vdibench_clock_bound_seconds",
                "How far the clocks may be apart; absent when unknown: then glass-to-glass means nothing.",
                facts.clock_bound_seconds,
            )

    def _counters(self) -> Iterator[Metric]:
        totals = self._gauge.totals
        yield _histogram(
            "vdibench_glass_to_glass_latency_seconds",
            "Marker drawn in the desktop to frame decoded here, display not included (not W3C). Needs the desk.",
            totals.glass_to_glass,
        )
        yield _histogram(
            "vdibench_decode_duration_seconds", "Last packet of a frame to its picture decoded.", totals.decode
        )
        if self._sends_input:
            yield _histogram(
                "vdibench_input_to_photon_latency_seconds",
                "Key or click sent to the first decoded frame that shows it (not W3C).",
                totals.input_to_photon,
            )
            yield CounterMetricFamily("vdibench_inputs_sent", "Keys and clicks sent.", totals.inputs)
            yield CounterMetricFamily(
                "vdibench_inputs_lost",
                "Keys and clicks that no frame showed.",
                totals.inputs - totals.input_to_photon.count,
            )
        yield CounterMetricFamily("vdibench_frames", "Complete video frames.", totals.frames)
        yield CounterMetricFamily(
            "vdibench_frames_incomplete", "Video frames with a packet lost.", totals.frames_incomplete
        )
        yield CounterMetricFamily("vdibench_freezes", "W3C freezeCount, at arrival.", totals.freezes)
        yield CounterMetricFamily(
            "vdibench_freezes_duration_seconds", "W3C totalFreezesDuration, at arrival.", totals.frozen_seconds
        )
        for kind, lost in (("video", totals.packets_lost), ("audio", totals.audio_packets_lost)):
            self._lost[kind] = max(self._lost[kind], lost)
        yield _by_kind(
            "vdibench_inbound_rtp_packets_received",
            "W3C inbound-rtp packetsReceived.",
            {"video": totals.packets_received, "audio": totals.audio_packets_received},
        )
        yield _by_kind("vdibench_inbound_rtp_bytes_received", "RTP payload.", {"video": totals.bytes_received})
        if not totals.lossy:
            return  # over TCP nothing is lost, and a zero would claim to have looked
        yield _by_kind("vdibench_inbound_rtp_packets_lost", "W3C inbound-rtp packetsLost, at its highest.", self._lost)
        yield _by_kind("vdibench_inbound_rtp_nacks", "W3C inbound-rtp nackCount.", {"video": totals.nack_count})
        yield _by_kind("vdibench_inbound_rtp_plis", "W3C inbound-rtp pliCount.", {"video": totals.pli_count})

    def _gauges(self) -> Iterator[Metric]:
        now = self._now
        if now is None:
            return
        for name, documentation, value in (
            ("inbound_rtp_jitter_seconds", "W3C inbound-rtp jitter of video.", now.jitter_seconds),
            ("inbound_rtp_frames_per_second", "Complete frames, last interval.", now.frames_per_second),
            ("nominal_frames_per_second", "Rate that the desktop is set to.", now.nominal_frames_per_second),
            (
                "inbound_rtp_bitrate_bits_per_second",
                "RTP payload of video, last interval.",
                now.bitrate_bits_per_second,
            ),
            (
                "frozen_for_seconds",
                "How long the picture has stood still, when that is a freeze.",
                now.frozen_for_seconds,
            ),
            (
                "event_loop_lag_seconds",
                "Largest delay of the watcher itself, last interval.",
                now.event_loop_lag_seconds,
            ),
            ("trustworthy", "The watcher is fast enough for its latencies to be believed.", now.trustworthy),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"vdibench_{name}", documentation, value)


@contextmanager
def serve(exposition: Exposition, address: ListenAddress) -> Iterator[str]:
    """Serve ``/metrics`` while the block runs; gives its URL.

    :raises UsageError: the address cannot be listened at.
    """
    registry = CollectorRegistry()
    registry.register(exposition)
    try:
        server, thread = start_http_server(address.port, address.host, registry)
    except OSError as error:
        raise UsageError(
            f"cannot listen at {_bracketed(address.host)}:{address.port}: {(error.strerror or str(error)).lower()}",
            "choose another address with --listen, or end what listens there",
        ) from error
    try:
        yield f"http://{_bracketed(address.host)}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _labelled(name: str, documentation: str, labels: dict[str, str]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=list(labels))
    family.add_metric(list(labels.values()), 1)
    return family


def _by_kind(name: str, documentation: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=["kind"])
    for kind, value in values.items():
        family.add_metric([kind], value)
    return family


def _histogram(name: str, documentation: str, distribution: Distribution) -> Metric:
    buckets = [("+Inf" if math.isinf(bound) else str(bound), count) for bound, count in distribution.buckets()]
    return HistogramMetricFamily(name, documentation, buckets=buckets, sum_value=distribution.sum)
