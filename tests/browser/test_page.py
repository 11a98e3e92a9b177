"""The real app in a real browser, as its visitors use it."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import tifffile
from PIL import Image
from playwright.sync_api import Page, expect

from demo.gallery import EXAMPLES
from demo.scripts import KEEP_VIEW
from tests.tagged import band_tag

pytestmark = pytest.mark.browser
PAGES = ("Channels", "All subsets", "Multi-band", "Compact & ResNet34", "Results", "Use it from code")


def turn_to(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def notice(page: Page):
    return page.locator(".notice-slot .notice:visible")


def weights(page: Page) -> list[str]:
    return page.locator(".layers .heat:not(.signed) td").all_inner_texts()


def test_the_page_is_alive_at_once_and_contacts_nobody_else(visit, app, folder):
    page = visit(ready=False)
    asked = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).netloc))
    page.reload()
    page.wait_for_selector(".answer .bars li")
    for name in PAGES:
        turn_to(page, name)
    assert set(asked) <= {urlsplit(app).netloc, ""}  # data: and blob: have no host
    assert set((folder / "contacted.txt").read_text().split()) <= {
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "::1",
        "::",
        "None",
    }
    assert page.errors == []


def test_a_toggle_updates_everything_without_a_button(visit):
    page = visit()
    expect(notice(page)).to_contain_text("all three channels")
    page.get_by_label("Green").uncheck()
    expect(notice(page)).to_contain_text("Green is missing")
    expect(page.locator(".strip .dropped")).to_have_count(1)
    expect(page.locator(".answer .badge")).to_have_count(3)


def test_without_a_channel_there_is_no_answer(visit):
    page = visit()
    for name in ("Red", "Green", "Blue"):
        page.get_by_label(name, exact=True).uncheck()
    expect(notice(page)).to_contain_text("At least one channel must be left")
    expect(page.locator(".answer")).to_have_count(0)
    page.get_by_label("Blue", exact=True).check()
    expect(notice(page)).to_contain_text("Only blue is left")


def test_the_fill_says_where_the_mean_goes(visit):
    page = visit("?channels=RB")
    expect(notice(page)).to_contain_text("takes its place")
    page.get_by_label("last").check()
    expect(notice(page)).to_contain_text("their mean comes last")


def test_the_temperature_softens_the_routing_live(visit):
    page = visit()
    sharp = weights(page)
    slider = page.get_by_role("slider")
    slider.press("End")
    expect(page.locator(".log-slider output")).to_have_text("τ = 34")
    expect(page.locator(".layers .heat:not(.signed) td").first).not_to_have_text(sharp[0])
    soft = [float(value) for value in weights(page)]
    assert max(soft) - min(soft) < max(map(float, sharp)) - min(map(float, sharp))


def test_an_example_is_chosen_by_keyboard(visit):
    page = visit()
    before = page.locator(".strip .seen img").get_attribute("src")
    orange = page.get_by_role("button", name="A drawing of two oranges").first
    orange.focus()
    orange.press("Enter")
    expect(page.locator(".strip .seen img")).not_to_have_attribute("src", before)


def test_a_toggle_is_reached_and_switched_by_keyboard(visit):
    page = visit()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "R":
            break
    page.keyboard.press("Space")
    expect(notice(page)).to_contain_text("Red is missing")


def test_the_sweep_fills_a_table_and_offers_a_csv(visit):
    page = visit()
    turn_to(page, "All subsets")
    before = page.locator(".asked").get_attribute("src")
    page.get_by_role("button", name="Ask about all seven subsets").click()
    expect(page.locator(".sweep tbody tr")).to_have_count(7, timeout=20_000)
    expect(page.get_by_text("the mean goes into the missing slot; temperature τ = 1.")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    assert Path(download.value.path()).read_text().count("\n") == 22
    page.get_by_role("button", name="A drawing of two oranges").click()
    expect(page.locator(".asked")).not_to_have_attribute("src", before)
    expect(page.locator(".sweep")).to_have_count(0)  # it was about another picture


def channels_with_attention(page: Page):
    return page.locator(".channels .heat:not(.signed) tbody th")


def test_the_third_column_is_another_networks_answer_to_just_the_channels_left(visit):
    page = visit("?example=ladybug&channels=RGB")
    columns = page.locator(".trio .answer")
    expect(columns).to_have_count(3)
    *others, before = (columns.nth(index).locator(".bars").inner_text() for index in range(3))
    assert before not in others
    expect(channels_with_attention(page)).to_have_text(["Red", "Green", "Blue"])
    page.get_by_label("Green", exact=True).uncheck()
    expect(channels_with_attention(page)).to_have_text(["Red", "Blue"])
    expect(columns.nth(2)).to_contain_text("Nothing is filled: it gets R + B alone.")
    assert columns.nth(2).locator(".bars").inner_text() != before
    page.get_by_label("Red", exact=True).uncheck()
    expect(channels_with_attention(page)).to_have_text(["Blue"])
    expect(page.locator(".channels .heat:not(.signed) td")).to_have_text(["1.00"] * 4)  # nothing else to attend to


@pytest.mark.parametrize(("width", "abreast"), [(1280, 3), (1265, 3), (1100, 3), (390, 1)])
def test_the_three_answers_stand_abreast_or_stack(visit, width, abreast):
    page = visit(viewport={"width": width, "height": 844})
    boxes = [box.bounding_box() for box in page.locator(".trio .answer").all()]
    assert len({round(box["x"]) for box in boxes}) == abreast
    assert len({round(box["y"]) for box in boxes}) == 4 - abreast


def answered_bands(page: Page):
    return page.locator(".bands .heat tbody th")


def test_an_uploaded_array_is_answered_band_by_band(visit, tmp_path):
    page = visit()
    turn_to(page, "Multi-band")
    np.save(tmp_path / "field.npy", np.random.default_rng(0).integers(0, 4000, (48, 64, 4), dtype=np.uint16))
    page.get_by_label("Its bands").fill("R, G, B, NIR")
    page.locator("input[type=file]:not([accept*=image])").first.set_input_files(tmp_path / "field.npy")
    expect(notice(page)).to_contain_text("4 bands of 64 × 48 pixels. Its values (uint16) were divided by")
    expect(answered_bands(page)).to_have_text(["R", "G", "B", "NIR"])
    expect(page.locator(".answered .bars li")).to_have_count(5)
    expect(page.locator(".answered")).to_contain_text("NIR, G, B shown as red, green, blue")
    assert page.errors == []


def test_a_file_that_names_its_bands_is_answered_by_these_names(visit, tmp_path):
    page = visit()
    turn_to(page, "Multi-band")
    tags = band_tag("red", "Band 2", "NIR")
    values = np.random.default_rng(0).integers(0, 4000, (48, 64, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "field.tif", values, photometric="minisblack", planarconfig="contig", extratags=tags)
    page.locator("input[type=file]:not([accept*=image])").first.set_input_files(tmp_path / "field.tif")
    expect(notice(page)).to_contain_text("It calls its bands R, ? and NIR.")
    expect(answered_bands(page)).to_have_text(["R", "? (2)", "NIR"])
    expect(page.get_by_label("Its bands")).to_have_value("R, ?, NIR")
    page.get_by_role("button", name="Clear").last.click()
    tifffile.imwrite(tmp_path / "silent.tif", values, photometric="minisblack", planarconfig="contig")
    page.locator("input[type=file]:not([accept*=image])").first.set_input_files(tmp_path / "silent.tif")
    expect(answered_bands(page)).to_have_text(["R", "G", "B"])
    expect(page.get_by_label("Its bands")).to_have_value("R, G, B")  # as it was: these are not that file's names
    assert page.errors == []


def test_the_example_of_several_bands_is_asked_and_renamed_by_keyboard(visit):
    page = visit()
    turn_to(page, "Multi-band")
    page.get_by_role("button", name="Try the lion in five bands").press("Enter")
    expect(answered_bands(page)).to_have_count(5)
    names = page.get_by_label("Its bands")
    names.press("End")
    names.press("Backspace")
    expect(page.locator(".answered")).to_have_count(0)  # it no longer belongs to what is typed
    names.press_sequentially("5, NIR")
    names.press("Enter")
    expect(notice(page)).to_contain_text("The file has 5 bands, but 6 are named")
    names.fill("R, G, B, ?, 0.525")
    names.press("Enter")
    expect(answered_bands(page)).to_have_text(["R", "G", "B", "? (4)", "0.525 µm"])


def test_an_answer_to_names_no_longer_typed_is_not_shown(visit):
    page = visit()
    turn_to(page, "Multi-band")
    page.get_by_role("button", name="Try the lion in five bands").click()
    expect(answered_bands(page)).to_have_count(5)
    names = page.get_by_label("Its bands")
    names.press("End")
    page.evaluate("delete window.asked.bands")
    names.press("Enter")
    page.wait_for_function("window.asked.bands")  # a key that comes sooner is part of what is asked
    names.press("5")
    expect(page.locator(".answered")).to_have_count(0)
    page.wait_for_timeout(3000)  # far longer than an answer takes
    expect(page.locator(".answered")).to_have_count(0)
    names.press("Enter")
    expect(answered_bands(page)).to_have_count(5)  # asking again works


def test_a_sweep_of_other_settings_is_not_shown(visit):
    page = visit()
    turn_to(page, "All subsets")
    button = page.get_by_role("button", name="Ask about all seven subsets")
    button.click()
    turn_to(page, "Channels")
    page.get_by_label("last").check()
    turn_to(page, "All subsets")
    page.wait_for_timeout(5000)  # far longer than an answer takes
    expect(page.locator(".sweep")).to_have_count(0)
    button.click()
    expect(page.locator(".sweep tbody tr")).to_have_count(7, timeout=20_000)  # asking again works
    assert page.errors == []


def test_a_file_of_another_kind_gets_a_sentence_in_the_visitors_language(visit):
    page = visit(locale="zh-TW")
    turn_to(page, "多波段")
    page.locator("input[type=file]:not([accept*=image])").first.set_input_files(EXAMPLES["lion"])
    expect(notice(page)).to_contain_text("檔案的副檔名是 .jpg，應為 .tif、.tiff 或 .npy")


def test_a_click_shows_where_attention_looks_from_there(visit):
    page = visit()
    turn_to(page, "Compact & ResNet34")
    canvas = page.locator(".canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] * 0.25, "y": box["height"] * 0.75})
    expect(page.locator(".canvas img")).to_have_attribute("alt", re.compile("25 % across and 75 % down"))
    canvas.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".canvas img")).to_have_attribute("alt", re.compile("31 % across"))
    expect(page.locator(".gamma")).to_contain_text("Learned γ")
    expect(page.get_by_role("heading", level=2, name="Where self-attention looks")).to_be_visible()
    expect(page.locator(".costs dd").first).to_have_text("447 k")


def test_a_held_arrow_key_ends_where_the_picker_is(visit):
    page = visit()
    turn_to(page, "Compact & ResNet34")
    page.locator(".canvas").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight", delay=30)
    expect(page.locator(".canvas img")).to_have_attribute("alt", re.compile("81 % across"))  # 8/16 + 5/16


def test_a_reloaded_page_and_a_link_open_where_the_visitor_was(visit):
    page = visit("?tab=results&example=ladybug", ready=False)
    page.wait_for_selector("[role=tab][data-tab-id=results][aria-selected=true]")
    turn_to(page, "Use it from code")
    page.wait_for_url("**tab=code**")
    assert "example=ladybug" in page.url
    page.reload()
    page.wait_for_selector("[role=tab][data-tab-id=code][aria-selected=true]")
    expect(page.get_by_text("load_model").first).to_be_visible()
    assert page.errors == []


@pytest.mark.parametrize("query", ["", "?tab=nowhere"])
def test_without_a_page_in_the_link_the_first_opens(visit, query):
    page = visit(query)
    expect(page.get_by_role("tab", name="Channels")).to_have_attribute("aria-selected", "true")
    assert page.url.endswith(query or "/")


def test_a_link_opens_the_same_view(visit):
    page = visit("?example=tower&channels=GB&fill=appended&temperature=8")
    expect(page.get_by_label("Red", exact=True)).not_to_be_checked()
    expect(page.locator(".log-slider output")).to_have_text("τ = 8.0")
    page.get_by_label("Blue", exact=True).uncheck()
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_url("**/?example=tower&channels=G&fill=appended&temperature=8*")
    page.get_by_label("Green", exact=True).uncheck()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_test_id("toast-body").last).to_contain_text("At least one channel must be left")
    assert "channels=G" in page.url


def test_a_reloaded_page_shows_the_same_view(visit):
    page = visit()
    assert "?" not in page.url
    page.get_by_role("button", name="A drawing of a ladybug on a leaf").first.click()
    page.wait_for_url("**example=ladybug**")
    page.get_by_label("Red", exact=True).uncheck()
    page.wait_for_url("**channels=GB**")
    turn_to(page, "All subsets")
    page.wait_for_url("**tab=sweep**")
    page.reload()
    page.wait_for_selector("[role=tab][data-tab-id=sweep][aria-selected=true]")
    turn_to(page, "Channels")
    expect(notice(page)).to_contain_text("Red is missing")
    expect(page.get_by_label("Red", exact=True)).not_to_be_checked()
    assert "example=ladybug" in page.url
    assert page.errors == []


def test_the_hubs_page_around_a_space_learns_the_view_and_no_signature(browser):
    page = browser.new_page()
    space, hub = "https://user-name.hf.space/?__sign=secret", "https://huggingface.co/spaces/user/name"
    page.route(re.compile("^https://"), lambda route: route.fulfill(body="", content_type="text/html"))
    page.goto(hub)
    page.evaluate(
        """space => new Promise(resolve => {
          const frame = document.createElement('iframe');
          frame.src = space;
          frame.onload = resolve;
          window.told = [];
          window.addEventListener('message', event => window.told.push(event.data));
          document.body.append(frame);
        })""",
        space,
    )
    inside = page.frames[1]
    inside.evaluate(f"({KEEP_VIEW})('?example=lion&channels=RG')")
    page.wait_for_function("window.told.length")
    assert page.evaluate("window.told") == [{"queryString": "example=lion&channels=RG"}]
    assert inside.url == space + "&example=lion&channels=RG"
    page.close()


NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', {value: undefined});"  # as over plain http


@pytest.mark.parametrize(
    ("clipboard", "words"),
    [
        ("", "Link copied"),
        (NO_CLIPBOARD, "Link copied"),
        (NO_CLIPBOARD + "document.execCommand = () => false;", "The link is in the address bar."),
    ],
)
def test_a_link_is_said_to_be_copied_only_if_it_is(visit, clipboard, words):
    page = visit()
    page.evaluate(f"() => {{ {clipboard} }}")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_test_id("toast-body")).to_contain_text(words)
    assert page.errors == []


def test_the_page_follows_a_chinese_browser(visit):
    page = visit(locale="zh-TW")
    expect(page.get_by_role("tab", name="色彩通道")).to_be_visible()
    page.get_by_label("綠").uncheck()
    expect(notice(page)).to_contain_text("缺少綠色")
    assert page.evaluate("document.documentElement.lang") == "zh-TW"


def test_a_browser_whose_chinese_gradio_lacks_gets_one_language(visit):
    page = visit(locale="zh-HK")
    expect(page.get_by_role("tab", name="Channels")).to_be_visible()
    page.get_by_label("Green").uncheck()
    expect(notice(page)).to_contain_text("Green is missing")


@pytest.mark.parametrize(("locale", "word"), [("en-US", "Done"), ("zh-TW", "完成")])
def test_the_end_of_the_waiting_is_told_in_words(visit, locale, word):
    page = visit(locale=locale)
    expect(page.get_by_role("status").filter(has_text=re.compile(f"^{word}$"))).not_to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_light_and_dark(visit, scheme):
    page = visit(color_scheme=scheme)
    ink, ground = page.evaluate("""() => ['color', 'backgroundColor'].map(
        what => getComputedStyle(document.querySelector('.card'))[what].match(/[0-9]+/g).map(Number)[1])""")
    assert (ink > ground) == (scheme == "dark")
    assert abs(ink - ground) > 150
    ink, ground = page.evaluate("""() => [
        getComputedStyle(document.querySelector('[role=tab][aria-selected=true]')).color,
        getComputedStyle(document.body).backgroundColor,
    ].map(colour => colour.match(/[0-9]+/g).map(Number))""")
    assert contrast(ink, ground) >= 4.5
    page.get_by_label("Red", exact=True).uncheck()
    turn_to(page, "Multi-band")  # last, so that its line of text is there, too
    edges = page.evaluate("""() => [
        '.toggles label:has(input:not(:checked))', '.toggles input:not(:checked)',
        '.choice label:has(input:not(:checked))', '.choice input:not(:checked)',
        '.bands-names input, .bands-names textarea',
    ].map(what => document.querySelector(what)).map(
        element => [getComputedStyle(element).borderTopColor, getComputedStyle(element).backgroundColor,
            getComputedStyle(element).borderTopWidth].map(text => text.match(/[0-9]+/g).map(Number)))""")
    assert min(contrast(edge, ground) for edge, ground, _ in edges) >= 3
    assert min(width for *_, (width, *_) in edges) >= 1


def contrast(*colours: list[int]) -> float:
    """WCAG's contrast ratio of two colours of 0..255."""
    linear = [[(c / 255 / 12.92 if c < 11 else ((c / 255 + 0.055) / 1.055) ** 2.4) for c in rgb] for rgb in colours]
    darker, lighter = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in linear)
    return (lighter + 0.05) / (darker + 0.05)


def test_a_narrow_phone_shows_every_number_within_its_card(visit):
    page = visit("?channels=RB", viewport={"width": 320, "height": 700})
    inside = """() => [...document.querySelectorAll('.heat.signed td')].every(
        cell => cell.scrollWidth <= cell.clientWidth
            && cell.getBoundingClientRect().right <= cell.closest('.card').getBoundingClientRect().right)"""
    assert page.evaluate(inside)


def test_a_tall_picture_fits_on_the_screen_to_pick_a_point(visit, tmp_path):
    page = visit()
    Image.open(EXAMPLES["lion"]).resize((200, 600)).save(tmp_path / "tall.png")
    before = page.locator(".strip .seen img").get_attribute("src")
    upload(page, tmp_path / "tall.png")
    expect(page.locator(".strip .seen img")).not_to_have_attribute("src", before)
    turn_to(page, "Compact & ResNet34")
    box = page.locator(".canvas img").bounding_box()
    assert box["height"] <= 512.5
    assert box["height"] / box["width"] == pytest.approx(3, rel=0.02)


def test_a_phone_shows_an_answer_beside_the_channels(visit):
    page = visit(viewport={"width": 390, "height": 844})
    for name in ("Red", "Blue"):
        page.get_by_label(name, exact=True).uncheck()
    expect(notice(page)).to_contain_text("Only green is left")
    for shown in (page.get_by_label("Red", exact=True), page.locator(".answer .bars li").first):
        box = shown.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 844


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_needs_no_sideways_scrolling(visit, name):
    page = visit(viewport={"width": 390, "height": 844})
    turn_to(page, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_footer_ends_with_a_word(visit):
    footer = visit().locator("footer")
    expect(footer).to_contain_text("Built with Gradio")
    assert footer.inner_text().strip()[-1].isalpha()


def test_every_picture_has_an_alternative_text(visit):
    page = visit()
    missing = "[...document.images].filter(image => !image.alt).map(image => image.outerHTML.slice(0, 200))"
    assert page.evaluate(missing) == []


def test_a_file_that_is_no_picture_gets_a_sentence_and_the_server_goes_on(visit, tmp_path):
    page = visit()
    bad, good = tmp_path / "essay.jpg", tmp_path / "good.png"
    bad.write_text("no picture at all")
    Image.open(EXAMPLES["orange"]).save(good)
    upload(page, bad)
    for name in ("All subsets", "Compact & ResNet34", "Channels"):
        turn_to(page, name)
        expect(notice(page)).to_contain_text("cannot be read as a picture")
    assert str(tmp_path) not in page.content()
    upload(page, good)
    expect(notice(page)).to_contain_text("all three channels")


def test_a_phone_photo_with_transparency_or_rotation_is_answered(visit, tmp_path):
    page = visit()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(EXAMPLES["lion"]).resize((3000, 2000)).save(tmp_path / "phone.jpg", exif=exif)
    before = page.locator(".strip .seen img").get_attribute("src")
    upload(page, tmp_path / "phone.jpg")
    expect(page.locator(".strip .seen img")).not_to_have_attribute("src", before)


def test_a_tiff_is_seen_and_answered(visit, tmp_path):
    page = visit()
    Image.open(EXAMPLES["orange"]).save(tmp_path / "photo.tif")
    upload(page, tmp_path / "photo.tif")
    page.wait_for_function("document.querySelector('.picture img')?.naturalWidth == 256")
    expect(page.locator(".answer .bars li").first).to_contain_text("orange")


def upload(page: Page, path: Path) -> None:
    """Replace the picture, as a visitor does: clear it and choose a file."""
    clear = page.get_by_role("button", name=re.compile("Clear|Remove", re.IGNORECASE)).first
    if clear.is_visible():
        clear.click()
    page.locator("input[type=file]").first.set_input_files(path)


def test_each_page_of_code_can_be_copied(visit):
    page = visit()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    turn_to(page, "Use it from code")
    page.get_by_role("button", name="Copy: Ask this running app").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("from gradio_client import Client")
    assert urlsplit(page.url).netloc in copied


def test_code_is_copied_over_plain_http_and_the_button_says_so(visit):
    page = visit()
    page.evaluate(
        f"() => {{ {NO_CLIPBOARD} document.addEventListener('copy', () => window.copied = getSelection() + '') }}"
    )
    turn_to(page, "Use it from code")
    page.get_by_role("button", name="Copy: Ask this running app").click()
    expect(page.get_by_role("button", name="Copied: Ask this running app")).to_be_visible()
    expect(page.get_by_role("button", name="Copy: Ask this running app")).to_be_visible()  # a little later
    assert page.evaluate("window.copied").startswith("from gradio_client import Client")
    assert page.errors == []


def test_the_results_open_section_by_section(visit):
    page = visit()
    turn_to(page, "Results")
    first, second = (
        page.get_by_role("group", name=name).locator("table")
        for name in ("Test accuracy", "Task 2: compact against ResNet34")
    )
    expect(first).to_be_visible()
    expect(second).not_to_be_visible()
    page.get_by_role("button", name="Task 2: can a compact network match ResNet34?").click()
    expect(second).to_be_visible()
    expect(first).to_be_visible()


def test_a_screen_reader_is_told_which_results_are_open(visit):
    page = visit()
    turn_to(page, "Results")
    section = page.get_by_role("button", name="What does it cost? Arithmetic, memory, time", exact=True)
    expect(section).to_have_attribute("aria-expanded", "false")
    section.click()
    expect(section).to_have_attribute("aria-expanded", "true")


@pytest.mark.parametrize(("locale", "words"), [("en-US", "did not answer"), ("zh-TW", "伺服器沒有回應")])
def test_where_no_answer_comes_a_sentence_says_so(visit, locale, words):
    page = visit(locale=locale)
    page.route("**/queue/join*", lambda route: route.fulfill(status=500, body="no JSON"))
    page.locator(".toggles input").first.uncheck()
    expect(notice(page)).to_contain_text(words)
    expect(page.locator(".notice-slot .error:visible")).to_have_count(0)  # which would lie on it
    expect(page.locator(".answer")).to_have_count(0)
    page.unroute("**/queue/join*")
    page.locator(".toggles input").nth(1).uncheck()
    expect(page.locator(".trio .answer")).to_have_count(3)


def test_paper_is_white_and_cuts_nothing_off(visit):
    page = visit(color_scheme="dark")
    frames = [".gradio-container", ".gradio-container > .main", "main.contain"]
    overflow = "names => names.map(name => getComputedStyle(document.querySelector(name)).overflow)"
    page.emulate_media(media="print")
    assert page.evaluate(overflow, frames) == ["visible"] * len(frames)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert not page.evaluate("document.body.classList.contains('dark')")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.body.classList.contains('dark')")
