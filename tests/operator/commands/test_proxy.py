"""The reverse proxy: a link that opens once, a cookie that is the key, and nothing for other pages of the browser."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from http.cookies import SimpleCookie
from typing import Any

import aiohttp
import pytest

from vdi_operator.commands.proxy import Gate, Proxy, Upstream

from .upstream import PASSWORD, USER, Desktop


@pytest.fixture
def desktop() -> Iterator[Desktop]:
    with Desktop() as found:
        yield found


@pytest.fixture
async def proxy(desktop: Desktop) -> AsyncIterator[Proxy]:
    async with Proxy(Upstream(desktop.url, USER, PASSWORD), Gate(60.0)) as found:
        yield found


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """Keeps cookies of addresses too, as browsers do, and follows no redirect by itself."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as found:
        yield found


def root(proxy: Proxy) -> str:
    return proxy.link.partition("/vdi-open/")[0]


async def status(browser: aiohttp.ClientSession, url: str, **more: Any) -> int:
    async with browser.get(url, allow_redirects=False, **more) as answer:
        return answer.status


async def test_the_link_opens_once_and_gives_a_cookie(proxy: Proxy, desktop: Desktop, browser) -> None:
    assert await status(browser, f"{root(proxy)}/") == 403
    async with browser.get(proxy.link) as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        (cookie,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
        assert cookie["max-age"] == cookie["expires"] == ""
        # The browser goes on by itself, so that a strict cookie goes with it.
        assert 'url=/"' in await answer.text()
    async with browser.get(f"{root(proxy)}/") as answer:
        assert (answer.status, await answer.text()) == (200, "page /")
    async with aiohttp.ClientSession() as another:
        async with another.get(proxy.link) as answer:
            assert answer.status == 410
            assert "was used already" in await answer.text()
            assert "Set-Cookie" not in answer.headers
        assert await status(another, f"{root(proxy)}/") == 403
    assert await status(browser, proxy.link) == 410
    assert await status(browser, f"{root(proxy)}/") == 200, "whoever is in stays in"
    assert len(desktop.asked) == 2


async def test_a_link_whose_time_is_over(desktop: Desktop, browser) -> None:
    now = 100.0
    async with Proxy(Upstream(desktop.url, USER, PASSWORD), Gate(60.0, lambda: now)) as proxy:
        now = 160.5
        assert await status(browser, proxy.link) == 410
        now = 159.5
        assert await status(browser, f"{root(proxy)}/vdi-open/guessed") == 410
        assert await status(browser, proxy.link, headers={"Sec-Purpose": "prefetch;prerender"}) == 405
        async with browser.head(proxy.link) as answer:
            assert answer.status == 405
        assert await status(browser, proxy.link) == 200, "neither used it up"


async def test_the_password_goes_out_and_never_in(proxy: Proxy, desktop: Desktop, browser) -> None:
    await status(browser, proxy.link)
    headers = {"Authorization": "Basic own", "Referer": proxy.link, "X-Own": "1", "Cookie": "mine=1"}
    async with browser.get(f"{root(proxy)}/a%2Fb?c=%20d", headers=headers) as answer:
        assert PASSWORD not in str(answer.headers)
        assert answer.headers["X-Own"] == "kept"
        assert "Strict-Transport-Security" not in answer.headers
    seen = desktop.asked[-1]
    assert seen.path == "/a%2Fb?c=%20d"
    assert seen.headers["Authorization"] == f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
    assert "Referer" not in seen.headers, "it holds the link"
    assert "vdi-open" not in seen.headers.get("Cookie", ""), "the key is ours"
    assert "mine=1" in seen.headers["Cookie"]
    assert seen.headers["Host"] == f"127.0.0.1:{desktop.port}"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.test"},
        {"Host": "localhost"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://attacker.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
async def test_other_pages_of_the_browser_get_nothing(proxy: Proxy, desktop: Desktop, browser, headers) -> None:
    await status(browser, proxy.link)
    assert await status(browser, f"{root(proxy)}/", headers=headers) == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await browser.ws_connect(f"{root(proxy)}/api/websockets", headers=headers)
    assert caught.value.status == 403
    assert desktop.asked == []


async def test_our_own_page_is_passed_on_as_the_desktops(proxy: Proxy, desktop: Desktop, browser) -> None:
    await status(browser, proxy.link)
    own = {"Origin": root(proxy), "Sec-Fetch-Site": "same-origin"}
    async with browser.post(f"{root(proxy)}/upload", data=b"x" * 300_000, headers=own) as answer:
        assert answer.status == 200
    seen = desktop.asked[-1]
    assert (seen.method, len(seen.body)) == ("POST", 300_000)
    assert seen.headers["Origin"] == desktop.url


async def test_answers_come_as_they_are(proxy: Proxy, browser) -> None:
    await status(browser, proxy.link)
    async with browser.get(f"{root(proxy)}/moved", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/elsewhere?x=1")
    async with browser.get(f"{root(proxy)}/packed") as answer:
        assert answer.headers["Content-Encoding"] in ("deflate", "gzip")
        assert await answer.text() == "packed " * 100
    async with browser.head(f"{root(proxy)}/page") as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len("page /page")))


async def test_a_websocket_is_carried_both_ways(proxy: Proxy, desktop: Desktop, browser) -> None:
    await status(browser, proxy.link)
    url, own = f"{root(proxy)}/api/websockets?role=viewer", {"Origin": root(proxy)}
    async with browser.ws_connect(url, protocols=("other", "selkies"), headers=own, max_msg_size=0) as socket:
        assert socket.protocol == "selkies"
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=10) == "/api/websockets?role=viewer hello"
        picture = bytes(range(256)) * 15_000  # more than three megabytes in one message
        await socket.send_bytes(picture)
        assert await socket.receive_bytes(timeout=10) == picture[::-1]
        await socket.send_str("end")
        message = await socket.receive(timeout=10)
        assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 4000, "stopped")
    assert desktop.asked[-1].headers["Origin"] == desktop.url


async def test_who_leaves_is_missed(proxy: Proxy, desktop: Desktop, browser) -> None:
    await status(browser, proxy.link)
    async with browser.ws_connect(f"{root(proxy)}/api/websockets") as socket:
        await socket.close(code=1000)
    async with asyncio.timeout(10):
        while not desktop.closed:  # noqa: ASYNC110  # it happens in another thread
            await asyncio.sleep(0.01)  # the next look
    assert desktop.closed == [1000]


async def test_a_password_that_the_desktop_does_not_know(proxy: Proxy, desktop: Desktop, browser) -> None:
    desktop.password = "another"
    await status(browser, proxy.link)
    async with browser.get(f"{root(proxy)}/") as answer:
        assert answer.status == 502
        assert "refuses the password" in await answer.text()
        assert "WWW-Authenticate" not in answer.headers, "a browser would ask its user for it"
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await browser.ws_connect(f"{root(proxy)}/api/websockets")
    assert caught.value.status == 502


async def test_a_desktop_that_is_gone(browser, unused_tcp_port: int) -> None:
    async with Proxy(Upstream(f"http://127.0.0.1:{unused_tcp_port}", USER, PASSWORD), Gate(60.0)) as proxy:
        await status(browser, proxy.link)
        async with browser.get(f"{root(proxy)}/") as answer:
            assert answer.status == 502
            assert "does not answer" in await answer.text()
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await browser.ws_connect(f"{root(proxy)}/api/websockets")


def test_a_password_is_not_in_what_is_printed() -> None:
    assert PASSWORD not in repr(Upstream("https://a.vdi.test", USER, PASSWORD))
