"""``vdi-operator crds``: the CustomResourceDefinitions as YAML."""

from __future__ import annotations

from pathlib import Path

import click

from vdi_operator.api.objects import GROUP
from vdi_operator.api.schema import definitions
from vdi_operator.commands import documents

__all__ = ["command", "files"]


@click.command("crds")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Write one file for each kind there, as the chart has them, and print nothing.",
)
def command(directory: Path | None) -> None:
    """Print the CustomResourceDefinitions of VDITemplate and VDISession.

    `vdi-operator crds | kubectl apply --server-side --force-conflicts -f -` brings a cluster up to date: Helm installs
    CRDs with a chart's first release and never again, and their fields are its own until then.
    """
    made = files()
    if directory is None:
        click.echo("---\n".join(made.values()), nl=False)
        return
    for name, text in made.items():
        (directory / name).write_text(text)


def files() -> dict[str, str]:
    """Name of each file of the chart's folder ``crds``, with its text."""
    return {
        f"{GROUP}_{one['spec']['names']['plural']}.yaml": "# Written by `vdi-operator crds --directory`.\n"
        + documents.text(one)
        for one in definitions()
    }
