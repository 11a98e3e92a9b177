"""Model cards: the README.md that travels with the weights, made from config and evaluations.

Every figure in a card comes from ``config.json``, from an evaluation file or from building the
network; none is written here. The example that loads weights without this code is ``standalone.py``'s.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from huggingface_hub import EvalResult, ModelCardData

from models.band_files import values_of
from models.bands import UNKNOWN, spell, wavelength_of
from models.classifier import ModelConfig
from models.costs import cost_of
from models.pictures import resized_size
from models.registry import MODELS, build_model
from models.standalone import standalone
from models.training_record import (
    RECIPE,
    chose_epoch,
    data_name,
    matters,
    met_mixtures,
    settings_of,
    shown_alone,
)

TITLES = {
    "vgg19": "VGG19",
    "dynamic_vgg19": "VGG19 with dynamic convolution",
    "adaptive_vgg19": "VGG19 for any channels",
    "compact": "A compact network: RRDB beside self-attention",
    "resnet34": "ResNet34",
}
SUMMARIES = {
    "vgg19": "VGG19 with batch normalisation and one linear layer for a head: the plain one beside `dynamic_vgg19`.",
    "dynamic_vgg19": "VGG19 in which each of the 16 convolutions mixes K kernels per picture, by an attention that "
    "looks at the picture's channels: π(x) = softmax(FC₂(ReLU(FC₁(GAP(x)))) / temperature), W(x) = Σ_k π_k(x) · W_k.",
    "adaptive_vgg19": "VGG19 whose first convolution takes any number of channels in any order: each of its K kernels "
    "attends to the channels that are there, by their wavelength, their mean and deviation, and their company (how "
    "many there are, and their averages): y = Σ_k g_k W_k * (Σ_c π_ck x_c), π_ck being kernel k's attention to channel "
    "c, which sums to 1 over the channels, and g_k a gate in 0 to 2. Nothing is filled.",
    "compact": "Two convolutions with a residual-in-residual dense block and a self-attention block in parallel "
    "between them, their outputs added.",
    "resnet34": "torchvision's ResNet34 with a head for these classes, the yardstick of `compact`.",
}
REFERENCES = {
    "vgg19": ("Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015",),
    "dynamic_vgg19": (
        "Chen et al., Dynamic Convolution: Attention over Convolution Kernels, CVPR 2020",
        "Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015",
    ),
    "adaptive_vgg19": (
        "Chen et al., Dynamic Convolution: Attention over Convolution Kernels, CVPR 2020",
        "Xiong et al., Neural Plasticity-Inspired Multimodal Foundation Model for Earth Observation (DOFA), 2024",
        "de Vries et al., Modulating Early Visual Processing by Language, NeurIPS 2017",
        "Bao et al., Channel Vision Transformers: An Image Is Worth 1 x 16 x 16 Words (ChannelViT), ICLR 2024",
        "Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015",
    ),
    "compact": (
        "Wang et al., ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks, ECCV Workshops 2018",
        "Zhang et al., Self-Attention Generative Adversarial Networks, ICML 2019",
    ),
    "resnet34": ("He et al., Deep Residual Learning for Image Recognition, CVPR 2016",),
}
DATA_TERMS = {
    "mini-imagenet-50": "Their training pictures, of mini-ImageNet (Vinyals et al., 2016), are for research use.",
}
FILLING = {
    "aligned": " (one channel is copied to all three; the mean of two takes the missing slot)",
    "appended": " (one channel is copied to all three; the mean of two comes last)",
}


def model_card(
    config: ModelConfig,
    *,
    repo_id: str = "USER/NAME",
    evaluations: Sequence[dict] = (),
    license: str | None = None,
    validated: str | None = None,
) -> str:
    """The card of a checkpoint as Markdown with the Hub's YAML header, the same text for the same input.

    ``evaluations`` are files of ``train.evaluate``, ``license`` is that of the weights as the Hub spells it; those of
    one's own have none unless one is given. ``validated`` is the storage of the weights that its metrics on validation
    are of, by default the checkpoint's.
    """
    sections = (
        f"# {TITLES[config.model]}\n\n{SUMMARIES[config.model]}{normalisation(config)}{bands(config)}",
        loading(config, repo_id),
        results(config, evaluations, validated or config.storage),
        recipe(config),
        cost(config),
        keys(config),
        limits(config),
        f"## Licence and citation\n\n{terms(config, license)} The method is that of:\n\n"
        + "\n".join(f"- {reference}." for reference in REFERENCES[config.model]),
    )
    return f"---\n{metadata(config, repo_id, evaluations, license)}---\n\n" + "\n\n".join(sections) + "\n"


def terms(config: ModelConfig, license: str | None) -> str:
    """What may be done with the code and the weights."""
    weights = f"the weights: {license}" if license else "no licence is stated for the weights"
    pictures = DATA_TERMS.get(data_name(config))
    return f"The code of DynConv Lab: apache-2.0; {weights}." + (f" {pictures}" if pictures else "")


def normalisation(config: ModelConfig) -> str:
    """That of a network for any channels, unless it is a plain one."""
    if not MODELS[config.model].any_channels or config.arguments.get("plain_norm"):
        return ""
    return " Scale and shift of every batch normalisation follow the company, too."


def bands(config: ModelConfig) -> str:
    """What a network for any channels was trained on."""
    if config.bands:
        return f" It was trained{shown_alone(config)} on pictures of these bands: {', '.join(config.bands)}."
    if not MODELS[config.model].any_channels or not config.training:
        return ""
    further = " More than three channels, and wavelengths other than those of R, G and B, were "
    return further + ("trained for on mixtures of R, G and B alone." if met_mixtures(config) else "not trained for.")


def metadata(config: ModelConfig, repo_id: str, evaluations: Sequence[dict], license: str | None) -> str:
    """The YAML header: what the mixin says of the class, and the results as the Hub's model index."""
    shared = MODELS[config.model]._hub_mixin_info.model_card_data.to_dict()
    indexed = [
        EvalResult(
            task_type="image-classification",
            dataset_type=evaluation["data"],
            dataset_config=f"{row['channels']}, {filling(evaluation)}",  # by which the Hub tells them apart
            dataset_name=f"{evaluation['data']} ({row['channels']}, {filling(evaluation)})",
            dataset_split=evaluation["split"],
            metric_type=metric,
            metric_value=round(row[metric], 4),
        )
        for evaluation in evaluations
        for row in evaluation["rows"]
        for metric in ("accuracy", "f1")
    ]
    results = {"model_name": repo_id.partition("/")[2] or config.model, "eval_results": indexed} if indexed else {}
    return ModelCardData(**{"license": license} | shared, **results).to_yaml() + "\n"


def loading(config: ModelConfig, repo_id: str) -> str:
    size, mean, std, count = config.input_size, numbers(config.mean), numbers(config.std), len(config.bands) or 3
    wavelengths = f", wavelengths_um={wavelengths_text(config)}" if config.bands else ""
    values = f" ({values_of(config.scale)})" if config.bands else ""
    return f"""\
## Use

With the code of DynConv Lab:

```python
{usage(config, repo_id)}```

Without it:

```python
{standalone(config, repo_id)}```

`logits = model(images{wavelengths})` then takes a batch (B, {count}, {size}, {size}): {seen(config)}, on the scale \
0 to 1{values}, minus {mean}, divided by {std}, per channel. \
`config.json` holds the names of the {len(config.class_names) or config.arguments["num_classes"]} classes in the \
order of the logits, `golden.safetensors` an input with the logits it must give."""


def usage(config: ModelConfig, repo_id: str) -> str:
    """How to load the network and ask it, with this code."""
    size = config.input_size
    if config.bands:
        few = config.bands[:2]
        return f"""\
from models import load_model

model = load_model("{repo_id}")  # on the GPU if there is one; a revision="v1" pins it
values = model.config.open_bands("picture.tif").values  # ({len(config.bands)}, H, W) in 0 to 1
images = model.config.preprocess(values)[None]  # (1, {len(config.bands)}, {size}, {size})
images = images.to(next(model.parameters()).device)
logits = model(images, "{config.all_channels}")
logits = model(images[:, :{len(few)}], "{spell(few)}")  # any subset of the bands
"""
    dynamic = "logits, attention = model(images, return_attention=True)  # the kernels' weights: (1, 16 layers, K)\n"
    wavelengths = "logits = model(images[:, :2], wavelengths_um=[0.665, 0.56])  # any channels, these by wavelength\n"
    others = {"adaptive_vgg19": wavelengths, "dynamic_vgg19": dynamic}.get(config.model, "")
    return f"""\
from PIL import Image
from models import load_model

model = load_model("{repo_id}")  # on the GPU if there is one; a revision="v1" pins it
picture = Image.open("picture.jpg")
images = model.config.preprocess(picture)[None].to(next(model.parameters()).device)  # (1, 3, {size}, {size})
logits = model(images)
print(model.config.class_names[logits.argmax()])
logits = model(images[:, :2], channels="RG")  # any subset of the channels
{others}"""


def wavelengths_text(config: ModelConfig) -> str:
    """The wavelengths of the bands as Python, NaN for unknown ones."""
    values = [wavelength_of(name) for name in config.bands]
    return "(" + "".join('float("nan"), ' if math.isnan(value) else f"{value:g}, " for value in values).strip() + ")"


def seen(config: ModelConfig) -> str:
    """How a picture becomes the network's input."""
    if config.crop_pct == 1:
        return "the whole picture resized"
    whole = resized_size(config.input_size, config.crop_pct)
    return f"the picture resized to {whole} x {whole}, of it the middle"


def results(config: ModelConfig, evaluations: Sequence[dict], validated: str) -> str:
    def rounding(stored: str) -> str:
        other = f"; measured with the weights stored as {stored}, this file is {config.storage}"
        return other if stored != config.storage else ""

    text = ["## Results"]
    for evaluation in evaluations:
        text.append(
            f"{evaluation['data']}, {evaluation['split']}, {evaluation['n']:,} pictures, {filling(evaluation)}"
            f"{FILLING.get(evaluation['fill'], '')}; "
            "macro averages in %, Wilson 95 % intervals"
            f"{rounding(evaluation['storage'])}."
        )
        text.append(
            table(
                ("channels", "accuracy", "95 % interval", "precision", "recall", "F1"), map(cells, evaluation["rows"])
            )
        )
    if (accuracy := config.metrics.get("val_accuracy")) is not None:
        full = config.metrics.get("val_accuracy_full_precision")
        rounded = f" ({percent(full)} % before the weights were rounded)" if full is not None else ""
        chosen = "the epoch was chosen on the same pictures" if chose_epoch(config) else "of the only epoch"
        coarser = "" if config.storage == "fp32" else rounding(validated)  # whose values are those it was rounded from
        alone = shown_alone(config)
        count = config.metrics.get("val_images")
        of = f" (n = {count:,})" if count else ""
        text.append(f"Accuracy on validation{alone}{of}: {percent(accuracy)} %{rounded}; {chosen}{coarser}.")
    if len(text) == 1:
        text.append("Not evaluated: treat the predictions as meaningless until `train.evaluate` has been run.")
    return "\n\n".join(text)


def filling(evaluation: dict) -> str:
    return f"missing channels filled `{evaluation['fill']}`" if evaluation["fill"] else "missing channels left out"


def cells(row: dict) -> tuple[str, ...]:
    return (
        row["channels"],
        percent(row["accuracy"]),
        f"{percent(row['ci_low'])} to {percent(row['ci_high'])}",
        *(percent(row[key]) for key in ("precision", "recall", "f1")),
    )


def recipe(config: ModelConfig) -> str:
    """The settings that decide the result; a bundled checkpoint records those that are not the defaults."""
    if not config.training:
        return "## Training\n\nThe checkpoint carries no record of a training run."
    count = config.training.get("images")
    images = f", {count:,} pictures" if count else ""
    others = " Other settings are its defaults." if "settings" in config.training else ""
    settings = settings_of(config)
    made = settings | {key: value for key, value in config.arguments.items() if key in settings}  # more kernels, maybe
    rows = [(f"`{key}`", str(made[key])) for key in RECIPE if matters(key, made, config.model)]
    start = settings.get("init_from")
    stage = f" This is the last stage: it started from the trained weights of `{Path(start).name}`." if start else ""
    text = f"## Training\n\nTrained with `train.run` on {data_name(config)}{images}.{stage}{others}"
    return f"{text}\n\n{table(('setting', 'value'), rows)}"


def cost(config: ModelConfig) -> str:
    count = cost_of(config.model, config.input_size, **config.arguments)
    return (
        f"## Cost\n\n{count.parameters:,} parameters; {count.macs:,} multiply-accumulates for a picture of "
        f"{config.input_size} x {config.input_size} (fvcore's convention). Stored as {config.storage}."
    )


def keys(config: ModelConfig) -> str:
    """Every key of the file with its shape, read from the network itself."""
    with torch.device("meta"):
        state = build_model(config.model, **config.arguments).state_dict()
    lines = "\n".join(f"{key:<48} {tuple(tensor.shape)}" for key, tensor in state.items())
    scales = " Weights of two or more dimensions are int8 with a `<key>.scale`." if config.storage == "int8" else ""
    same = {
        "vgg19": " The keys of `features` are those of `torchvision.models.vgg19_bn`.",
        "resnet34": " The keys are those of `torchvision.models.resnet34`.",
    }.get(config.model, "")
    return (
        f"## Keys\n\n`model.safetensors` holds {len(state)} tensors.{same}{scales}\n\n"
        f"<details><summary>All keys and shapes</summary>\n\n```text\n{lines}\n```\n\n</details>"
    )


def limits(config: ModelConfig) -> str:
    imagenet = bool(config.synsets) and all(re.fullmatch(r"n\d{8}", synset) for synset in config.synsets)
    source = "\n- The pictures come from ImageNet, with its biases of place, subject and labelling." if imagenet else ""
    return f"""\
## Limits

- A closed set of classes: whatever the picture shows, the answer is one of them. {confidences(config)}
- Pictures are resized to {config.input_size} px: finer detail is lost before the network sees it.{source}
{start_of_kernels(config)}- Made to study missing channels, not for decisions about people or safety."""


def start_of_kernels(config: ModelConfig) -> str:
    """What the weights that a dynamic network started from mean for what it shows."""
    start = settings_of(config).get("init_from")
    if config.model != "dynamic_vgg19" or not start:
        return ""
    return (
        f"- Its last stage of training started from {start}. Where that is a plain network, all K kernels began as the "
        "plain one plus noise, and a short training hardly moves them apart: its accuracy is then no verdict on "
        "dynamic convolution.\n"
    )


def confidences(config: ModelConfig) -> str:
    found = config.metrics.get("calibration_temperature")
    if found is None:
        return "Confidences are not calibrated."
    if isinstance(found, list):
        values = ", ".join(f"{value:.3g}" for value in found)
        unnamed = config.bands.count(UNKNOWN) > 1  # of which no subsets are measured
        between = f" (measured for {len(found)} and where bands have names, evenly between)" if unnamed else ""
        how = f"`softmax(logits / T)` with T = {values} for 1 to {len(found)} channels{between}"
        return (
            f"Confidences, {how}, or `model.config.probabilities(logits, number_of_channels)`, are calibrated on "
            "validation pictures; for other pictures they may be too high."
        )
    return (
        f"Confidences, `softmax(logits / {found:.3g})` or `model.config.probabilities(logits)`, are calibrated on "
        "validation pictures; for other pictures, and with fewer channels, they may be too high."
    )


def numbers(values: Sequence[float]) -> str:
    """One number where all are the same, else all of them."""
    return f"{values[0]:g}" if len(set(values)) == 1 else ", ".join(f"{value:g}" for value in values)


def percent(value: float) -> str:
    """``72.6``; a half goes the same way whichever sum it came from."""
    return f"{round(100 * value, 6):.1f}"


def table(header: Sequence[str], rows, *, rule: str = "---") -> str:
    """A Markdown table of texts; ``rule`` aligns all columns but the first."""
    lines = [header, ["---", *[rule] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
