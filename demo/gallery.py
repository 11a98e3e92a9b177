"""The example pictures and the link that leads back to a page or to a view of one of them."""

import filecmp
import math
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image

from demo.html import picture, tag
from demo.inference import canonical
from demo.text import say
from models import CHANNELS, FILLS

FOLDER = Path(__file__).resolve().parent / "examples"
EXAMPLES = {name: FOLDER / f"{name}.jpg" for name in ("lion", "ladybug", "orange", "spider_web", "cheetah", "tower")}
BANDS_EXAMPLE, BANDS_TYPED = FOLDER / "lion_bands.npy", "R, G, B, 0.6125, 0.525"
DEFAULT = "lion"
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.1, 34.0
PAGES = ("channels", "sweep", "bands", "compact", "results", "code")  # ``?tab=`` in a link: ``page`` is Gradio's own


def gallery(language: str) -> str:
    """A row of buttons, each a small example picture that says what it shows."""
    buttons = []
    for name, path in EXAMPLES.items():
        with Image.open(path) as image:
            image.thumbnail((96, 96))
            alt = say(language, f"example_{name}")
            buttons.append(tag("button", picture(image, alt, "jpeg"), type="button", data_name=name, title=alt))
    return tag("div", *buttons, class_="gallery", role="group", aria_label=say(language, "examples"))


def example_of(path: str | Path | None) -> str:
    """The name of the example that a file is a copy of; none for a visitor's own."""
    if path is None or not Path(path).is_file():
        return ""
    return next((name for name, example in EXAMPLES.items() if filecmp.cmp(path, example, shallow=False)), "")


def view_query(example: str, channels: list[str], fill: str, temperature: float) -> str:
    """The query of a link that opens the same view, e.g. ``?example=lion&channels=RG&…``."""
    view = {"example": example or DEFAULT, "channels": "".join(channels), "fill": fill, "temperature": temperature}
    return "?" + urlencode({key: value for key, value in view.items() if value != ""})


def view_of(query: Mapping[str, str], temperature: float) -> tuple[str, list[str], str, float]:
    """The example, channels, fill and temperature of a link; whatever it does not say or misspells is the default."""
    example = query.get("example")
    fill = query.get("fill")
    try:
        channels = canonical(query.get("channels", CHANNELS))
    except ValueError:
        channels = CHANNELS
    try:
        asked = float(query["temperature"])
    except (KeyError, ValueError):
        asked = math.nan
    return (
        example if example in EXAMPLES else DEFAULT,
        list(channels),
        fill if fill in FILLS else FILLS[0],
        min(max(asked, MIN_TEMPERATURE), MAX_TEMPERATURE) if math.isfinite(asked) else temperature,
    )
