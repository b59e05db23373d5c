"""How accurate and how expensive the measuring itself is, on this machine.

Known delay, loss, freezes and rate are put between a real desktop and the client, and what the client says is held
against them; a source of canned video shows what each mode of the client costs.
"""

from vdibench.selftest.source import Source

__all__ = ["Source"]
