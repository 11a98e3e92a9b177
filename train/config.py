"""Everything one training run depends on. The command line is derived from these fields."""

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from models import CHANNELS, MODELS
from models.adaptive_conv import TUNING_UM, tuning_for, usual_spread
from models.bands import parse_bands, places_of, spell, wavelength_of
from models.channels import parse_channels
from models.registry import ONLY_FOR

Model = Literal[tuple(MODELS)]

PLACES = {"data_root", "run_dir", "resume", "workers", "threads"}  # settings that say where and how fast, not what
ARGUMENTS = ("fill", "width", "num_kernels", "own_kernels", "plain_norm", "least_spread", "blocks")  # of networks


def parse_rgb(channels: str) -> str:
    """As ``parse_channels``; the ``ValueError`` says what other bands need."""
    try:
        return parse_channels(channels)
    except ValueError as error:
        raise ValueError(f"{error}; other bands than R, G and B need --bands") from error


@dataclass(frozen=True)
class TrainConfig:
    """One training run: config in, run folder out."""

    model: Model
    """Network to train."""
    data_root: Path
    """Folder with train.txt, val.txt, test.txt and images/, or with train/, val/ and test/
    folders of class folders, or with class folders alone (then split 80/10/10)."""
    run_dir: Path
    """Where weights, config, metrics and curves go."""

    images_per_class: int | None = None
    """Train on the first so many pictures of each class; all by default."""
    image_size: str = "64"
    """Pixels, or a schedule size:epochs, e.g. 32:8,64:4 (then without --epochs)."""
    epochs: int = 10
    """Passes over the training data; a schedule says how many itself."""
    batch_size: int = 128
    """Pictures a step, per process."""
    bands: str | None = None
    """The bands of a sensor, in the order of its .tif, .tiff or .npy files, by name or wavelength in µm
    (B,G,R,NIR or 0.49,0.842,?), for adaptive_vgg19; without them pictures are RGB. A file that says otherwise is
    refused."""
    scale: float | None = None
    """What the values of a sensor's files are divided by, such as 10000 for reflectance. By default each file has its
    own rule: GDAL's scale and offset, if any, then 8-bit values by 255, floats in 0..1 as they are, others by their
    99.9th percentile over all bands."""
    channels: str | None = None
    """Channels to train on: a subset such as RG or R+NIR, or "sample" for a random subset per picture; by default
    all."""
    channel_counts: str | None = None
    """How often "sample" draws one, two, three … channels, relative to each other, such as 2:1:2; by
    default alike."""
    pseudo_share: float = 1 / 3
    """Share of pictures that "sample" shows adaptive_vgg19 as mixtures of R, G and B: bands of other wavelengths."""
    colour_mixing: float = 0.0
    """Share of pictures that "sample" shows the other networks with three random mixtures of R, G and B in their
    places, some of which then go missing: what pseudo_share is for adaptive_vgg19."""
    fill: Literal["aligned", "appended"] = "aligned"
    """Where the mean of two channels goes, see models/channels.py."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov momentum, or AdamW."""
    lr: float = 0.1
    """Peak learning rate."""
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    """Learning rate over the run: linear warm-up then cosine to zero, or cosine alone."""
    warmup: float = 0.2
    """Share of the run spent warming up (one-cycle)."""
    momentum: float = 0.9
    """Nesterov momentum (sgd)."""
    weight_decay: float = 5e-4
    """On convolution and linear weights only."""
    head_lr_scale: float | None = None
    """Learning rate of the last linear layer against the rest; by default one over how often a
    small map is replicated before it."""
    label_smoothing: float = 0.1
    """Share of the target spread over all classes."""
    ema: float = 0.0
    """Decay of the averaged weights that are evaluated and kept; 0 keeps the last weights."""
    mix: Literal["none", "mixup", "cutmix", "both"] = "none"
    """Mixing pictures within a batch ("both" picks one of the two per batch)."""
    crop_scale: float = 0.35
    """Smallest share of the picture a random crop keeps."""
    crop_pct: float = 1.0
    """Share of each side of a picture that validation, and later the demo, shows the network: 1 is
    the whole; the bundled networks, trained on random crops, are better with 0.875."""
    clip_norm: float = 0.0
    """Largest gradient norm; 0 does not clip."""

    width: float = 1.0
    """Channels of the VGG19s' layers against the full network's: 0.25 is a quarter, which trains many times faster."""
    num_kernels: int = 4
    """Kernels K of each dynamic convolution (dynamic_vgg19), or of the first layer (adaptive_vgg19; with
    bands one for every wavelength of R, G, B and the bands and one more, if that is more)."""
    own_kernels: bool = False
    """Give each kernel of adaptive_vgg19's first layer a second part for channels near its wavelength."""
    plain_norm: bool = False
    """Plain batch normalisation in adaptive_vgg19, in place of one that follows which channels there are."""
    least_spread: float | None = None
    """A channel whose standard deviation is at most this share of the strongest one's counts as dead (adaptive_vgg19):
    by default 1/32, in photographs less is noise. With bands 0, which leaves out constant ones alone, as a sensor's
    may differ far more in contrast: of leaves, red beside near infrared."""
    temperature_start: float = 30.0
    """Softmax temperature of the routers at the first step (dynamic_vgg19)."""
    temperature_end: float = 1.0
    """Temperature after annealing; both at 34 reproduce the study."""
    temperature_epochs: float | None = None
    """Epochs of linear annealing, a little every step; by default half the run, 10 at most (dynamic_vgg19)."""
    blocks: Literal["none", "rrdb", "attention", "both"] = "both"
    """Blocks of the compact network."""
    init_from: Path | None = None
    """Weights to start from (a bundled name, a folder or user/repo on the Hub): of the same network, or of vgg19 for
    dynamic_vgg19 and adaptive_vgg19. For other classes the last layer starts anew."""
    teacher: Path | None = None
    """Trained network to learn from (a bundled name, a folder or user/repo): whatever channels the run
    shows, the teacher answers for the same crop with all of them."""
    teacher_share: float = 0.5
    """Share of the target that is the teacher's answer; the label has the rest."""
    init_noise: float = 0.1
    """Noise on each kernel when a plain network becomes dynamic, relative to the weights' spread."""

    bf16: bool = False
    """bfloat16 autocast."""
    channels_last: bool = True
    """Memory layout; faster on CPUs and recent GPUs."""
    workers: int | None = None
    """Processes that load pictures, and as many again for validation; by default one, beside a GPU as many as it has
    cores, 16 at most. Results do not depend on their number."""
    threads: int | None = None
    """CPU threads for arithmetic; PyTorch's choice by default."""
    seed: int = 0
    """Of initialisation, order and augmentation."""
    skip_unreadable: bool = False
    """Leave out pictures that cannot be read instead of stopping."""
    resume: bool = False
    """Go on from the last finished epoch in run_dir."""

    def __post_init__(self) -> None:
        """``ValueError`` for values that cannot train."""
        for name in ("lr", "temperature_start", "temperature_end", "num_kernels", "width", "scale"):
            if (value := getattr(self, name)) is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0 and finite, got {value}")
        if self.bands and not MODELS[self.model].any_channels:
            takers = ", ".join(name for name, network in MODELS.items() if network.any_channels)
            raise ValueError(f"{self.model} takes R, G and B, not the bands {self.bands}; train {takers} on them")
        if self.least_spread is None:
            object.__setattr__(self, "least_spread", usual_spread(self.bands))
        if self.scale is not None and not self.bands:
            raise ValueError(f"scale {self.scale:g} is for a sensor's files; name their --bands, too")
        if self.batch_size < 2:
            raise ValueError(
                f"batch_size must be at least 2, got {self.batch_size}; batch normalisation compares pictures"
            )
        if self.images_per_class is not None and self.images_per_class < 1:
            raise ValueError(f"images_per_class must be at least 1, got {self.images_per_class}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1, got {self.threads}; leave it out for PyTorch's choice")
        for name in ("clip_norm", "head_lr_scale", "weight_decay", "init_noise", "temperature_epochs"):
            if (value := getattr(self, name)) is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be at least 0 and finite, got {value}")
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers must be at least 0, got {self.workers}; 0 loads pictures in the main process")
        for name in ("warmup", "label_smoothing", "ema", "momentum", "least_spread"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        for name in ("pseudo_share", "colour_mixing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be at least 0 and at most 1, got {getattr(self, name)}")
        if self.colour_mixing and self.channels != "sample":
            raise ValueError(f"colour_mixing {self.colour_mixing:g} would change nothing without channels sample")
        for name in ("crop_scale", "crop_pct", "teacher_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {getattr(self, name)}")
        defaults = {field.name: field.default for field in fields(self)} | {"least_spread": usual_spread(None)}
        for name, networks in ONLY_FOR.items():
            if self.model not in networks and getattr(self, name) != defaults[name]:
                raise ValueError(f"{self.model} has no {name}, which is for {', '.join(networks)}; leave it out")
        if self.model == "adaptive_vgg19" and not self.bands and self.num_kernels < len(TUNING_UM):
            raise ValueError(f"num_kernels must be at least {len(TUNING_UM)}, for R, G and B, got {self.num_kernels}")
        if self.bands:
            object.__setattr__(self, "bands", ",".join(self.band_names))
        names = self.band_names or CHANNELS  # which the defaults are made of, so that a run records what it did
        if self.channels is None:
            object.__setattr__(self, "channels", self.all_channels)
        if self.channel_counts is None:
            object.__setattr__(self, "channel_counts", ":".join("1" for _ in names))
        if self.channels != "sample":
            shown = self.channels if self.bands else parse_rgb(self.channels)
            object.__setattr__(self, "channels", spell(names[place] for place in places_of(shown, names)))
        self.sizes  # noqa: B018 - checks the schedule
        self.count_weights  # noqa: B018 - checks the counts
        if self.teacher is None and self.teacher_share != defaults["teacher_share"]:
            raise ValueError(f"teacher_share {self.teacher_share} needs a teacher; name one with --teacher")
        if self.temperature_epochs is None and self.model == "dynamic_vgg19":
            object.__setattr__(self, "temperature_epochs", min(10.0, len(self.sizes) / 2))

    @property
    def band_names(self) -> tuple[str, ...]:
        """The bands of a sensor, none for RGB pictures; ``ValueError`` for what is none."""
        return parse_bands(self.bands) if self.bands else ()

    @property
    def all_channels(self) -> str:
        """All channels of the pictures in one word."""
        return spell(self.band_names) or CHANNELS

    @property
    def val_channels(self) -> str:
        """Selection looks at the channels a run trains on; at all when it samples."""
        return self.all_channels if self.channels == "sample" else self.channels

    @property
    def sizes(self) -> list[int]:
        """Image size of every epoch; ``ValueError`` for a malformed schedule."""
        try:
            if ":" not in self.image_size:
                sizes = [int(self.image_size)] * self.epochs
            else:
                pairs = [part.split(":") for part in self.image_size.split(",")]
                sizes = [int(size) for size, epochs in pairs for _ in range(int(epochs))]
        except ValueError as error:
            raise ValueError(f"image_size must be like 64 or 32:8,64:4, got {self.image_size!r}") from error
        smallest = MODELS[self.model].min_input_size
        if not sizes or min(sizes) < smallest:
            raise ValueError(
                f"image_size {self.image_size!r} with epochs {self.epochs}: "
                f"{self.model} needs at least one epoch, {smallest} px or more"
            )
        return sizes

    @property
    def count_weights(self) -> tuple[float, ...]:
        """Weights of one, two, three … channels when sampling; ``ValueError`` for malformed ones."""
        most = len(self.band_names or CHANNELS)
        try:
            weights = tuple(float(part) for part in self.channel_counts.split(":"))
        except ValueError:
            weights = ()
        if len(weights) != most:
            example = ":".join("2" if count in (0, most - 1) else "1" for count in range(most))
            raise ValueError(
                f"channel_counts must be {most} numbers, one for each number of channels, such as {example}, "
                f"got {self.channel_counts!r}"
            )
        if not (min(weights) >= 0 and 0 < sum(weights) < float("inf")):
            raise ValueError(f"channel_counts must not be negative, nor all 0, got {self.channel_counts!r}")
        return weights

    @property
    def model_arguments(self) -> dict:
        """Constructor arguments that this run decides, without the number of classes."""
        arguments = {name: getattr(self, name) for name in ARGUMENTS if self.model in ONLY_FOR[name]}
        if self.bands:
            tuning_um = tuning_for(wavelength_of(name) for name in self.band_names)
            arguments |= {"num_kernels": max(self.num_kernels, len(tuning_um) + 1), "tuning_um": tuning_um}
        if self.model == "dynamic_vgg19":
            arguments["temperature"] = self.temperature_at(0)
        return arguments

    def temperature_at(self, epochs: float) -> float:
        """Temperature after so many epochs: linear from start to end, then constant."""
        done = min(1.0, epochs / self.temperature_epochs) if self.temperature_epochs > 0 else 1.0
        return self.temperature_start + done * (self.temperature_end - self.temperature_start)

    def to_dict(self) -> dict:
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
