"""The models, loaded once for everyone: bundled weights, or one's own or a Hub user's with these to fall back on."""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import torch

from models import MODELS, ImageClassifier, load_model
from models.checkpoint import BUNDLED as BUNDLED_WEIGHTS
from models.checkpoint import CONFIG, read_config
from models.hub import is_repo_id
from models.memory import keep_large_blocks

try:  # on a ZeroGPU Space a function must ask for the GPU; elsewhere it just runs
    from spaces import GPU
except ImportError:

    def GPU(duration: int) -> Callable:  # noqa: N802, the name is theirs
        return lambda function: function


# There CUDA is a stand-in outside GPU calls, known to the main thread alone.
ON_ZERO_GPU = bool(os.environ.get("SPACES_ZERO_GPU"))
MEASURE_AGAIN_S = 60
log = logging.getLogger(__name__)
LOCK = threading.Lock()
MODEL_THREAD = ThreadPoolExecutor(1, thread_name_prefix="models")


@dataclass(frozen=True)
class Source:
    """Where networks come from: ``checkpoints`` (folders or Hub repositories), each for the network of its kind, then
    ``hub_user``, then the bundled weights. ``ValueError`` for a user that no repository can have."""

    hub_user: str | None = None
    checkpoints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.hub_user and not is_repo_id(f"{self.hub_user}/vgg19"):
            raise ValueError(
                f"--from-hub is a user of the Hub alone, whose vgg19 … are then loaded, got {self.hub_user!r}; "
                "a single network is --checkpoint USER/NAME"
            )


BUNDLED = Source()


@dataclass(frozen=True)
class Loaded:
    """``networks`` by name, the names of those that were ``not_on_hub``, and what those that are not bundled (``own``)
    are called.

    ``knows_photographs``: the network for any channels has the classes of the bundled one, wherever it is from.
    ``gamma`` is that of ``compact``, read once: on a ZeroGPU Space weights are out of reach outside ``run``.
    """

    networks: Mapping[str, ImageClassifier]
    not_on_hub: tuple[str, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)
    gamma: float | None = None
    knows_photographs: bool = True


def load_models(source: Source = BUNDLED) -> Loaded:
    """The same models for every caller; the first one loads, the others wait.

    Raises ``CheckpointError`` for a checkpoint that cannot be loaded, ``ValueError`` for two of one kind.
    """
    with LOCK:
        return load_once(source)


@lru_cache
def load_once(source: Source) -> Loaded:
    networks, own, not_on_hub = {}, {}, []
    for checkpoint in source.checkpoints:
        network = load_named(checkpoint)
        if network.name in own:
            raise ValueError(f"{own[network.name]} and {checkpoint} both hold {network.name}; give one of them")
        networks[network.name], own[network.name] = network, Path(checkpoint).name
    for name in (name for name in MODELS if name not in own):
        network = source.hub_user and load_from_hub(source.hub_user, name)
        if source.hub_user and not network:
            not_on_hub.append(name)
        if network:
            own[name] = f"{source.hub_user}/{name}"
        networks[name] = network or load_model(BUNDLED_WEIGHTS / name)
    keep_large_blocks()  # from here on: what loading needed on the way is given back first
    return Loaded(
        {name: networks[name] for name in MODELS},
        tuple(not_on_hub),
        own,
        networks["compact"].gamma,
        knows_photographs(networks["adaptive_vgg19"]),
    )


def knows_photographs(network: ImageClassifier) -> bool:
    """Whether its classes are those of the bundled weights, if these are there."""
    path = BUNDLED_WEIGHTS / "adaptive_vgg19" / CONFIG
    return path.is_file() and network.config.class_names == read_config(path).class_names


def load_named(source: str) -> ImageClassifier:
    """A model from a folder or the Hub; ``ValueError`` where it does not say what its classes are called."""
    network = load_model(source)
    if not (network.config and network.config.class_names):
        raise ValueError(f"{source} does not say what its classes are called; train.run writes class_names")
    return network


def load_from_hub(user: str, name: str) -> ImageClassifier | None:
    """A model from the Hub, or None, logged, for whatever reason: the demo then uses the bundled one."""
    repo_id = f"{user}/{name}"
    try:
        network = load_named(repo_id)
        if network.name != name:
            raise ValueError(f"it holds {network.name}")
        return network
    except Exception as error:
        log.warning("using the bundled weights: %s could not be loaded (%s)", repo_id, error)
        return None


fastest: dict[ImageClassifier, tuple[float, float]] = {}  # milliseconds, and when they were measured


def latency_ms(network: ImageClassifier) -> float:
    """Milliseconds for one picture on the network's device: the fastest run so far, a few more being made after
    ``MEASURE_AGAIN_S``, since the machine may have been busy."""
    so_far, measured = fastest.get(network, (math.inf, -math.inf))
    if time.monotonic() - measured >= MEASURE_AGAIN_S:
        fastest[network] = min(so_far, fastest_run(network)), time.monotonic()
    return fastest[network][0]


@torch.inference_mode()
def fastest_run(network: ImageClassifier, runs: int = 5) -> float:
    """Milliseconds for one picture, the fastest of ``runs`` after a warm-up."""
    device = next(network.parameters()).device
    x = torch.zeros(1, 3, network.config.input_size, network.config.input_size, device=device)
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        network(x).argmax().item()  # .item() waits for a GPU to finish
        times.append((time.perf_counter() - start) * 1000)
    return min(times[1:])


@GPU(duration=10)  # seconds a visitor's quota must have left
def run(function: Callable, source: Source, *arguments, **options):
    """``function(networks, …)`` with the loaded models, on the GPU where there is one.

    It runs in the one thread that always does, but on a ZeroGPU Space, which has processes for that: each thread
    would keep its own blocks of memory and its own team of OpenMP threads, or choose its convolutions on a GPU anew.
    """
    task = partial(function, load_models(source).networks, *arguments, **options)
    return task() if ON_ZERO_GPU else MODEL_THREAD.submit(task).result()
