"""The commands of `vdi-operator`. I/O."""

__all__: list[str] = []
