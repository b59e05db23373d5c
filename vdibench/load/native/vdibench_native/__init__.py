"""RTP over many UDP sockets with few wake-ups: reception that only adds up, and sending. I/O; Linux.

Nothing here decides anything of a protocol: what is out of the ordinary goes to the caller as it came. Instants are
Unix seconds of this host's wall clock as the kernel noted them, sizes bytes of RTP payload unless said otherwise.
Objects are for one thread, and no thread is started.
"""

from __future__ import annotations

from vdibench_native._native import HAS_SRTP, Keys, Lane, Receiver, Run, Sender, floor

__all__ = ["HAS_SRTP", "Keys", "Lane", "Receiver", "Run", "Sender", "__version__", "floor"]

__version__ = "0.1.0"
