"""From templates and DaemonSets to the requests that make the one follow the other."""

from __future__ import annotations

from typing import Any

from vdi_operator.api.objects import Object, Ref
from vdi_operator.api.template import Template
from vdi_operator.children.prepull import prepull
from vdi_operator.core.decision import Change, Verb
from vdi_operator.core.prepull import prepull_changes

from .cluster import SETTINGS


def template(name: str = "cad", **changes: Any) -> Template:
    given = {"image": "registry.test/desktop:2.1.0", "prepull": True, **changes}
    return Template(name=name, uid=f"uid-of-{name}", generation=3, **given)


def stored(one: Object) -> Object:
    """As a list gives it, without its spec, as the store keeps it."""
    return {"metadata": {**one["metadata"], "uid": f"of-{one['metadata']['name']}"}}


def test_who_asks_for_it_gets_it() -> None:
    wanted = prepull(template(), SETTINGS)
    found = prepull_changes([template(), template("plain", prepull=False)], [], [], SETTINGS)
    assert found == (Change(Verb.APPLY, Ref("DaemonSet", "vdi-prepull-cad"), wanted),)
    assert prepull_changes([template()], [], [stored(wanted)], SETTINGS) == ()


def test_another_image_is_applied_and_another_lifetime_is_not() -> None:
    there = [stored(prepull(template(), SETTINGS))]
    assert prepull_changes([template(lifetime_seconds=60.0)], [], there, SETTINGS) == ()
    (change,) = prepull_changes([template(image="registry.test/desktop:3")], [], there, SETTINGS)
    assert (change.verb, change.ref.name) == (Verb.APPLY, "vdi-prepull-cad")
    assert change.body["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.test/desktop:3"


def test_it_goes_with_the_flag_and_with_the_template() -> None:
    there = [stored(prepull(template(), SETTINGS))]
    gone = (Change(Verb.DELETE, Ref("DaemonSet", "vdi-prepull-cad"), uid="of-vdi-prepull-cad"),)
    assert prepull_changes([template(prepull=False)], [], there, SETTINGS) == gone
    assert prepull_changes([], [], there, SETTINGS) == gone


def test_it_stays_while_its_template_cannot_be_read_and_is_not_deleted_twice() -> None:
    one = stored(prepull(template(), SETTINGS))
    assert prepull_changes([], ["uid-of-cad"], [one], SETTINGS) == ()
    one["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    assert prepull_changes([], [], [one], SETTINGS) == ()
    assert prepull_changes([template(image="other")], [], [one], SETTINGS) == (), "first it has to be gone"
