"""A running cluster lab, for those who use it. Linux only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vdibench.errors import LabError
from vdibench.lab.traces import MARK_VARIABLE, first_child

__all__ = ["ClusterAccess"]


class ClusterAccess:
    """How to speak to the cluster from this machine, and how to get inside.

    :param entry: its entry in the lab's state.
    :param mark: the lab's.
    """

    def __init__(self, entry: Mapping[str, Any], mark: str) -> None:
        self.kubeconfig = Path(entry["kubeconfig"])
        self.api_url: str = entry["api_url"]
        self.node_address: str = entry["node_address"]
        self.programs = {name: Path(path) for name, path in entry["programs"].items()}
        self._pid: int | None = entry["part"]["pid"]
        self._mark = mark

    def environment(self) -> dict[str, str]:
        """Variables with which kubectl and helm, which are on the path then, speak to it; they end with the lab."""
        folders = dict.fromkeys(str(program.parent) for program in self.programs.values())
        path = os.pathsep.join((*folders, os.environ.get("PATH", "")))
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path, MARK_VARIABLE: self._mark}

    @property
    def node_pid(self) -> int:
        """The process of the node, from which all others of the cluster come.

        :raises LabError: the node has ended.
        """
        pid = first_child(self._pid) if self._pid is not None else None
        if pid is None:
            raise LabError("the lab's cluster has ended", "take the lab down and bring it up again")
        return pid

    def inside(self, command: Sequence[str]) -> list[str]:
        """A command as one that runs in the network, mounts and processes of the node.

        :raises LabError: the node has ended.
        """
        return [
            "nsenter",
            f"--target={self.node_pid}",
            "--net",
            "--mount",
            "--pid",
            f"--wd={Path.cwd()}",
            "--",
            *command,
        ]
