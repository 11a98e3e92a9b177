"""Starting the real app in its own process, and headless Chromium: for the tests and the screenshots."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# Runs app.py, noting every address that its Python connects to or asks the name service for.
START = """
import runpy, sys
log = open(sys.argv.pop(1), "a", buffering=1)
def note(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple): print(arguments[1][0], file=log)
    if event == "socket.getaddrinfo": print(arguments[0], file=log)
sys.addaudithook(note)
sys.argv[0] = sys.argv.pop(1)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@contextmanager
def running_app(folder: Path) -> Iterator[str]:
    """``python app.py`` on a free port; gives its address. ``folder`` gets app.log and contacted.txt.

    It is started there, as the app must not depend on where it is started from.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", START, str(folder / "contacted.txt"), str(ROOT / "app.py"), "--port", str(port)]
    with (folder / "app.log").open("w") as log:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "GRADIO_TEMP_DIR": str(folder / "uploads")}
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process, folder / "app.log")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def wait_for(url: str, process: subprocess.Popen, log: Path, seconds: int = 120) -> None:
    for _ in range(seconds * 4):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.25)
    raise RuntimeError(f"the app did not start:\n{log.read_text()}")


@contextmanager
def running_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
