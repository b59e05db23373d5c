"""Process 1 of a cluster lab: the control plane, one node and its pods. Linux only, as root.

Started by :mod:`vdibench.lab.cluster.launch` as ``python -m vdibench.lab.cluster.node`` in fresh network, mount and
process namespaces. When it ends, however it ends, the kernel ends everything in them and removes what they held:
mounts, bridges, rules, pods. It reports as a lab's supervisor does: one JSON object a line, on a descriptor.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from vdibench.errors import LabError
from vdibench.lab.cluster import commands
from vdibench.lab.cluster.addresses import KWOK_PORT, PROXY_HEALTH_PORT, Addresses
from vdibench.lab.cluster.apiclient import ApiClient, ApplyRefused, http_answers
from vdibench.lab.cluster.cgroups import cgroup_name, make_cgroups
from vdibench.lab.cluster.furnishing import FIELD_MANAGER, furnish
from vdibench.lab.cluster.mounts import arrange, mask_kernel_settings
from vdibench.lab.cluster.objects import played_node
from vdibench.lab.cluster.pki import KUBECONFIG, write_pki
from vdibench.lab.cluster.prepared import Prepared
from vdibench.lab.cluster.restarting import WISH, wish_of
from vdibench.lab.cluster.store import lay_store
from vdibench.lab.parts import Children, Part, PartFailed, base_environment
from vdibench.lab.traces import MARK_VARIABLE

__all__ = ["main"]

_LINK_SECONDS = 10.0
# Of this network namespace alone: the host keeps its own. Connections to pods that are gone shall not outlive the lab.
_NETWORK_SETTINGS = {"ip_forward": 1, "tcp_orphan_retries": 1, "tcp_fin_timeout": 2}
_LOOK_SECONDS = 0.02


class Node:
    """Everything of one cluster, from empty namespaces to a node that takes pods."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._directory: Path = options.directory
        self._report_to: int = options.report
        self._prepared: Prepared = options.prepared
        self._played_nodes: int = options.played_nodes
        self._addresses = Addresses(options.number)
        self._mark = os.environ[MARK_VARIABLE]
        self._pki = self._directory / "pki"
        self._logs = self._directory / "logs"
        self._ended = asyncio.Event()
        self._children = Children(self._on_exit)
        self._parts: list[Part] = []
        self._lines: dict[str, list[str | Path]] = {}
        # What is about to end because somebody wishes it.
        self._awaited_end: Part | None = None
        self._restarts: set[asyncio.Task[None]] = set()
        self._began = time.monotonic()

    async def run(self) -> int:
        """Bring everything up and stay until told to end, or until a part ends.

        :return: exit status.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._children.reap)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        loop.add_signal_handler(signal.SIGHUP, self._restart_wished)
        try:
            await self._bring_up()
        except (PartFailed, ExceptionGroup) as failure:
            first: BaseException = failure
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            if not isinstance(first, PartFailed):
                raise
            self._report({"failed": [first.cause, first.remedy]})
            return 1
        self._report({"ready": True})
        await self._ended.wait()
        failed = [part for part in self._parts if part.state == "failed"]
        return 1 if failed else 0

    async def _bring_up(self) -> None:
        write_pki(self._pki, self._addresses)
        async with ApiClient(self._pki, self._addresses) as api:
            await self._start_all(api)
            self._progress("node ready")
            if self._played_nodes:
                await self._play_nodes(api)
            await self._furnish(api)

    async def _start_all(self, api: ApiClient) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._start_runtime())
            self._start("etcd", commands.etcd(self._directory / "etcd"))
            server = self._start("kube-apiserver", commands.api_server(self._pki, self._addresses))
            await server.ready("its /readyz", api.until("/readyz"))
            self._progress("API server ready")
            manager = self._start(
                "kube-controller-manager", commands.controller_manager(self._pki, played=bool(self._played_nodes))
            )
            line, text = commands.scheduler(self._pki, self._directory / "scheduler.json")
            self._start("kube-scheduler", line, {"scheduler.json": text})
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            group.create_task(self._await(manager, "the default service account", api.until(account)))
            group.create_task(self._start_node(api))

    async def _play_nodes(self, api: ApiClient) -> None:
        stages = list(self._prepared.files["kwok-stages"])
        line, text = commands.kwok(stages, self._pki / KUBECONFIG, self._directory / "kwok.json")
        player = self._start("kwok", line, {"kwok.json": text})
        await player.ready("its /healthz", http_answers(f"http://127.0.0.1:{KWOK_PORT}/healthz"))
        nodes = [played_node(number) for number in range(self._played_nodes)]
        await player.ready("its nodes", api.apply_all(nodes, FIELD_MANAGER))
        self._progress(f"{self._played_nodes} played nodes")

    async def _furnish(self, api: ApiClient) -> None:
        files = self._prepared.files
        node = next(part for part in self._parts if part.name == "kubelet")
        work = furnish(
            api,
            self._directory,
            self._addresses,
            definitions=(*files["traefik-crds"], *files["prometheus-operator-crds"]),
            platform=self._prepared.platform,
            progress=self._progress,
        )
        try:
            await node.ready("the platform's pods", work)
        except ApplyRefused as refused:
            raise PartFailed(f"the API server refuses {refused}", "mend the manifest") from refused

    async def _start_runtime(self) -> None:
        cni = self._directory / "cni"
        cni.mkdir()
        (cni / "10-pods.conflist").write_text(commands.cni(self._addresses, self._directory / "cni-state"))
        root = self._directory / "containerd"
        text = commands.containerd(root, cni)
        runtime = self._start(
            "containerd", [f"--config={self._directory / 'containerd.toml'}"], {"containerd.toml": text}
        )
        await runtime.ready("its socket", _listens(commands.CONTAINERD_SOCKET))
        self._progress("containerd ready")

    async def _start_node(self, api: ApiClient) -> None:
        root = self._directory / "kubelet"
        root.mkdir()
        await _listens(commands.CONTAINERD_SOCKET)
        configuration = self._directory / "kubelet.json"
        line, text = commands.kubelet(self._pki, self._addresses, root, cgroup_name(self._mark), configuration)
        kubelet = self._start("kubelet", line, {configuration.name: text})
        line, text = commands.proxy(self._pki, self._addresses, self._directory / "proxy.json")
        proxy = self._start("kube-proxy", line, {"proxy.json": text})
        await kubelet.ready("a Ready node", api.node_ready())
        await proxy.ready("its /healthz", http_answers(f"http://127.0.0.1:{PROXY_HEALTH_PORT}/healthz"))

    async def _await(self, part: Part, what: str, waiting: Awaitable[Any]) -> None:
        await part.ready(what, waiting)

    def _start(self, name: str, line: list[str], files: dict[str, str] | None = None) -> Part:
        for file, text in (files or {}).items():
            (self._directory / file).write_text(text)
        part = Part("cluster", name, self._logs / f"{name}.log", "read its log")
        environment = base_environment(self._mark) | {"HOME": str(self._directory)}
        program = self._prepared.programs.get(name, Path(name))
        self._lines[name] = [program, *line]
        self._children.start(part, self._lines[name], environment)
        self._parts.append(part)
        return part

    def _on_exit(self, pid: int, code: int) -> None:
        if any(part.state == "failed" and part is not self._awaited_end for part in self._parts):
            self._ended.set()

    def _restart_wished(self) -> None:
        task = asyncio.create_task(self._restart())
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    async def _restart(self) -> None:
        """Kill a part and start it again, as :mod:`vdibench.lab.cluster.restarting` wishes; one after the other."""
        wish = wish_of(self._directory)
        old = next((part for part in self._parts if wish is not None and part.name == wish[0]), None)
        if wish is None or old is None or old.pid is None or self._awaited_end is not None:
            return
        self._awaited_end = old
        os.kill(old.pid, signal.SIGKILL)
        with contextlib.suppress(PartFailed):  # which is what is waited for
            await old.ready("its end", asyncio.Event().wait())
        await asyncio.sleep(wish[1])  # the outage that was wished for
        new = Part(old.owner, old.name, old.log, old.remedy)
        environment = base_environment(self._mark) | {"HOME": str(self._directory)}
        try:
            self._children.start(new, self._lines[old.name], environment)
        except PartFailed:
            self._ended.set()
            return
        self._parts[self._parts.index(old)] = new
        self._awaited_end = None
        (self._directory / WISH).unlink(missing_ok=True)

    def _progress(self, text: str) -> None:
        self._report({"progress": f"{text} after {time.monotonic() - self._began:.1f} s"})

    def _report(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            os.write(self._report_to, (json.dumps(message) + "\n").encode())


def main() -> None:
    """Arrange the namespaces, then run the cluster in them."""
    line = argparse.ArgumentParser(prog="vdibench-lab-node")
    line.add_argument("--directory", type=Path, required=True)
    line.add_argument("--prepared", type=lambda text: Prepared.from_json(json.loads(text)), required=True)
    line.add_argument("--number", type=int, required=True)
    line.add_argument("--report", type=int, required=True)
    line.add_argument("--played-nodes", type=int, default=0)
    options = line.parse_args()
    os.umask(0o022)
    try:
        _arrange(options)
    except (LabError, OSError) as error:
        cause, remedy = (error.cause, error.remedy) if isinstance(error, LabError) else (str(error), "run as root")
        os.write(options.report, (json.dumps({"failed": [cause, remedy]}) + "\n").encode())
        sys.exit(1)
    sys.exit(asyncio.run(_run(options)))


async def _run(options: argparse.Namespace) -> int:
    return await Node(options).run()


def _arrange(options: argparse.Namespace) -> None:
    for name in ("pki", "logs", "containerd"):
        (options.directory / name).mkdir(mode=0o755)
    prepared: Prepared = options.prepared
    arrange(prepared.packages, options.directory, keep=(prepared.store,))
    mask_kernel_settings(options.directory)
    lay_store(prepared.store, options.directory / "containerd")
    make_cgroups(cgroup_name(os.environ[MARK_VARIABLE]))
    addresses = Addresses(options.number)
    _ip("link", "set", "lo", "up")
    _ip("link", "add", commands.BRIDGE, "type", "bridge")
    _ip("addr", "add", f"{addresses.node}/24", "dev", commands.BRIDGE)
    _ip("link", "set", commands.BRIDGE, "up")
    _await_link(addresses.link_name)
    _ip("addr", "add", f"{addresses.link[1]}/30", "dev", addresses.link_name)
    _ip("link", "set", addresses.link_name, "up")
    for name, value in _NETWORK_SETTINGS.items():
        Path(f"/proc/sys/net/ipv4/{name}").write_text(f"{value}\n")


def _await_link(name: str) -> None:
    deadline = time.monotonic() + _LINK_SECONDS
    while not Path(f"/sys/class/net/{name}").exists() and name not in _links():
        if time.monotonic() > deadline:
            raise LabError("the link to the host did not come", "try again")
        time.sleep(_LOOK_SECONDS)  # whoever started this process is about to make it


def _links() -> str:
    return subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=False).stdout


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"ip {' '.join(words)}: {done.stderr.strip()}", "run as root, outside of a container")


async def _listens(path: str) -> None:
    """Return when somebody listens on a unix socket."""
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(path)
        except OSError:
            await asyncio.sleep(_LOOK_SECONDS)  # it comes up within a second
        else:
            writer.close()
            return


if __name__ == "__main__":
    main()
