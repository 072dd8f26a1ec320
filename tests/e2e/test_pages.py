"""The local GitHub's pages in a real browser: what a person sees after a task, and that hostile text stays text."""

import os
import shutil

import pytest

from tests.scenario import PATCH, Scene

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def page():
    if CHROMIUM is None:
        message = "Chromium is not installed, and only root can install it: apt-get install chromium"
        pytest.fail(message) if os.environ.get("REQUIRE_ALL") else pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        opened = browser.new_page()
        requests = []
        opened.on("request", lambda request: requests.append(request.url))
        yield opened
        browser.close()
        assert all(url.startswith("http://127.0.0.1:") for url in requests), "a page asked for something elsewhere"


def test_a_person_finds_pull_request_diff_and_check_from_the_issue(github, tmp_path, page):
    scene = Scene(github, tmp_path)
    issue = scene.open_issue(body=PATCH)
    assert scene.start(scene.label(issue), run_id=7).finish() == 0

    page.goto(f"{github.url}/acme/billing/issues/{issue.number}")
    assert "is ready" in page.inner_text("body")
    page.click("text=Draft >> xpath=.. >> a")
    assert "wants to merge" in page.inner_text("body")
    page.click("text=Checks")
    assert "published, not checked" in page.inner_text("body")
    page.click("text=Files changed")
    assert "round(net * (1 + rate))" in page.inner_text("body")


def test_hostile_text_of_an_issue_is_shown_and_not_run(github, tmp_path, page):
    scene = Scene(github, tmp_path)
    hostile = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
    issue = scene.open_issue(title=hostile, body=f"{hostile}\n\n[x](javascript:document.title='taken')\n\n{PATCH}")
    assert scene.start(scene.label(issue), run_id=8).finish() == 0

    for path in ("issues/1", "pull/2", "pull/2/checks", "pull/2/files"):
        page.goto(f"{github.url}/acme/billing/{path}")
        assert page.title() != "taken"
        assert page.locator("a[href^='javascript:'], script:not([data-ours]), img").count() == 0
