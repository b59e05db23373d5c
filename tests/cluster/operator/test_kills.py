"""The operator is killed at twenty random moments while sessions come and go: nothing doubles, nothing is lost."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest

from vdi_operator import settings as site_settings
from vdi_operator.children.names import home_name
from vdibench.lab.cluster.operating import OperatorProcess

from .site import DOMAIN, Site

KILLS = 20
SEED = 8
POOL = [f"churn-{number:02}" for number in range(24)]

pytestmark = pytest.mark.timeout(1800)  # twenty starts of the operator; alone it builds a cluster


class Churn:
    """Users who change their minds, in a thread; always the same ones for a seed.

    What they wish for last is in ``wishes``: session -> operating mode.
    """

    def __init__(self, site: Site, seed: int) -> None:
        self.wishes: dict[str, str] = {}
        self.ever: set[str] = set()
        self.changes = 0
        self.error: BaseException | None = None
        self._site = site
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="churn")

    def __enter__(self) -> Churn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._change()
                self._stop.wait(self._random.uniform(0.0, 0.15))
        except BaseException as error:  # told by the test: an exception of a thread is nobody's
            self.error = error

    def _change(self) -> None:
        name = self._random.choice(POOL)
        self.changes += 1
        if name not in self.wishes:
            self._site.create(self._site.wish(name, "played"))
            self.wishes[name] = "Running"
            self.ever.add(name)
        elif self._random.random() < 0.4:
            self._site.delete("VDISession", name)
            del self.wishes[name]
        else:
            mode = {"Running": "Suspended", "Suspended": "Running"}[self.wishes[name]]
            self._site.merge("VDISession", name, {"spec": {"operatingMode": mode}})
            self.wishes[name] = mode


def test_kills_leave_no_trace(site: Site, operator: OperatorProcess) -> None:
    users = [f"{name}@{DOMAIN}" for name in POOL]
    site.play(users)
    moments = random.Random(SEED)
    with Churn(site, SEED) as churn:
        for _ in range(KILLS):
            # From in the middle of its first list to well into its passes.
            time.sleep(moments.choice([moments.uniform(0.0, 0.5), moments.uniform(0.5, 3.0)]))
            operator.kill()
            operator.start()
    assert churn.error is None
    assert churn.changes >= KILLS
    settings = site_settings.load(Path(operator.log).with_name("settings.yaml"))

    def settled() -> bool:
        return all(
            site.condition(name).get("reason") == {"Running": "Published", "Suspended": "Suspended"}[mode]
            for name, mode in churn.wishes.items()
        )

    try:
        site.until(settled, "what everybody wished for last")
    except AssertionError as error:
        found = {name: (mode, site.condition(name)) for name, mode in churn.wishes.items()}
        raise AssertionError(f"{error}: {found}") from error

    wanted = set()
    for name, mode in churn.wishes.items():
        whole = site.wanted(name, settings)
        kept = ("Secret", "Middleware", "NetworkPolicy", "PersistentVolumeClaim")
        wanted |= {key for key in whole if mode == "Running" or key[0] in kept}
        if mode == "Running":
            assert site.wrong(name, settings) == [], name
    homes = {key for key in wanted if key[0] == "PersistentVolumeClaim"}
    site.until(lambda: set(site.managed()) <= wanted - homes, "the end of what nobody wants any more")
    # A session that was suspended before anything was made for it has nothing that could be kept.
    missing = wanted - homes - set(site.managed())
    assert {name.rpartition("churn-")[2] for _, name in missing} <= {
        name.rpartition("churn-")[2] for name, mode in churn.wishes.items() if mode == "Suspended"
    }
    # Two pods of one session would be two of one name: by the home they would show.
    for one in site.all("PersistentVolumeClaim").values():
        assert "deletionTimestamp" not in one["metadata"]
    lost = {home_name(f"{name}@{DOMAIN}") for name in churn.ever} - set(site.all("PersistentVolumeClaim"))
    never = {home_name(f"{name}@{DOMAIN}") for name in churn.ever if not _ever_started(site, name)}
    assert lost <= never


def _ever_started(site: Site, name: str) -> bool:
    """Whether a session of that name got as far as a home: its volume has been claimed."""
    text = site.kubectl("get", "pv", f"played-{home_name(f'{name}@{DOMAIN}')}", "-o", "jsonpath={.status.phase}")
    return text in ("Bound", "Released")
