"""A real Kubernetes on this machine, in namespaces of its own. Linux only, as root.

See ``docs/howto/cluster-lab.md``.
"""

from vdibench.lab.cluster.access import ClusterAccess

__all__ = ["ClusterAccess"]
