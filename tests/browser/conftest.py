"""The running app, and pages of it as visitors with different browsers see them."""

from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install -r requirements-dev.txt")
from playwright.sync_api import Browser, Page
from running import CHROMIUM, running_app, running_browser

NO_BROWSER = "no browser found: apt-get install chromium"


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Holds app.log, and contacted.txt with every address the app has contacted."""
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="session")
def app(folder: Path) -> str:
    """The address of a running ``python app.py``."""
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    with running_app(folder) as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Browser:
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    with running_browser() as browser:
        yield browser


@pytest.fixture
def visit(app: str, browser: Browser):
    """Open the app as a visitor: ``visit(locale="zh-TW", color_scheme="dark", …)`` → a page with answers."""
    contexts = []

    def open_page(query: str = "", *, ready: bool = True, **visitor) -> Page:
        context = browser.new_context(**{"locale": "en-US", "viewport": {"width": 1280, "height": 900}, **visitor})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(app + query)
        if ready:
            page.wait_for_selector(".answer .bars li")
        return page

    yield open_page
    for context in contexts:
        context.close()
