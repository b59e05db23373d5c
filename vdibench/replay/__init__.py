"""Desktops without desktops: the recorded video of a real one, served to any number of clients.

What comes of it is synthetic and said to be so: a replay shows what a client or an engine can take, never what a
desktop can give. The instants in a recorded marker are those of the recording, so that no session of ours reads one.
"""

__all__: list[str] = []
