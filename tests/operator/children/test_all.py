"""All children: which, in which order, and from what."""

from __future__ import annotations

import pytest

from vdi_operator.api.objects import Ref, ref
from vdi_operator.api.template import Dialect
from vdi_operator.children.all import children
from vdi_operator.children.home import home
from vdi_operator.children.kinds import KINDS
from vdi_operator.children.login import login
from vdi_operator.children.pod import pod
from vdi_operator.children.policy import policy
from vdi_operator.children.route import route
from vdi_operator.children.secrets import auth_secret, password_minted, rtc_secret
from vdi_operator.children.service import service

from .samples import MINTED, RELAY, SETTINGS, session, template, world

LOGIN = Ref("Middleware", "vdi-session-auth-cad-7")
BEFORE = [
    Ref("PersistentVolumeClaim", "vdi-home-alice"),
    Ref("Service", "vdi-session-service-cad-7"),
    LOGIN,
    Ref("IngressRoute", "vdi-session-cad-7"),
    Ref("NetworkPolicy", "vdi-session-cad-7"),
]
AUTH, RTC = Ref("Secret", "vdi-session-auth-cad-7"), Ref("Secret", "vdi-session-rtc-cad-7")
POD = Ref("Pod", "vdi-session-cad-7")


@pytest.mark.parametrize("dialect", [Dialect.SELKIES_1_WEBRTC, Dialect.SELKIES_2_WEBRTC])
def test_the_children_of_webrtc_are_what_each_builder_makes(dialect: Dialect) -> None:
    one, kind, around = session(), template(dialect=dialect), world()
    made = children(one, kind, around)
    asks = login(one, kind)
    assert made == (
        auth_secret(one, around),
        rtc_secret(one, around),
        home(one, kind),
        service(one),
        *([asks] if asks is not None else []),
        route(one, kind, SETTINGS),
        policy(one, kind, SETTINGS, (RELAY,)),
        pod(one, kind, SETTINGS, (RELAY,), *MINTED.values()),
    )
    old = dialect is Dialect.SELKIES_1_WEBRTC
    before = [one for one in BEFORE if one != LOGIN or not old]
    assert [ref(child) for child in made] == [AUTH, RTC, *before, POD], "what asks for a password itself needs no other"


@pytest.mark.parametrize("relays", [(), (RELAY,)])
def test_web_sockets_need_no_relay(relays: tuple[str, ...]) -> None:
    made = children(session(), template(dialect=Dialect.SELKIES_2_WEBSOCKET), world(relay_addresses=relays))
    assert [ref(child) for child in made] == [AUTH, *BEFORE, POD]
    assert "vdi-session-rtc" not in str(made)


@pytest.mark.parametrize("missing", [{"relay_addresses": ()}, {"turn_secret": ""}])
def test_no_pod_is_made_that_would_wait_for_its_secret(missing: dict[str, object]) -> None:
    made = children(session(), template(), world(**missing))
    assert [ref(child) for child in made] == [AUTH, *BEFORE]


def test_what_is_made_from_what_was_made_is_the_same() -> None:
    first = children(session(), template(), world())
    auth, rtc, *_ = first
    assert children(session(), template(), world(auth=auth, rtc=rtc, now=world().now + 60)) == first


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_pod_has_the_note_of_the_password_that_it_reads(dialect: Dialect) -> None:
    """Of the one that is made with it, of one that was there, and of the next one where that one is not fit."""
    kind = template(dialect=dialect)
    first, *_, pod_of_first = children(session(), kind, world())
    assert password_minted(pod_of_first) == password_minted(first) == "2027-01-15T08:00:00.250000Z"
    later = world(auth=first, now=world().now + 60)
    assert password_minted(children(session(), kind, later)[-1]) == password_minted(first)
    unfit = world(auth={**first, "data": {}}, now=world().now + 60)
    second, *_, pod_of_second = children(session(), kind, unfit)
    assert password_minted(pod_of_second) == password_minted(second) == "2027-01-15T08:01:00.250000Z"
    older = {**first, "metadata": {"name": first["metadata"]["name"]}}
    noteless, *_, pod_of_noteless = children(session(), kind, world(auth=older))
    assert password_minted(pod_of_noteless) == password_minted(noteless) == ""


def test_all_but_the_home_go_with_their_session() -> None:
    one = session()
    for child in children(one, template(), world()):
        owners = child["metadata"].get("ownerReferences", [])
        assert [owner["uid"] for owner in owners] == ([] if child["kind"] == "PersistentVolumeClaim" else [one.uid])
        assert child["metadata"]["namespace"] == one.namespace
        assert child["apiVersion"] == KINDS[child["kind"]].api_version


def test_what_leads_to_a_pod_leads_to_its_own_pod() -> None:
    found = {ref(child): child for child in children(session(), template(), world())}
    chosen = found[POD]["metadata"]["labels"].items()
    others = children(session(name="cad-8", uid="2"), template(), world())[-1]["metadata"]["labels"].items()
    for selector in (
        found[Ref("Service", "vdi-session-service-cad-7")]["spec"]["selector"],
        found[Ref("NetworkPolicy", "vdi-session-cad-7")]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= chosen
        assert not selector.items() <= others
    volumes = {volume["name"]: volume for volume in found[POD]["spec"]["volumes"]}
    assert Ref("PersistentVolumeClaim", volumes["home"]["persistentVolumeClaim"]["claimName"]) in found
    assert Ref("Secret", volumes["rtc"]["secret"]["secretName"]) in found
    (password,) = (one for one in found[POD]["spec"]["containers"][0]["env"] if "valueFrom" in one)
    assert Ref("Secret", password["valueFrom"]["secretKeyRef"]["name"]) in found
    rules = found[Ref("IngressRoute", "vdi-session-cad-7")]["spec"]["routes"]
    for rule in rules:
        assert Ref("Service", rule["services"][0]["name"]) in found
    assert Ref("Middleware", rules[1]["middlewares"][-1]["name"]) == LOGIN
    asks = found[LOGIN]["spec"]["basicAuth"]["secret"]
    assert found[Ref("Secret", asks)]["type"] == "kubernetes.io/basic-auth", "no other does Traefik read"


def test_no_secret_stands_anywhere_but_in_a_secret() -> None:
    around = world(turn_secret="north-of-here")
    for child in children(session(), template(), around):
        assert "north-of-here" not in str(child)
        assert around.spare_password not in str(child)
