"""``vdibench conformance``: do a cluster's network policies hold?"""

from __future__ import annotations

import dataclasses
import json

import click
from rich.console import Console

from vdibench.clusters import connect
from vdibench.conformance import Options, check_policies, outside
from vdibench.records import EXIT_CODES
from vdibench.report import show
from vdibench.suites.conformance import conformance_table

__all__ = ["conformance"]


@click.command()
@click.option("--context", default="", help="Context of your cluster; without one, a lab's cluster.")
@click.option("--kubeconfig", default="", metavar="FILE", help="Where the context is; by default the usual places.")
@click.option("--lab", default="", metavar="NAME", help="Which lab, without --context; by default the default one.")
@click.option("--image", default="", help="For the pods: with Python 3.9 or later. By default a desktop's.")
@click.option("--node", default="", help="Where the pods run; by default where a desktop runs.")
@click.option("--internet", default="", metavar="ADDRESS:PORT", help="Something outside that answers TLS, to try too.")
@click.option("--no-host-network", is_flag=True, help="No pod on its node's network; exceptions are not tried.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20), help="Tries of each edge.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def conformance(
    context: str,
    kubeconfig: str,
    lab: str,
    image: str,
    node: str,
    internet: str,
    no_host_network: bool,
    rounds: int,
    as_json: bool,
) -> int:
    """Try every edge that policies allow or forbid, from pods that are made for it and removed again."""
    options = Options(
        image=image,
        node=node,
        internet=outside(internet) if internet else None,
        host_network=not no_host_network,
        rounds=rounds,
    )
    cluster = connect(context=context, kubeconfig=kubeconfig, lab=lab)
    console = Console(stderr=True)
    found = check_policies(cluster, options, lambda line: console.print(line, highlight=False, markup=False))
    if as_json:
        print(json.dumps({**dataclasses.asdict(found), "enforced": found.enforced}))
        return EXIT_CODES[found.outcome]
    print(found.sentence)
    show(conformance_table(found))
    if found.opening is not None:
        print(found.opening)
    if found.remedy:
        print(f"remedy: {found.remedy}")
    return EXIT_CODES[found.outcome]
