"""Where the API server is, from a service account's folder and from kubeconfigs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vdi_operator.cluster.access import Token, from_kubeconfig, in_cluster


def kubeconfig(path: Path, user: dict[str, object], server: str = "http://127.0.0.1:8001/") -> Path:
    document = {
        "current-context": "lab",
        "contexts": [
            {"name": "lab", "context": {"cluster": "c", "user": "u"}},
            {"name": "lost", "context": {"cluster": "elsewhere", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_current_context_is_taken(tmp_path: Path) -> None:
    access = from_kubeconfig(kubeconfig(tmp_path / "k", {"token": "t"}))
    assert (access.server, access.token.read(), access.tls) == ("http://127.0.0.1:8001", "t", None)


def test_a_token_file_is_found_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    assert from_kubeconfig(kubeconfig(tmp_path / "k", {"tokenFile": "token"})).token.read() == "from-file"


@pytest.mark.parametrize(
    ("context", "says"), [("nowhere", "'nowhere' among its contexts, known are lab, lost"), ("lost", "'elsewhere'")]
)
def test_what_is_missing_is_named(tmp_path: Path, context: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_kubeconfig(kubeconfig(tmp_path / "k", {}), context)


def test_what_kubernetes_took_away_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'lab' has an auth-provider.*write the kubeconfig anew"):
        from_kubeconfig(kubeconfig(tmp_path / "k", {"auth-provider": {"name": "oidc"}}))


def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("- 1\n")
    with pytest.raises(ValueError, match="not a kubeconfig"):
        from_kubeconfig(tmp_path / "k")


def test_outside_of_a_pod_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ValueError, match="--kubeconfig"):
        in_cluster(tmp_path)


def test_a_token_is_read_again_only_when_its_file_is_another(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    token = Token(path=path)
    assert token.read() == "first"
    path.unlink()
    path.write_text("second")
    assert token.read() == "first"  # looked at a moment ago
    token._looked = float("-inf")
    assert token.read() == "second"


def test_a_token_is_not_in_its_own_picture(tmp_path: Path) -> None:
    assert "hunter2" not in repr(from_kubeconfig(kubeconfig(tmp_path / "k", {"token": "hunter2"})))
