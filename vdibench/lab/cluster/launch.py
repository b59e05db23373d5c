"""The host's side of a cluster lab: namespaces, the link into them, and what the kernel does not clean up.

Linux only, as root. Called by a lab's supervisor; the cluster itself is :mod:`vdibench.lab.cluster.node`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vdibench.errors import LabError
from vdibench.lab.cluster.addresses import CLUSTERS, Addresses
from vdibench.lab.cluster.links import note_link, remove_link
from vdibench.lab.cluster.pki import KUBECONFIG
from vdibench.lab.cluster.prepared import Prepared
from vdibench.lab.parts import Children, Part, PartFailed
from vdibench.lab.spec import ClusterSpec

__all__ = ["FOLDER", "ClusterRun", "NumberLease"]

FOLDER = "cluster"

_LEASE_NAME = "\0vdibench/cluster/{number}"
_LOOK_SECONDS = 0.01


class NumberLease:
    """The number of one cluster, which no other of this machine has; it ends with the processes that hold it.

    :raises LabError: all are taken.
    """

    def __init__(self) -> None:
        for number in range(CLUSTERS):
            lease = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                lease.bind(_LEASE_NAME.format(number=number))
            except OSError:
                lease.close()
                continue
            self.number = number
            self._lease = lease
            return
        raise LabError(f"there are {CLUSTERS} cluster labs already", "take one down: see 'vdibench lab status'")

    @property
    def descriptor(self) -> int:
        """The socket behind it, for a process that shall prolong it."""
        return self._lease.fileno()


class ClusterRun:
    """One cluster, from the host.

    :param directory: of the lab; the cluster's files go to ``cluster`` in it.
    """

    def __init__(self, directory: Path, number: int, spec: ClusterSpec, prepared: Prepared) -> None:
        self.directory = directory / FOLDER
        self.addresses = Addresses(number)
        self.part = Part("cluster", "node", self.directory / "node.log", "read its log and those in logs beside it")
        self._spec = spec
        self._prepared = prepared

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.directory / "pki" / KUBECONFIG

    def to_json(self, describe: Callable[[Part], dict[str, Any]]) -> dict[str, Any]:
        """Its entry in the lab's state."""
        return {
            "kubeconfig": str(self.kubeconfig),
            "api_url": self.addresses.api,
            "node_address": self.addresses.node,
            "programs": {name: str(path) for name, path in self._prepared.programs.items()},
            "part": describe(self.part),
        }

    async def bring_up(
        self, children: Children, environment: Mapping[str, str], progress: Callable[[str], None]
    ) -> None:
        """Start it and return when its node takes pods.

        :raises PartFailed: something in it does not come up.
        """
        self.directory.mkdir(mode=0o755)
        reader, writer = os.pipe()
        try:
            children.start(self.part, self._command(writer), environment, pass_fds=(writer,))
        finally:
            os.close(writer)
        try:
            assert self.part.pid is not None
            await self.part.ready("its namespaces", _in_own_network(self.part.pid))
            self._link(self.part.pid)
            await self.part.ready("its node", self._follow(reader, progress))
        finally:
            os.close(reader)
        self.part.state = "running"

    def _command(self, report: int) -> list[str | Path]:
        unshare = shutil.which("unshare") or "unshare"
        line: list[str | Path] = [unshare, "--net", "--mount", "--propagation", "private", "--pid", "--fork"]
        line += ["--kill-child", "--mount-proc", sys.executable, "-m", "vdibench.lab.cluster.node"]
        line += ["--directory", self.directory, "--prepared", json.dumps(self._prepared.to_json())]
        line += ["--number", str(self.addresses.number), "--report", str(report)]
        line += ["--played-nodes", str(self._spec.played_nodes)]
        return line

    def _link(self, pid: int) -> None:
        """One pair of interfaces between the host and the cluster; it goes with the cluster's namespace."""
        name = self.addresses.link_name
        note_link(self.directory.parent, name)
        # Whoever had this number is gone, as the lease says; the kernel may take a minute longer for its namespace.
        remove_link(name)
        _ip("link", "add", name, "type", "veth", "peer", "name", name, "netns", str(pid))
        _ip("addr", "add", f"{self.addresses.link[0]}/30", "dev", name)
        _ip("link", "set", name, "up")
        for network in (self.addresses.pods, self.addresses.services):
            _ip("route", "add", network, "via", self.addresses.link[1])

    async def _follow(self, reader: int, progress: Callable[[str], None]) -> None:
        stream = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        with os.fdopen(os.dup(reader), "rb", 0) as pipe:
            transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
            try:
                while line := await stream.readline():
                    message: dict[str, Any] = json.loads(line)
                    if "progress" in message:
                        progress(f"cluster: {message['progress']}")
                    elif "failed" in message:
                        raise PartFailed(*message["failed"])
                    else:
                        return
            finally:
                transport.close()
        # It ended without a word: the part's own end says how.
        await asyncio.Event().wait()


async def _in_own_network(pid: int) -> None:
    """Return when that process has left this one's network namespace."""
    own = _network("self")
    while True:
        if _network(str(pid)) not in (own, ""):
            return
        await asyncio.sleep(_LOOK_SECONDS)  # it does so within milliseconds, and nothing tells


def _network(process: str) -> str:
    try:
        return str(Path(f"/proc/{process}/ns/net").readlink())
    except OSError:
        return ""


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"ip {' '.join(words)}: {done.stderr.strip()}", "run as root, outside of a container")
