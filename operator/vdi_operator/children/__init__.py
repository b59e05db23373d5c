"""The objects that a session is made of, each from template, session and settings. Pure."""

__all__: list[str] = []
