"""``vdi-operator`` on the command line: a group that loads a command when it is asked for."""

from __future__ import annotations

import importlib

import click

from vdi_operator import __version__

__all__ = ["cli", "main"]

# Command -> the module of vdi_operator.commands that has it as ``command``. Imported when asked for: `crds` and `open`
# need neither kopf nor an event loop.
_COMMANDS = {
    "run": "run",
    "crds": "crds",
    "render": "render",
    "open": "open",
    "explain": "explain",
    "purge-home": "purge_home",
    "migrate": "migrate",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(f"vdi_operator.commands.{module}").command
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="vdi-operator")
def cli() -> None:
    """Desktops on demand: VDISessions of the API group vdibench.io, from a chart to the first frame."""


def main() -> None:
    """Run the command line and exit with its code: 0, 1 a fault, 2 usage; commands may have others."""
    cli(prog_name="vdi-operator")


if __name__ == "__main__":
    main()
