"""What happens on an event: raw values of components in, HTML out.

The first output of every handler is a notice. A failure is one friendly sentence in it, and the
other outputs keep what they show, or become empty where that would be the answer to another question.
"""

import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from demo import explain, gallery, heatmap, inference, multiband_view, sweep_view, view
from demo.heatmap import ADAPTIVE, DYNAMIC
from demo.loading import BUNDLED, Loaded, Source, latency_ms, load_models, run
from demo.multiband import check_count, open_bands, read_names
from demo.pictures import SHOWN_BY_BROWSERS, check_file, open_picture
from demo.text import FriendlyError, joined, language_of, say
from models import CHANNELS, SUBSETS, ImageClassifier
from models.band_files import names_in
from models.bands import UNKNOWN, agree, is_band, spell_band, split_names
from models.costs import cost_of_loaded

log = logging.getLogger(__name__)
Networks = Mapping[str, ImageClassifier]
Point = tuple[float, float]
Filled = tuple[str, str]  # what a visitor typed, and what a file put there instead
TASK_1, TASK_2 = (DYNAMIC, "vgg19", ADAPTIVE), ("compact", "resnet34")
CENTRE = (0.5, 0.5)

# Each toggle asks again about the same upload: a path names its content and never changes it.
decoded = lru_cache(maxsize=16)(open_picture)
costs = lru_cache(cost_of_loaded)


def opened(path: str | None) -> Image.Image:
    """As ``open_picture``, once per file, as long as it is there."""
    if path is not None and not Path(path).is_file():
        decoded.cache_clear()  # so that what was deleted is forgotten, too
    return decoded(path)


class Remembered(OrderedDict):
    """The last answers: by network, path, channels, fill and temperature, as far as an answer depends on them."""

    size = 512

    def key(self, name: str, path: str, channels: str, fill: str, temperature: float) -> tuple:
        filled = name != ADAPTIVE and len(channels) == 2  # one channel is copied, whatever the fill
        return name, path, channels, fill if filled else "", temperature if name == DYNAMIC else 0.0

    def answers(self, path: str, channels: str, *settings) -> dict[str, inference.Answer]:
        """What is known of a picture with some channels: networks → answers."""
        keys = {name: self.key(name, path, channels, *settings) for name in TASK_1 + TASK_2}
        return {name: found for name, key in keys.items() if (found := self.get(key)) is not None}

    def keep(self, path: str, prediction: inference.Prediction, temperature: float) -> None:
        for channels, answers in ((CHANNELS, prediction.reference), (prediction.channels, prediction.answers)):
            for name, found in answers.items():
                key = self.key(name, path, channels, prediction.fill, temperature)
                self[key] = found
                self.move_to_end(key)
        while len(self) > self.size:
            self.popitem(last=False)


def answer(networks: Networks, picture: Image.Image, channels: str, point: Point, **options):
    """All about a picture that needs the models: (Prediction, attention from ``point``, latency of Task 2's)."""
    prediction = inference.predict(networks, picture, channels, **options)
    attention = look(networks, picture, prediction.channels, prediction.fill, point)
    return prediction, attention, latencies(networks)


def latencies(networks: Networks) -> dict[str, float]:
    """Milliseconds for one picture on the server's device, of Task 2's networks."""
    return {name: latency_ms(networks[name]) for name in TASK_2}


def look(networks: Networks, picture: Image.Image, channels: str, fill: str, point: Point) -> np.ndarray | None:
    """``compact``'s attention from ``point``; None if it has no attention block."""
    compact = networks["compact"]
    return None if compact.gamma is None else explain.attention_from(compact, picture, point, channels, fill)


def sweep(networks: Networks, picture: Image.Image, fill: str, temperature: float) -> inference.Sweep:
    """All subsets, by the networks of Task 1."""
    chosen = {name: networks[name] for name in TASK_1}
    return inference.sweep(chosen, picture, fill=fill, temperature=temperature)


def ask_bands(
    networks: Networks, values: np.ndarray, wavelengths_um: tuple[float, ...], leave_out: bool
) -> inference.BandsPrediction:
    """A picture of any bands, by the network that takes them."""
    return inference.ask_bands(networks[ADAPTIVE], values, wavelengths_um, leave_out=leave_out)


def language(request: gr.Request) -> str:
    return language_of(request.headers.get("accept-language"))


def friendly(outputs: int, *, notices: int = 1, keep: bool = True) -> Callable:
    """Turn a failure of a handler, whose last input is the request, into its notice, the first output or several.

    The other outputs ``keep`` what they show or become empty.
    """

    def decorate(handler: Callable) -> Callable:
        @wraps(handler)
        def safe(*inputs):
            try:
                return handler(*inputs)
            except gr.Error as error:  # of a ZeroGPU Space: no quota left; raised again, it would leave old answers
                sentence = re.sub("<[^>]*>", "", str(error.message))
            except FriendlyError as error:
                sentence = error.in_language(language(inputs[-1]))
            except Exception:
                log.exception("%s failed", handler.__name__)
                sentence = say(language(inputs[-1]), "unexpected")
            rest = gr.skip() if keep else ""
            return [view.notice(sentence, "warning")] * notices + [rest] * (outputs - notices)

        return safe

    return decorate


class Handlers:
    """The page's events, on the models of ``source``."""

    def __init__(self, source: Source = BUNDLED):
        self.source = source
        self.remembered = Remembered()

    @property
    def loaded(self) -> Loaded:
        return load_models(self.source)

    @friendly(outputs=7, notices=2, keep=False)
    def analyse(self, path, channels, fill, temperature, point, request: gr.Request):
        """A picture, toggles or temperature changed → notice, Task 2's, answers, input, heat map, Task 2."""
        picture, names, spoken = opened(path), chosen(channels), language(request)
        networks = self.loaded.networks
        bands, dynamic = networks[ADAPTIVE].config.bands, networks[DYNAMIC].config
        settings = {"fill": fill, "temperature": temperature}
        known = {subset: self.remembered.answers(path, subset, fill, temperature) for subset in (CHANNELS, names)}
        prediction, attention, latency = run(answer, self.source, picture, names, point, known=known, **settings)
        self.remembered.keep(path, prediction, temperature)
        metrics = dynamic.metrics if temperature == dynamic.temperature else {}  # which were measured at its own
        adaptive = view.nothing_filled(prediction, spoken) + view.trained_on(bands, spoken)
        return (
            view.given(prediction, spoken) + view.announced(prediction.answers, TASK_1, spoken),
            view.announced(prediction.answers, TASK_2, spoken),
            view.answers(prediction, TASK_1, spoken, {ADAPTIVE: adaptive}),
            self.seen(picture, prediction, spoken),
            heatmap.channel_attention(prediction, spoken) + heatmap.kernel_attention(prediction, spoken, metrics),
            self.asked_task_2(prediction, spoken)
            + view.answers(prediction, TASK_2, spoken, self.costs(latency, spoken)),
            self.pick(picture, attention, point, spoken),
        )

    @friendly(outputs=3)
    def look_from(self, path, channels, fill, picked, request: gr.Request):
        """A point was chosen, ``"x y"`` → notice, the picture with attention from there, the point."""
        compact = self.loaded.networks["compact"].config
        point = explain.clip_to_seen(tuple(map(float, picked.split())), compact)
        picture, names, spoken = opened(path), chosen(channels), language(request)
        attention = run(look, self.source, picture, names, fill, point)
        said = "" if attention is None else view.told_of_point(explain.concentration(attention), point, spoken)
        return said, self.pick(picture, attention, point, spoken), point

    @friendly(outputs=3, keep=False)
    def show(self, path, request: gr.Request):
        """Another picture → notice, the picture that the sweep asks about, no result yet."""
        return "", view.asked(opened(path), language(request)), ""

    @friendly(outputs=2)
    def sweep(self, path, fill, temperature, request: gr.Request):
        """The sweep button → notice, table and figure."""
        picture, spoken = opened(path), language(request)
        result = run(sweep, self.source, picture, fill, temperature)
        network = self.loaded.networks[DYNAMIC]
        pictures = {subset: explain.seen(network, picture, subset, fill) for subset in SUBSETS}
        return sweep_view.notice(result, spoken), sweep_view.page(result, pictures, TASK_1, spoken)

    @friendly(outputs=2, keep=False)
    def ask_bands(self, path, typed, request: gr.Request):
        """A file of bands and what they are called → notice, answer."""
        network = self.loaded.networks[ADAPTIVE]
        picture, bands, spoken = open_bands(path, network.config), read_names(typed), language(request)
        check_count(picture, bands)
        prediction = run(ask_bands, self.source, picture.values, bands.wavelengths_um, True)
        factor = explain.brightening(picture.values)
        visible = explain.brightened(picture.values, factor)
        pictures = explain.band_pictures(network, visible)
        shown = multiband_view.page(prediction, visible, factor, bands, pictures, spoken, network.config)
        heard = view.announced({ADAPTIVE: prediction.answer}, (ADAPTIVE,), spoken)
        return multiband_view.notice(picture, bands, spoken) + heard, shown

    @friendly(outputs=13, notices=2)
    def open_page(self, request: gr.Request):
        """A visitor arrives → a notice of the weights, none of page 1, what their link and language ask for, and what
        page 3 says of a network that came from the Hub."""
        spoken, loaded = language(request), self.loaded
        dynamic = loaded.networks[DYNAMIC].config
        example, channels, fill, temperature = gallery.view_of(request.query_params, dynamic.temperature)
        classes = {}  # → the networks that know them
        for name, network in loaded.networks.items():
            classes.setdefault(network.config.class_names, []).append(say(spoken, name))
        return (
            told_of(loaded, spoken),
            gr.skip(),
            gr.update(value=str(gallery.EXAMPLES[example]), alt_text=say(spoken, "picture_alt")),
            channels,
            fill,
            temperature,
            "".join(view.classes(names, spoken, of if len(classes) > 1 else ()) for names, of in classes.items()),
            view.gamma(loaded.gamma, spoken),
            *[gallery.gallery(spoken)] * 3,
            gr.skip() if loaded.knows_photographs else "",
            ", ".join(bands) if (bands := loaded.networks[ADAPTIVE].config.bands) else gr.skip(),
        )

    def seen(self, picture: Image.Image, prediction: inference.Prediction, spoken: str) -> str:
        networks = self.loaded.networks
        network = networks[DYNAMIC]
        filled = explain.seen(network, picture, prediction.channels, prediction.fill)
        views = {name: (networks[name].config.input_size, networks[name].config.crop_pct) for name in TASK_1}
        filling = prediction.channels != CHANNELS  # but for the adaptive network
        by = [name for name in TASK_1 if views[name] == views[DYNAMIC] and not (filling and name == ADAPTIVE)]
        by = by if len(by) < len(TASK_1) else ()
        pictures, whole = explain.channel_pictures(network, picture), network.config.crop_pct == 1
        return view.seen(filled, pictures, prediction, spoken, whole=whole, by=by)

    def asked_task_2(self, prediction: inference.Prediction, spoken: str) -> str:
        """Which channels Task 2's networks get, and whether some lack that never lacked in their training."""
        if prediction.channels == CHANNELS:
            return view.given(prediction, spoken)
        trained_on = {name: self.loaded.networks[name].config.training.get("channels") for name in TASK_2}
        unprepared = [name for name in TASK_2 if trained_on[name] == CHANNELS]
        return view.given(prediction, spoken, *view.unprepared(unprepared, spoken))

    def pick(self, picture: Image.Image, attention: np.ndarray | None, point: Point, spoken: str) -> str:
        if attention is None:  # as ``view.gamma`` says
            return ""
        glowing = explain.overlay(picture, attention, self.loaded.networks["compact"].config.crop_pct)
        return view.pick(glowing, explain.concentration(attention), point, spoken)

    def costs(self, latency: dict[str, float], spoken: str) -> dict[str, str]:
        networks = self.loaded.networks
        return {name: view.costs(costs(networks[name]), latency[name], spoken) for name in TASK_2}


def told_of(loaded: Loaded, spoken: str) -> str:
    """Notices of weights that are not the bundled ones, and of those that the Hub did not have."""
    own = view.listed([f"{name} ({folder})" for name, folder in loaded.own.items()], spoken)
    missing = view.listed(loaded.not_on_hub, spoken)
    sentences = [say(spoken, "own_weights", names=own)] if own else []
    if own and len({network.config.class_names for network in loaded.networks.values()}) > 1:
        sentences.append(say(spoken, "other_classes"))
    return (view.notice(joined(sentences, spoken)) if own else "") + (
        view.notice(say(spoken, "not_on_hub", names=missing)) if missing else ""
    )


def chosen(channels: list[str]) -> str:
    """The toggles that are on, in RGB order; ``FriendlyError`` for none."""
    if not channels:
        raise FriendlyError("no_channels")
    return inference.canonical(channels)


def turn_to_page(request: gr.Request):
    """A visitor arrives → the page that the link names; the first one without a name that there is."""
    page = request.query_params.get("tab")
    return gr.Tabs(selected=page) if page in gallery.PAGES else gr.skip()


def choose_example(event: gr.EventData):
    """An example was chosen → the picture."""
    return str(gallery.EXAMPLES[event.name])


def displayed(path: str):
    """A picture was uploaded → the same as a PNG where browsers do not show such files."""
    try:
        return gr.skip() if Path(path).suffix.lower() in SHOWN_BY_BROWSERS else opened(path)
    except FriendlyError:  # ``analyse`` says what is wrong with it
        return gr.skip()


def name_bands(path: str, typed: str, filled: Filled):
    """A file of bands was uploaded → what it calls them, unless that can be what is typed; if it says nothing, what the
    visitor typed, never another file's names."""
    try:
        check_file(path, "bands_too_large")
        names = names_in(path)
    except FriendlyError:  # ``ask_bands`` says what is wrong with it
        names = ()
    own = own_words(typed, filled)
    words = [spell_band(word) for word in split_names(own or "")]
    same = all(map(is_band, words)) and agree(names, words)
    same &= all(word != UNKNOWN or name == UNKNOWN for name, word in zip(names, words, strict=False))
    shown = own if same or not names else ", ".join(names)
    return gr.skip() if shown == typed else shown, (own, shown)


def choose_bands(typed: str, filled: Filled) -> tuple[str, str, Filled]:
    """The example of several bands was chosen → the file and what its bands are."""
    own = own_words(typed, filled)
    return str(gallery.BANDS_EXAMPLE), gallery.BANDS_TYPED, (own, gallery.BANDS_TYPED)


def own_words(typed: str, filled: Filled) -> str:
    """What the visitor typed last, where now there may be what a file filled in."""
    own, by_file = filled
    return own if typed == by_file else typed


def address(channels, fill, temperature, picture) -> str:
    """Another view → the query of its link, so that a page that is loaded again shows it, of a visitor's own picture
    the first example."""
    return gallery.view_query(gallery.example_of(picture), channels, fill, temperature)


def share(channels, fill, temperature, picture, request: gr.Request) -> str:
    """The share button → the query of the link; without channels there is no view to share."""
    spoken = language(request)
    if not channels:
        raise gr.Error(say(spoken, "no_channels"), print_exception=False)
    return address(channels, fill, temperature, picture)


def tell_of_link(where: str, picture: str | None, request: gr.Request) -> None:
    """Where the link is, ``copied``, ``shown`` in the address bar, ``both`` or ``neither`` → a word on that, and on
    what it opens."""
    spoken = language(request)
    sentences = [say(spoken, f"link_{where}")]
    if picture and not gallery.example_of(picture):
        sentences.append(say(spoken, "link_own_picture"))
    gr.Info(joined(sentences, spoken))
