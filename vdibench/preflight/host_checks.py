"""The checks of a host in order, and the one way to run them. Each runs in a thread of its own with a time limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vdibench.preflight.contexts import HostContext
from vdibench.preflight.encoder_checks import check_capture_library, check_software_encoder
from vdibench.preflight.findings import no_data
from vdibench.preflight.lab_checks import check_ports, check_programs, check_x_server
from vdibench.preflight.machine_checks import (
    check_clock,
    check_contention,
    check_cores,
    check_gpu,
    check_memory,
    check_python,
    check_results_folder,
    check_shared_memory,
)
from vdibench.preflight.turn_checks import check_turn
from vdibench.records import Check

__all__ = ["HOST_CHECKS", "HostCheck", "run_host_checks"]

# How long an interrupted caller waits for the check under way to end what it started.
_CLEANUP_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class HostCheck:
    """A check before it is run.

    :param name: the name that its :class:`~vdibench.records.Check` will have.
    :param question: what it asks, for progress.
    """

    name: str
    question: str
    run: Callable[[HostContext], Check]


HOST_CHECKS: tuple[HostCheck, ...] = (
    HostCheck("python", "is this Python supported", check_python),
    HostCheck("programs", "are the programs of a desktop installed", check_programs),
    HostCheck("cores", "are there enough cores", check_cores),
    HostCheck("memory", "is there enough memory", check_memory),
    HostCheck("results_folder", "can a run be written", check_results_folder),
    HostCheck("shared_memory", "does /dev/shm hold the pictures", check_shared_memory),
    HostCheck("ports", "are enough ports free", check_ports),
    HostCheck("clock", "is the clock steady", check_clock),
    HostCheck("contention", "does anybody else measure", check_contention),
    HostCheck("x_server", "does an X server answer", check_x_server),
    HostCheck("turn", "does the TURN server relay", check_turn),
    HostCheck("software_encoder", "can H.264 be encoded in software", check_software_encoder),
    HostCheck("capture_library", "does the capture library load", check_capture_library),
    HostCheck("gpu", "is the GPU there", check_gpu),
)


def run_host_checks(
    context: HostContext,
    *,
    checks: Sequence[HostCheck] = HOST_CHECKS,
    progress: Callable[[int, int, HostCheck], None] | None = None,
) -> list[Check]:
    """Run the checks one after the other; every one gives a result, in order.

    A check that raises or takes longer than ``context.check_seconds`` is no data. An interrupt is let through after the
    check under way has ended what it started.

    :param progress: told before each check: how many are done, how many there are, which comes.
    """
    found: list[Check] = []
    for check in checks:
        if progress is not None:
            progress(len(found), len(checks), check)
        found.append(_run_one(check, context))
    return found


def _run_one(check: HostCheck, context: HostContext) -> Check:
    results: list[Check] = []

    def isolated() -> None:
        try:
            results.append(check.run(context))
        except Exception as error:  # whatever a check did not foresee must not hide what the others find
            results.append(
                no_data(
                    check.name,
                    f"the check itself failed with {type(error).__name__}",
                    str(error) or type(error).__name__,
                    "report this as a defect, with the message",
                )
            )

    thread = threading.Thread(target=isolated, name=f"vdibench-check-{check.name}", daemon=True)
    thread.start()
    try:
        thread.join(context.check_seconds)
    except BaseException:  # Ctrl-C: what the check started ends first
        thread.join(_CLEANUP_SECONDS)
        raise
    if not results:
        return no_data(
            check.name,
            f"no answer within {context.check_seconds:g} s",
            check.question,
            "try again on a less loaded machine, or allow more time",
        )
    return results[0]
