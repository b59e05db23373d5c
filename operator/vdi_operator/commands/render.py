"""``vdi-operator render``: what the operator makes of a template, without a cluster. I/O; what it makes is pure."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from vdi_operator import settings as site
from vdi_operator.api.objects import GROUP, VERSION, Object
from vdi_operator.api.schema import LONGEST_NAME, RESERVED_HOSTS
from vdi_operator.api.session import Session
from vdi_operator.api.template import Template
from vdi_operator.api.validation import faults
from vdi_operator.children.all import children
from vdi_operator.children.dialects import needs_relay
from vdi_operator.children.names import slug
from vdi_operator.commands import documents
from vdi_operator.core.world import World
from vdi_operator.settings import Settings

__all__ = ["command", "rendered"]

_API = f"{GROUP}/{VERSION}"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
# What Secrets would be minted with; they are left out, but without them there would be no pod either.
_PASSING = "none-of-it-is-printed"


class _Refused(click.ClickException):
    """One line with cause and remedy: a file or a word of the command line is not what it must be."""

    exit_code = 2


@click.command("render")
@click.option(
    "--template", "template_file", required=True, metavar="FILE", help="With a VDITemplate; -: the standard input."
)
@click.option("--name", default="", help="Which VDITemplate of the file, by name; without: its first.")
@click.option("--user", required=True, help="Whose desktop it is, as the site writes users.")
@click.option("--session", "session_name", default="", metavar="NAME", help="Of the VDISession; without: the user's.")
@click.option("--host", default="", help="First label of the host name; without: the session's name.")
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The site's settings, as the chart writes them. Without: the defaults.",
)
@click.option(
    "--relay",
    "relays",
    multiple=True,
    metavar="ADDRESS",
    help="Of a node of coturn's, beside those of the settings; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON List in the place of YAML documents.")
def command(
    template_file: str,
    name: str,
    user: str,
    session_name: str,
    host: str,
    settings_file: Path | None,
    relays: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print the objects that the operator would make for a session of a user, in the order of creation.

    No cluster is asked. Secrets are left out: what is in them is minted for each session. It is for reading and
    comparing: the session that owns the objects is not there, so the uid of their owner is empty. A template is held
    to its schema, unknown fields included; rules between fields are the API server's to check.
    """
    try:
        settings = site.load(settings_file) if settings_file is not None else Settings()
        text = sys.stdin.read() if template_file == "-" else Path(template_file).read_text()
        template = _template(text, template_file, name)
        session = _session(template, user, session_name, host, settings)
        made = rendered(session, template, settings, tuple(dict.fromkeys((*settings.relay_addresses, *relays))))
    except OSError as error:
        raise _Refused(f"{error.filename} cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise _Refused(" ".join(str(error).split())) from error
    if as_json:
        click.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(made)}, indent=2))
    else:
        click.echo("---\n".join(documents.text(one) for one in made), nl=False)


def rendered(session: Session, template: Template, settings: Settings, relays: Sequence[str]) -> tuple[Object, ...]:
    """The children of a session but its Secrets, in the order of creation. Pure.

    :param relays: addresses of coturn's nodes.
    :raises ValueError: the host is none, or an address; or the dialect needs a relay and there is none.
    """
    if needs_relay(template.dialect) and not relays:
        # The operator waits for one, and makes no pod until then.
        raise ValueError(
            f"the dialect {template.dialect} needs a relay and none is named: give --relay ADDRESS, or relayAddresses "
            "in the settings"
        )
    world = World(0.0, settings, 0.0, relay_addresses=tuple(relays), turn_secret=_PASSING, spare_password=_PASSING)
    return tuple(one for one in children(session, template, world) if one["kind"] != "Secret")


def _template(text: str, file: str, name: str) -> Template:
    """The one that is asked for.

    :raises ValueError: there is none, or it is not what the schema allows.
    """
    place = "the standard input" if file == "-" else file
    there = list(_templates(text))
    known = [str(_metadata(one).get("name", "")) for one in there]
    if not there:
        raise ValueError(f"{place} has no VDITemplate: give one")
    if name and name not in known:
        raise ValueError(f"{place} has no VDITemplate {name}, it has {', '.join(known)}")
    one = there[known.index(name) if name else 0]
    what = f"VDITemplate {_metadata(one).get('name', '')}".rstrip()
    if one.get("apiVersion") != _API:
        raise ValueError(f"{what}: apiVersion is {one.get('apiVersion')!r}, it must be {_API}")
    if found := faults("VDITemplate", one):
        raise ValueError(f"{what}: {'; '.join(found)}")
    try:
        return Template.of(one)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error


def _templates(text: str) -> Iterator[Mapping[str, Any]]:
    """Those of documents, of lists in them, and of what kubectl calls a List."""
    for document in yaml.safe_load_all(text):
        listed = document.get("items") if isinstance(document, Mapping) and document.get("kind") == "List" else document
        for one in listed if isinstance(listed, list) else [listed]:
            if isinstance(one, Mapping) and one.get("kind") == "VDITemplate":
                yield one


def _metadata(one: Mapping[str, Any]) -> Mapping[str, Any]:
    found = one.get("metadata")
    return found if isinstance(found, Mapping) else {}


def _session(template: Template, user: str, name: str, host: str, settings: Settings) -> Session:
    """A session as a user would create it.

    :raises ValueError: the API server would refuse it.
    """
    name = name or slug(user, LONGEST_NAME)
    if not _LABEL.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ValueError(f"{name!r} is no name of a session: at most {LONGEST_NAME} characters of a-z, 0-9 and -")
    if (host or name) in RESERVED_HOSTS:
        raise ValueError(f"the host {host or name} is reserved: give another --host")
    spec: Object = {"user": user, "templateRef": {"name": template.name}}
    if host:
        spec["host"] = host
    one: Object = {
        "apiVersion": _API,
        "kind": "VDISession",
        "metadata": {"name": name, "namespace": settings.namespace},
        "spec": spec,
    }
    if found := faults("VDISession", one):
        raise ValueError(f"VDISession {name}: {'; '.join(found)}")
    return Session.of(one)
