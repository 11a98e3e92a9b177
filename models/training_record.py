"""What a checkpoint says of its training: the settings and the data, read from the record in ``config.json``."""

from pathlib import Path

from models.adaptive_conv import usual_spread
from models.bands import parse_bands
from models.classifier import ModelConfig
from models.registry import ONLY_FOR

RECIPE = (  # the settings of a run that decide its result, in the order of a reader's questions
    "width", "num_kernels", "own_kernels", "plain_norm", "least_spread", "blocks", "fill", "images_per_class",
    "image_size", "epochs", "batch_size", "bands", "scale", "channels", "channel_counts", "pseudo_share",
    "colour_mixing", "optimizer", "lr", "head_lr_scale", "schedule", "warmup", "momentum", "weight_decay", "clip_norm",
    "label_smoothing", "mix", "crop_scale", "crop_pct", "ema", "init_from", "init_noise", "teacher", "teacher_share",
    "temperature_start", "temperature_end", "temperature_epochs", "bf16", "seed",
)  # fmt: skip


def settings_of(config: ModelConfig) -> dict:
    """What the training was told: the whole record of a run folder, or the settings within a bundled checkpoint's."""
    return config.training | config.training.get("settings", {})


def met_mixtures(config: ModelConfig) -> bool:
    """Whether a network for any channels learned from mixtures of R, G and B as bands of other wavelengths."""
    settings = settings_of(config)
    return not config.bands and settings.get("channels") == "sample" and settings.get("pseudo_share", 1 / 3) > 0


def matters(key: str, settings: dict, model: str) -> bool:
    """Whether a setting was recorded, was on, and concerns this network."""
    value, sampled = settings.get(key), settings.get("channels") == "sample"
    needless = {
        "width": value == 1,
        "least_spread": value == usual_spread(settings.get("bands")),
        "init_noise": not settings.get("init_from"),
        "channel_counts": not sampled,
        "pseudo_share": not sampled or settings.get("bands"),
        "momentum": settings.get("optimizer") == "adamw",
        "warmup": settings.get("schedule") == "cosine",
        "teacher_share": not settings.get("teacher"),
        "epochs": ":" in str(settings.get("image_size")),  # the schedule of sizes replaces it
        "colour_mixing": value == 0,
        "ema": value == 0,
        "clip_norm": value == 0,
        "mix": value == "none",
        "temperature_epochs": model != "dynamic_vgg19",
    }
    off = value is None or value is False or model not in ONLY_FOR.get(key, (model,))
    return not (off or needless.get(key))


def data_name(config: ModelConfig) -> str:
    """The name of the training data: the last part of its path."""
    return config.training.get("data") or Path(config.training.get("data_root", "")).name or "unknown data"


def validated_on(config: ModelConfig) -> str:
    """The channels whose accuracy on validation counts: those that training showed, all where it drew them."""
    shown, every = settings_of(config).get("channels", "sample"), config.all_channels
    return every if shown == "sample" or sorted(parse_bands(shown)) == sorted(parse_bands(every)) else shown


def shown_alone(config: ModelConfig) -> str:
    """`` on R alone`` of a network that was trained, and so validated, on some of its channels; else nothing."""
    shown = validated_on(config)
    return "" if shown == config.all_channels else f" on {shown} alone"


def chose_epoch(config: ModelConfig) -> bool:
    """Whether the last size had several epochs, of which the best on validation was kept."""
    *parts, last = str(settings_of(config).get("image_size", "")).split(",")
    if ":" not in last:
        return config.training.get("epochs", 0) != 1
    size, epochs = last.split(":")
    return int(epochs) != 1 or any(part.split(":")[0] == size for part in parts[-1:])
