"""The code page: files of ``snippets/``, shown as they are and run by the tests."""

import re
from html import escape
from pathlib import Path

import gradio as gr

from demo.html import tag
from demo.text import language_of, say
from demo.widgets import copyable

FOLDER = Path(__file__).resolve().parent / "snippets"
ROOT = FOLDER.parent.parent
SNIPPETS = {
    "load_model": "load_model.py",
    "any_channels": "any_channels.py",
    "own_network": "own_network.py",
    "torch_hub": "torch_hub.py",
    "export": "export.py",
    "client": "client.py",
    "train": "train.sh",
    "gpu": "gpu.sh",
}
PARTS = {"torch_hub": "hubconf.py", "train": "train"}  # of the project, which a Space or container lacks
COPY_ICON = """<svg viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" aria-hidden="true">
<rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/><path d="M10.5 2.5h-6a2 2 0 0 0-2 2v6"/></svg>"""
LOCAL_URL = "http://127.0.0.1:7860"


def read(name: str) -> str:
    return (FOLDER / SNIPPETS[name]).read_text(encoding="utf-8")


def page(i18n: gr.I18n) -> gr.HTML:
    """Place on the page under construction where the ``blocks`` go."""
    gr.HTML(i18n("code_lead"), elem_classes="lead")
    return copyable()


def blocks(request: gr.Request) -> str:
    """The snippets that work here, in this visitor's language, with the address they see."""
    spoken, address = language_of(request.headers.get("accept-language")), address_of(request)
    return "".join(
        block(say(spoken, f"snippet_{name}"), read(name).replace(LOCAL_URL, address), spoken)
        for name in SNIPPETS
        if (ROOT / PARTS.get(name, "demo")).exists()
    )


def block(title: str, code: str, language: str) -> str:
    """A snippet below its title and a button that copies it."""
    button = tag(
        "button", COPY_ICON, type="button", aria_label=say(language, "copy_code", title=title),
        data_done=say(language, "copied_code", title=title),
    )  # fmt: skip
    head = tag("figcaption", tag("span", escape(title)), button)
    return tag("figure", head, tag("pre", tag("code", as_html(code)), tabindex="0"), class_="code")


def address_of(request: gr.Request) -> str:
    """The app's address as this visitor sees it."""
    host = request.headers.get("x-forwarded-host") or request.headers.get("host")
    if not host:
        return LOCAL_URL
    scheme = request.headers.get("x-forwarded-proto") or request.url.scheme
    first = [value.split(",")[0].strip() for value in (scheme, host)]  # of several proxies
    return "://".join(first) + request.base_url.path.rstrip("/")  # where it is mounted


def as_html(code: str) -> str:
    """Code with its comments set apart. No snippet has a # inside a string."""
    return re.sub(r"#.*", lambda comment: tag("span", comment[0], class_="comment"), escape(code.strip(), quote=False))
