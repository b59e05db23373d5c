"""The build: one extension for the stable ABI, with SRTP where OpenSSL's libcrypto is found.

``VDIBENCH_NATIVE_CHECKED=1`` makes warnings errors; ``VDIBENCH_NATIVE_SANITIZE=1`` adds the address and undefined
behaviour sanitizers (the interpreter then needs ``LD_PRELOAD`` of libasan); ``VDIBENCH_NATIVE_SRTP=0`` leaves SRTP out.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

STABLE = "0x030B0000"
# A build for threads without the global lock has no stable ABI.
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def srtp() -> tuple[list[str], list[str]]:
    """What compiler and linker must be told of libcrypto; nothing where it is not there."""
    found = shutil.which("pkg-config")
    # Before 3.0.3 an HMAC cannot be begun anew with the key that it has: it says that it was, and is wrong.
    if found is None or os.environ.get("VDIBENCH_NATIVE_SRTP") == "0":
        return [], []
    said = [
        subprocess.run([found, what, "libcrypto >= 3.0.3"], capture_output=True, text=True, check=False)
        for what in ("--cflags", "--libs")
    ]
    if any(one.returncode for one in said):
        return [], []
    return said[0].stdout.split(), said[1].stdout.split()


def extension() -> Extension:
    """The one extension."""
    compile_args = ["-std=gnu11", "-O2", "-fvisibility=hidden", "-ffp-contract=off", "-Wall", "-Wextra"]
    link_args: list[str] = []
    macros: list[tuple[str, str | None]] = [] if FREE_THREADED else [("Py_LIMITED_API", STABLE)]
    if os.environ.get("VDIBENCH_NATIVE_CHECKED") == "1":
        compile_args.append("-Werror")
    if os.environ.get("VDIBENCH_NATIVE_SANITIZE") == "1":
        sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
        compile_args += [*sanitizers, "-g"]
        link_args += sanitizers
    flags, libraries = srtp()
    if libraries:
        macros.append(("VDIBENCH_SRTP", None))
        compile_args += flags
        link_args += libraries
    here = Path(__file__).parent
    return Extension(
        "vdibench_native._native",
        sources=sorted(str(path.relative_to(here)) for path in (here / "src").glob("*.c")),
        depends=sorted(str(path.relative_to(here)) for path in (here / "src").glob("*.h")),
        define_macros=macros,
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        py_limited_api=not FREE_THREADED,
    )


if sys.platform != "linux":
    raise SystemExit("vdibench-native reads sockets by epoll and recvmmsg, which only Linux has; vdibench does without")
# One wheel for every Python from 3.11 on.
setup(ext_modules=[extension()], options={} if FREE_THREADED else {"bdist_wheel": {"py_limited_api": "cp311"}})
