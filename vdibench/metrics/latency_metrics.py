"""Metrics of latency: whole, by stage, and of input. Data only."""

from __future__ import annotations

from vdibench.metrics.dialects import (
    ENCODER_STAMPS,
    NEEDS_DESK,
    NEEDS_DESK_AND_STAMPS,
    ONE_DATAGRAM_AFTER_ANOTHER,
    STAMPS,
)
from vdibench.metrics.metric import Direction, Metric, Provenance, define

__all__ = ["METRICS"]

_LOWER, _DERIVED = Direction.LOWER, Provenance.DERIVED

METRICS: tuple[Metric, ...] = (
    define(
        "glass_to_glass_seconds",
        "seconds",
        "frame",
        _LOWER,
        "frames",
        "From the marker being drawn in the desktop to the first frame that shows it being decoded at the client; "
        "the display is not included.",
        one_way=True,
        dialects=NEEDS_DESK,
    ),
    define(
        "draw_to_arrival_seconds",
        "seconds",
        "frame",
        _LOWER,
        "frames",
        "From the marker being drawn in the desktop to the last packet of the first frame that shows it "
        "being read from the socket; in every dialect the same boundary, and free of decoding.",
        one_way=True,
        dialects=NEEDS_DESK,
    ),
    define(
        "capture_to_arrival_seconds",
        "seconds",
        "frame",
        _LOWER,
        "frames",
        "From the picture being taken from the screen, as the desktop stamps it, to the last packet of the "
        "frame being read from the socket; every complete frame, decoded or not.",
        one_way=True,
        dialects=STAMPS,
    ),
    define(
        "draw_to_capture_seconds",
        "seconds",
        "frame",
        _LOWER,
        "frames",
        "From the marker being drawn to the capture that first shows it, both by the desktop's clock: the "
        "phase between drawing and capturing.",
        dialects=NEEDS_DESK_AND_STAMPS,
    ),
    define(
        "capture_to_encoded_seconds",
        "seconds",
        "frame",
        _LOWER,
        "frames",
        "From the picture being taken from the screen to the encoder returning the frame, both as the "
        "desktop stamps them.",
        dialects=ENCODER_STAMPS,
    ),
    define(
        "encoded_to_sent_seconds",
        "seconds",
        "frame",
        _LOWER,
        "frames",
        "From the encoder returning the frame to its last packet leaving the server's pacer, both as the "
        "desktop stamps them.",
        dialects=ENCODER_STAMPS,
    ),
    define(
        "sent_to_arrival_seconds",
        "seconds",
        "frame",
        _LOWER,
        "frames",
        "From a frame's last packet leaving the server's pacer, as the desktop stamps it, to that packet "
        "being read from the socket: the network.",
        one_way=True,
        dialects=ENCODER_STAMPS,
    ),
    define(
        "first_to_last_packet_seconds",
        "seconds",
        "frame",
        _LOWER,
        "frames",
        "From the first packet of a complete frame being read from the socket to its last; a frame of one "
        "packet gives 0.",
        w3c="inbound-rtp.totalAssemblyTime",
        dialects=ONE_DATAGRAM_AFTER_ANOTHER,
    ),
    define(
        "arrival_to_assembled_seconds",
        "seconds",
        "frame",
        _LOWER,
        "frames",
        "From the last packet of a frame being read from the socket to the frame being handed to the decoder.",
    ),
    define(
        "assembled_to_decoded_seconds",
        "seconds",
        "frame",
        _LOWER,
        "frames",
        "From the frame being handed to the decoder to its picture coming out, waiting for frames before it included.",
        w3c="inbound-rtp.totalDecodeTime",
    ),
    define(
        "decode_seconds",
        "seconds",
        "frame",
        _LOWER,
        "frames",
        "From the last packet of a frame being read from the socket to its picture coming out of the decoder.",
    ),
    define(
        "input_to_photon_seconds",
        "seconds",
        "event",
        _LOWER,
        "inputs",
        "From a key press or click being handed to the connection to the first decoded frame whose echo patch changed; "
        "the display is not included.",
        dialects=NEEDS_DESK,
    ),
    define(
        "key_to_photon_seconds",
        "seconds",
        "event",
        _LOWER,
        "inputs",
        "As input_to_photon_seconds, key presses only.",
        dialects=NEEDS_DESK,
    ),
    define(
        "click_to_photon_seconds",
        "seconds",
        "event",
        _LOWER,
        "inputs",
        "As input_to_photon_seconds, clicks only.",
        dialects=NEEDS_DESK,
    ),
    define(
        "input_path_seconds",
        "seconds",
        "event",
        _LOWER,
        "inputs",
        "From a key press or click being handed to the connection to the latest draw of the marker before the capture "
        "that first shows its echo patch changed: the desk draws marker and patch when it gets the event, and the "
        "marker again with each frame.",
        one_way=True,
        dialects=NEEDS_DESK,
    ),
    define(
        "picture_path_seconds",
        "seconds",
        "event",
        _LOWER,
        "inputs",
        "From the latest draw of the marker in the first frame whose echo patch changed to that frame being decoded.",
        one_way=True,
        dialects=NEEDS_DESK,
    ),
    define(
        "input_loss_ratio",
        "ratio",
        "event",
        _LOWER,
        "inputs",
        "From a key press or click being sent to the end of the wait for it: 1 when no frame showed it, else 0.",
        provenance=_DERIVED,
        dialects=NEEDS_DESK,
    ),
)
