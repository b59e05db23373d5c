"""The set-up of a checkout, on the standard library alone.

`capabilities` says what this machine lacks, `apt` gets it, `environment` builds `.venv`, `console` shows
progress and keeps logs, `command` puts them in order. Nothing here names a package index or a mirror: that is
left to the configuration of pip and apt.
"""

__all__: list[str] = []
