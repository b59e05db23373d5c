"""The Service and the home, whole."""

from __future__ import annotations

from vdi_operator.api.session import HomePolicy
from vdi_operator.api.template import Home
from vdi_operator.children.home import home
from vdi_operator.children.service import service

from .samples import metadata, session, template


def test_the_service_leads_to_the_sessions_pod() -> None:
    assert service(session()) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata("vdi-session-service-cad-7", "desktop"),
        "spec": {
            "selector": {"app.kubernetes.io/name": "vdi-session", "app.kubernetes.io/instance": "cad-7"},
            "ports": [{"name": "http", "port": 8080, "targetPort": "http"}],
        },
    }


def test_the_home_is_the_users_and_nobody_owns_it() -> None:
    assert home(session(user="Alice"), template(home=Home("fast", "5Gi"))) == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "vdi-home-alice---3bc51062973c458d",
            "namespace": "vdi-sessions",
            "labels": {
                "app.kubernetes.io/name": "vdi-session",
                "vdibench.io/user-slug": "alice---3bc51062973c458d",
                "app.kubernetes.io/component": "home",
                "app.kubernetes.io/part-of": "vdi-platform",
                "app.kubernetes.io/managed-by": "vdi-operator",
            },
            "annotations": {"vdibench.io/user": "Alice"},
        },
        "spec": {
            "storageClassName": "fast",
            "accessModes": ["ReadWriteOncePod"],
            "resources": {"requests": {"storage": "5Gi"}},
        },
    }


def test_all_sessions_of_a_user_have_one_home() -> None:
    first, second = session(name="a", uid="1"), session(name="b", uid="2")
    assert home(first, template()) == home(second, template())
    assert home(first, template()) != home(session(name="a", user="bob"), template())


def test_a_fresh_home_is_as_the_own_one_under_another_name() -> None:
    own = home(session(), template())
    fresh = home(session(home_policy=HomePolicy.FRESH), template())
    assert (own["metadata"].pop("name"), fresh["metadata"].pop("name")) == ("vdi-home-alice", "vdi-fresh-home-alice")
    assert own == fresh
    assert "ownerReferences" not in fresh["metadata"]
