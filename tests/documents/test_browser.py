"""/docs as a reader sees it: a real Chromium, without internet, that presses Authorize and asks with a key."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect, sync_playwright
from processes import Launch

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def complaints() -> list[str]:
    """What the page said on its console or asked of others."""
    return []


@pytest.fixture(scope="module")
def page(guarded_server: Launch, complaints: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    profile: Path = tmp_path_factory.mktemp("profile")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, headless=True, args=FLAGS, viewport={"width": 1200, "height": 1600}
        )
        try:
            page = browser.new_page()
            page.set_default_timeout(30_000)
            page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda request: _note_stranger(request.url, guarded_server.url, complaints))
            page.goto(f"{guarded_server.url}/docs")
            page.wait_for_selector("#operations-Models-list_models")
            yield page
        finally:
            browser.close()


def _note_stranger(url: str, ours: str, complaints: list[str]) -> None:
    if not url.startswith((f"{ours}/", "data:")):
        complaints.append(f"asked {url}")


def try_models(page: Page) -> int:
    """The status of GET /v1/models, once the page shows it."""
    operation = page.locator("#operations-Models-list_models")
    if not operation.locator(".execute").count():
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
    with page.expect_response("**/v1/models") as answer:
        operation.locator(".execute").click()
    status = answer.value.status
    expect(operation.locator(".live-responses-table tbody .response-col_status").first).to_contain_text(str(status))
    return status


def authorize(page: Page, scheme: str, key: str) -> None:
    page.locator(".auth-wrapper .authorize").click()
    form = page.locator(".auth-container", has_text=scheme)
    form.locator("input").fill(key)
    form.locator("button.authorize").click()
    page.locator(".btn-done").first.click()


def log_out(page: Page) -> None:
    page.locator(".auth-wrapper .authorize").click()
    page.locator(".auth-container button", has_text="Logout").click()
    page.locator(".btn-done").first.click()


def test_the_page_shows_every_route_and_the_server(page: Page, complaints: list[str]) -> None:
    assert page.title() == "Penstock"
    assert "An OpenAI-compatible inference server" in page.locator(".info").inner_text()
    shown = page.locator(".opblock-summary-path").evaluate_all("all => all.map(each => each.dataset.path)")
    assert {"/v1/chat/completions", "/v1/completions", "/v1/models/{model_id}", "/health"} <= set(shown)
    assert complaints == []


def test_without_a_key_the_answer_is_401_and_with_one_200(page: Page, complaints: list[str]) -> None:
    assert try_models(page) == 401
    authorize(page, "BearerAuth", "secret")
    assert try_models(page) == 200
    assert '"echo"' in page.locator("#operations-Models-list_models .live-responses-table").inner_text()
    log_out(page)
    assert try_models(page) == 401
    authorize(page, "ApiKeyAuth", "secret")
    assert try_models(page) == 200
    # The browser itself notes an answer of 401; nothing else may stand on the console.
    assert [each for each in complaints if "401 (Unauthorized)" not in each] == []


def test_a_page_without_the_button_shows_no_lock(page: Page, guarded_server: Launch) -> None:
    def without_authorize(route: Route) -> None:
        answer = route.fetch()
        body = answer.text().replace('data-has-authorize="true"', 'data-has-authorize="false"')
        route.fulfill(response=answer, body=body)

    other = page.context.new_page()
    other.route("**/docs", without_authorize)
    other.goto(f"{guarded_server.url}/docs")
    other.wait_for_selector("#operations-Models-list_models")
    assert other.locator(".opblock").count() == page.locator(".opblock").count()
    assert page.locator(".authorize, .authorization__btn").count() > 0
    assert other.locator(".authorize, .authorization__btn").count() == 0
