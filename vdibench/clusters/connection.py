"""A cluster that was named on purpose. I/O by the ``kubernetes`` package; blocking.

A user's cluster is touched only with an explicit context: neither ``KUBECONFIG`` nor the current context of a file is
taken as a wish. A lab's cluster is our own and is found by the lab's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdibench.errors import AuthenticationError, TargetUnavailable, UsageError
from vdibench.lab import DEFAULT_NAME, Lab

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["Cluster", "connect"]

_FORBIDDEN = (401, 403)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A connection to one cluster.

    :param context: as it was named; ``lab NAME`` of a lab's.
    :param api: for the classes of ``kubernetes.client``.
    :param version: of the API server, as in ``v1.34.4``.
    :param kubeconfig: the file that it came from, for kubectl and helm.
    :param lab: the lab whose cluster it is; None for a user's.
    """

    context: str
    api: ApiClient
    version: str
    kubeconfig: Path
    lab: Lab | None = None

    @property
    def ours(self) -> bool:
        """A lab's, where everything may be done."""
        return self.lab is not None

    def close(self) -> None:
        """End its connections: the package's own ``close`` leaves those of its pool to the garbage collector."""
        api: Any = self.api
        api.rest_client.pool_manager.clear()
        api.close()


def connect(*, context: str = "", kubeconfig: str = "", lab: str = "") -> Cluster:
    """Connect to the cluster of that context, or to a lab's.

    :param context: of the kubeconfig; empty for a lab's cluster.
    :param kubeconfig: file; empty for the usual places.
    :param lab: name of the lab; empty for the default one.
    :raises UsageError: no such context, or a file that cannot be read.
    :raises LabError: no context was named, and there is no lab with a cluster.
    :raises AuthenticationError: the cluster does not let this user in.
    :raises TargetUnavailable: it does not answer.
    """
    from kubernetes import client, config

    found = None
    if context:
        path = Path(kubeconfig) if kubeconfig else Path(config.KUBE_CONFIG_DEFAULT_LOCATION.split(":")[0]).expanduser()
        chosen: str | None = context
    else:
        found = Lab.find(lab or DEFAULT_NAME)
        if found.cluster is None:
            raise UsageError(
                f"the lab {found.name!r} has no cluster, and no context was named",
                "give --context NAME for your cluster, or start one with 'vdibench lab up --cluster'",
            )
        path, chosen = found.cluster.kubeconfig, None
    try:
        make: Any = config.new_client_from_config
        api: ApiClient = make(str(path), context=chosen)
    except (config.ConfigException, OSError, ValueError) as error:
        raise UsageError(
            f"cannot use context {context!r} of {path}: {error}", "see 'kubectl config get-contexts'"
        ) from error
    return Cluster(
        context=context or f"lab {found.name if found else ''}",
        api=api,
        version=_version(api, client),
        kubeconfig=path,
        lab=found,
    )


def _version(api: ApiClient, client: Any) -> str:
    try:
        return str(client.VersionApi(api).get_code(_request_timeout=10).git_version)
    except client.ApiException as error:
        if error.status in _FORBIDDEN:
            raise AuthenticationError(
                f"the cluster refuses this user: {error.reason}", "check the user of the context"
            ) from error
        raise TargetUnavailable(
            f"the cluster answers {error.status} {error.reason}", "look at its API server"
        ) from error
    except Exception as error:  # urllib3 has a tree of its own, and what is raised depends on the layer that failed
        raise TargetUnavailable(
            f"the cluster does not answer: {error}", "check the server of the context, and the way to it"
        ) from error
