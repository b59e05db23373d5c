"""``vdi-operator render``: the operator's own children, without a cluster, and one line where there can be none."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from vdi_operator.api.session import Session
from vdi_operator.api.template import Dialect, Template
from vdi_operator.children.all import children
from vdi_operator.main import cli

from ..children.samples import world
from ..schemas import OPERATOR

EXAMPLE = str(OPERATOR / "examples" / "template.yaml")
ORDER = ["PersistentVolumeClaim", "Service", "Middleware", "IngressRoute", "NetworkPolicy", "Pod"]
RELAY = "192.0.2.10"

Object = dict[str, Any]


def document(name: str = "cad", **spec: Any) -> Object:
    return {
        "apiVersion": "vdibench.io/v1alpha1",
        "kind": "VDITemplate",
        "metadata": {"name": name},
        "spec": {"image": f"registry.example.com/{name}:1", **spec},
    }


def render(*words: str, given: Any = None) -> Result:
    """Run it; ``given`` is what stands on its standard input, as YAML unless it is text already."""
    text = given if isinstance(given, str) else yaml.safe_dump(given)
    where = () if given is None else ("--template", "-")
    return CliRunner().invoke(cli, ["render", *where, *words], input=text)


def objects(done: Result) -> list[Object]:
    assert done.exit_code == 0, done.output
    return list(yaml.safe_load_all(done.output))


def pod(done: Result) -> Object:
    return objects(done)[-1]


def only(made: list[Object], kind: str) -> Object:
    (found,) = (one for one in made if one["kind"] == kind)
    return found


def test_it_makes_what_the_operator_makes_but_secrets() -> None:
    made = objects(render("--user", "alice", "--relay", RELAY, given=document()))
    session = Session("vdi-sessions", "alice", "", 0, "alice", "cad")
    template = replace(
        Template("cad", "", 0, "registry.example.com/cad:1"), spec_digest=Template.of(document()).spec_digest
    )
    # No clock is asked either.
    around = world(now=0.0, relay_addresses=(RELAY,))
    theirs = [one for one in children(session, template, around) if one["kind"] != "Secret"]
    assert made == theirs
    assert [one["kind"] for one in made] == ORDER


def test_as_a_process_of_its_own_without_anything_that_speaks_to_a_cluster() -> None:
    program = (
        "import sys\n"
        "from vdi_operator.main import cli\n"
        "try:\n"
        "    cli(prog_name='vdi-operator')\n"
        "finally:\n"
        "    assert not {'kopf', 'aiohttp', 'prometheus_client', 'vdibench'} & set(sys.modules)\n"
    )
    words = ["render", "--template", EXAMPLE, "--user", "alice@example.com", "--relay", RELAY]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    made = list(yaml.safe_load_all(done.stdout))
    assert [one["kind"] for one in made] == ORDER
    home = made[0]["metadata"]
    assert home["annotations"] == {"vdibench.io/user": "alice@example.com"}
    assert made[-1]["metadata"]["name"].startswith("vdi-session-alice-example-com---")


def test_json_is_one_list_of_the_same_objects() -> None:
    words = ("--user", "alice", "--relay", RELAY)
    found = json.loads(render(*words, "--json", given=document()).output)
    assert (found["apiVersion"], found["kind"]) == ("v1", "List")
    assert found["items"] == objects(render(*words, given=document()))


@pytest.mark.parametrize(
    "text",
    [
        yaml.safe_dump_all([{"kind": "Namespace"}, document("a"), document("b")]),
        yaml.safe_dump([document("a"), document("b")]),
        yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [document("a"), document("b")]}),
        f"---\n---\n{json.dumps([document('a'), document('b')])}",
    ],
)
def test_the_first_template_counts_or_the_one_that_is_named(text: str) -> None:
    for words, name in (((), "a"), (("--name", "a"), "a"), (("--name", "b"), "b")):
        (desktop,) = pod(render("--user", "alice", "--relay", RELAY, *words, given=text))["spec"]["containers"]
        assert desktop["image"] == f"registry.example.com/{name}:1"
    done = render("--user", "alice", "--relay", RELAY, "--name", "c", given=text)
    assert (done.exit_code, done.output) == (2, "Error: the standard input has no VDITemplate c, it has a, b\n")


def test_session_and_host_may_be_named() -> None:
    words = ("--user", "alice", "--session", "cad-7", "--host", "desk", "--relay", RELAY)
    made = objects(render(*words, given=document()))
    assert [one["metadata"]["name"] for one in made] == [
        "vdi-home-alice",
        "vdi-session-service-cad-7",
        "vdi-session-auth-cad-7",
        *["vdi-session-cad-7"] * 3,
    ]
    for rule in only(made, "IngressRoute")["spec"]["routes"]:
        assert "Host(`desk.vdi.example.com`)" in rule["match"]


def test_the_sites_settings_count(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(
        yaml.safe_dump({"domain": "vdi.test", "namespace": "desks", "relayAddresses": [RELAY], "relayPort": 5000})
    )
    made = objects(render("--user", "alice", "--settings", str(file), "--relay", "192.0.2.11", given=document()))
    assert {one["metadata"]["namespace"] for one in made} == {"desks"}
    for rule in only(made, "IngressRoute")["spec"]["routes"]:
        assert "Host(`alice.vdi.test`)" in rule["match"]
    variables = {one["name"]: one.get("value") for one in made[-1]["spec"]["containers"][0]["env"]}
    assert (variables["SELKIES_TURN_HOST"], variables["SELKIES_TURN_PORT"]) == (RELAY, "5000")
    peers = [peer for rule in only(made, "NetworkPolicy")["spec"]["egress"] for peer in rule["to"]]
    blocks = [peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer]
    assert blocks == ["192.0.2.10/32", "192.0.2.11/32"]


def test_web_sockets_want_no_relay() -> None:
    done = render("--user", "alice", given=document(dialect=str(Dialect.SELKIES_2_WEBSOCKET)))
    assert [one["kind"] for one in objects(done)] == ORDER


def test_selkies_1_asks_for_the_password_itself_everywhere() -> None:
    done = render("--user", "alice", "--relay", RELAY, given=document(dialect=str(Dialect.SELKIES_1_WEBRTC)))
    assert [one["kind"] for one in objects(done)] == [kind for kind in ORDER if kind != "Middleware"]


def test_a_text_that_looks_like_a_number_stays_text_to_other_readers() -> None:
    """YAML 1.2, which kubectl reads, knows more numbers than YAML 1.1."""
    done = render("--user", "1e3", "--relay", RELAY, given=document())
    assert "vdibench.io/user: '1e3'\n" in done.output
    assert objects(done)[0]["metadata"]["annotations"] == {"vdibench.io/user": "1e3"}


def test_nothing_secret_is_printed() -> None:
    for words in ((), ("--json",)):
        done = render("--user", "alice", "--relay", RELAY, *words, given=document())
        assert "none-of-it-is-printed" not in done.output
        assert '"kind": "Secret"' not in done.output
        assert "kind: Secret" not in done.output


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        ((), document(), "the dialect selkies-2-webrtc needs a relay and none is named: give --relay ADDRESS"),
        (("--relay", "turn.test"), document(), "'turn.test' is no address of a relay: write it as 192.0.2.10"),
        ((), {"kind": "Pod"}, "the standard input has no VDITemplate: give one"),
        ((), "", "the standard input has no VDITemplate: give one"),
        ((), "a: [", "while parsing a flow"),
        ((), document() | {"apiVersion": "vdibench.io/v1"}, "VDITemplate cad: apiVersion is 'vdibench.io/v1'"),
        ((), document() | {"spec": {}}, "VDITemplate cad: spec.image is missing"),
        ((), document() | {"spec": None}, "VDITemplate cad: spec.image is missing"),
        ((), document() | {"metadata": {}}, "VDITemplate: metadata.name is missing"),
        ((), document(display={"frmerate": 60}), "VDITemplate cad: spec.display.frmerate is unknown, known are width"),
        ((), document(display={"framerate": 600}), "spec.display.framerate is 600, 240 is the most"),
        ((), document(display={"framerate": "60"}), "spec.display.framerate is '60', it must be a whole number"),
        ((), document(dialect="selkies-3"), "spec.dialect is 'selkies-3', known are selkies-1-webrtc"),
        ((), document(gpu={"count": 2}), "spec.gpu.count is 2, 1 is the most"),
        ((), document(startDeadline="721h"), "spec.startDeadline: '721h' must be longer than nothing"),
        (("--session", "Alice"), document(), "'Alice' is no name of a session"),
        (("--session", "a" * 41), document(), "is no name of a session: at most 40 characters"),
        (("--session", "www"), document(), "the host www is reserved: give another --host"),
        (("--host", "a.b"), document(), "VDISession alice: spec.host is 'a.b', it must match"),
        (("--user", " "), document(), "spec.user is ' ', it must match"),
        (("--settings", "absent.yaml"), document(), "absent.yaml cannot be read: No such file or directory"),
        (("--template", "absent.yaml"), document(), "absent.yaml cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: tuple[str, ...], given: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no absent.yaml
    done = render("--user", "alice", *words, given=given)
    assert done.exit_code == 2, done.output
    assert done.output.startswith("Error: ")
    assert said in done.output
    assert done.output.count("\n") == 1


def test_settings_that_make_no_sense_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    for text, said in (("domian: x", "'domian' is unknown"), ("- x", "not a mapping"), ("a: [", "while parsing")):
        file.write_text(text)
        done = render("--user", "alice", "--relay", RELAY, "--settings", str(file), given=document())
        assert done.exit_code == 2, done.output
        assert said in done.output
        assert done.output.count("\n") == 1
