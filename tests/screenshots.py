"""Takes the README's pictures of the running app: ``python -m tests.screenshots [--out docs]``."""

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.browser.running import ROOT, running_app, running_browser

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SHOTS = {  # file → (query, page, visitor)
    "channels": ("?example=ladybug&channels=GB", 0, {}),
    "channels-dark": ("?example=orange&channels=G", 0, {"color_scheme": "dark"}),
    "channels-zh": ("?example=ladybug&channels=RG&temperature=4", 0, {"locale": "zh-TW"}),
    "subsets": ("?example=lion", 1, {}),
    "bands": ("?example=lion", 2, {}),
    "compact": ("?example=ladybug", 3, {}),
    "results": ("?example=lion", 4, {}),
    "code": ("?example=lion", 5, {}),
    "phone": ("?example=lion&channels=RG", 0, {"viewport": PHONE, "device_scale_factor": 2}),
}


def take(browser: Browser, url: str, path: Path, query: str, number: int, visitor: dict) -> None:
    context = browser.new_context(**{"locale": "en-US", "viewport": WIDE, "reduced_motion": "reduce", **visitor})
    page = context.new_page()
    page.goto(url + query)
    page.wait_for_selector(".answer .bars li")
    page.get_by_role("tab").nth(number).click()
    prepare(page, number)
    page.wait_for_timeout(800)  # the last progress line fades
    page.screenshot(path=path, full_page="viewport" not in visitor)
    context.close()


def prepare(page: Page, number: int) -> None:
    if number == 1:
        page.get_by_role("button", name="Ask about all seven subsets").click()
        page.wait_for_selector(".sweep-figure")
    if number == 2:
        page.get_by_role("button", name="Try the lion in five bands").click()
        page.wait_for_selector(".preview img")
    if number == 3:
        box = page.locator(".canvas").bounding_box()
        page.locator(".canvas").click(position={"x": box["width"] * 0.45, "y": box["height"] * 0.3})
        page.wait_for_selector('.canvas img[alt*="45 %"]')
    if number == 4:  # figures load when they come into view
        page.get_by_role("button", name="Any channels: does it help to fill nothing?").click()
        page.locator(".result-figure").first.scroll_into_view_if_needed()
        page.wait_for_function(
            "[...document.querySelectorAll('.result-figure img')].every(image => image.naturalWidth)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--only", choices=SHOTS, nargs="*", default=list(SHOTS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running_app(Path(folder)) as url, running_browser() as browser:
        for name in options.only:
            take(browser, url, options.out / f"{name}.png", *SHOTS[name])
            print(options.out / f"{name}.png")


if __name__ == "__main__":
    main()
