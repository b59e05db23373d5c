"""Desktops without desktops: the recorded video of a real one, served to any number of clients. Synthetic, and said so."""

__all__: list[str] = []
