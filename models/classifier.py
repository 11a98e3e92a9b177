"""What the networks share: channel filling, their description, saving and loading.

A classifier is called as ``model(x)`` with three channels or ``model(x, channels="RG")`` with
just those; it fills the missing ones (see ``channels.py``) and hands three to ``classify``.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from PIL import Image
from torch import Tensor, nn

from models.band_files import BandPicture, open_bands
from models.bands import parse_bands, spell
from models.channels import CHANNELS, check_fill, fill_channels
from models.pictures import check_values, normalize, resize, to_rgb


@dataclass(frozen=True)
class ModelConfig:
    """What a checkpoint's ``config.json`` says beside the weights.

    ``model`` is the registry key and ``arguments`` its constructor's; ``synsets`` are the folders
    of the classes in the order of the labels (ImageNet's are WordNet's synonym sets), ``class_names``
    what people call them; ``input_size`` is in pixels; ``crop_pct`` (above 0, at most 1) is how much
    of each side of a picture the network sees; ``mean`` and ``std`` are per channel, or one for all,
    on the 0..1 scale; ``bands`` are those of the sensor it was trained on (``bands.py``), none for
    RGB pictures; ``scale`` is what the values of its files are divided by, None for the rule of
    ``open_bands`` (``band_files.py``);
    ``temperature`` is the routers' (None without dynamic layers); ``metrics`` are in 0..1, among them
    ``unsure_below``: the confidence that nine in ten right answers on validation exceed, and beside
    them ``calibration_temperature`` (above 0), for ``probabilities``. These two are one number, or a
    list: for one channel, for two, and so on to all.
    """

    model: str
    arguments: dict
    class_names: tuple[str, ...] = ()
    synsets: tuple[str, ...] = ()
    input_size: int = 64
    crop_pct: float = 1.0
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    bands: tuple[str, ...] = ()
    scale: float | None = None
    temperature: float | None = None
    training: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    storage: str = "fp32"
    format_version: int = 1

    def to_dict(self) -> dict:
        return asdict(self)

    @property
    def all_channels(self) -> str:
        """The channels of its pictures in one word: ``RGB``, or a sensor's ``R+NIR``."""
        return spell(self.bands) or CHANNELS

    def for_bands(self, bands: tuple[str, ...]) -> "ModelConfig":
        """The same for pictures of these bands: mean and std, averaged over the channels, are one for all.

        Raises ``ValueError`` for bands that are none (``parse_bands``).
        """
        bands = parse_bands(bands) if bands else ()
        mean, std = ((sum(values) / len(values),) for values in (self.mean, self.std))
        return replace(self, bands=bands, mean=mean, std=std)

    def calibration_temperature(self, num_channels: int | None = None) -> float:
        """What ``probabilities`` divides logits by; 1 where it was not measured."""
        return self.measured("calibration_temperature", num_channels, 1.0)

    def unsure_below(self, num_channels: int | None = None) -> float:
        """The confidence below which an answer is unsure; 0 where it was not measured."""
        return self.measured("unsure_below", num_channels, 0.0)

    def measured(self, metric: str, num_channels: int | None, default: float) -> float:
        """A metric for pictures of so many channels, those of its training for None and where there are more."""
        values = self.metrics.get(metric, default)
        return values[min(num_channels or len(values), len(values)) - 1] if isinstance(values, list) else values

    def probabilities(self, logits: Tensor, num_channels: int | None = None) -> Tensor:
        """Logits (…, num_classes) → probabilities in 0..1 that sum to 1, in fp32.

        Temperature scaling (Guo et al., ICML 2017, section 4.2): the same order of the classes as in a plain softmax,
        but of answers given with 70 % about 70 % are right, on pictures like those of validation. ``num_channels`` says
        how many the network was given (None: all), since it may not notice by itself that it knows less.
        """
        return (logits.float() / self.calibration_temperature(num_channels)).softmax(-1)

    def open_bands(self, path: str | Path) -> BandPicture:
        """A sensor's file read as in training: with its ``bands`` and ``scale``. Raises ``BandFileError``."""
        return open_bands(path, bands=len(self.bands) or None, scale=self.scale)

    def preprocess(self, picture: Image.Image | Tensor | np.ndarray) -> Tensor:
        """Any PIL picture, or values (C, H, W) → normalised (C, S, S), as in training and evaluation.

        Values are uint8, or floats in 0..1 such as ``open_bands`` gives. As many channels as it was
        trained on are taken for these, in their order; any other number is normalised by the averages of ``mean`` and
        ``std``. ``ValueError`` for other values or shapes.
        """
        if isinstance(picture, str | Path):
            raise ValueError(f"expected a picture, got the path {picture}; open it with PIL.Image.open, or open_bands")
        picture = to_rgb(picture) if isinstance(picture, Image.Image) else check_values(torch.as_tensor(picture))
        pixels = self.resize(picture)
        config = self if len(pixels) == len(self.mean) else self.for_bands(self.bands)
        return normalize(pixels, config.mean, config.std)

    def resize(self, picture: Image.Image | Tensor) -> Tensor:
        """What the network sees of a picture (PIL, or (…, H, W) of any type): (…, S, S) of the same type."""
        return resize(picture, self.input_size, self.crop_pct)


class ImageClassifier(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="dynconv-lab",
    tags=["image-classification", "dynamic-convolution"],
    pipeline_tag="image-classification",
):
    """Base of the networks in ``MODELS``. ``config`` is set by training and by loading."""

    name: str  # the registry key
    min_input_size = 8  # pixels; the smallest picture worth training on
    any_channels = False  # or True: not only R, G and B
    config: ModelConfig | None = None

    def __init__(self, *, num_classes: int, fill: str | None, **arguments):
        """``arguments`` are a subclass's further constructor arguments, kept for ``config.json``."""
        super().__init__()
        self.describe(num_classes=num_classes, fill=fill, **arguments)

    def describe(self, *, num_classes: int, fill: str | None = None, **arguments) -> None:
        """Check and keep the constructor's arguments; ``ValueError`` for a bad one.

        ``fill`` is None for a network that takes any channels and fills none.
        """
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        self.fill = fill
        self.arguments = dict(num_classes=num_classes, **arguments)
        if fill is not None:
            self.arguments["fill"] = check_fill(fill)

    def forward(self, x: Tensor, channels: str | Iterable[str] = CHANNELS, *, fill: str | None = None, **options):
        """Logits (B, num_classes) of ``x`` (B, len(channels), H, W), normalised by mean and std.

        ``channels`` names the channels of ``x`` in their order; ``fill`` overrides the model's
        for this call; ``options`` go to ``classify``. Raises ``ValueError`` for bad channels.
        """
        return self.classify(fill_channels(x, channels, fill or self.fill), **options)

    def classify(self, x: Tensor) -> Tensor:
        """Logits of a batch with all three channels, (B, 3, H, W)."""
        raise NotImplementedError

    def head_replication(self, image_size: int) -> float:
        """How often a position of the last map is repeated before the head (1: not at all).

        The head's gradient grows by this factor, so training divides its learning rate by it.
        """
        return 1.0

    def _save_pretrained(self, save_directory: Path) -> None:
        from models.checkpoint import save_checkpoint  # it needs the registry, which needs this class

        save_checkpoint(self, save_directory)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        device: str | torch.device | None = None,
        map_location: str | torch.device | None = None,
        strict: bool = True,
        **download,
    ) -> "ImageClassifier":
        """The model of a folder or a Hub repository, as ``load_model``, if it is of this class.

        It replaces the mixin's loading, which builds a model before it looks at the config, reads
        pickles and skips keys that do not fit. ``map_location`` is the mixin's word for ``device``;
        ``download`` is ``revision``, ``token``, ``cache_dir``, ``force_download`` and
        ``local_files_only``. Raises ``CheckpointError``, or ``ValueError`` for ``strict=False``.
        """
        from models.hub import load_model  # it needs the registry, which needs this class

        if not strict:
            raise ValueError("strict=False is not supported: every key and shape must fit")
        return load_model(
            pretrained_model_name_or_path, device=map_location if device is None else device, expected=cls, **download
        )

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        config: None = None,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: dict | None = None,
        **push_options,
    ) -> str | None:
        """Write weights, config, golden logits and a model card to a folder; what cannot be saved leaves it untouched.

        It replaces the mixin's, which deletes an existing config first and keeps an existing card. ``config`` is the
        model's own. With ``push_to_hub`` they go to ``repo_id``, by default the folder's name, too; the URL is
        returned. Raises ``ValueError`` for a network that ``save_checkpoint`` refuses.
        """
        if push_options and not push_to_hub:
            raise TypeError(
                f"save_pretrained got {next(iter(push_options))!r}, which is for push_to_hub=True; for 8-bit weights "
                "use models.save_checkpoint(model, folder, storage='int8')"
            )
        folder = Path(save_directory)
        self._save_pretrained(folder)
        self.generate_model_card(**(model_card_kwargs or {})).save(folder / "README.md")
        if not push_to_hub:
            return None
        return self.push_to_hub(repo_id or folder.name, model_card_kwargs=model_card_kwargs, **push_options)

    def push_to_hub(self, repo_id: str, **options) -> str:
        """The mixin's ``push_to_hub``: one commit with weights, config, golden logits and a model card.

        ``python -m train.publish`` does the same for a checkpoint folder, with its evaluations.
        """
        options["model_card_kwargs"] = {"repo_id": repo_id} | (options.get("model_card_kwargs") or {})
        return super().push_to_hub(repo_id, **options)

    def generate_model_card(self, **details) -> ModelCard:
        """The model card of ``model_card.py`` for what ``save_pretrained`` writes, which is full precision.

        ``details`` are the function's ``repo_id``, ``evaluations`` and ``license``.
        """
        from models.checkpoint import published
        from models.model_card import model_card

        return ModelCard(model_card(published(self, storage="fp32"), **details))
