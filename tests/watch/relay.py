"""A TCP relay to a desktop that can be there or not: the desktop itself goes on."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from urllib.parse import urlsplit

__all__ = ["Relay"]


class Relay:
    """Its port is reserved from the start; only an open relay listens there."""

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        assert target.hostname is not None
        assert target.port is not None
        self._target = (target.hostname, target.port)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, sock=self._socket)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_connection(*self._target)
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        try:
            await asyncio.gather(_pump(reader, here), _pump(there, writer))
        except asyncio.CancelledError:
            pass  # closed on purpose; asyncio's own callback would log a cancellation as an error
        finally:
            self._pipes.discard(task)
            for end in (here, writer):
                end.transport.abort()

    async def close(self) -> None:
        """Cut every connection and listen no more."""
        assert self._server is not None
        self._server.close()
        for task in tuple(self._pipes):
            task.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):  # one of both has gone
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
