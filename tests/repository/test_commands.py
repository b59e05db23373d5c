"""Commands and their documentation say the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from vdibench.cli import cli

FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", flags=re.M | re.S)
PLACEHOLDERS = re.compile(r"[\[\]<>|]|\.\.\.")


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, name
            yield from walk(child, (*path, name))


TREE = dict(walk(cli))


def split(line: str) -> list[str]:
    """A line's words as a shell would take them; of a line that is no command, whatever they are."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def documented_lines(root: Path, committed: list[Path]) -> list[tuple[Path, list[str]]]:
    return [
        (path, words)
        for path in committed
        if path.suffix == ".md"
        for block in FENCE.findall((root / path).read_text())
        for line in block.splitlines()
        if (words := split(line.removeprefix("$ ").split("  #")[0])) and words[0] == "vdibench"
    ]


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    path: tuple[str, ...] = ()
    rest = words[1:]
    while rest and isinstance(TREE[path], click.Group) and (*path, rest[0]) in TREE:
        path, rest = (*path, rest[0]), rest[1:]
    return TREE[path], rest


@pytest.mark.parametrize("path", sorted(TREE), ids=lambda p: " ".join(p) or "vdibench")
def test_command_is_helpful_and_documented(root: Path, path: tuple[str, ...]) -> None:
    command = TREE[path]
    assert command.help, f"{path} has no help"
    reference = (root / "docs" / "reference" / "cli.md").read_text()
    assert re.search(rf"\bvdibench {' '.join(path)}".rstrip() + r"\b", reference), f"{path} is not in cli.md"
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{path} {parameter.opts} has no help"
            assert max(parameter.opts, key=len) in reference, f"{path} {parameter.opts} is not in cli.md"


def test_documented_commands_exist(root: Path, committed: list[Path]) -> None:
    lines = documented_lines(root, committed)
    assert lines
    wrong = []
    for source, words in lines:
        command, rest = resolve(words)
        rest = rest[: rest.index("--")] if "--" in rest else rest
        if isinstance(command, click.Group) and rest and re.match(r"[a-z]", rest[0]):
            wrong.append(f"{source}: {shlex.join(words)}: no such command")
        options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "--version"}
        for word in rest:
            name = PLACEHOLDERS.sub(" ", word).lstrip("[").split()
            if name and name[0].startswith("-") and name[0] != "--" and name[0].partition("=")[0] not in options:
                wrong.append(f"{source}: {shlex.join(words)}: no option {name[0]}")
    assert wrong == []
