"""A client that leaves reception to aiortc as it comes: what the marker bit is measured against."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from vdibench.client.marker import MarkerReader
from vdibench.selkies import SIGNALLING_PATH, OfferReceived, Role, Signalling


async def latencies(url: str, count: int) -> list[float]:
    """Marker to decoded frame, in seconds, of ``count`` frames."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
    peer.on("track", tracks.put_nowait)
    signalling = Signalling(Role.VIEWER, "")
    reader, found = MarkerReader(), []
    async with aiohttp.ClientSession() as client, client.ws_connect(url + SIGNALLING_PATH) as socket:
        answered = False
        while not answered:
            for frame in signalling.pending():
                await socket.send_str(frame)
            for event in signalling.receive((await socket.receive()).data):
                if isinstance(event, OfferReceived):
                    await peer.setRemoteDescription(RTCSessionDescription(event.sdp, "offer"))
                    await peer.setLocalDescription(await peer.createAnswer())
                    signalling.answer(peer.localDescription.sdp)
                    answered = True
        for frame in signalling.pending():
            await socket.send_str(frame)
        track = await tracks.get()
        while len(found) < count:
            picture = await track.recv()
            decoded = time.time()
            plane = picture.planes[0]
            luma = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)
            marker = reader.read(luma[: picture.height, : picture.width])
            assert marker is not None
            found.append(decoded - marker.drawn_unix_seconds)
    await peer.close()
    return found
