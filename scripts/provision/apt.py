"""Install what is missing with apt-get, and leave the machine's services as they were.

Never removes a package (`--no-remove`), takes no recommended ones, and keeps those that bring a service
from running it: while apt-get works a policy-rc.d guard stops every start, then the system units of coturn and
Prometheus and PulseAudio's units for user sessions are disabled if this installation brought them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from provision.capabilities import Capability
from provision.console import SetupError, logged, say, tail

__all__ = ["choose", "install"]

NEEDS_A_PERSON = 3

# A guard that a killed set-up left behind is ours to take away; anybody else's is obeyed.
ROOT_SCRIPT = """
guard=/usr/sbin/policy-rc.d
if [ -e "$guard" ] && grep -q 'vdibench set-up' "$guard"; then rm -f "$guard"; fi
if [ -d /usr/sbin ] && [ ! -e "$guard" ]; then
  trap 'rm -f "$guard"' EXIT
  trap 'exit 130' HUP INT TERM
  printf '#!/bin/sh\\n# vdibench set-up: no service starts meanwhile\\nexit 101\\n' > "$guard"
  chmod 755 "$guard"
fi
get() { apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 "$@"; }
take() { get install --yes --no-install-recommends --no-remove "$@"; }
take "$@" || { dpkg --configure -a && get update && take "$@"; }
for package in "$@"; do
  case "$package" in
    coturn|prometheus) set -- "$package.service"; scope=--system ;;
    pulseaudio) set -- pulseaudio.service pulseaudio.socket; scope=--global ;;
    *) continue ;;
  esac
  if command -v systemctl >/dev/null; then
    systemctl $scope disable "$@" || true
    [ $scope = --global ] || systemctl stop "$@" || true
  else  # no systemd yet: it would start them once it comes
    for unit in "$@"; do rm -f /etc/systemd/*/*.wants/"$unit"; done
  fi
done
"""


def install(lacking: Sequence[Capability], log: Path) -> str:
    """Install one package for each capability; return a note for the report.

    :raises SetupError: exit code 3 with the list and a command to copy when nobody with the rights is there,
        when there is no apt-get, or when a package has no installable version here; 1 when apt-get failed.
    """
    if sys.platform != "linux":
        raise SetupError(
            "the lab runs on Linux only: `pip install vdibench` gives `vdibench watch` and the analysis here",
            NEEDS_A_PERSON,
        )
    if not (shutil.which("apt-get") and shutil.which("apt-cache")):
        raise SetupError(
            f"this machine lacks:\n{_listed(lacking)}\n"
            "and has no apt-get: install them with its own package manager, then try again",
            NEEDS_A_PERSON,
        )
    chosen = {c: choose(c) for c in lacking}
    stale = None in chosen.values()
    root = _root_prefix()
    if root is None:
        names = [chosen[c] or c.packages[0] for c in lacking]
        raise SetupError(
            f"this machine lacks:\n{_listed(lacking)}\n"
            "and set-up is neither root nor may it use sudo: run\n\n"
            f"  sudo apt-get update && sudo apt-get install --no-install-recommends {shlex.join(names)}\n\n"
            "(if that starts coturn as a service, `sudo systemctl disable --now coturn` ends it)",
            NEEDS_A_PERSON,
        )
    if stale:
        code = logged([*root, "apt-get", "update"], log, "system packages: reading the package lists")
        if code:
            raise SetupError(f"apt-get update failed (exit {code}), see {log}:\n{tail(log)}")
        chosen = {c: choose(c) for c in lacking}
    unknown = [c for c, package in chosen.items() if package is None]
    if unknown:
        raise SetupError(
            f"no installable package for:\n{_listed(unknown)}\n"
            "install them by hand (on Ubuntu the chromium packages only point at a snap: "
            "`sudo snap install chromium`, or install Google Chrome), then try again",
            NEEDS_A_PERSON,
        )
    names = [package for package in chosen.values() if package is not None]
    doing = f"system packages: installing {' '.join(names)}"
    script = ["sh", "-eu", "-c", ROOT_SCRIPT, "sh", *names]
    argv = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *script]
    code = logged(argv, log, doing, append=True)
    if code:
        raise SetupError(
            f"apt-get could not install {' '.join(names)} (exit {code}), see {log}:\n{tail(log)}\n"
            "repair that, then try again"
        )
    return f"installed {' '.join(names)}"


def choose(capability: Capability) -> str | None:
    """Return the first of its packages that apt knows an installable version of, None when there is none.

    A version with `snap` in it is a package of Ubuntu that installs nothing but a pointer to a snap.
    """
    for package in capability.packages:
        policy = subprocess.run(
            ["apt-cache", "policy", package],
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            check=False,
        ).stdout
        for line in policy.splitlines():
            label, _, version = line.strip().partition(": ")
            if label == "Candidate" and version != "(none)" and "snap" not in version:
                return package
    return None


def _root_prefix() -> list[str] | None:
    if subprocess.run(["id", "-u"], capture_output=True, text=True, check=True).stdout.strip() == "0":
        return []
    if shutil.which("sudo") is None:
        return None
    silent = subprocess.run(["sudo", "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if silent.returncode == 0:
        return ["sudo", "-n"]
    if sys.stdin is not None and sys.stdin.isatty():
        say("system packages are missing and sudo may ask for your password")
        if subprocess.run(["sudo", "-v"], check=False).returncode == 0:
            return ["sudo"]
    return None


def _listed(lacking: Sequence[Capability]) -> str:
    return "\n".join(f"  - {c.name}  (package {c.packages[0]})" for c in lacking)
