"""The raw samples: which tables a run folder holds and what each column means.

Every table starts with the same five columns, which say where in the run a row belongs:

``suite``    suite name (``stream_validation``)
``level``    sessions that were running together; 1 where a suite has no levels
``trial``    repetition of that level, from 0; -1: how pods started, before any repetition
``phase``    ``warmup``, ``steady`` or ``probe`` (a check beside the measurement, through the relay for example);
             statistics use ``steady`` only, the others stay readable
``session``  desktop id, ``client`` for the measuring side, ``engine-N``, ``host`` or ``gpu-N``

Statistics are never stored here: each can be recomputed from these rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["TABLES", "Column", "Table"]

Dtype = Literal["string", "int64", "float64", "bool"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name carries the unit; ``float64`` uses NaN for "not measured" and for "not applicable".

    :param since: the schema of run folders that first has it; an older folder reads with it empty
        (NaN, ``""``, -1 or False), never as a zero.
    """

    name: str
    dtype: Dtype
    meaning: str
    since: int = 1


@dataclass(frozen=True, slots=True)
class Table:
    """A table: one parquet file set ``samples/<name>-*.parquet``."""

    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The column names, in order."""
        return tuple(column.name for column in self.columns)


_PLACE = (
    Column("suite", "string", "suite that took the sample"),
    Column("level", "int64", "sessions running together"),
    Column("trial", "int64", "repetition of the level, from 0; -1: how pods started, before any"),
    Column("phase", "string", "warmup, steady or probe"),
    Column("session", "string", "desktop id, client, engine-N, host or gpu-N"),
)


def _table(name: str, row: str, *columns: Column) -> Table:
    return Table(name, row, _PLACE + columns)


_ALL = (
    _table(
        "frames",
        "one video frame, decoded or not",
        Column("arrival_unix_seconds", "float64", "last packet of the frame read from the socket"),
        Column(
            "rtp_timestamp",
            "int64",
            "RTP time stamp, 90 kHz, 32 bits; over WebSocket the frame's number, 16 bits",
        ),
        Column("packets", "int64", "RTP packets of the frame that arrived"),
        Column("size_bytes", "int64", "RTP payload of the frame"),
        Column("key_frame", "bool", "an IDR picture"),
        Column("complete", "bool", "no packet of the frame was missing"),
        Column("decoded_unix_seconds", "float64", "decoder returned the picture; NaN when not decoded"),
        Column("marker_unix_seconds", "float64", "instant drawn in the marker; NaN when not read"),
        Column("marker_repeated", "bool", "an earlier frame already showed this marker"),
        Column("first_arrival_unix_seconds", "float64", "first packet of the frame read from the socket", 2),
        Column("assembled_unix_seconds", "float64", "frame put together and handed to the decoder", 2),
        Column("capture_unix_seconds", "float64", "desktop's clock: picture taken from the screen, as it says", 2),
        Column("encoded_unix_seconds", "float64", "desktop's clock: encoder returned the frame, as it says", 2),
        Column("sent_unix_seconds", "float64", "desktop's clock: frame handed to its socket, as it says", 2),
    ),
    _table(
        "inputs",
        "one key press or click",
        Column("kind", "string", "key or click"),
        Column("sent_unix_seconds", "float64", "event handed to the data channel"),
        Column("photon_unix_seconds", "float64", "first decoded frame whose patch changed; NaN: never seen"),
        Column("drawn_unix_seconds", "float64", "desktop's clock: instant in the marker of that frame; NaN unknown", 2),
    ),
    _table(
        "milestones",
        "one step of a session's life",
        Column(
            "event",
            "string",
            "started, reachable, signalled, offered, ice_connected, connected, "
            "channel_open, first_packet, first_frame, failed, leaving, left",
        ),
        Column("unix_seconds", "float64", "when it happened"),
    ),
    _table(
        "network",
        "one reading of the counters of the video stream, once a second",
        Column("unix_seconds", "float64", "when the counters were read"),
        Column("packets_received", "int64", "cumulative, W3C inbound-rtp packetsReceived"),
        Column("packets_lost", "float64", "cumulative, W3C inbound-rtp packetsLost; NaN over TCP: not applicable"),
        Column("bytes_received", "int64", "cumulative RTP payload, W3C inbound-rtp bytesReceived"),
        Column("jitter_seconds", "float64", "RFC 3550 interarrival jitter; NaN without RTP"),
        Column("nack_count", "float64", "cumulative, W3C inbound-rtp nackCount; NaN without RTP"),
        Column("pli_count", "float64", "cumulative, W3C inbound-rtp pliCount; NaN without RTP"),
        Column("audio_packets_received", "int64", "cumulative, of the audio stream"),
        Column(
            "event_loop_lag_seconds",
            "float64",
            "largest delay of the client's event loop since the reading before",
        ),
        Column("audio_packets_lost", "float64", "cumulative, of the audio stream; NaN over TCP: not applicable", 2),
        Column("socket_drops", "float64", "cumulative, packets the kernel dropped at our socket; NaN unknown", 2),
    ),
    _table(
        "resources",
        "one reading of one resource, once a second; an absent resource has no row, never a zero",
        Column("unix_seconds", "float64", "when it was read"),
        Column(
            "resource",
            "string",
            "cpu_cores, memory_bytes, gpu_utilization_ratio, "
            "gpu_encoder_utilization_ratio, gpu_memory_bytes, load_average_1m, cpu_steal_cores, "
            "cpu_waiting_ratio",
        ),
        Column(
            "value",
            "float64",
            "in the unit of the resource's name; cpu_cores is busy cores since the reading before",
        ),
    ),
    _table(
        "checks",
        "one manual check",
        Column("name", "string", "stable identifier"),
        Column("outcome", "string", "pass, fail, no data or not applicable"),
        Column("finding", "string", "what was found"),
        Column("evidence", "string", "where the finding comes from"),
        Column("remedy", "string", "what to do about it"),
    ),
    _table(
        "facts",
        "one thing that a session said of itself (encoder, codec profile, candidate pair)",
        Column("key", "string", "dotted name"),
        Column("value", "string", "as text"),
    ),
    _table(
        "server",
        "one figure that the desktop's server states of itself",
        Column("unix_seconds", "float64", "when it was received, or for a log when it was written"),
        Column(
            "name",
            "string",
            "encode_seconds, pipeline_seconds, send_seconds, frames_per_second, round_trip_seconds, "
            "element.<name>_seconds of the GStreamer tracer",
        ),
        Column("value", "float64", "in the unit of its name"),
    ),
    _table(
        "clock",
        "one estimate of the desktop's clock",
        Column("unix_seconds", "float64", "when it was made"),
        Column("offset_seconds", "float64", "desktop's clock minus the client's"),
        Column("bound_seconds", "float64", "the offset is right to within this"),
        Column("source", "string", "same host, data channel or web server"),
    ),
    _table(
        "pictures",
        "one sampled frame against a screenshot of the desktop at the same marker",
        Column("marker_unix_seconds", "float64", "instant drawn in the marker of both"),
        Column("ssim_ratio", "float64", "structural similarity, 1 when equal"),
        Column("vmaf_score", "float64", "0 to 100; NaN where libvmaf is missing"),
    ),
    _table(
        "synchronisation",
        "one click that was both seen and heard",
        Column("unix_seconds", "float64", "when its picture was decoded"),
        Column("offset_seconds", "float64", "audio minus video; positive: audio is late"),
    ),
    _table(
        "audio",
        "one second of a session in which audio packets came",
        Column("unix_seconds", "float64", "arrival of the second's last packet"),
        Column("packets", "int64", "Opus packets that arrived"),
        Column("received_seconds", "float64", "how long they sound"),
        Column("missing_seconds", "float64", "sound between them that never came; a pause over 1 s is silence"),
    ),
    _table(
        "engine",
        "one second of one process that hosts sessions under load",
        Column("unix_seconds", "float64", "end of the second", 3),
        Column("users", "int64", "users that were asked of this process; -1 where nobody said", 3),
        Column("sessions", "int64", "sessions that showed video", 3),
        Column("cpu_ratio", "float64", "cores that the process took", 3),
        Column("worker_cpu_ratio", "float64", "cores that the Locust worker beside it took; NaN without one", 3),
        Column("loop_lag_seconds", "float64", "largest delay of the event loop", 3),
        Column("loop_lag_p99_seconds", "float64", "delay of the event loop in 99 of 100 looks", 3),
        Column("rss_bytes", "float64", "resident memory of the process", 3),
        Column("socket_drops", "float64", "datagrams that its sockets threw away in this second", 3),
        Column("backlog", "int64", "frames that waited for a decoder", 3),
        Column("rows", "int64", "rows of all tables that it recorded in this second", 3),
    ),
    _table(
        "requests",
        "one step of a user under load, as Locust counts it",
        Column("unix_seconds", "float64", "when it began", 3),
        Column("name", "string", "connect, first frame, watch, key, click, text, scroll, resize, reconnect, ...", 3),
        Column("duration_seconds", "float64", "from its beginning to its end", 3),
        Column("error", "string", "why it failed; empty when it did not", 3),
    ),
)

TABLES = MappingProxyType({table.name: table for table in _ALL})
