"""Objects as YAML that people and kubectl read alike. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

__all__ = ["text"]

# Numbers to YAML 1.2, which kubectl reads, and text without quotes to PyYAML, which writes 1.1: 1e3, 0o17.
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Always: what is the same twice is written twice, readers of such files do not expect anchors."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="'" if _NUMBER.fullmatch(value) else None)


_Dumper.add_representer(str, _text)


def text(document: Mapping[str, Any]) -> str:
    """One document, its fields in their order."""
    made: str = yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return made
