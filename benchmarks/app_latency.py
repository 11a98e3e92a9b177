"""How quick the demo is, measured over HTTP against a real running ``app.py``.

    python benchmarks/app_latency.py [--toggles 60] [--people 16] [--url http://…]

Claim, on 2 CPU cores without a GPU: the first page is there within 10 s of the start; a toggle has all of
page 1 updated in 250 ms (median) and 500 ms (p95); the sweep of seven subsets takes at most 1 s; 16 people
at once each get the right answers; at most 2 GB are resident. Times are whole events as the browser sees
them: joining the queue until the last byte of the last output. Prints one table with n, hardware, versions.
"""

import argparse
import itertools
import json
import math
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "demo" / "examples" / "lion.jpg"
SUBSETS = ("RGB", "RG", "RB", "GB", "R", "G", "B")


class Visitor:
    """One browser's session: speaks the page's own events, not the endpoints for code."""

    def __init__(self, url: str):
        self.http = httpx.Client(base_url=url, timeout=120)
        self.session = uuid.uuid4().hex[:11]
        config = self.http.get("/config").json()
        self.events = {event["api_name"]: event["id"] for event in config["dependencies"] if event["api_name"]}
        self.ranks: list[int] = []
        self.bring_a_picture()

    def bring_a_picture(self) -> None:
        """The same pixels in a file of its own, of which the page remembers no answer."""
        content = PICTURE.read_bytes() + uuid.uuid4().bytes  # which no JPEG decoder reads
        path = self.http.post("/gradio_api/upload", files={"files": ("lion.jpg", content)}).json()[0]
        self.picture = {"path": path, "meta": {"_type": "gradio.FileData"}}

    def send(self, event: str, data: list) -> list:
        """Run an event; returns its outputs. ``ranks`` gathers the queue positions that were announced."""
        message = {"data": data, "fn_index": self.events[event], "session_hash": self.session}
        event_id = self.http.post("/gradio_api/queue/join", json=message).raise_for_status().json()["event_id"]
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if not line.startswith("data:"):
                    continue
                said = json.loads(line[5:])
                if said["msg"] == "estimation" and said.get("event_id") == event_id:
                    self.ranks.append(said["rank"])
                if said["msg"] == "process_completed" and said.get("event_id") == event_id:
                    if not said["success"]:
                        raise RuntimeError(f"{event} failed: {said['output']}")
                    return said["output"]["data"]
        raise RuntimeError(f"{event} got no answer")

    def toggle(self, channels: str) -> list:
        return self.send("analyse", [self.picture, list(channels), "aligned", 1.0, None])

    def sweep(self) -> list:
        return self.send("sweep", [self.picture, "aligned", 1.0])


def start(port: int) -> tuple[subprocess.Popen, float]:
    """``python app.py`` and the seconds until its first page is there."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    while process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}", timeout=5).status_code == 200:
                return process, time.perf_counter() - began
        except httpx.TransportError:
            time.sleep(0.02)
    raise RuntimeError("app.py ended before it served a page")


def timed(call, *arguments) -> float:
    began = time.perf_counter()
    call(*arguments)
    return (time.perf_counter() - began) * 1000


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def memory_gb(process: subprocess.Popen) -> tuple[float, float]:
    """Resident memory of the app now, and at its peak; NaN but on Linux."""
    if not Path(f"/proc/{process.pid}/status").is_file():
        return math.nan, math.nan
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in status if line.startswith(("VmRSS", "VmHWM"))}
    return kilobytes["VmRSS"] / 2**20, kilobytes["VmHWM"] / 2**20


def crowd(url: str, people: int, expected: dict[str, list]) -> tuple[list[float], int, int]:
    """``people`` visitors toggling at once → their times, wrong answers, and how many saw a queue position."""

    def visit(number: int) -> tuple[list[float], int, bool]:
        visitor, times, wrong = Visitor(url), [], 0
        for channels in itertools.islice(itertools.cycle(SUBSETS), number, number + 3):
            began = time.perf_counter()
            outputs = visitor.toggle(channels)
            times.append((time.perf_counter() - began) * 1000)
            wrong += outputs[:4] != expected[channels][:4]
        return times, wrong, any(rank > 0 for rank in visitor.ranks)

    with ThreadPoolExecutor(people) as pool:
        results = list(pool.map(visit, range(people)))
    return [t for times, _, _ in results for t in times], sum(r[1] for r in results), sum(r[2] for r in results)


def measure(url: str, toggles: int, people: int) -> list[tuple]:
    """Rows of (what, n, measured, target)."""
    visitor = Visitor(url)
    first = timed(visitor.toggle, "RGB")  # waits for the models, measures their latency
    expected = {channels: visitor.toggle(channels) for channels in SUBSETS}
    times, again = [], []
    for channels in itertools.islice(itertools.cycle(SUBSETS[1:]), toggles):
        visitor.bring_a_picture()
        visitor.toggle("RGB")
        times.append(timed(visitor.toggle, channels))
        again.append(timed(visitor.toggle, channels))
    sweeps = [timed(visitor.sweep) for _ in range(max(3, toggles // 6))]
    together, wrong, queued = crowd(url, people, expected)
    return [
        ("first answer after the first page, ms", 1, first, None),
        ("toggle → page 1 updated, median ms", toggles, statistics.median(times), 250),
        ("toggle → page 1 updated, p95 ms", toggles, percentile(times, 0.95), 500),
        ("toggle back to what was asked before, median ms", toggles, statistics.median(again), None),
        ("sweep of seven subsets, median ms", len(sweeps), statistics.median(sweeps), 1000),
        (f"{people} people at once, median ms", len(together), statistics.median(together), None),
        (f"{people} people at once, p95 ms", len(together), percentile(together, 0.95), None),
        (f"{people} people at once, wrong answers", len(together), wrong, 0),
        (f"{people} people at once, shown a queue position", people, queued, None),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toggles", type=int, default=60)
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--url", help="measure this running app; without it one is started here")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    process, rows = None, []
    url = options.url
    if url is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process, seconds = start(port)
        url = f"http://127.0.0.1:{port}"
        rows.append(("start → first page, s", 1, seconds, 10))
    try:
        rows += measure(url, options.toggles, options.people)
        if process:
            resident, peak = memory_gb(process)
            rows += [("resident memory, GB", 1, resident, 2), ("peak memory, GB", 1, peak, 2)]
    finally:
        if process:
            process.terminate()
            process.wait(20)
    show(rows, load)


def show(rows: list[tuple], load: float) -> None:
    import gradio
    import torch

    print(
        f"{os.cpu_count()} cores of {platform.machine()}, load {load:.1f} before the start; "
        f"Python {platform.python_version()}, torch {torch.__version__}, gradio {gradio.__version__}"
    )
    print(f"{'':<48}{'n':>5}{'measured':>12}{'target':>9}{'ratio':>8}")
    for what, n, value, target in rows:
        ratio = f"{value / target:.2f}" if target else ""
        print(f"{what:<48}{n:>5}{value:>12,.1f}{'' if target is None else target:>9}{ratio:>8}")


if __name__ == "__main__":
    main()
