"""Code that loads a checkpoint without this project: the example in each model card.

The tests run every example as it stands in the card and compare its answers with the network's.
"""

from models.classifier import ModelConfig

FUNCTIONAL = "import torch\nimport torch.nn.functional as F\n"
BEFORE = {"vgg19": "import torch\n", "resnet34": ""}  # the others need FUNCTIONAL
AFTER = {"vgg19": "from torchvision.models import vgg19_bn\n", "resnet34": "from torchvision.models import resnet34\n"}
LOAD = """\
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
{after}
state = load_file(hf_hub_download("{repo_id}", "model.safetensors"))
"""
UNPACK = {
    "fp32": "",
    "fp16": """\
state = {key: value.float() for key, value in state.items()}
""",
    "int8": """\
# each 8-bit weight has a scale per output channel (and per kernel) beside it
for key in [key for key in state if f"{key}.scale" in state]:
    scale = state.pop(f"{key}.scale")
    state[key] = state[key] * scale.reshape(scale.shape + (1,) * (state[key].ndim - scale.ndim))
state = {key: value.float() for key, value in state.items()}
""",
}
BATCH_NORM = """\
def batch_norm(x, key):
    return F.batch_norm(x, *(state[f"{key}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")))
"""
VGG = """\
def model(x{arguments}):
{first}    index = 0
    for convolutions in (2, 2, 4, 4, 4):  # before each halving
        for _ in range(convolutions):
            x = {convolution}
            x = F.relu({norm})
            index += 3  # convolution, batch norm, ReLU
        x = F.max_pool2d(x, 2)
        index += 1
    x = F.adaptive_avg_pool2d(x, 7).flatten(1)
    return F.linear(x, state["classifier.weight"], state["classifier.bias"])
"""
BATCH_NORMED = {"arguments": "", "first": "", "norm": 'batch_norm(x, f"features.{index + 1}")'}
DRAW = "    x, company = draw(x, wavelengths_um)\n"
CONV = """\
def conv(x, key):
    return F.conv2d(x, state[f"{key}.weight"], state[f"{key}.bias"], padding=1)
"""
THIN_VGG19 = f"""\


{CONV}

{BATCH_NORM}

{VGG.format(**BATCH_NORMED, convolution='conv(x, f"features.{index}")')}"""  # torchvision's is as wide as the paper's
ADAPTIVE_VGG19 = """\


# Leave channels that hardly vary (a dead sensor) out of x: this project's code does so itself, this does not.
def draw(x, wavelengths_um):  # what each of the K kernels takes from the channels, and who they are
    part = {{key.removeprefix("features.0."): value for key, value in state.items() if key.startswith("features.0.")}}
    distance = torch.tensor(wavelengths_um).log()[:, None] - part["center"]  # (C, K)
    curves = -torch.log1p((distance / part["width"]) ** 2)
    curves = curves.nan_to_num(-2.0).expand(len(x), -1, -1)  # (B, C, K), NaN being an unknown wavelength
    statistics = torch.stack([x.mean((2, 3)), x.std((2, 3), correction=0)], dim=2)
    own = torch.cat([statistics, curves.exp()], dim=2)
    company = torch.cat([own.mean(1), torch.full_like(own[:, 0, :1], 1 / x.shape[1])], dim=1)
    view = torch.cat([own, company[:, None].expand(-1, x.shape[1], -1)], dim=2)
    hidden = F.relu(F.linear(view, part["router.0.weight"], part["router.0.bias"]))
    scores, gates = F.linear(hidden, part["router.2.weight"], part["router.2.bias"]).chunk(2, dim=2)
    attention = (curves + scores).softmax(1)  # over the channels
    gates = 2 * torch.sigmoid(gates.mean(1, keepdim=True))
    bands = torch.einsum("bck,bchw->bkhw", attention * gates, x)
    if part["weight"].shape[1] > bands.shape[1]:  # each kernel has a second part for a channel near its wavelength
        bands = torch.cat([bands, bands * curves.exp().amax(1)[:, :, None, None]], 1)
    return bands, company


{conv}

{norm}

{vgg}"""
CONDITIONAL_NORM = """\
def conditional_norm(x, company, key):
    x = F.batch_norm(x, state[f"{key}.running_mean"], state[f"{key}.running_var"])
    affine = F.linear(company, state[f"{key}.modulation.weight"], state[f"{key}.modulation.bias"])
    scale, shift = affine[:, :, None, None].chunk(2, dim=1)
    return scale * x + shift
"""


def adaptive_vgg19(*, norm: str, call: str) -> str:
    """The code of the adaptive network with the normalisation that ``norm`` defines and ``call`` calls."""
    convolution, arguments = 'conv(x, f"features.{index}")', ", wavelengths_um=(0.665, 0.560, 0.490)"
    vgg = VGG.format(arguments=arguments, first=DRAW, convolution=convolution, norm=call)
    return ADAPTIVE_VGG19.format(conv=CONV, norm=norm, vgg=vgg)


NETWORKS = {
    "vgg19": """\

model = vgg19_bn(init_weights=False)
model.classifier = torch.nn.Linear(25088, len(state["classifier.bias"]))
model.load_state_dict(state)
model.eval()
""",
    "dynamic_vgg19": f"""\


def dynamic_conv(x, key):  # each sample is convolved with its own mixture of K kernels
    hidden = F.relu(F.linear(x.mean((2, 3)), state[f"{{key}}.attention.fc1.weight"]))
    scores = F.linear(hidden, state[f"{{key}}.attention.fc2.weight"], state[f"{{key}}.attention.fc2.bias"])
    attention = torch.softmax(scores / state[f"{{key}}.attention.temperature"], dim=1)  # (B, K)
    weight = state[f"{{key}}.weight"]  # the K kernels, one after the other: (K·C_out, C_in, 3, 3)
    kernels = (attention @ weight.reshape(attention.shape[1], -1)).reshape(len(x), -1, *weight.shape[1:])
    return torch.cat([F.conv2d(x[b : b + 1], kernels[b], padding=1) for b in range(len(x))])


{BATCH_NORM}

{VGG.format(**BATCH_NORMED, convolution='dynamic_conv(x, f"features.{index}")')}""",
    "adaptive_vgg19": adaptive_vgg19(
        norm=CONDITIONAL_NORM, call='conditional_norm(x, company, f"features.{index + 1}")'
    ),
    "compact": f"""\


def conv(x, key, padding=1):
    return F.conv2d(x, state[f"{{key}}.weight"], state[f"{{key}}.bias"], padding=padding)


{BATCH_NORM}

def stage(x, key):
    return F.max_pool2d(F.relu(batch_norm(conv(x, f"{{key}}.0"), f"{{key}}.1")), 2)


def rrdb(x):
    y = x
    for i in range(3):
        key = f"branches.rrdb.body.{{i}}"
        a = F.relu(conv(y, f"{{key}}.conv1"))
        b = F.relu(conv(torch.cat([y, a], 1), f"{{key}}.conv2"))
        y = y + 0.2 * conv(torch.cat([y, a, b], 1), f"{{key}}.conv3")
    return x + 0.2 * y


def attention(x):
    q, k, v = (conv(x, f"branches.attention.{{name}}", 0).flatten(2) for name in ("query", "key", "value"))
    weights = torch.softmax(q.transpose(1, 2) @ k, dim=2)  # (B, N, N)
    return state["branches.attention.gamma"] * (v @ weights.transpose(1, 2)).reshape(x.shape) + x


def model(x):
    x = stage(x, "stem")
    branches = [block(x) for name, block in (("rrdb", rrdb), ("attention", attention)) if has(name)]
    x = sum(branches) if branches else x
    x = stage(x, "neck").mean((2, 3))
    return F.linear(x, state["classifier.weight"], state["classifier.bias"])


def has(branch):
    return any(key.startswith(f"branches.{{branch}}.") for key in state)
""",
    "resnet34": """\

model = resnet34(num_classes=len(state["fc.bias"]))
model.load_state_dict(state)
model.eval()
""",
}


def standalone(config: ModelConfig, repo_id: str) -> str:
    """The code that loads the weights of ``repo_id`` and defines ``model``, with PyTorch and the Hub's packages."""
    before, after, network = BEFORE.get(config.model, FUNCTIONAL), AFTER.get(config.model, ""), NETWORKS[config.model]
    if config.model == "vgg19" and config.arguments.get("width", 1) != 1:
        before, after, network = FUNCTIONAL, "", THIN_VGG19
    if config.arguments.get("plain_norm"):
        network = adaptive_vgg19(norm=BATCH_NORM, call=BATCH_NORMED["norm"])
    load = LOAD.replace("{repo_id}", repo_id).replace("{after}", after)
    return before + load + UNPACK[config.storage] + network
