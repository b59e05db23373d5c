"""The command lines and configuration files of a cluster lab's processes. Pure.

Flags are those of Kubernetes 1.34. What differs from a cluster of a team is said beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vdibench.lab.cluster.addresses import (
    API_PORT,
    CONTROLLER_MANAGER_PORT,
    ETCD_PEER_PORT,
    ETCD_PORT,
    KUBELET_HEALTH_PORT,
    KWOK_PORT,
    NODE,
    PROXY_HEALTH_PORT,
    PROXY_METRICS_PORT,
    SCHEDULER_PORT,
    Addresses,
)

__all__ = [
    "BRIDGE",
    "CONTAINERD_SOCKET",
    "PAUSE_IMAGE",
    "api_server",
    "cni",
    "containerd",
    "controller_manager",
    "etcd",
    "kubelet",
    "kwok",
    "proxy",
    "scheduler",
]

BRIDGE = "pods0"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "vdibench.local/pause:1"

_CLIENT_QPS, _CLIENT_BURST = 500, 1000
# Of played nodes; renewed after a quarter of it.
_LEASE_SECONDS = 120


def etcd(data: Path) -> list[str]:
    """etcd, without flushing to the disk: the data of a lab need not survive a power cut."""
    client, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PEER_PORT}"
    return [
        "--name=lab",
        f"--data-dir={data}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=lab={peer}",
        "--log-level=warn",
    ]


def api_server(pki: Path, addresses: Addresses) -> list[str]:
    """The API server; nobody is let in without a certificate or a token, ``/readyz`` included."""
    return [
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        f"--secure-port={API_PORT}",
        f"--advertise-address={addresses.node}",
        f"--service-cluster-ip-range={addresses.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--anonymous-auth=false",
        "--allow-privileged",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'apiserver-kubelet.crt'}",
        f"--kubelet-client-key={pki / 'apiserver-kubelet.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki / 'front-proxy.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy.key'}",
        "--max-requests-inflight=1000",
        "--max-mutating-requests-inflight=500",
        "--profiling=false",
    ]


def controller_manager(pki: Path, *, played: bool = False) -> list[str]:
    """The controller manager: one of its kind, so it need not be elected.

    :param played: there are played nodes. They say that they live every half minute: one word that an outage took must
        not make them lost. kwok would play on, and pods that were marked unready would stay so.
    """
    patience = [f"--node-monitor-grace-period={_LEASE_SECONDS}s"] if played else []
    return [
        *patience,
        *_known_by(pki / "controller-manager.kubeconfig"),
        f"--kubeconfig={pki / 'controller-manager.kubeconfig'}",
        "--bind-address=127.0.0.1",
        f"--secure-port={CONTROLLER_MANAGER_PORT}",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki / 'sa.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        f"--kube-api-qps={_CLIENT_QPS}",
        f"--kube-api-burst={_CLIENT_BURST}",
        "--profiling=false",
    ]


def scheduler(pki: Path, configuration: Path) -> tuple[list[str], str]:
    """The scheduler's command line and the text of its configuration file."""
    text = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {
            "kubeconfig": str(pki / "scheduler.kubeconfig"),
            "qps": _CLIENT_QPS,
            "burst": _CLIENT_BURST,
        },
    }
    line = [
        f"--config={configuration}",
        *_known_by(pki / "scheduler.kubeconfig"),
        "--bind-address=127.0.0.1",
        f"--secure-port={SCHEDULER_PORT}",
    ]
    return line, json.dumps(text)


def proxy(pki: Path, addresses: Addresses, configuration: Path) -> tuple[list[str], str]:
    """kube-proxy's command line and the text of its configuration file."""
    text = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": NODE,
        "clientConnection": {"kubeconfig": str(pki / "proxy.kubeconfig")},
        "clusterCIDR": addresses.pods,
        "healthzBindAddress": f"127.0.0.1:{PROXY_HEALTH_PORT}",
        "metricsBindAddress": f"127.0.0.1:{PROXY_METRICS_PORT}",
        # Zero leaves the kernel's connection tracking as it is: its size is one for all namespaces.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    return [f"--config={configuration}"], json.dumps(text)


def kubelet(pki: Path, addresses: Addresses, root: Path, cgroup: str, configuration: Path) -> tuple[list[str], str]:
    """The kubelet's command line and the text of its configuration file.

    :param root: for its own files, the pods' volumes and logs.
    :param cgroup: the group below which it makes all others, such as ``/vdibench-lab-0``.
    """
    text: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        # The first version of control groups is refused otherwise from 1.35 on.
        "failCgroupV1": False,
        "failSwapOn": False,
        "address": addresses.node,
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": KUBELET_HEALTH_PORT,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet-server.key"),
        "clusterDomain": "cluster.local",
        "clusterDNS": [addresses.dns],
        "podLogsDir": str(root / "pod-logs"),
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "maxPods": 110,
        # Nothing is evicted and no image removed: images cannot be pulled again.
        "evictionHard": {
            "memory.available": "1Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "2s",
        "syncFrequency": "5s",
    }
    line = [
        f"--config={configuration}",
        f"--kubeconfig={pki / 'kubelet.kubeconfig'}",
        f"--hostname-override={NODE}",
        f"--node-ip={addresses.node}",
        f"--root-dir={root}",
    ]
    return line, json.dumps(text)


def cni(addresses: Addresses, state: Path) -> str:
    """The pods' network: one bridge, which is the node's address too."""
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": addresses.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(state),
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]})


def containerd(root: Path, cni_folder: Path) -> str:
    """containerd's configuration (TOML).

    :param root: its images and snapshots; no overlay can lie on an overlay, so it must be on a disk.
    """
    return f"""version = 2
root = "{root}"
state = "/run/containerd"
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Root of a container or a small machine may lack the right to lower a process's score.
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni_folder}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def kwok(stages: list[Path], kubeconfig: Path, configuration: Path) -> tuple[list[str], str]:
    """kwok's command line and the text of its configuration file; it plays the kubelet of nodes with its annotation.

    :param stages: what happens to its nodes and pods, files of its module: kwok itself has none built in.
    """
    text = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        "options": {"podPlayStageParallelism": 16, "nodePlayStageParallelism": 8, "nodeLeaseParallelism": 8},
    }
    line = [
        f"--config={configuration}",
        *(f"--config={stage}" for stage in stages),
        f"--kubeconfig={kubeconfig}",
        "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--cidr=10.100.0.1/16",
        "--node-ip=10.99.0.1",
        f"--node-lease-duration-seconds={_LEASE_SECONDS}",
        f"--server-address=127.0.0.1:{KWOK_PORT}",
    ]
    return line, json.dumps(text)


def _known_by(kubeconfig: Path) -> list[str]:
    return [f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}"]
