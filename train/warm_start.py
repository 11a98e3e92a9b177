"""Starting a network from trained weights."""

import math

import torch
from torch import Tensor

from models import CHANNELS, ChannelAdaptiveConv2d, CheckpointError, ImageClassifier, load_model
from models.convert import noisy_kernels
from models.vgg import VGG19, AdaptiveVGG19, DynamicVGG19, configuration
from train.engine import head_of


def warm_start(model: ImageClassifier, source: str, *, noise: float, seed: int, synsets: tuple[str, ...] = ()) -> bool:
    """Copy the weights of ``source`` (a bundled name, a folder or a Hub repository) into ``model``.

    The same network is copied, an adaptive one maybe with more kernels; a plain ``vgg19`` becomes a dynamic or an
    adaptive one. Where ``synsets``, the classes to train on, are not those it knows, the last layer keeps its fresh
    initialisation. Returns whether it was copied. Raises ``CheckpointError`` for a missing checkpoint or another pair.
    """
    loaded = load_model(source, device="cpu")
    grows = type(loaded) is VGG19 and isinstance(model, DynamicVGG19 | AdaptiveVGG19)
    if not grows and type(loaded) is not type(model):
        raise CheckpointError(f"cannot start {model.name} from {source}, which holds {loaded.name}")
    if isinstance(model, VGG19):
        width, wanted_width = (network.arguments.get("width", 1) for network in (loaded, model))
        if configuration(width) != configuration(wanted_width):
            raise CheckpointError(
                f"cannot start {model.name} of width {wanted_width} from {source}, which has {width}; "
                f"use --width {width}"
            )
    if loaded.fill and model.fill and loaded.fill != model.fill:
        raise CheckpointError(
            f"cannot start {model.name} with fill {model.fill} from {source}, which was trained with {loaded.fill}; "
            f"use --fill {loaded.fill}"
        )
    if isinstance(model, AdaptiveVGG19) and type(loaded) is AdaptiveVGG19:
        state = widened(loaded, model)
    elif type(loaded) is type(model):
        state = loaded.state_dict()
        for key in state:  # annealing starts where this run says, not where the other ended
            if key.endswith(".temperature"):
                state[key] = model.state_dict()[key]
    elif isinstance(model, DynamicVGG19):
        state = plain_to_dynamic(loaded.state_dict(), model.state_dict(), noise=noise, seed=seed)
    else:
        state = plain_to_adaptive(loaded.state_dict(), model.state_dict())
    wanted = model.state_dict()
    same_classes = not synsets or loaded.config.synsets == synsets
    if not same_classes:
        head, _ = head_of(model)
        state |= {key: value for key, value in wanted.items() if key.startswith(f"{head}.")}
    shapes, wanted_shapes = ({key: value.shape for key, value in tensors.items()} for tensors in (state, wanted))
    if bad := sorted(key for key in state.keys() | wanted if shapes.get(key) != wanted_shapes.get(key)):
        theirs, ours = loaded.arguments, model.arguments
        both = [key for key in theirs if key in ours and ours[key] != theirs[key]]
        told = [f"{key} is {theirs[key]} there and {ours[key]} here" for key in both]
        raise CheckpointError(
            f"cannot start {model.name} from {source}: {bad[0]} differs; use the same classes and arguments"
            + (f" ({', '.join(told)})" if told else "")
        )
    model.load_state_dict(state, strict=True)
    return same_classes


def plain_to_dynamic(
    plain: dict[str, Tensor], dynamic: dict[str, Tensor], *, noise: float, seed: int
) -> dict[str, Tensor]:
    """State of a dynamic VGG19 that starts as the plain one.

    Each of the K kernels is the plain kernel plus noise of ``noise`` times its spread (``noisy_kernels``),
    which is zero in sum over the K. All are divided by √K, which the normalisation behind them undoes:
    each kernel gets a K-th of the gradient, and at the plain kernel's size their mixture would learn K
    times more slowly than it; so it learns just as fast. The plain bias, which the dynamic layer
    lacks, moves into the running mean of that normalisation. Routers keep their fresh initialisation.
    """
    generator = torch.Generator().manual_seed(seed)
    state = dynamic | {key: tensor.clone() for key, tensor in plain.items() if key in dynamic}
    for key in (key for key in plain if key not in dynamic):  # convolution biases, in order: features.<i>.bias
        layer, norm = (f"features.{int(key.split('.')[1]) + step}" for step in (0, 1))
        kernel = plain[f"{layer}.weight"]
        count = len(dynamic[f"{layer}.weight"]) // len(kernel)  # K
        state[f"{layer}.weight"] = noisy_kernels(kernel, count, noise, generator) / math.sqrt(count)
        state[f"{norm}.running_mean"] = (plain[f"{norm}.running_mean"] - plain[key]) / math.sqrt(count)
        state[f"{norm}.running_var"] = plain[f"{norm}.running_var"] / count
    return state


def plain_to_adaptive(plain: dict[str, Tensor], adaptive: dict[str, Tensor]) -> dict[str, Tensor]:
    """State of an adaptive VGG19 that starts as the plain one with missing channels filled.

    The first three kernels are the plain ones of R, G and B, to which they are tuned; the further ones are zero, and so
    are all second parts (``own_kernels``).
    Scale and shift of a normalisation become the constant part of what a conditional one computes.
    """
    key = "features.0.weight"
    state = adaptive | {name: tensor.clone() for name, tensor in plain.items() if name in adaptive}
    state |= as_conditional_norms(plain, adaptive)
    kernels = torch.zeros_like(adaptive[key])
    kernels[:, : len(CHANNELS)] = plain[key]
    state[key] = kernels
    return state


def as_conditional_norms(plain: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """The conditional normalisations of ``wanted`` that answer as those of ``plain``, whatever the channels."""
    state = {}
    for name in (name for name in wanted if name.endswith(".modulation.bias")):
        norm = name.removesuffix(".modulation.bias")
        state[name] = torch.cat([plain[f"{norm}.weight"], plain[f"{norm}.bias"]])
        state[f"{norm}.modulation.weight"] = torch.zeros_like(wanted[f"{norm}.modulation.weight"])
    return state


def widened(old: AdaptiveVGG19, new: AdaptiveVGG19) -> dict[str, Tensor]:
    """State of ``new``, whose first layer may have more kernels, or second parts of them, and whose normalisations may
    follow the channels where those of ``old`` do not, that starts as ``old``: what is new is zero.

    Each kernel keeps its tuning, and what router and normalisations read of the further kernels weighs nothing at
    first. Raises ``CheckpointError`` where ``new`` lacks what ``old`` has.
    """
    places, wide = kernel_places(old.features[0], new.features[0]), new.features[0].num_kernels
    own = [0, 1, *(2 + place for place in places)]  # a channel's statistics and tuning
    company = [*own, 2 + wide]  # and one over the number of channels
    scores_and_gates = [*places, *(wide + place for place in places)]
    state, wanted = old.state_dict(), new.state_dict()
    second = [wide + place for place in places] if old.features[0].own_kernels else []
    if second and not new.features[0].own_kernels:
        raise CheckpointError("the checkpoint's kernels have second parts, which would be lost; add --own-kernels")
    if new.plain_norm and not old.plain_norm:
        raise CheckpointError("the checkpoint's normalisations follow the channels; leave out --plain-norm")
    kept = {  # where in the new tensor the old one goes
        "features.0.weight": (slice(None), places + second),
        "features.0.router.0.weight": (slice(None), [*own, *(2 + wide + place for place in company)]),
        "features.0.router.2.weight": (scores_and_gates,),
        "features.0.router.2.bias": (scores_and_gates,),
    } | {key: (slice(None), company) for key in state if key.endswith(".modulation.weight")}
    for key, where in kept.items():
        tensor = torch.zeros_like(wanted[key])
        tensor[where] = state[key]
        state[key] = tensor
    if old.plain_norm and not new.plain_norm:
        state = {key: tensor for key, tensor in state.items() if key in wanted} | as_conditional_norms(state, wanted)
    return state | {key: wanted[key] for key in ("features.0.center", "features.0.width")}


def kernel_places(old: ChannelAdaptiveConv2d, new: ChannelAdaptiveConv2d) -> list[int]:
    """Where the kernels of ``old`` are among those of ``new``, by their tuning. Raises ``CheckpointError``."""
    left = dict(enumerate(zip(new.center.tolist(), new.width.tolist(), strict=True)))
    places = []
    for tuning in zip(old.center.tolist(), old.width.tolist(), strict=True):
        found = [place for place, other in left.items() if same_tuning(tuning, other)]
        if not found:
            raise CheckpointError(
                f"a kernel tuned to {math.exp(tuning[0]):.3g} µm has no place among {new.num_kernels} tuned otherwise; "
                "use the same bands and at least as many kernels"
            )
        places.append(found[0])
        del left[found[0]]
    return places


def same_tuning(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two (center, width) are the same: a kernel that responds to all alike has no centre of its own."""
    untuned = min(one[1], other[1]) > 1
    return math.isclose(one[1], other[1], rel_tol=1e-3) and (untuned or math.isclose(one[0], other[0], abs_tol=1e-3))
