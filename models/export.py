"""A network as one ONNX file, for programs without PyTorch or this code.

    images (B, C, S, S) in 0..1  →  logits (B, num_classes)            all float32

Normalising, and filling in missing channels, are part of the graph. B is free. A network for any channels keeps its
freedom: C is free as well, and a second input says what the channels are, ``wavelengths_um`` (C,), NaN for unknown; it
normalises all by the averages of ``mean`` and ``std``. Logits are NaN where a wavelength cannot be µm.

The file's metadata holds ``config``, the checkpoint's ``config.json`` with the class names, ``channels``, those that it
takes in this order, or nothing for any, ``wavelengths_um`` of the bands that it was trained on, and ``usage``, what to
do before and after. Needs the packages onnx, onnxscript and onnxruntime, with which every file is checked.
"""

import itertools
import json
import math
import warnings
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from models.band_files import values_of
from models.bands import LONGEST_UM, SHORTEST_UM, UNKNOWN, parse_bands, places_of, spell, wavelength_of, wavelengths_of
from models.channels import CHANNELS, parse_channels
from models.checkpoint import published, write_safely
from models.classifier import ImageClassifier
from models.pictures import normalize, resized_size

NEEDED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4  # of the largest logit; fp32 in another order of summation gives about 1e-6
SENSORS = (("R", "G", "B", "NIR", UNKNOWN), ("NIR", "R"), ("G",))  # examples of what a network for any channels takes
USAGE = (
    "images: values in 0..1, not normalised, resized without cropping to {whole} x {whole} pixels (bilinear, "
    "antialiased), of which the middle {size} x {size}.{values} Probabilities: softmax of logits over "
    "config.metrics.calibration_temperature, of a list the entry for the number of channels, the last for more."
)


class ExportedNetwork(nn.Module):
    """What the file computes: takes values in 0..1, of ``channels`` or, if these are empty, of any with wavelengths."""

    def __init__(self, model: ImageClassifier, channels: tuple[str, ...]):
        super().__init__()
        self.model, self.channels = model, channels
        config, known = model.config, model.config.bands or tuple(CHANNELS)
        if channels and {*channels} <= {*known} and len(config.mean) == len(known):
            places = places_of(channels, known)
            self.mean, self.std = (tuple(values[place] for place in places) for values in (config.mean, config.std))
        else:
            averages = config.for_bands(config.bands)
            self.mean, self.std = averages.mean, averages.std

    def forward(self, images: Tensor, wavelengths_um: Tensor | None = None) -> Tensor:
        x = normalize(images, self.mean, self.std)
        if wavelengths_um is None:
            return self.model(x, self.channels)
        impossible = (wavelengths_um < SHORTEST_UM) | (wavelengths_um >= LONGEST_UM)  # nanometres, say
        marks = torch.where(impossible, torch.nan, 0.0)  # (C,)
        each = torch.ones_like(x.amax(dim=(0, 2, 3)))  # (C,), so that another number of wavelengths is an error
        return self.model(x, wavelengths_um=wavelengths_um) + torch.dot(each, marks)

    @property
    def examples(self) -> tuple[tuple[str, ...], ...]:
        """Channels that it takes."""
        return (self.channels,) if self.channels else SENSORS

    def inputs(self, batch: int, names: tuple[str, ...], generator: torch.Generator) -> dict[str, Tensor]:
        """Random pictures with the named channels, as keywords of ``forward``."""
        size = self.model.config.input_size
        images = torch.rand(batch, len(names), size, size, generator=generator)
        return {"images": images} | ({} if self.channels else {"wavelengths_um": wavelengths_of(names)})

    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        config = self.model.config
        values = f" Values: {values_of(config.scale)}." if config.bands else ""
        whole = resized_size(config.input_size, config.crop_pct)
        wavelengths = [None if math.isnan(um := wavelength_of(name)) else um for name in config.bands or CHANNELS]
        return {
            "config": json.dumps(config.to_dict(), ensure_ascii=False),
            "channels": spell(self.channels),
            "wavelengths_um": json.dumps(wavelengths),  # of config.bands, or of R, G and B
            "usage": USAGE.format(whole=whole, size=config.input_size, values=values),
        }


def export_onnx(model: ImageClassifier, path: str | Path, *, channels: str | None = None) -> float:
    """Write ``model`` to ``path`` and say how far ONNX Runtime's logits lie from PyTorch's, over the largest logit.

    Without ``channels`` a network for any channels takes any, one of RGB pictures R, G and B; with them (``"RG"``,
    ``"R+NIR"``) the file takes just these and has one input. Nothing is written where the logits differ. Raises
    ``ValueError`` for that, for channels that the network cannot have and for one without a config, and ``ImportError``
    naming the packages that are missing.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ImportError(f"writing ONNX files needs {' '.join(NEEDED)}: pip install {' '.join(missing)}")
    if not isinstance(model, ImageClassifier) or model.config is None:
        raise ValueError(
            f"expected a network of this project with its config, got {type(model).__name__}; load it with load_model, "
            "or train it with train.run"
        )
    parse = parse_bands if model.any_channels else parse_channels
    free = model.any_channels and channels is None
    names = () if free else tuple(parse(CHANNELS if channels is None else channels))
    network = deepcopy(model).cpu().float().eval()
    network.config = published(network, storage="fp32")
    network = ExportedNetwork(network, names).requires_grad_(False)
    program = to_onnx(network)

    def save(temporary: Path) -> float:
        program.save(temporary, external_data=False)
        difference = largest_difference(temporary, network)
        if not difference < TOLERANCE:
            raise ValueError(f"ONNX Runtime's logits differ by {difference:.1e} of the largest; {path} was not written")
        return difference

    return write_safely(Path(path), save)


def to_onnx(network: ExportedNetwork) -> torch.onnx.ONNXProgram:
    """Its graph with the metadata, in memory."""
    inputs = network.inputs(2, network.examples[0], torch.Generator().manual_seed(0))
    batch, some = Dim("batch", min=1), Dim("channels", min=1)
    axes = {"images": {0: batch}} if network.channels else {"images": {0: batch, 1: some}, "wavelengths_um": {0: some}}
    network(**inputs)  # its own errors are clearer than the exporter's
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own code
        program = torch.onnx.export(
            network, kwargs=inputs, dynamic_shapes=axes, output_names=["logits"], dynamo=True, verbose=False
        )
    program.model.metadata_props.update(network.metadata())
    return program


def largest_difference(path: Path, network: ExportedNetwork) -> float:
    """How far ONNX Runtime's logits lie from PyTorch's, over the largest logit: of one and three pictures with as many
    channels as may come."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    differences = []
    for batch, names in itertools.product((1, 3), network.examples):
        inputs = network.inputs(batch, names, generator)
        (logits,) = session.run(None, {name: values.numpy() for name, values in inputs.items()})
        expected = network(**inputs)
        differences.append(((torch.from_numpy(logits) - expected).abs().max() / expected.abs().max()).item())
    return max(differences)
