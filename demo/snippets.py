"""The code page: files of ``snippets/``, shown as they are and run by the tests."""

import re
from html import escape
from pathlib import Path

import gradio as gr

from demo.html import tag
from demo.widgets import code_block

FOLDER = Path(__file__).resolve().parent / "snippets"
SNIPPETS = {
    "load_model": "load_model.py",
    "any_channels": "any_channels.py",
    "torch_hub": "torch_hub.py",
    "client": "client.py",
    "train": "train.sh",
    "gpu": "gpu.sh",
}
LOCAL_URL = "http://127.0.0.1:7860"


def read(name: str) -> str:
    return (FOLDER / SNIPPETS[name]).read_text(encoding="utf-8")


def page(i18n: gr.I18n) -> gr.HTML:
    """Place the snippets on the page under construction; returns the one that names the app's address."""
    gr.HTML(i18n("code_lead"), elem_classes="lead")
    blocks = {name: code_block(as_html(read(name)), label=i18n(f"snippet_{name}")) for name in SNIPPETS}
    return blocks["client"]


def client_for(request: gr.Request) -> str:
    """The client snippet with the address this visitor sees."""
    host = request.headers.get("x-forwarded-host") or request.headers.get("host")
    scheme = request.headers.get("x-forwarded-proto") or request.url.scheme
    address = f"{scheme.split(',')[0]}://{host}" if host else LOCAL_URL
    return as_html(read("client").replace(LOCAL_URL, address))


def as_html(code: str) -> str:
    """Code with its comments set apart. No snippet has a # inside a string."""
    return re.sub(r"#.*", lambda comment: tag("span", comment[0], class_="comment"), escape(code.strip(), quote=False))
