"""The commands of ``vdibench``, one module each; :mod:`vdibench.cli` puts them together."""

__all__: list[str] = []
