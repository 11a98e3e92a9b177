"""Loading by name: bundled weights, a folder, or a repository on the Hugging Face Hub.

A repository is resolved to one commit first, by a request that is never repeated: the Hub's own
client would go on trying for 23 seconds, or for ever behind a firewall that swallows packets.
When the Hub cannot be reached, the cache answers at once.
"""

import hashlib
from pathlib import Path

import httpx2  # the HTTP library of huggingface_hub; its errors are not wrapped there
import torch
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from models.checkpoint import BUNDLED, CONFIG, WEIGHTS, CheckpointError, check_class, load_checkpoint, read_config
from models.classifier import ImageClassifier
from models.registry import MODELS

DOWNLOAD_OPTIONS = ("token", "cache_dir", "force_download", "local_files_only")
REACH_S = 4  # the Hub counts as out of reach when it has not answered after this many seconds
BUSY = (408, 429)  # the Hub answers, but not now: too slowly, or it was asked too often


def load_model(
    source: str | Path,
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    expected: type[ImageClassifier] | None = None,
    **download,
) -> ImageClassifier:
    """A trained model in eval mode.

    ``source`` is a checkpoint folder, a name of ``MODELS`` (bundled weights, unless a checkpoint folder of that name is
    in the working directory; a ``Path`` is always a folder), or a Hub repository ``"user/name"`` at ``revision``
    (branch, tag or commit). ``device`` defaults to the GPU if there is one; ``expected`` refuses another architecture.
    ``download`` goes to ``fetch`` (token, cache_dir, …). Raises ``CheckpointError`` with the file and the remedy.
    """
    if unknown := sorted(download.keys() - DOWNLOAD_OPTIONS):
        raise TypeError(f"load_model got an unknown argument {unknown[0]!r}; for downloads it takes {DOWNLOAD_OPTIONS}")
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    folder = locate(source, revision=revision, expected=expected, **download)
    return load_checkpoint(folder, device=device, expected=expected)


def locate(
    source: str | Path, *, revision: str | None = None, expected: type[ImageClassifier] | None = None, **download
) -> Path:
    """The folder of a checkpoint; arguments and errors as in ``load_model``."""
    bundled = isinstance(source, str) and source in MODELS and not (Path(source) / CONFIG).is_file()
    if revision and (bundled or Path(source).is_dir()):
        raise CheckpointError(f"{str(source)!r} is on this machine, so it has no revision {revision!r}; leave it out")
    if bundled and not BUNDLED.is_dir():
        raise CheckpointError(
            f"the bundled weights of {source} are in a clone of the repository only: pip install -e . there, or load "
            f"them from the Hub as 'user/{source}'"
        )
    if bundled:
        return BUNDLED / source
    if Path(source).is_dir():
        return Path(source)
    if isinstance(source, str) and is_repo_id(source):
        return fetch(source, revision=revision, expected=expected, **download)
    raise CheckpointError(
        f"no checkpoint {str(source)!r}; give one of {', '.join(MODELS)}, an existing folder, "
        "or a Hub repository as 'user/name'"
    )


def fetch(
    repo_id: str,
    *,
    revision: str | None = None,
    expected: type[ImageClassifier] | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Path:
    """The folder of a repository's config and weights, both of one commit, from the cache where possible.

    The config is read, and compared with ``expected``, before the weights are downloaded. The
    other arguments are those of ``hf_hub_download``. Raises ``CheckpointError``.
    """
    options = {"token": token, "cache_dir": cache_dir, "etag_timeout": REACH_S}
    unreachable = None
    try:
        if not local_files_only:
            unreachable = probe(repo_id, revision, token)
        if unreachable and force_download:
            raise unreachable
        options |= {"local_files_only": local_files_only or unreachable is not None, "force_download": force_download}
        config = Path(hf_hub_download(repo_id, CONFIG, revision=revision, **options))
        check_hash(config)
        check_class(read_config(config), expected, config)
        weights = Path(hf_hub_download(repo_id, WEIGHTS, revision=config.parent.name, **options))
        check_hash(weights)
    except CheckpointError:
        raise
    except (httpx2.HTTPError, OSError, RuntimeError) as error:  # RuntimeError: Xet downloads
        raise CheckpointError(explain(error, repo_id, revision or "main", unreachable)) from error
    return weights.parent


def probe(repo_id: str, revision: str | None, token: str | bool | None) -> Exception | None:
    """Ask the Hub once for a revision. Returns why it is out of reach, or None when it has it.

    Raises the Hub's own error for what does not exist or is not ours to read.
    """
    try:
        HfApi(token=token).model_info(repo_id, revision=revision, timeout=REACH_S)
    except (httpx2.TransportError, OfflineModeIsEnabled) as error:
        return error
    except HfHubHTTPError as error:
        if error.response.status_code < 500 and error.response.status_code not in BUSY:
            raise
        return error
    return None


def is_repo_id(name: str) -> bool:
    """Whether the Hub allows this name, ``USER/NAME``, for a repository."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name


def explain(error: Exception, repo_id: str, revision: str, unreachable: Exception | None) -> str:
    """One sentence for a failed download: what happened and what to do."""
    url = f"{constants.ENDPOINT}/{repo_id}"
    match error:
        case _ if error is unreachable:
            return f"cannot download {repo_id}: {'; '.join(outage(error))}"
        case GatedRepoError():
            return (
                f"{repo_id} is gated; accept its terms at {url}, "
                "log in with `hf auth login` or set HF_TOKEN, then load again"
            )
        case RepositoryNotFoundError():
            return (
                f"no folder {repo_id!r} here and no repository of that name on the Hub (or it is private); "
                "check the name, or log in with `hf auth login` or set HF_TOKEN"
            )
        case RevisionNotFoundError():
            return f"{repo_id} has no revision {revision!r}; see {url}/tree/main for its branches and tags"
        case LocalEntryNotFoundError():
            off = ("downloads are switched off", "load again without local_files_only")
            why, remedy = outage(unreachable) if unreachable else off
            return (
                f"no folder {repo_id!r} here; of the Hub, {repo_id} at {revision!r} is not in the cache and {why}; "
                f"{remedy}, or use bundled weights: {', '.join(MODELS)}"
            )
        case EntryNotFoundError():
            return (
                f"{repo_id} at {revision!r} lacks {CONFIG} or {WEIGHTS}; a checkpoint has both, "
                "and pickled weights (.pt, .pth, .bin) are never read"
            )
        case PermissionError():
            return (
                f"the cache of downloads cannot be written ({first_line(error)}); "
                "set HF_HOME to a folder that can be, or give cache_dir"
            )
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            return f"the Hub refuses access to {repo_id}; log in with `hf auth login` and a token that may read it"
        case _:
            return f"the download of {repo_id} broke off ({first_line(error)}); load again"


def outage(error: Exception) -> tuple[str, str]:
    """Why the Hub gave nothing, and what to do: it answers, but not now, or it cannot be reached from here."""
    if isinstance(error, HfHubHTTPError):
        return f"the Hub is too busy ({first_line(error)})", "load again in a few minutes"
    return f"the Hub is out of reach ({first_line(error)})", "go online and load again"


def first_line(text: object) -> str:
    """The Hub's messages run over several lines; the first says what happened."""
    return str(text).strip().partition("\n")[0]


def check_hash(path: Path) -> None:
    """Compare a cached file with its hash; ``CheckpointError`` if it is not what the Hub announced.

    The cache links each file to a blob named after its sha256, or after git's sha1 of a small
    file. Where the cache has no links (Windows), the length was checked on download.
    """
    expected = path.readlink().name if path.is_symlink() else ""
    if len(expected) == 64:
        digest = hashlib.sha256()
    elif len(expected) == 40:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    else:
        return
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise CheckpointError(
            f"{path} is truncated or was changed: its hash is not the one the Hub announced; "
            "load again with force_download=True"
        )
