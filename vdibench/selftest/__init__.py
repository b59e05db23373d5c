"""How accurate and how expensive the measuring itself is, on this machine.

Known delay, loss, freezes and rate are put between a real desktop and the client, and what the client says is held
against them; a source of canned video shows what each mode of the client costs. See ``docs/reference/selftest.md``.
"""

from vdibench.selftest.course import run_selftest, unproven
from vdibench.selftest.plan import FULL, QUICK, Plan, with_engine
from vdibench.selftest.state import keep, kept, state_file

__all__ = ["FULL", "QUICK", "Plan", "keep", "kept", "run_selftest", "state_file", "unproven", "with_engine"]
