"""The page in a real browser: every picture shown, nothing wider than the window, not blank in light or dark."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vdibench.records import Check, Outcome
from vdibench.report import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
# Runs in a copy of the page: the page itself allows no script.
QUESTION = """<script>
addEventListener("load", () => {
  const wide = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
    .filter(e => !e.closest(".scroll")).map(e => e.tagName + ": " + e.textContent.slice(0, 60));
  const cut = [...document.querySelectorAll(".scroll")].filter(e => e.scrollWidth > e.clientWidth + 1).length;
  const images = [...document.images].map(i => i.complete && i.naturalWidth >= 900 && i.clientWidth > 200);
  const answer = {page: document.documentElement.scrollWidth, window: innerWidth, wide, cut, images};
  const place = document.createElement("pre");
  place.id = "answer";
  place.textContent = JSON.stringify(answer);
  document.body.append(place);
});
</script></body>"""

Browse = Callable[..., str]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert program, f"none of {', '.join(NAMES)} is installed: `make setup` installs it"

    def run(page: Path, *arguments: str, width: int = 1100, height: int = 1400) -> str:
        profile = tmp_path / "profile"
        argv = [program, *ARGUMENTS, f"--user-data-dir={profile}", f"--window-size={width},{height}", *arguments]
        done = subprocess.run([*argv, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
        return done.stdout

    return run


def asked(browse: Browse, report: Path, width: int) -> dict[str, Any]:
    text = report.read_text()
    text, policies = re.subn(r"<meta http-equiv=.Content-Security-Policy.[^>]*>", "", text)
    assert policies == 1
    copy = report.with_name("asked.html")
    copy.write_text(text.replace("</body>", QUESTION))
    found = re.search(r'<pre id="answer">(.*?)</pre>', browse(copy, "--dump-dom", width=width), re.S)
    assert found
    answer: dict[str, Any] = json.loads(html.unescape(found[1]))
    return answer


@pytest.fixture(scope="module")
def report(full: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(Path(shutil.copytree(full, tmp_path_factory.mktemp("browser") / full.name)))


@pytest.mark.parametrize("width", [1100, 560])
def test_everything_is_shown_and_nothing_is_wider_than_the_window(browse: Browse, report: Path, width: int) -> None:
    answer = asked(browse, report, width)
    assert answer["window"] == width
    assert answer["page"] <= width
    assert answer["wide"] == []
    assert len(answer["images"]) >= 12
    assert all(answer["images"])
    if width >= 1000:
        assert answer["cut"] == 0, "a table has to be scrolled sideways"


def test_hostile_words_do_not_widen_the_page(
    browse: Browse, make: Callable[..., Path], part: Callable[..., object], long_name: str
) -> None:
    word = "w" * 3000
    path = make(
        [part("stream_validation", long_name, seconds=3)],
        checks=[Check("c" * 200, Outcome.FAIL, word, word, word)],
        facts={word: word},
        verdict_of=("stream_validation",),
        target=f"url:{word}",
        parameters={"stream_validation": {"url": word}},
    )
    answer = asked(browse, write_report(path), 800)
    assert answer["page"] <= 800
    assert answer["wide"] == []


@pytest.mark.parametrize(("scheme", "dark"), [(1, False), (0, True)])
def test_picture_is_not_blank(browse: Browse, report: Path, tmp_path: Path, scheme: int, dark: bool) -> None:
    picture = tmp_path / "picture.png"
    browse(report, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}", height=3200)
    pixels = np.asarray(Image.open(picture).convert("L")).astype(float)
    assert pixels.shape == (3200, 1100)
    ground = float(np.median(pixels))
    assert (ground < 60) is dark
    assert (ground > 200) is not dark
    # Text and tables above, a figure below: every stretch of a screen's height differs from the ground.
    for top in range(0, 3200, 400):
        stretch = pixels[top : top + 400]
        assert (abs(stretch - ground) > 60).mean() > 0.004, f"nothing to see from {top} to {top + 400}"
