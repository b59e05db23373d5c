"""Names: labels of DNS that no two users share, and what leads to a session."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdi_operator.api.session import HomePolicy
from vdi_operator.children import names
from vdi_operator.children.kinds import KINDS

from .samples import SETTINGS, session

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Texts that look alike to a careless slug.
users = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.text("aA-.@ _é0", max_size=60),
    st.from_regex(r"[a-z]{1,4}---[0-9a-f]{16}", fullmatch=True),
)


@settings(deadline=None)
@given(users, st.integers(20, 80))
def test_a_slug_is_a_label_of_dns(text: str, longest: int) -> None:
    made = names.slug(text, longest)
    assert LABEL.fullmatch(made), made
    assert len(made) <= min(longest, 63)


@settings(deadline=None)
@given(st.sets(users, max_size=30), st.integers(20, 63))
def test_two_users_never_share_one(texts: set[str], longest: int) -> None:
    assert len({names.slug(text, longest) for text in texts}) == len(texts)


@settings(deadline=None)
@given(users, users)
def test_nobody_can_take_the_name_that_another_ones_slug_is(text: str, other: str) -> None:
    taken = names.slug(text)
    if taken != text:
        assert names.slug(taken) != taken
    assert (names.slug(other) == taken) is (other == text)


@pytest.mark.parametrize("text", ["alice", "a", "7", "a-b", "a--b", "x" * 48])
def test_a_label_stays_as_it_is(text: str) -> None:
    assert names.slug(text) == text


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("Alice", "alice---3bc51062973c458d"),
        ("alice@example.test", "alice-example-test---"),
        ("", "x---e3b0c44298fc1c14"),
        ("-alice", "alice---"),
        ("alice-", "alice---"),
        ("日本", "x---"),
        ("x" * 49, "x" * 29 + "---"),
        ("a---b", "a-b---"),
        ("a" * 28 + "--" + "b" * 30, "a" * 28 + "---"),
    ],
)
def test_another_text_gets_a_digest(text: str, made: str) -> None:
    assert re.fullmatch(re.escape(made) + ("" if made[-1] != "-" else r"[0-9a-f]{16}"), names.slug(text))


def test_a_slug_without_room_for_a_digest_is_refused() -> None:
    assert names.slug("Alice", 20) == "a---3bc51062973c458d"
    with pytest.raises(ValueError, match="20 are the least"):
        names.slug("Alice", 19)


def test_every_name_is_a_label_for_the_longest_session() -> None:
    longest = session(name="s" * 40, user="U" * 200)
    made = [
        names.pod_name(longest),
        names.service_name(longest),
        names.route_name(longest),
        names.policy_name(longest),
        names.auth_name(longest),
        names.login_name(longest),
        names.rtc_name(longest),
        names.home_name(longest.user),
        names.fresh_home_name(longest.user),
    ]
    assert [name for name in made if not LABEL.fullmatch(name)] == []


def test_names_are_those_of_the_manifests() -> None:
    alice = session(name="alice")
    assert names.pod_name(alice) == names.route_name(alice) == names.policy_name(alice) == "vdi-session-alice"
    assert names.service_name(alice) == "vdi-session-service-alice"
    assert names.auth_name(alice) == names.login_name(alice) == "vdi-session-auth-alice"
    assert names.rtc_name(alice) == "vdi-session-rtc-alice"
    assert names.home_name("alice") == names.claim_name(alice) == "vdi-home-alice"
    fresh = session(name="alice", home_policy=HomePolicy.FRESH)
    assert names.claim_name(fresh) == names.fresh_home_name("alice") == "vdi-fresh-home-alice"


def test_labels_by_which_pods_are_chosen_are_reserved() -> None:
    assert names.selector(session()).items() <= names.labels(session(), "desktop").items()
    assert set(names.labels(session(), "desktop")) | set(names.home_labels("alice")) == names.RESERVED_LABELS


def test_a_home_is_not_found_by_the_label_of_a_session() -> None:
    found = names.home_labels("cad-7")
    assert not names.selector(session(name="cad-7")).items() <= found.items()
    assert found["vdibench.io/user-slug"] == "cad-7"


def test_the_address_is_that_of_users() -> None:
    assert names.url(session(), SETTINGS) == "https://cad-7.vdi.example.com/"
    elsewhere = replace(SETTINGS, domain="vdi.test", port=8443)
    assert names.url(session(host="desk"), elsewhere) == "https://desk.vdi.test:8443/"
    assert names.host(session(host="desk"), elsewhere) == "desk.vdi.test"


@pytest.mark.parametrize("host", ["a`) || Host(`b", "Desk", "a b", "-a", "a" * 64, "a..b", "a\n"])
def test_what_is_no_host_gets_into_no_rule(host: str) -> None:
    with pytest.raises(ValueError, match="is no host name"):
        names.host(session(host=host), SETTINGS)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Pod", "/api/v1/namespaces/n/pods/x"),
        ("Service", "/api/v1/namespaces/n/services/x"),
        ("Secret", "/api/v1/namespaces/n/secrets/x"),
        ("PersistentVolumeClaim", "/api/v1/namespaces/n/persistentvolumeclaims/x"),
        ("Event", "/api/v1/namespaces/n/events/x"),
        ("NetworkPolicy", "/apis/networking.k8s.io/v1/namespaces/n/networkpolicies/x"),
        ("IngressRoute", "/apis/traefik.io/v1alpha1/namespaces/n/ingressroutes/x"),
        ("Middleware", "/apis/traefik.io/v1alpha1/namespaces/n/middlewares/x"),
        ("VDISession", "/apis/vdibench.io/v1alpha1/namespaces/n/vdisessions/x"),
        ("VDITemplate", "/apis/vdibench.io/v1alpha1/namespaces/n/vditemplates/x"),
    ],
)
def test_a_kind_has_its_path(kind: str, path: str) -> None:
    assert KINDS[kind].name == kind
    assert KINDS[kind].path("n", "x") == path
