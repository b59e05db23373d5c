"""Real desktops on this machine, under a supervisor. Importable everywhere, usable on Linux.

``Lab.up`` starts N isolated desktops (X server, sound server, Selkies, desk) and a TURN server on loopback;
nothing of them stays when the lab goes down, however that happens. See ``docs/howto/lab.md``.
"""

from vdibench.lab.lab import DEFAULT_NAME, Lab
from vdibench.lab.requirements import APT_PACKAGES, MissingPart, missing
from vdibench.lab.spec import Access, ClusterSpec, DesktopSpec, LabSpec, workloads
from vdibench.lab.status import DesktopStatus, LabStatus, PartStatus

__all__ = [
    "APT_PACKAGES",
    "DEFAULT_NAME",
    "Access",
    "ClusterSpec",
    "DesktopSpec",
    "DesktopStatus",
    "Lab",
    "LabSpec",
    "LabStatus",
    "MissingPart",
    "PartStatus",
    "missing",
    "workloads",
]
