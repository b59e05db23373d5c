"""The stand-in's media: Debian's webrtcbin and x264enc on a real screen. Run by the system's Python.

``/usr/bin/python3 media.py DISPLAY``: one JSON object a line, orders on standard input, events on standard output. Ends
with its standard input. Element names are those of Selkies 1.6, since GStreamer's latency tracer names elements.

Orders: ``{"do": "start", "leg": 1, "fps": 30, "bitrate": 4000, "greeting": [..]}``, ``answer`` (leg, sdp),
``candidate`` (leg, index, candidate), ``say`` (text), ``fps`` (leg, fps), ``resize`` (width, height), ``stop`` (leg).
Events: ``ready``, ``offer`` (leg, sdp), ``candidate`` (leg, index, candidate), ``open``, ``verb`` (text), ``failed``
(leg, text), ``stopped`` (leg).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

import gi
from hands import Hands

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402  # versions must be required before

VIDEO, AUDIO = 1, 3
ENDLESS = 2147483647

VIDEO_PIPELINE = """
ximagesrc name=x11 display-name={display} show-pointer=false use-damage=false
 ! capsfilter caps=video/x-raw,framerate={fps}/1 name=rate
 ! videoconvert ! capsfilter caps=video/x-raw,format=NV12
 ! x264enc name=x264enc threads=1 b-adapt=false bframes=0 aud=false key-int-max={endless} mb-tree=false rc-lookahead=0
   sync-lookahead=0 sliced-threads=true byte-stream=true pass=cbr speed-preset=ultrafast tune=zerolatency
   bitrate={bitrate} insert-vui=true dct8x8=false
 ! capsfilter caps=video/x-h264,profile=constrained-baseline,stream-format=byte-stream
 ! rtph264pay mtu=1200 aggregate-mode=zero-latency config-interval=-1
 ! capsfilter caps=application/x-rtp,media=video,encoding-name=H264,payload=97,clock-rate=90000,{feedback}
 ! app.
"""
AUDIO_PIPELINE = """
{source}
 ! audioconvert ! capsfilter caps=audio/x-raw,channels=2,rate=48000
 ! opusenc bitrate=128000 frame-size=10
 ! rtpopuspay ! capsfilter caps=application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000
 ! app.
"""
FEEDBACK = "rtcp-fb-nack-pli=(boolean)true,rtcp-fb-ccm-fir=(boolean)true,rtcp-fb-transport-cc=(boolean)true"


class Leg:
    """One pipeline with its webrtcbin; all methods in the main loop's thread."""

    def __init__(self, process: Process, number: int, order: dict[str, Any]) -> None:
        self._process = process
        self.number = number
        self._greeting = order.get("greeting", [])
        self._pipeline = Gst.Pipeline.new(f"leg{number}")
        text = "webrtcbin name=app bundle-policy=max-compat latency=0 " + self._chain(order)
        self._pipeline.add(Gst.parse_bin_from_description(text, False))
        self._app = self._pipeline.get_by_name("app")
        if order.get("turn"):
            self._app.set_property("turn-server", order["turn"])
        self.channel: Any = None
        self._app.connect("on-negotiation-needed", lambda app: self._make_offer())
        self._app.connect("on-ice-candidate", self._found_candidate)
        bus = self._pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self._failed)
        self._app.emit("get-transceiver", 0).set_property("do-nack", number == VIDEO)
        self._pipeline.set_state(Gst.State.READY)
        if number == VIDEO:
            options = Gst.Structure.new_from_string("application/data-channel,ordered=true,max-retransmits=0")
            self.channel = self._app.emit("create-data-channel", "input", options)
            self.channel.connect("on-open", self._opened)
            self.channel.connect("on-message-string", self._heard)
        self._pipeline.set_state(Gst.State.PLAYING)

    def _chain(self, order: dict[str, Any]) -> str:
        if self.number == VIDEO:
            return VIDEO_PIPELINE.format(
                display=self._process.display,
                fps=order["fps"],
                bitrate=order["bitrate"],
                endless=ENDLESS,
                feedback=FEEDBACK,
            )
        source = "audiotestsrc is-live=true wave=silence name=pulsesrc"
        if "PULSE_SERVER" in os.environ:
            source = "pulsesrc name=pulsesrc device=output.monitor buffer-time=100000 latency-time=10000"
        return AUDIO_PIPELINE.format(source=source)

    def _make_offer(self) -> None:
        promise = Gst.Promise.new_with_change_func(lambda promise: self._offered(promise))
        self._app.emit("create-offer", None, promise)

    def _offered(self, promise: Any) -> None:
        promise.wait()
        reply = promise.get_reply()  # owns the offer
        offer = reply.get_value("offer")
        self._app.emit("set-local-description", offer, Gst.Promise.new())
        self._process.tell(event="offer", leg=self.number, sdp=offer.sdp.as_text())

    def _found_candidate(self, app: Any, index: int, candidate: str) -> None:
        self._process.tell(event="candidate", leg=self.number, index=index, candidate=candidate)

    def answer(self, sdp: str) -> None:
        """Take the client's answer."""
        _, message = GstSdp.SDPMessage.new_from_text(sdp)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self._app.emit("set-remote-description", answer, Gst.Promise.new())

    def candidate(self, index: int, candidate: str) -> None:
        """Take a trickled candidate."""
        self._app.emit("add-ice-candidate", index, candidate)

    def set_fps(self, fps: int) -> None:
        """Another rate, at once."""
        self._pipeline.get_by_name("rate").set_property("caps", Gst.Caps.from_string(f"video/x-raw,framerate={fps}/1"))

    def resized(self) -> None:
        """Look at the whole screen anew after its size changed."""
        source = self._pipeline.get_by_name("x11")
        source.set_state(Gst.State.NULL)
        source.sync_state_with_parent()

    def _opened(self, channel: Any) -> None:
        for text in self._greeting:
            channel.emit("send-string", text)
        self._process.tell(event="open")

    def _heard(self, channel: Any, text: str) -> None:
        self._process.verb(text)

    def _failed(self, bus: Any, message: Any) -> None:
        error, detail = message.parse_error()
        self._process.tell(event="failed", leg=self.number, text=f"{error.message} {detail}")

    def stop(self) -> None:
        """End it."""
        self._pipeline.get_bus().remove_signal_watch()
        self._pipeline.set_state(Gst.State.NULL)
        self._process.tell(event="stopped", leg=self.number)


class Process:
    """Orders in, events out."""

    def __init__(self, display: str) -> None:
        self.display = display
        self._hands = Hands(display)
        self._legs: dict[int, Leg] = {}
        self._loop = GLib.MainLoop()
        self._lock = threading.Lock()

    def tell(self, **event: Any) -> None:
        """Write one event; from any thread."""
        with self._lock:
            sys.stdout.write(json.dumps(event) + "\n")
            sys.stdout.flush()

    def verb(self, text: str) -> None:
        """What the client sent; keys and pointer act at once."""
        name, *arguments = text.split(",")
        if name in ("kd", "ku"):
            self._hands.key(int(arguments[0]), down=name == "kd")
        elif name == "m":
            x, y, mask, _ = (int(argument) for argument in arguments)
            self._hands.point(x, y, mask)
        self.tell(event="verb", text=text)

    def obey(self, order: dict[str, Any]) -> bool:
        """Carry out one order; in the main loop."""
        leg = self._legs.get(order.get("leg", VIDEO))
        match order["do"]:
            case "start":
                try:
                    self._legs[order["leg"]] = Leg(self, order["leg"], order)
                except GLib.Error as error:
                    self.tell(event="failed", leg=order["leg"], text=error.message)
            case "stop" if leg is not None:
                del self._legs[leg.number]
                leg.stop()
            case "answer" if leg is not None:
                leg.answer(order["sdp"])
            case "candidate" if leg is not None:
                leg.candidate(order["index"], order["candidate"])
            case "say" if leg is not None and leg.channel is not None:
                leg.channel.emit("send-string", order["text"])
            case "fps" if leg is not None:
                leg.set_fps(order["fps"])
            case "resize":
                self._hands.resize(order["width"], order["height"])
                if leg is not None:
                    leg.resized()
        return False

    def run(self) -> None:
        """Serve until standard input ends."""
        threading.Thread(target=self._read, daemon=True).start()
        self.tell(event="ready", gstreamer=Gst.version_string())
        self._loop.run()
        for leg in tuple(self._legs.values()):
            leg.stop()

    def _read(self) -> None:
        for line in sys.stdin:
            GLib.idle_add(self.obey, json.loads(line))
        GLib.idle_add(self._loop.quit)


if __name__ == "__main__":
    Gst.init(None)
    Process(sys.argv[1]).run()
