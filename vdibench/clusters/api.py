"""What is asked of a cluster's API server and told to it, as JSON. Blocking I/O by the ``kubernetes`` package.

Paths are plain: the kinds that vdibench makes are few and known. Threads may share one :class:`Api`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vdibench.clusters.connection import Cluster
from vdibench.errors import AuthenticationError, TargetUnavailable

__all__ = ["KINDS", "SESSIONS", "VOLUMES", "Api", "Object", "path_of"]

Object = dict[str, Any]

SESSIONS = "vdi-sessions"
VOLUMES = "/api/v1/persistentvolumes"

# What a session is made of, in the order in which it goes: no user is led to a pod that ends.
KINDS: Mapping[str, str] = {
    "VDISession": "/apis/vdibench.io/v1alpha1/namespaces/{namespace}/vdisessions",
    "IngressRoute": "/apis/traefik.io/v1alpha1/namespaces/{namespace}/ingressroutes",
    "Middleware": "/apis/traefik.io/v1alpha1/namespaces/{namespace}/middlewares",
    "PodMonitor": "/apis/monitoring.coreos.com/v1/namespaces/{namespace}/podmonitors",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "Secret": "/api/v1/namespaces/{namespace}/secrets",
    "PersistentVolumeClaim": "/api/v1/namespaces/{namespace}/persistentvolumeclaims",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
}

_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 30.0
_REFUSED, _NOT_THERE = (401, 403), 404


def path_of(kind: str, namespace: str, name: str = "") -> str:
    """Where a kind's objects are in the API, or the one of that name."""
    collection = KINDS[kind].format(namespace=namespace)
    return f"{collection}/{name}" if name else collection


class Api:
    """The API server of one cluster.

    Every call raises :class:`AuthenticationError` where this user may not do it, and :class:`TargetUnavailable` where
    the cluster does not answer or does not take it.
    """

    def __init__(self, cluster: Cluster) -> None:
        from kubernetes import dynamic

        make: Any = dynamic.DynamicClient
        # Without its discovery, which keeps a file of its own among the temporary ones.
        self._client: Any = make(cluster.api, discoverer=lambda *_: None)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Object | None:
        """What is there; None where nothing is."""
        return self._ask("get", path, query=query)

    def items(self, path: str, query: Mapping[str, str] | None = None) -> list[Object]:
        """The objects of a collection; none of a kind that the cluster does not know."""
        return list((self.get(path, query) or {}).get("items", ()))

    def version_of(self, path: str) -> str:
        """The collection's resource version now: where a watch begins; empty where there is no such kind."""
        found = self.get(path, {"limit": "1"})
        return str(found["metadata"].get("resourceVersion", "")) if found else ""

    def apply(self, path: str, one: Object, *, manager: str) -> Object | None:
        """Apply server-side; unknown and doubled fields are errors. None: the cluster does not know the kind."""
        query = {"fieldManager": manager, "fieldValidation": "Strict"}
        return self._ask("patch", path, query=query, body=one, content_type="application/apply-patch+yaml")

    def merge(self, path: str, change: Object) -> Object | None:
        """Merge a change into what is there; None where nothing is."""
        return self._ask("patch", path, body=change, content_type="application/merge-patch+json")

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> bool:
        """Delete an object or, by a selector, those of a collection; False where nothing is."""
        return self._ask("delete", path, query=query) is not None

    def lines(self, path: str, query: Mapping[str, str], *, silence_seconds: float = _ANSWER_SECONDS) -> Iterator[str]:
        """The lines of an answer as they come, of a watch or of a log; none where nothing is.

        :param silence_seconds: so long without a byte is an error.
        """
        with self._answer("get", path, query, None, "", silence_seconds) as answer:
            if answer is None:
                return
            held = b""
            for part in answer.stream(amt=None, decode_content=False):
                *whole, held = (held + part).split(b"\n")
                for line in whole:
                    yield line.decode(errors="replace")
            if held:
                yield held.decode(errors="replace")

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "",
    ) -> Object | None:
        with self._answer(method, path, query or {}, body, content_type, _ANSWER_SECONDS) as answer:
            if answer is None:
                return None
            found: Object = json.loads(answer.data or b"{}")
            return found

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None,
        content_type: str,
        silence_seconds: float,
    ) -> Iterator[Any]:
        """The open answer, closed afterwards; None where nothing is there."""
        from kubernetes.client import ApiException

        given: dict[str, Any] = {"query_params": list(query.items()), "header_params": {}}
        if content_type:
            given["content_type"] = content_type
        answer = None
        try:
            try:
                answer = self._client.request(
                    method,
                    path,
                    body=body,
                    serialize=False,
                    _request_timeout=(_CONNECT_SECONDS, silence_seconds),
                    **given,
                )
            except ApiException as error:
                if error.status != _NOT_THERE:
                    raise
            yield answer
        except ApiException as error:
            raise _refused(method, path, error) from error
        except (AuthenticationError, TargetUnavailable, GeneratorExit):
            raise
        except Exception as error:  # urllib3 has a tree of its own, and what is raised depends on the layer that failed
            raise TargetUnavailable(
                f"the cluster broke off {method} {path}: {error}", "check its API server, and the way to it"
            ) from error
        finally:
            if answer is not None:
                answer.close()


def _refused(method: str, path: str, error: Any) -> AuthenticationError | TargetUnavailable:
    try:
        said = str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        said = str(error.reason)
    if error.status in _REFUSED:
        return AuthenticationError(f"the cluster refuses {method} {path}: {said}", "give the context's user the right")
    return TargetUnavailable(f"the cluster does not take {method} {path}: {said}", "look at what it says")
