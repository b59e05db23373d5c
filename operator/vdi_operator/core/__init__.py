"""What ought to be, from what is: the operator's decisions. Pure."""

__all__: list[str] = []
