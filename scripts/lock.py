"""Write `requirements.lock`: versions and hashes of every dependency of all extras, for every platform.

`make lock` keeps the versions that still fit pyproject.toml, `make lock UPGRADE=1` takes the newest. The resolver
(uv) lives in an environment of its own under `.cache/`, so that set-up need not install it. It does not read pip's
configuration: the index and the certificates that pip would use are handed to it, and nothing of them gets into
the lock.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

__all__ = ["HEADER", "main"]

HEADER = "# Versions and hashes of every dependency of all extras. Written by `make lock`, read by `make setup`.\n"
PIP_TO_UV = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "cert": "SSL_CERT_FILE"}
COMPILE = (
    "pip compile pyproject.toml operator/pyproject.toml --all-extras --universal --python-version 3.11 "
    "--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-config --quiet "
    "--output-file requirements.lock"
)


def main(argv: list[str]) -> int:
    """Resolve and write; return 0, or the resolver's exit code with the lock as it was."""
    root = Path(__file__).resolve().parent.parent
    tool = root / ".cache" / "lock"
    if not (tool / "bin" / "uv").exists():
        venv.create(tool, with_pip=True, clear=True)
        subprocess.run([tool / "bin" / "pip", "install", "--quiet", "uv"], check=True)
    environment = {**os.environ, **_pip_configuration(tool)}
    code = subprocess.run([tool / "bin" / "uv", *COMPILE.split(), *argv], cwd=root, env=environment).returncode
    lock = root / "requirements.lock"
    if code == 0 and not lock.read_text().startswith(HEADER):
        lock.write_text(HEADER + lock.read_text())
    return code


def _pip_configuration(tool: Path) -> dict[str, str]:
    listed = subprocess.run([tool / "bin" / "pip", "config", "list"], capture_output=True, text=True, check=True)
    found: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        variable = PIP_TO_UV.get(name.rpartition(".")[2])
        if variable is not None:
            found[variable] = value.strip("'\"")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
