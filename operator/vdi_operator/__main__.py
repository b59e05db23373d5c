"""``python -m vdi_operator``, where an installation's scripts are not on the path, as in the image."""

from __future__ import annotations

from vdi_operator.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
