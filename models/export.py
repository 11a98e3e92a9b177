"""A network as one ONNX file, for programs without PyTorch or this code.

    images (B, C, S, S) in 0..1  →  logits (B, num_classes)            all float32

Normalising, and filling in missing channels, are part of the graph; resizing and cropping are not. B is free. A network
for any channels keeps its freedom: C is free as well, and a second input says what the channels are,
``wavelengths_um`` (C,), NaN for unknown. The file's metadata holds ``config``, the checkpoint's ``config.json``: class
names, input size, crop, and the temperatures by which logits become probabilities.

Needs the packages onnx and onnxscript; ONNX Runtime and others run the file.
"""

import itertools
import json
import warnings
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim

from models.bands import UNKNOWN, parse_bands, places_of, wavelengths_of
from models.channels import CHANNELS, parse_channels
from models.checkpoint import write_safely
from models.classifier import ImageClassifier
from models.pictures import normalize

NEEDED = ("onnx", "onnxscript")
SENSORS = (("R", "G", "B", "NIR", UNKNOWN), ("NIR", "R"), ("G",))  # examples of what a network for any channels takes


class OfValues(nn.Module):
    """A network of values in 0..1: of the named ``channels``, or without names of any, told by wavelength."""

    def __init__(self, model: ImageClassifier, channels: tuple[str, ...]):
        super().__init__()
        self.model, self.channels = model, channels
        config = model.config
        if {*channels} - {*CHANNELS} or not channels or len(config.mean) == 1:
            config = config.for_bands(config.bands)
            self.mean, self.std = config.mean, config.std
        else:
            places = places_of(channels, CHANNELS)
            self.mean, self.std = (tuple(values[place] for place in places) for values in (config.mean, config.std))

    @property
    def examples(self) -> tuple[tuple[str, ...], ...]:
        """Channels that it takes."""
        return (self.channels,) if self.channels else SENSORS

    def inputs(self, batch: int, names: tuple[str, ...], generator: torch.Generator) -> dict[str, Tensor]:
        """Random pictures with the named channels, as keywords of ``forward``."""
        size = self.model.config.input_size
        images = torch.rand(batch, len(names), size, size, generator=generator)
        return {"images": images} | ({} if self.channels else {"wavelengths_um": wavelengths_of(names)})

    def forward(self, images: Tensor, wavelengths_um: Tensor | None = None) -> Tensor:
        x = normalize(images, self.mean, self.std)
        if wavelengths_um is None:
            return self.model(x, self.channels)
        return self.model(x, wavelengths_um=wavelengths_um)


def export_onnx(model: ImageClassifier, path: str | Path, *, channels: str | None = None) -> OfValues:
    """Write ``model``, loaded or trained so that it has a ``config``, to ``path`` and return what the file computes.

    Without ``channels`` a network for any channels takes any, one of RGB pictures R, G and B; with them (``"RG"``,
    ``"R+NIR"``) the file takes just these and has one input. Raises ``ValueError`` for channels that the network cannot
    have or without a config, and ``ImportError`` naming the packages that are missing.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ImportError(f"writing ONNX files needs {' and '.join(missing)}: pip install {' '.join(missing)}")
    if model.config is None:
        raise ValueError("the network has no config; load it with load_model, or train it with train.run")
    free = model.any_channels and channels is None
    network = deepcopy(model).cpu().float().eval()
    parse = parse_bands if model.any_channels else parse_channels
    network = OfValues(network, () if free else tuple(parse(channels or CHANNELS))).requires_grad_(False)
    inputs = network.inputs(2, network.examples[0], torch.Generator().manual_seed(0))
    batch, some = Dim("batch", min=1), Dim("channels", min=1)
    axes = {"images": {0: batch, 1: some}, "wavelengths_um": {0: some}} if free else {"images": {0: batch}}
    network(**inputs)  # its own errors are clearer than the exporter's
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own code
        program = torch.onnx.export(
            network, kwargs=inputs, dynamic_shapes=axes, output_names=["logits"], dynamo=True, verbose=False
        )
    program.model.metadata_props["config"] = json.dumps(model.config.to_dict())
    write_safely(Path(path), lambda temporary: program.save(temporary, external_data=False))
    return network


def largest_difference(path: str | Path, network: OfValues) -> float:
    """How far ONNX Runtime's logits lie from PyTorch's, over the largest logit: of one and three pictures with as many
    channels as may come. Raises ``ImportError`` without the package onnxruntime."""
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
