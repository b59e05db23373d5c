"""Metrics of the stream as it arrives: pacing, network, audio, picture, and what they rest on. Data only."""

from __future__ import annotations

from vdibench.metrics.dialects import NEEDS_CLICK_TRACK, NEEDS_DESK, ONE_DATAGRAM_AFTER_ANOTHER
from vdibench.metrics.metric import Direction, Metric, Provenance, define

__all__ = ["METRICS"]

_LOWER, _HIGHER, _NONE, _DERIVED = Direction.LOWER, Direction.HIGHER, Direction.NONE, Provenance.DERIVED

METRICS: tuple[Metric, ...] = (
    define(
        "frames_per_second",
        "1/second",
        "second",
        _HIGHER,
        "frames",
        "Complete frames whose last packet arrived within one second of a session's steady window; a second without "
        "is 0.",
        w3c="inbound-rtp.framesPerSecond",
    ),
    define(
        "frame_interval_seconds",
        "seconds",
        "frame",
        _LOWER,
        "frames",
        "From the last packet of a complete frame to the last packet of the next.",
    ),
    define(
        "freezes_per_minute",
        "1/minute",
        "session",
        _LOWER,
        "frames",
        "Freezes over a session's steady window: an interval between frames of at least max(3 x mean of the last 30, "
        "that mean + 150 ms), at arrival instead of at rendering.",
        w3c="inbound-rtp.freezeCount",
        provenance=_DERIVED,
    ),
    define(
        "freeze_duration_seconds",
        "seconds",
        "session",
        _LOWER,
        "frames",
        "The sum of the intervals that were freezes over a session's steady window; 0 when none was.",
        w3c="inbound-rtp.totalFreezesDuration",
        provenance=_DERIVED,
    ),
    define(
        "frame_size_bytes",
        "bytes",
        "frame",
        _NONE,
        "frames",
        "Payload of one complete frame: of RTP, or of WebSocket messages.",
    ),
    define(
        "bitrate_bits_per_second",
        "bits/second",
        "reading",
        _NONE,
        "network",
        "Payload of the video stream (of RTP, or of WebSocket messages) received from one reading of the counters to "
        "the next.",
        w3c="inbound-rtp.bytesReceived",
        provenance=_DERIVED,
    ),
    define(
        "packets_lost_ratio",
        "ratio",
        "session",
        _LOWER,
        "network",
        "Video packets that did not arrive as first sent, of all that were sent, over a session's steady window.",
        w3c="inbound-rtp.packetsLost",
        provenance=_DERIVED,
        dialects=ONE_DATAGRAM_AFTER_ANOTHER,
    ),
    define(
        "jitter_seconds",
        "seconds",
        "reading",
        _LOWER,
        "network",
        "RFC 3550 interarrival jitter of the video stream at one reading of the counters.",
        w3c="inbound-rtp.jitter",
        dialects=ONE_DATAGRAM_AFTER_ANOTHER,
    ),
    define(
        "socket_drops",
        "packets",
        "session",
        _LOWER,
        "network",
        "Packets that the kernel of the measuring host dropped because the client had not read its socket "
        "in time, over a session's steady window: loss that is not the network's.",
        provenance=_DERIVED,
        dialects=ONE_DATAGRAM_AFTER_ANOTHER,
    ),
    define(
        "audio_packets_per_second",
        "1/second",
        "reading",
        _NONE,
        "network",
        "Packets of the audio stream (WebSocket messages there) received from one reading of the counters to the next.",
        w3c="inbound-rtp.packetsReceived",
        provenance=_DERIVED,
    ),
    define(
        "audio_packets_lost_ratio",
        "ratio",
        "session",
        _LOWER,
        "network",
        "Audio packets that did not arrive as first sent, of all that were sent, over a session's steady window.",
        w3c="inbound-rtp.packetsLost",
        provenance=_DERIVED,
        dialects=ONE_DATAGRAM_AFTER_ANOTHER,
    ),
    define(
        "audio_to_video_offset_seconds",
        "seconds",
        "event",
        _NONE,
        "synchronisation",
        "From the picture of one click of the desk's click track being decoded to the instant its sound begins within "
        "its packet, counted from that packet's arrival; positive when audio is late. Buffers of a player, display and "
        "speakers are not included.",
        dialects=NEEDS_CLICK_TRACK,
    ),
    define(
        "audio_missing_ratio",
        "ratio",
        "session",
        _LOWER,
        "audio",
        "Sound that never came between packets that did, of all sound of a session's steady window; by RTP time "
        "stamps, without them by sound that was never caught up with. A pause over 1 s is silence.",
        provenance=_DERIVED,
    ),
    define(
        "ssim_ratio",
        "ratio",
        "frame",
        _HIGHER,
        "pictures",
        "Structural similarity of one sampled frame and a screenshot of the desktop that shows the same marker.",
        dialects=NEEDS_DESK,
    ),
    define(
        "vmaf_score",
        "points",
        "frame",
        _HIGHER,
        "pictures",
        "VMAF, 0 to 100, of one sampled frame against a screenshot of the desktop that shows the same "
        "marker; only where libvmaf is.",
        dialects=NEEDS_DESK,
    ),
    define(
        "event_loop_lag_seconds",
        "seconds",
        "reading",
        _LOWER,
        "network",
        "The largest delay of the measuring client's own event loop from one reading to the next: what it may add to "
        "every latency.",
    ),
    define(
        "clock_bound_seconds",
        "seconds",
        "reading",
        _LOWER,
        "clock",
        "How far the desktop's clock may be from where one estimate puts it: what every one-way value may be wrong by.",
    ),
)
