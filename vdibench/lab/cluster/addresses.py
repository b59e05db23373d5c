"""Where everything of a cluster lab listens. Pure.

Up to sixteen clusters stand beside each other: everything that the host can see of one carries its number.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "API_PORT",
    "CLUSTERS",
    "CONTROLLER_MANAGER_PORT",
    "ETCD_PEER_PORT",
    "ETCD_PORT",
    "KUBELET_HEALTH_PORT",
    "KWOK_PORT",
    "NODE",
    "PROXY_HEALTH_PORT",
    "PROXY_METRICS_PORT",
    "SCHEDULER_PORT",
    "Addresses",
]

CLUSTERS = 16
NODE = "real-1"


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one cluster.

    The node's address is the pod bridge's: the API server publishes its own as the endpoint of the service
    ``kubernetes``, where loopback is refused.

    :param number: 0 to 15.
    """

    number: int

    @property
    def pods(self) -> str:
        """The pods' network."""
        return f"10.244.{self.number}.0/24"

    @property
    def node(self) -> str:
        """The node, the API server, and what uses the node's network."""
        return f"10.244.{self.number}.1"

    @property
    def services(self) -> str:
        """The services' network: room for four thousand, one a session of a benchmark."""
        return f"10.96.{16 * self.number}.0/20"

    @property
    def kubernetes(self) -> str:
        """The service ``kubernetes``: by definition the first of the services' network."""
        return f"10.96.{16 * self.number}.1"

    @property
    def dns(self) -> str:
        """The cluster's DNS."""
        return f"10.96.{16 * self.number}.10"

    @property
    def link(self) -> tuple[str, str]:
        """The host's end and the cluster's end of the link between them, both of a /30."""
        return f"10.243.{self.number}.1", f"10.243.{self.number}.2"

    @property
    def link_name(self) -> str:
        """The host's end of the link; its other end is called the same inside."""
        return f"vdilab{self.number}"

    @property
    def api(self) -> str:
        """URL of the API server, from the host and from inside."""
        return f"https://{self.node}:{API_PORT}"


API_PORT = 6443
ETCD_PORT, ETCD_PEER_PORT = 2379, 2380
CONTROLLER_MANAGER_PORT, SCHEDULER_PORT = 10257, 10259
PROXY_HEALTH_PORT, PROXY_METRICS_PORT, KUBELET_HEALTH_PORT = 10256, 10249, 10248
KWOK_PORT = 10247
