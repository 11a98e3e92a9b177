"""The five endpoints for code: typed, documented, returning data and a picture.

Each is an ordinary function of a file's path; ``add_endpoints`` publishes them on a page.
"""

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps

import gradio as gr
from PIL import Image

from demo import explain, handlers
from demo.handlers import TASK_1, TASK_2, Handlers, costs, latencies
from demo.heatmap import ADAPTIVE, DYNAMIC
from demo.inference import Answer, Prediction, canonical, predict
from demo.loading import run
from demo.multiband import check_count, names_of, open_bands, read_names
from demo.pictures import open_picture
from demo.text import FriendlyError, say
from demo.widgets import PictureInput
from models import CHANNELS, FILLS, SUBSETS
from models.bands import agree

LONGEST_CHANNELS = 32  # characters; three are enough


def predict_some(networks, names, picture, channels, fill, temperature) -> Prediction:
    return predict({name: networks[name] for name in names}, picture, channels, fill=fill, temperature=temperature)


def describe(answer: Answer) -> dict:
    """An answer as JSON: top 5, all probabilities, and how sure it is."""
    return {
        "top": [{"class": name, "confidence": p} for name, p in answer.top(5)],
        "probabilities": dict(zip(answer.class_names, answer.probabilities, strict=True)),
        "entropy": answer.entropy,
        "unsure": answer.unsure,
    }


def check_number(name: str, value: object, expected: str, fits: Callable[[float], bool]) -> float:
    """``value`` where it is a number that ``fits``; a ``ValueError`` says what is ``expected``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value):
        raise ValueError(f"{name} must be a number {expected}, got {value!r}")
    return value


def check_share(name: str, value: object) -> float:
    return check_number(name, value, "from 0 to 1", lambda share: 0 <= share <= 1)


def check_temperature(temperature: object) -> float | None:
    if temperature is None:
        return None
    return check_number("temperature", temperature, "of 0.001 or more, or null", lambda t: 1e-3 <= t < math.inf)


def check_channels(channels: str | None) -> str:
    """The letters in their order; ``ValueError`` for others, without what is too long to be shown."""
    if channels is None or len(channels) > LONGEST_CHANNELS:
        came = None if channels is None else f"{len(channels):,} characters"
        raise ValueError(f"channels must be letters such as 'RGB' or 'RG', got {came}")
    return canonical(channels)


def known(wavelength_um: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(wavelength_um) else wavelength_um


class Endpoints:
    """``predict_channels``, ``sweep_channels``, ``predict_bands``, ``compare_compact`` and ``attention_at``."""

    def __init__(self, events: Handlers):
        self.events = events

    def ask(self, names: tuple[str, ...], image: str, channels: str, fill: str, temperature: float | None):
        """Prediction of the named networks and the picture as the first of them sees it."""
        picture = open_picture(image)
        channels, temperature = check_channels(channels), check_temperature(temperature)
        prediction = run(predict_some, self.events.source, names, picture, channels, fill, temperature)
        network = self.events.loaded.networks[names[0]]
        return prediction, explain.seen(network, picture, prediction.channels, fill)

    def predict_channels(
        self, image: str, channels: str = CHANNELS, temperature: float | None = None, fill: str = FILLS[0]
    ) -> tuple[dict, Image.Image]:
        """Ask the dynamic, the plain and the adaptive VGG19 about a picture with only some channels left.

        channels: "RGB", "RG", "RB", "GB", "R", "G" or "B". temperature: of the routers, 0.001 or more; null is the
        model's own. fill: "aligned" (the mean of two goes into the missing slot) or "appended" (last);
        the adaptive network fills nothing and gets just the channels that are left.
        Returns the answers, for the dynamic network also its kernel attention (16 layers x K, rows sum to 1)
        and the same for all channels, for the adaptive one what each kernel takes from each channel (summing to 1
        over the channels), and the filled picture.
        """
        prediction, seen = self.ask(TASK_1, image, channels, fill, temperature)
        return {
            "channels": prediction.channels,
            "fill": fill,
            "answers": {name: describe(answer) for name, answer in prediction.answers.items()},
            "agrees_with_rgb": {n: prediction.answers[n].best == prediction.reference[n].best for n in TASK_1},
            "kernel_attention": prediction.answers[DYNAMIC].attention,
            "kernel_attention_rgb": prediction.reference[DYNAMIC].attention,
            "channel_attention": dict(zip(prediction.channels, prediction.answers[ADAPTIVE].attention, strict=True)),
        }, seen

    def sweep_channels(
        self, image: str, temperature: float | None = None, fill: str = FILLS[0]
    ) -> tuple[list[dict], list[Image.Image]]:
        """Ask the dynamic, the plain and the adaptive VGG19 about all seven subsets of the channels, one batch each.

        Returns one row per network and subset (top 1, confidence, the network's own RGB answer and that
        answer's rank) and the seven pictures as the networks see them, in the order RGB, RG, RB, GB, R, G, B.
        """
        picture = open_picture(image)
        result = run(handlers.sweep, self.events.source, picture, fill, check_temperature(temperature))
        network = self.events.loaded.networks[DYNAMIC]
        return result.rows(), [explain.seen(network, picture, subset, fill) for subset in SUBSETS]

    def predict_bands(self, file: str, bands: str = "", leave_out: bool = False) -> tuple[dict, Image.Image]:
        """Ask the adaptive VGG19 about a file of up to 16 bands: a TIFF or a NumPy array (height x width x bands).

        bands: names or wavelengths in micrometres in the file's order, such as "R, G, B, NIR" or "0.665, 0.842, ?",
        ? for an unknown one; by default what the file calls them (GDAL's tag), or those of the training where it says
        nothing or may mean the same. leave_out: also ask without each of several bands. Returns the answer, for each
        band its wavelength and what each of the K kernels takes from it (summing to 1 over the bands; zeros for a band
        that hardly varies), the answers without each band (in the same order, none if not asked), how the values were
        scaled to 0..1 (calibrated: after the scale and offset that GDAL wrote into the file), whether a fixed scale
        left them doubtful (dim or cut), how many were missing (NaN or no data, filled from what lies around), what the
        file calls its bands and whether that, if anything, can be what was asked about, what the network was trained
        on, and the bands in false colour, dark ones brightened. The bundled network was trained on R, G and B; for
        other bands only on mixtures of these.
        """
        if not isinstance(leave_out, bool):
            raise ValueError(f"leave_out must be true or false, got {leave_out!r}")
        config = self.events.loaded.networks[ADAPTIVE].config
        picture = open_bands(file, config)
        typed = read_names(bands or ", ".join(names_of(picture, config)))
        check_count(picture, typed)
        prediction = run(handlers.ask_bands, self.events.source, picture.values, typed.wavelengths_um, leave_out)
        rows = zip(typed.names, typed.wavelengths_um, prediction.answer.attention, strict=True)
        visible = explain.brightened(picture.values, explain.brightening(picture.values))
        return {
            "answer": describe(prediction.answer),
            "bands": [{"band": n, "wavelength_um": known(um), "attention": row} for n, um, row in rows],
            "without": [describe(answer) for answer in prediction.without],
            "scaling": {
                "rule": picture.scaling,
                "divisor": picture.divisor,
                "dtype": picture.dtype,
                "calibrated": picture.calibrated,
                "doubt": picture.doubt,
            },
            "missing_values": picture.missing,
            "names_in_file": list(picture.names),
            "names_agree": agree(picture.names, typed.wavelengths_um),
            "channels_first": picture.channels_first,
            "trained_on": list(config.bands or CHANNELS),
        }, explain.false_colour(visible, explain.false_colour_bands(typed.wavelengths_um))

    def compare_compact(self, image: str, channels: str = CHANNELS, fill: str = FILLS[0]) -> tuple[dict, Image.Image]:
        """Ask the compact network and ResNet34 about a picture.

        Returns for both the answer, parameters, multiply-accumulates and the latency (fastest run) in milliseconds on
        the server's device, and the picture as the compact network sees it.
        """
        prediction, seen = self.ask(TASK_2, image, channels, fill, None)
        networks = self.events.loaded.networks
        latency = run(latencies, self.events.source)
        return {
            name: describe(answer) | asdict(costs(networks[name])) | {"latency_ms": latency[name]}
            for name, answer in prediction.answers.items()
        }, seen

    def attention_at(
        self, image: str, x: float = 0.5, y: float = 0.5, channels: str = CHANNELS, fill: str = FILLS[0]
    ) -> tuple[dict, Image.Image]:
        """Where the compact network's self-attention looks from a point.

        x and y: 0 to 1 across and down the picture. Returns the map (rows of weights that sum to 1 in all, over the
        part of the picture that the network sees), the learned gamma, the share of attention on the strongest tenth of
        its positions, and the overlay.
        """
        picture = open_picture(image)
        point = check_share("x", x), check_share("y", y)
        attention = run(handlers.look, self.events.source, picture, check_channels(channels), fill, point)
        if attention is None:
            raise FriendlyError("no_attention")
        return {
            "attention": attention.tolist(),
            "gamma": self.events.loaded.gamma,
            "share_on_strongest_tenth": explain.concentration(attention),
        }, explain.overlay(picture, attention, self.events.loaded.networks["compact"].config.crop_pct)


def answering(function: Callable) -> Callable:
    """``function`` with its expected failures as messages for the caller."""

    @wraps(function)
    def call(*inputs):
        try:
            return function(*inputs)
        except FriendlyError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except (TypeError, ValueError) as error:
            raise gr.Error(say("en", "bad_request", reason=error), print_exception=False) from error

    return call


def add_endpoints(events: Handlers, **queueing) -> None:
    """Publish the endpoints on the page under construction; nothing of them is visible on it."""
    endpoints = Endpoints(events)
    with gr.Column(visible=False):
        image, channels = PictureInput(label="image"), gr.Textbox(CHANNELS, label="channels")
        temperature, fill = gr.Number(None, label="temperature"), gr.Radio(FILLS, value=FILLS[0], label="fill")
        file, bands, leave_out = (
            gr.File(label="file"),
            gr.Textbox("", label="bands"),
            gr.Checkbox(False, label="leave_out"),
        )
        x, y = gr.Number(0.5, label="x"), gr.Number(0.5, label="y")
        data, picture, pictures = (
            gr.JSON(label="data"),
            gr.Image(format="png", label="picture"),
            gr.Gallery(format="png", label="pictures"),
        )
        call = gr.Button()
    for function, inputs, outputs in (
        (endpoints.predict_channels, [image, channels, temperature, fill], [data, picture]),
        (endpoints.sweep_channels, [image, temperature, fill], [data, pictures]),
        (endpoints.predict_bands, [file, bands, leave_out], [data, picture]),
        (endpoints.compare_compact, [image, channels, fill], [data, picture]),
        (endpoints.attention_at, [image, x, y, channels, fill], [data, picture]),
    ):
        call.click(answering(function), inputs, outputs, api_name=function.__name__, **queueing)
