"""Create or update a Gradio Space with this repository's app.

    python -m train.space --repo-id USER/NAME [--from-hub USER] [--dry-run]    # or: make space SPACE=USER/NAME

Only what the app needs is uploaded, in one commit that names the project's version; files of an
earlier version that are gone here are deleted there. A Space with another app is left alone. The
token comes from ``HF_TOKEN`` or ``hf auth login``.
"""

import re
import shutil
import tempfile
from pathlib import Path

import httpx2  # the HTTP library of huggingface_hub; its errors are not wrapped there
from huggingface_hub import HfApi, constants, metadata_load

from models import MODELS
from models.hub import is_repo_id
from train import ROOT
from train.commands import command_line, one_line_errors
from train.upload import UploadError, check_name, files_in, list_files, upload

FROM_HUB = "DYNCONV_FROM_HUB"  # the app's default for --from-hub, since a Space starts it without arguments
NEEDED = (
    "README.md", "LICENSE", "app.py", "requirements.txt", "models", "demo", "checkpoints",
    "results/summary.json", "results/figures",
)  # fmt: skip


def stage(root: Path, staging: Path) -> None:
    """Copy what the app needs; ``UploadError`` if a part or the Space's settings in README.md are missing."""
    parts = (*NEEDED, *(f"checkpoints/{model}" for model in MODELS))
    if missing := [name for name in parts if not (root / name).exists()]:
        raise UploadError(f"{root} lacks {', '.join(missing)}; run this in a complete copy of the repository")
    hidden = shutil.ignore_patterns("__pycache__", ".*")
    for name in NEEDED:
        (staging / name).parent.mkdir(exist_ok=True)
        if name == "checkpoints":  # the bundled ones; others are not for everybody
            for model in MODELS:
                shutil.copytree(root / name / model, staging / name / model, ignore=hidden)
        elif (root / name).is_dir():
            shutil.copytree(root / name, staging / name, ignore=hidden)
        else:
            shutil.copy2(root / name, staging / name)
    check_settings(staging)


def check_settings(folder: Path) -> None:
    """The YAML header of README.md must make the folder a Gradio Space; ``UploadError`` otherwise."""
    settings = metadata_load(folder / "README.md") or {}
    if settings.get("sdk") != "gradio" or "sdk_version" not in settings:
        raise UploadError("README.md must open with a YAML header that has sdk: gradio and an sdk_version")
    app = settings.get("app_file", "app.py")
    if folder / app not in files_in(folder):
        raise UploadError(f"README.md names app_file {app!r}, which is not among the uploaded files")


def version(root: Path) -> str:
    """The project's version in pyproject.toml."""
    return re.search(r'^version = "(.+)"', (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]


def not_on_hub(user: str) -> list[str]:
    """The networks that a user has not published; [] where the Hub does not say, for the Space itself will."""
    api = HfApi()
    try:
        return [name for name in MODELS if not api.repo_exists(f"{user}/{name}")]
    except (httpx2.HTTPError, OSError):
        return []


@one_line_errors(UploadError)
def main(arguments: list[str] | None = None) -> None:
    parser = command_line("space", __doc__)
    parser.add_argument("--repo-id", required=True, help="the Space, as USER/NAME")
    help_text = f"let it load USER/vgg19 …: sets its variable {FROM_HUB}, which stays until removed in its settings"
    parser.add_argument("--from-hub", metavar="USER", help=help_text)
    parser.add_argument("--private", action="store_true", help="create it as a private Space")
    parser.add_argument("--dry-run", action="store_true", help="list what would be uploaded; needs no network")
    options = parser.parse_args(arguments)
    check_name(options.repo_id)
    if options.from_hub and not is_repo_id(f"{options.from_hub}/vgg19"):
        parser.error(f"--from-hub is a user of the Hub alone, whose vgg19 … are then loaded, got {options.from_hub!r}")
    with tempfile.TemporaryDirectory() as folder:
        staging = Path(folder)
        stage(ROOT, staging)
        print(f"{options.repo_id}\n{list_files(staging)}")
        if options.dry_run:
            print("dry run: nothing was sent")
            return
        commit = upload(
            staging,
            options.repo_id,
            repo_type="space",
            message=f"DynConv Lab {version(ROOT)}",
            ours="demo/ui.py",
            private=options.private,
            variables={FROM_HUB: options.from_hub} if options.from_hub else {},
            replace_all=True,
        )
    print(f"commit {commit[:7]}; the Space builds at {constants.ENDPOINT}/spaces/{options.repo_id}")
    if options.from_hub and (missing := not_on_hub(options.from_hub)):
        print(f"{options.from_hub} has no {', '.join(missing)} on the Hub: of these it takes the bundled weights")


if __name__ == "__main__":
    main()
