"""Loading by name: bundled weights, a folder, or a repository on the Hugging Face Hub."""

import re
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download

from models.checkpoint import BUNDLED, CONFIG, WEIGHTS, CheckpointError, load_checkpoint
from models.classifier import ImageClassifier
from models.registry import MODELS

REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load_model(
    source: str | Path,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    expected: type[ImageClassifier] | None = None,
    **download,
) -> ImageClassifier:
    """A trained model in eval mode.

    ``source`` is a name of ``MODELS`` (bundled weights), a checkpoint folder, or a Hub
    repository ``"user/name"`` at ``revision`` (branch, tag or commit). ``device`` defaults to
    the GPU if there is one. ``download`` goes to ``hf_hub_download`` (token, cache_dir, …).
    Raises ``CheckpointError`` with the file and the remedy.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if str(source) in MODELS:
        folder = BUNDLED / str(source)
    elif Path(source).is_dir():
        folder = Path(source)
    elif REPO_ID.fullmatch(str(source)):
        folder = fetch(str(source), revision=revision, **download)
    else:
        raise CheckpointError(
            f"no checkpoint {str(source)!r}; give one of {', '.join(MODELS)}, an existing folder, "
            "or a Hub repository as 'user/name'"
        )
    return load_checkpoint(folder, device=device, expected=expected)


def fetch(repo_id: str, **download) -> Path:
    """Download (or find in the cache) a repository's config and weights; return their folder."""
    for name in (CONFIG, WEIGHTS):
        path = hf_hub_download(repo_id, name, **download)
    return Path(path).parent
