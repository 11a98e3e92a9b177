"""The page: components and the events that connect them."""

import threading
from pathlib import Path
from types import SimpleNamespace as Parts

import gradio as gr

from demo import results, snippets
from demo.endpoints import add_endpoints
from demo.gallery import FOLDER, MAX_TEMPERATURE, MIN_TEMPERATURE, PAGES
from demo.handlers import (
    CENTRE,
    Handlers,
    address,
    choose_bands,
    choose_example,
    displayed,
    name_bands,
    share,
    tell_of_link,
    turn_to_page,
)
from demo.heatmap import ADAPTIVE
from demo.loading import BUNDLED, ON_ZERO_GPU, Source, load_models
from demo.pictures import MAX_MEGABYTES
from demo.scripts import ARRIVED, COPY_LINK, KEEP_VIEW, drop_outdated, empty, failed, keep, note
from demo.text import translations
from demo.widgets import PICKED, PictureInput, example_gallery, log_slider, notice_slot, point_picker
from models import CHANNELS, FILLS

STYLE = Path(__file__).with_name("style.css")
# Gradio narrows a style sheet's rules to what lies within its frame, which cuts off what page breaks push down.
PAPER = """<style>@media print {
  html, body, gradio-app, .gradio-container, .gradio-container > .main, .gradio-container > .main > .wrap,
  main.contain { display: block !important; overflow: visible !important; }
}</style>"""
DAY = 24 * 3600  # seconds after which uploads are deleted
QUIET = {"api_visibility": "private"}  # events of the page; the endpoints for code are in endpoints.py
# Everything that runs a model waits in one queue, so answers never compete for the device.
QUEUED = {"concurrency_id": "models", "concurrency_limit": 1, "show_progress": "minimal", **QUIET}
LATEST = {"trigger_mode": "always_last", **QUEUED}  # of several in a row the last one counts
i18n = gr.I18n(**translations())
theme = gr.themes.Base(
    primary_hue="indigo",
    neutral_hue="slate",
    radius_size="lg",
    font=["system-ui", "Noto Sans TC", "PingFang TC", "Microsoft JhengHei", "sans-serif"],
    font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
).set(  # the theme's own shade, 500, has a contrast of 4.47 to white
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
)
LAUNCH = {
    "head": PAPER,
    "i18n": i18n,
    "theme": theme,
    "css_paths": STYLE,
    "footer_links": ["api", "gradio"],
    "allowed_paths": [str(FOLDER)],  # the examples, wherever the app was started from
    "max_file_size": f"{4 * MAX_MEGABYTES}mb",  # below it our own sentence says how much is too much
    "show_error": False,
    "run_history": False,
    "enable_monitoring": False,
    "state_session_capacity": 200,  # inputs of each visit and call are kept, megabytes at times; Gradio's is 10,000
}


def create_demo(source: Source = BUNDLED) -> gr.Blocks:
    """The whole page, its models loading in the background. Launch it with ``**LAUNCH``.

    Checkpoints of one's own are loaded at once; what is wrong with them raises as in ``load_models``.
    """
    loaded = load_models(source) if source.checkpoints else None
    bands = loaded.networks[ADAPTIVE].config.bands if loaded else ()
    photographs = loaded is None or loaded.knows_photographs
    with gr.Blocks(title="DynConv Lab", analytics_enabled=False, delete_cache=(3600, DAY)) as demo:
        gr.HTML("<h1>DynConv Lab</h1>", elem_classes="title")
        gr.HTML(i18n("subtitle"), elem_classes="subtitle")
        weights_notice = notice_slot()
        with gr.Tabs(overflow_behavior="wrap") as tabs:
            pages = {page: gr.Tab(i18n(f"page_{page}"), id=page) for page in PAGES}
            with pages["channels"]:
                ask, told = channels_page()
            with pages["sweep"]:
                swept = sweep_page()
            with pages["bands"]:
                banded = bands_page(bands, photographs)
            with pages["compact"]:
                compared = compact_page()
            with pages["results"]:
                results.page(i18n)
            with pages["code"]:
                code = snippets.page(i18n)
        demo.load(turn_to_page, None, tabs, queue=False, **QUIET).then(None, js=ARRIVED, **QUIET)
        for page, tab in pages.items():  # so that a reloaded page and a link open where the visitor was
            tab.select(None, None, None, js=keep(page), **QUIET)
        events = Handlers(source)
        arrived = [
            weights_notice, told.notice, ask.picture, ask.channels, ask.fill, ask.temperature, told.classes,
            compared.gamma, ask.examples, swept.examples, compared.examples, banded.classes, banded.names,
        ]  # fmt: skip
        demo.load(events.open_page, None, arrived, queue=False, **QUIET)
        connect(events, ask, told, swept, compared)
        connect_bands(events, banded)
        add_endpoints(events, concurrency_id="models", concurrency_limit=1)
        demo.load(snippets.blocks, None, code, queue=False, **QUIET)
    if ON_ZERO_GPU:
        load_models(source)
    else:
        threading.Thread(target=load_models, args=(source,)).start()  # last: the first page need not wait for it
    return demo.queue(max_size=64)


def channels_page() -> tuple[Parts, Parts]:
    """Page 1: what a visitor sets on the left, what the networks say on the right.

    On a phone, below each other, the answers come right after the channels; what is ``later`` follows them.
    """
    with gr.Row(elem_classes="asking"):
        with gr.Column(scale=3, min_width=300):
            sources = ["upload", "webcam", "clipboard"]
            picture = PictureInput(
                label=i18n("picture"), sources=sources, format="png", height=280, elem_classes="picture"
            )
            examples = example_gallery()
            letters = [(i18n("red"), "R"), (i18n("green"), "G"), (i18n("blue"), "B")]
            channels = gr.CheckboxGroup(letters, value=list(CHANNELS), label=i18n("channels"), elem_classes="toggles")
            fills = [(i18n(f"fill_{name}"), name) for name in FILLS]
            fill = gr.Radio(fills, value=FILLS[0], label=i18n("fill"), elem_classes=["choice", "later"])
            temperature = log_slider(
                minimum=MIN_TEMPERATURE, maximum=MAX_TEMPERATURE, label=i18n("temperature"), elem_classes="later"
            )
            link = gr.Button(i18n("copy_link"), size="sm", elem_classes="later")
            query, copied = gr.Textbox(visible="hidden"), gr.Textbox(visible="hidden")
            classes = gr.HTML(elem_classes="later")
            gr.HTML(i18n("uploads_kept"), elem_classes=["hint", "later"])
        with gr.Column(scale=7, min_width=320):
            notice = notice_slot(i18n("loading"), elem_classes=["notice-slot", "now"])
            answers = gr.HTML(elem_classes="now")
            seen, attention = gr.HTML(elem_classes="last"), gr.HTML(elem_classes="last")
    ask = Parts(
        picture=picture, channels=channels, fill=fill, temperature=temperature, examples=examples,
        point=gr.State(CENTRE), link=link, query=query, copied=copied,
    )  # fmt: skip
    return ask, Parts(notice=notice, answers=answers, seen=seen, attention=attention, classes=classes)


def sweep_page() -> Parts:
    """Page 2: the picture and one button, a figure and a table."""
    gr.HTML(i18n("sweep_lead"), elem_classes="lead")
    with gr.Row():
        with gr.Column(scale=0, min_width=144):
            picture = gr.HTML()
        with gr.Column(min_width=300):
            examples = example_gallery()
            button = gr.Button(i18n("sweep_button"), variant="primary", elem_classes="sweep-button")
    notice, result = notice_slot(), gr.HTML()
    return Parts(picture=picture, examples=examples, button=button, notice=notice, result=result)


def bands_page(bands: tuple[str, ...], photographs: bool) -> Parts:
    """Page 3: a file and what its bands are called on the left, the adaptive network's answer on the right.

    ``bands`` are those of a sensor that the network was trained on; of ``photographs`` it knows the bundled classes.
    """
    gr.HTML(i18n("bands_lead"), elem_classes="lead")
    classes = gr.HTML(i18n("bands_classes") if photographs else "", elem_classes="lead")
    with gr.Row():
        with gr.Column(scale=3, min_width=300):
            file = gr.File(label=i18n("bands_file"), height=150)
            names = gr.Textbox(
                ", ".join(bands or CHANNELS),
                label=i18n("bands_names"),
                info=i18n("bands_names_info"),
                max_lines=1,
                elem_classes="bands-names",
            )
            button = gr.Button(i18n("bands_button"), variant="primary")
            example = gr.Button(i18n("bands_example"), size="sm")
            gr.HTML(i18n("uploads_kept"), elem_classes="hint")
        with gr.Column(scale=7, min_width=320):
            notice, result = notice_slot(), gr.HTML()
    return Parts(
        file=file, names=names, filled=gr.State(("", None)), button=button, example=example, notice=notice,
        result=result, classes=classes,
    )  # fmt: skip


def compact_page() -> Parts:
    """Page 4: self-attention from a point on the left, the two networks on the right."""
    gr.HTML(i18n("compact_lead"), elem_classes="lead")
    with gr.Row():
        with gr.Column(scale=5, min_width=300), gr.Column(elem_classes="card"):
            gr.HTML(i18n("pick_title"), html_template="<h2>${value}</h2>", apply_default_css=False)
            gr.HTML(i18n("pick_lead"), elem_classes="hint")
            pick, picked, gamma = point_picker(), gr.Textbox(visible="hidden"), gr.HTML()
            notice = notice_slot()
            examples = example_gallery()
        with gr.Column(scale=6, min_width=320):
            compared = gr.HTML()
    return Parts(pick=pick, picked=picked, gamma=gamma, notice=notice, compared=compared, examples=examples)


def connect(events: Handlers, ask: Parts, told: Parts, swept: Parts, compared: Parts) -> None:
    """Wire the pages about one picture and its channels."""
    answered = [
        told.notice, compared.notice, told.answers, told.seen, told.attention, compared.compared, compared.pick,
    ]  # fmt: skip
    gr.on(
        [ask.picture.change, ask.channels.input, ask.fill.input, ask.temperature.input],
        events.analyse,
        [ask.picture, ask.channels, ask.fill, ask.temperature, ask.point],
        answered,
        show_progress_on=told.notice,
        **LATEST,
    ).failure(None, None, answered, js=failed(len(answered), notices=2), **QUIET)
    compared.pick.select(
        events.look_from,
        [ask.picture, ask.channels, ask.fill, compared.picked],
        [compared.notice, compared.pick, ask.point],
        js=f"(picture, channels, fill) => [picture, channels, fill, {PICKED}]",
        show_progress_on=compared.notice,
        **LATEST,
    )
    shown = [swept.notice, swept.picture, swept.result]
    ask.picture.change(events.show, ask.picture, shown, show_progress_on=swept.notice, **LATEST).failure(
        None, None, shown, js=failed(len(shown)), **QUIET
    )
    settings, outputs = [ask.picture, ask.fill, ask.temperature], [swept.notice, swept.result]
    asked = swept.button.click(
        events.sweep, settings, outputs, js=note("sweep"), show_progress_on=swept.notice, **LATEST
    )
    asked.then(None, settings, outputs, js=drop_outdated("sweep"), **QUIET)
    asked.failure(None, None, outputs, js=failed(2), **QUIET)
    gr.on([ask.fill.input, ask.temperature.input], None, None, outputs, js=empty(2), **QUIET)
    ask.picture.upload(displayed, ask.picture, ask.picture, **QUEUED)
    seen = [ask.channels, ask.fill, ask.temperature, ask.picture]
    chosen = [
        gallery.select(choose_example, None, ask.picture, queue=False, trigger_mode="multiple", **QUIET)
        for gallery in (ask.examples, swept.examples, compared.examples)
    ]
    for moved in (
        gr.on(
            [ask.channels.input, ask.fill.input, ask.temperature.input, ask.picture.input],
            address, seen, ask.query, queue=False, trigger_mode="always_last", **QUIET,
        ),
        *(example.then(address, seen, ask.query, queue=False, **QUIET) for example in chosen),
    ):  # fmt: skip
        moved.then(None, ask.query, None, js=KEEP_VIEW, **QUIET)
    ask.link.click(share, seen, ask.query, **QUIET).success(None, ask.query, ask.copied, js=COPY_LINK, **QUIET).then(
        tell_of_link, [ask.copied, ask.picture], None, **QUIET
    )


def connect_bands(events: Handlers, banded: Parts) -> None:
    """Wire the page for several bands: a new file, which may name its bands itself, Enter or the button asks.

    Other names or no file: an answer that is there goes, one that is on its way is dropped.
    """
    inputs, outputs = [banded.file, banded.names], [banded.notice, banded.result]
    named = [banded.names, banded.filled]
    asking = {"show_progress_on": banded.notice, "js": note("bands"), **LATEST}
    chosen = (
        banded.file.upload(
            name_bands, [*inputs, banded.filled], named, queue=False, trigger_mode="always_last", **QUIET
        ),
        banded.example.click(choose_bands, named, [banded.file, *named], queue=False, **QUIET),
    )
    for asked in (
        gr.on([banded.names.submit, banded.button.click], events.ask_bands, inputs, outputs, **asking),
        *(file.then(events.ask_bands, inputs, outputs, **asking) for file in chosen),
    ):
        asked.then(None, inputs, outputs, js=drop_outdated("bands"), **QUIET)
        asked.failure(None, None, outputs, js=failed(2), **QUIET)
    gr.on([banded.file.clear, banded.names.change], None, None, outputs, js=empty(2), **QUIET)
