"""The live page in a real Chromium, with a real server: what it shows, and which attacks on it fail.

At the end of every test the page must have written no error to the console; a test that ends connections says so.
"""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect

from syncnet.server.tokens import new_token
from tests.end_to_end.browser import PATIENCE_MS, chromium, tab
from tests.end_to_end.running import ANY_WORK, Server, curls, running
from tests.end_to_end.test_asgi import uvicorn
from tests.end_to_end.test_clients_retry import Proxy

HOSTILE = '<img src=x onerror="document.title=1">'
FAULTS = ("serious", "critical")
LOAD = ("--rate", "2000", "--duration", "3s")
PHONE: ViewportSize = {"width": 360, "height": 740}

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def server() -> Iterator[Server]:
    with running("--log-format", "none", *ANY_WORK) as server:
        yield server


@pytest.fixture
def lossy() -> list[str]:
    """A test whose server ends puts into it what the console may then say."""
    return []


@pytest.fixture
def page(browser: Browser, lossy: list[str]) -> Iterator[Page]:
    permissions = ["clipboard-read", "clipboard-write"]
    with tab(browser, viewport={"width": 1280, "height": 800}, permissions=permissions) as (_, page, complaints):
        yield page
        assert [text for text in complaints.texts if not any(part in text for part in lossy)] == []


def visit(page: Page, server: Server, path: str = "/") -> None:
    page.goto(server.url + path)
    expect(page.locator("#state")).to_have_text("live")


def rows(page: Page) -> list[str]:
    """What the rows of the picture say, without the times."""
    texts = page.locator("#rows .label").all_inner_texts()
    return [re.sub(r"^\d\d:\d\d:\d\d", "", " ".join(text.split())).strip() for text in texts]


def waiting(page: Page) -> list[str]:
    return page.locator("#waiting .event").all_inner_texts()


def until_row(page: Page, text: str) -> None:
    expect(page.locator("#rows .label", has_text=text).last).to_be_visible()


def solo(server: Server, event: str, **parameters: Any) -> httpx.Response:
    """Make an offer that syncs alone."""
    return server.client.get("/event", params={"event": event, "actor": "SOLO", "mates": 0, **parameters})


# --- what it shows -------------------------------------------------------------------------------------------


def test_the_two_commands_of_the_empty_page_make_the_vending_example_appear(page: Page, server: Server) -> None:
    visit(page, server)
    expect(page.locator("#empty")).to_be_visible()
    first, second = (page.locator(f"#curl-{actor}").inner_text() for actor in ("VM", "CUST"))
    assert (first, second) == tuple(f"curl '{server.url}/event?event=coin&actor={actor}'" for actor in ("VM", "CUST"))
    page.get_by_role("button", name="Copy the first command").click()
    expect(page.get_by_role("button", name="Copy the first command")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == first

    vm = subprocess.Popen(["bash", "-c", f"exec {first} --silent"], stdout=subprocess.PIPE)
    try:
        until_row(page, "VM:coin")
        expect(page.locator("#empty")).to_be_hidden()
        assert waiting(page) == ["VM:coin"]
        assert page.locator("#waiting .lacks").inner_text() == "lacks 1 of 1 mate"
        expect(page.locator("#ends .node")).to_have_count(1)
        cust = subprocess.run(["bash", "-c", f"{second} --silent"], capture_output=True, check=True, timeout=30)
        assert vm.communicate(timeout=30)[0] == cust.stdout
    finally:
        vm.kill()
        vm.wait()
    until_row(page, "coin #1")
    assert rows(page) == ["VM:coin", "CUST:coin", "coin #1 CUST VM"]
    assert page.locator("#names li").all_inner_texts() == ["VM", "CUST"]
    expect(page.locator("#waiting li")).to_have_count(0)
    expect(page.locator("#ends .node")).to_have_count(0)


def test_what_was_pending_before_the_page_was_opened_is_shown(page: Page, server: Server) -> None:
    with curls(f"{server.url}/event?event=start&actor=db&expect=db,app,tests"):
        server.until_pending(1)
        visit(page, server)
        until_row(page, "db:start")
        assert page.locator("#waiting .lacks").inner_text() == "lacks app, tests"


def test_an_end_without_a_sync_says_which(page: Page, server: Server) -> None:
    visit(page, server)
    assert server.client.get("/event?event=call&actor=ANNA&timeout=10ms").status_code == 410
    until_row(page, "ANNA:call timed out")
    with curls(f"{server.url}/event?event=call&actor=BEN") as (curl,):
        server.until_pending(1)
        curl.kill()
    until_row(page, "BEN:call disconnected")
    with curls(f"{server.url}/event?event=call&actor=CLARA"):
        server.until_pending(1)
        server.client.post("/abort", json={"event": "call", "reason": "the test is over", "by": "me"})
        until_row(page, "the test is over")


def test_a_sync_shows_its_members_with_labels_and_payload_sizes(page: Page, server: Server) -> None:
    visit(page, server)
    with curls(f"{server.url}/event?event=match&actor=p1&labels=level=gold&payload=hello"):
        server.until_pending(1)
        server.client.get("/event?event=match&actor=p2")
    page.locator("#rows .synced .label").click()
    details = page.locator("#details-body")
    expect(details).to_contain_text("actor=p1, level=gold")
    expect(details).to_contain_text("7 bytes")  # of JSON
    expect(page.locator("#details-title")).to_have_text("match #1")
    expect(page.locator("#details-title")).to_be_focused()


def test_an_offer_that_is_blocked_shows_why(page: Page, server: Server) -> None:
    visit(page, server)
    with curls(f"{server.url}/event?event=match&actor=p1&selector=level=gold&payload=hello"):
        server.until_pending(1)
        with curls(f"{server.url}/event?event=match&actor=p2&labels=level=tin"):
            expect(page.locator("#waiting li")).to_have_count(2)
            page.locator("#waiting button").first.click()
            details = page.locator("#details-body")
            expect(details).to_contain_text("level=gold")
            expect(details).to_contain_text("7 bytes")
            expect(details.locator(".why")).to_contain_text("p1 wants level=gold, and p2 has level=tin")
            expect(details.locator(".state")).to_have_text("pending")
            server.client.post("/abort", json={"event": "match", "reason": "over"})
            expect(details.locator(".state")).to_contain_text("aborted: over, after")


def test_an_offer_in_a_circle_shows_who_waits_for_whom(page: Page, server: Server) -> None:
    """In the words of `/explain` and of the log."""
    visit(page, server)
    offers = ("event=coin&actor=VM&expect=CUST,VM", "event=choc&actor=CUST&expect=CUST,VM", "event=tea&actor=X")
    with curls(*[f"{server.url}/event?{offer}" for offer in offers]):
        server.until_pending(3)
        expect(page.locator("#waiting li")).to_have_count(3)
        (circle,) = server.client.get("/explain").json()["circles"]
        assert "VM waits for CUST on coin" in circle["summary"]
        stuck = page.locator("#details-body .stuck")
        for name in ("VM:coin", "CUST:choc"):
            page.locator("#waiting button", has_text=name).click()
            expect(page.locator("#details-title")).to_have_text(name)
            expect(stuck).to_have_text(circle["summary"])
        page.locator("#waiting button", has_text="X:tea").click()
        expect(page.locator("#details-body .why")).to_contain_text("X waits for 1 other on tea")
        expect(stuck).to_have_count(0)


def test_the_form_makes_an_offer(page: Page, lossy: list[str], server: Server) -> None:
    lossy += ["410 (Gone)"]
    visit(page, server)
    page.get_by_text("Make an offer").click()
    form = page.locator("#offer-form")
    form.locator("[name=actor]").fill("BROWSER")
    form.locator("[name=payload]").fill("50 cents")
    form.get_by_role("button", name="Offer").click()
    until_row(page, "BROWSER:coin")
    assert server.client.get("/event?event=coin&actor=VM").json()["payloads"]["BROWSER"] == "50 cents"
    expect(page.locator("#offer-result")).to_have_text("Synced as #1: BROWSER, VM.")
    form.locator("[name=timeout]").fill("1")
    form.get_by_role("button", name="Offer").click()
    expect(page.locator("#offer-result")).to_contain_text("BROWSER waited 1")


def test_names_and_payloads_stay_text(page: Page, server: Server) -> None:
    visit(page, server)
    solo(server, HOSTILE, id=HOSTILE.replace(" ", "/"), payload=HOSTILE)
    parameters = {"event": [HOSTILE, "__proto__"], "id": "ab\"'\\]", "actor": "A", "timeout": "60s"}
    with curls(f"{server.url}/event?{httpx.QueryParams(parameters)}"):
        until_row(page, f"A:{HOSTILE}|__proto__")
        page.locator("#rows .synced .label").click()
        expect(page.locator("#details-body")).to_contain_text(HOSTILE.replace(" ", "/"))
        expect(page.locator("#details-title")).to_have_text(f"{HOSTILE} #1")
        page.locator("#waiting button").click()
        expect(page.locator("#details-body")).to_contain_text("ab\"'\\]")
        expect(page.locator("#details-body")).to_contain_text("2 bytes")
        assert page.locator("img").count() == 1  # the icon
        assert page.title() == "syncnet"


# --- the stream ----------------------------------------------------------------------------------------------


def test_the_stream_resumes_after_the_server_restarts(page: Page, lossy: list[str], server: Server) -> None:
    lossy += ["ERR_", "Failed to load resource"]
    visit(page, server)
    with curls(f"{server.url}/event?event=coin&actor=VM"):
        until_row(page, "VM:coin")
        server.stop()
        expect(page.locator("#state")).not_to_have_text("live")
    with running("--log-format", "none", address=f"127.0.0.1:{server.port}") as second:
        expect(page.locator("#state")).to_have_text("live")
        expect(page.locator("#rows .gap")).to_have_count(1)
        expect(page.locator("#waiting li")).to_have_count(0)
        assert solo(second, "tick").status_code == 200
        until_row(page, "tick #1")


def test_a_connection_that_is_lost_loses_nothing(page: Page, lossy: list[str], server: Server) -> None:
    """The page asks with the position after which it wants to go on."""
    lossy += ["ERR_"]
    asked: list[str | None] = []

    def note(request: Request) -> None:
        if "/trace" in request.url:
            asked.append(request.headers.get("last-event-id"))

    page.on("request", note)
    with contextlib.closing(Proxy(server.port)) as proxy:
        page.goto(f"http://127.0.0.1:{proxy.port}/")
        expect(page.locator("#state")).to_have_text("live")
        solo(server, "before")
        until_row(page, "before #1")
        assert proxy.cut()
        solo(server, "meanwhile")
        until_row(page, "meanwhile #2")
        assert [row for row in rows(page) if "#" in row] == ["before #1 SOLO", "meanwhile #2 SOLO"]
        expect(page.locator("#rows .gap")).to_have_count(0)
        page.goto("about:blank")
    assert asked[0] is None
    assert re.fullmatch(r"[0-9a-f]+\.\d+", asked[-1] or "")


def test_events_in_pieces_of_any_size_are_read_as_the_standard_says(page: Page, server: Server) -> None:
    visit(page, server)
    stream = (
        ': a comment\r\n\r\nid: e.1\r\nevent: pending\r\ndata: {"a":\r\ndata:1}\r\n\r\n'
        "retry: 5\n\ndata: ä€𝄞\n\ndata\n\nevent: empty\n\nid: e.2\rdata:  x\r\rdata: cut off"
    )
    wanted = [
        {"id": "e.1", "type": "pending", "data": '{"a":\n1}'},
        {"id": "e.1", "type": "message", "data": "ä€𝄞"},
        {"id": "e.1", "type": "message", "data": ""},
        {"id": "e.2", "type": "message", "data": " x"},
    ]
    script = """async ([stream, size]) => {
      const { EventReader } = await import("/ui/sse.js");
      const reader = new EventReader();
      const events = [];
      const letters = [...stream];
      for (let at = 0; at < letters.length; at += size) {
        events.push(...reader.read(letters.slice(at, at + size).join("")));
      }
      return events;
    }"""
    for size in (1, 2, 3, 7, 1_000):
        assert page.evaluate(script, [stream, size]) == wanted, size


def test_a_burst_is_thinned_and_the_page_says_so(page: Page, server: Server) -> None:
    """It can be used meanwhile, and agrees with the server in the end."""
    visit(page, server)
    command = [sys.executable, "-m", "syncnet", "bench", server.url, "--namespace", "default", *LOAD]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as load:
        expect(page.locator("#left-out")).to_have_text(re.compile(r"Thinned: [\d,]+ happenings? not drawn\."))
        page.locator("#theme").click()
        expect(page.locator("#theme")).to_have_attribute("aria-pressed", "true")
    assert load.returncode == 0
    sync = solo(server, "last").json()["sync"]
    until_row(page, f"last #{sync}")
    expect(page.locator("#pending-total")).to_have_text("0")
    assert page.locator("#rows li").count() <= 200


def test_a_namespace_is_chosen_and_the_others_are_not_shown(page: Page, server: Server) -> None:
    visit(page, server)
    solo(server, "one")
    until_row(page, "one #1")
    page.get_by_label("namespace").fill("ci-17")
    page.get_by_label("namespace").press("Enter")
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#curl-VM")).to_contain_text("&namespace=ci-17'")
    expect(page.locator("#state")).to_have_text("live")
    solo(server, "two", namespace="ci-17")
    solo(server, "three")
    until_row(page, "two #1")
    assert [row for row in rows(page) if "#" in row] == ["ci-17/two #1 SOLO"]
    page.reload()
    expect(page.get_by_label("namespace")).to_have_value("ci-17")


# --- a token -------------------------------------------------------------------------------------------------


def test_a_token_is_asked_for_and_kept_in_this_tab_alone(page: Page, lossy: list[str], tmp_path: Path) -> None:
    lossy += ["401 (Unauthorized)"]
    secret, entry = new_token("watcher", ["default"], ["observe"])
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(f"{entry}\n")
    with running("--log-format", "none", "--token-file", str(tokens)) as server:
        urls: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        page.goto(server.url)
        dialog = page.get_by_role("dialog")
        for wrong_or_right in ("syncnet_wrong", secret):
            expect(dialog).to_be_visible()
            dialog.get_by_label("token").fill(wrong_or_right)
            dialog.get_by_role("button").click()
        expect(page.locator("#state")).to_have_text("live")
        assert page.evaluate("Object.values(sessionStorage)") == [secret]
        assert page.evaluate("Object.values(localStorage)") == []
        assert secret not in page.evaluate("document.cookie + document.documentElement.outerHTML")
        assert not any(secret in url for url in urls)
        expect(page.locator("#curl-VM")).to_contain_text('--oauth2-bearer "$TOKEN"')
        page.get_by_label("namespace").fill("other")
        lossy += ["403 (Forbidden)"]
        page.get_by_label("namespace").press("Enter")
        expect(page.locator("#problem")).to_contain_text("other")


# --- filter, pause, keyboard ---------------------------------------------------------------------------------


def test_the_filter_is_by_event_and_by_actor(page: Page, server: Server) -> None:
    visit(page, server)
    solo(server, "coin")
    solo(server, "note", actor="CUST")
    until_row(page, "note #2")
    page.get_by_label("event").first.fill("COI")
    expect(page.locator("#rows .label", has_text="note")).to_have_count(0)
    until_row(page, "coin #1")
    page.get_by_label("event").first.fill("")
    page.get_by_label("actor").first.fill("cust")
    until_row(page, "note #2")
    expect(page.locator("#rows .label", has_text="coin")).to_have_count(0)
    solo(server, "coin")
    solo(server, "late", actor="CUST")
    until_row(page, "late #4")
    assert [row for row in rows(page) if "#" in row] == ["note #2 CUST", "late #4 CUST"]


def test_pause_holds_the_picture_and_nothing_is_lost(page: Page, server: Server) -> None:
    visit(page, server)
    solo(server, "one")
    until_row(page, "one #1")
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Pause")).to_have_attribute("aria-pressed", "true")
    before = rows(page)
    solo(server, "two")
    expect(page.locator("#paused")).to_have_text(re.compile(r"Paused: [1-9]\d* happenings? since\."))
    assert rows(page) == before
    page.keyboard.press("p")
    until_row(page, "two #2")
    expect(page.locator("#paused")).to_be_hidden()


def test_everything_can_be_done_with_the_keyboard(page: Page, server: Server) -> None:
    visit(page, server)
    for number in range(1, 4):
        solo(server, f"e{number}")
        until_row(page, f"e{number} #{number}")
    reached = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"namespace", "filter-event", "filter-actor", "pause", "theme", "picture", "label"} <= reached
    page.locator("#rows button[tabindex='0']").focus()
    page.keyboard.press("End")
    expect(page.locator("#rows button").last).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#details-title")).to_have_text("e3 #3")
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_be_hidden()
    expect(page.locator("#rows button").last).to_be_focused()
    page.keyboard.press("Home")
    expect(page.locator("#rows button").first).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#filter-event")).to_be_focused()


# --- sizes, colours, faults ----------------------------------------------------------------------------------


def test_a_phone_needs_no_horizontal_scrolling(page: Page, server: Server) -> None:
    page.set_viewport_size(PHONE)
    visit(page, server)
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) == PHONE["width"]
    for number in range(12):
        solo(server, "an-event-with-a-rather-long-name-" * 5, actor=f"actor-with-a-long-name-{number}")
    with curls(f"{server.url}/event?event={'x' * 200}&actor=A"):
        expect(page.locator("#waiting li")).to_have_count(1)
        assert page.evaluate(width) == PHONE["width"]
        page.locator("#waiting button").click()
        expect(page.locator("#details-body")).to_contain_text("2 bytes")
        assert page.evaluate(width) == PHONE["width"]


def test_the_choice_of_light_or_dark_is_kept(page: Page, server: Server) -> None:
    colour = "getComputedStyle(document.body.parentElement).backgroundColor"
    page.emulate_media(color_scheme="dark")
    visit(page, server)
    dark = page.evaluate(colour)
    page.locator("#theme").click()
    light = page.evaluate(colour)
    assert light != dark
    page.reload()
    assert page.evaluate(colour) == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE["width"], 1280])
def test_axe_finds_no_serious_fault(browser: Browser, server: Server, scheme: Any, width: int) -> None:
    options = {"bypass_csp": True, "color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    with tab(browser, reduced_motion="reduce", **options) as (_, page, _):
        visit(page, server)
        assert faults(page) == []
        page.get_by_text("Make an offer").click()
        server.client.get("/event?event=call&actor=ANNA&timeout=10ms")
        solo(server, "tick")
        with curls(f"{server.url}/event?event=coin&actor=VM&selector=level=gold"):
            page.locator("#waiting button", has_text="VM").click()
            expect(page.locator("#details-body")).to_contain_text("2 bytes")
            assert faults(page) == []
            page.keyboard.press("Escape")
            page.locator("#pause").click()
            page.evaluate("document.getElementById('token-dialog').showModal()")
            assert faults(page) == []


def faults(page: Page) -> list[str]:
    violations = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in violations if each["impact"] in FAULTS
    ]


def test_the_page_works_below_a_mount_path(page: Page) -> None:
    with uvicorn("app", "--timeout-graceful-shutdown", "1") as client:
        page.goto(f"{client.base_url}/sync/")
        expect(page.locator("#state")).to_have_text("live")
        expect(page.locator("#curl-VM")).to_have_text(f"curl '{client.base_url}/sync/event?event=coin&actor=VM'")
        client.get("/sync/event?event=tick&actor=A&mates=0")
        until_row(page, "tick #1")
        page.goto("about:blank")
