"""Publish a checkpoint, or all bundled ones, on the Hugging Face Hub.

    python -m train.publish --checkpoint runs/vgg19 --repo-id USER/vgg19 [--tag v1] [--dry-run]
    python -m train.publish --all --repo-id USER [--storage int8]

The checkpoint is loaded strictly and must give its golden logits again. One commit then holds
``model.safetensors`` (fp32 by default), ``config.json``, ``golden.safetensors`` and the model card;
a failure half-way leaves the old commit, and running the command again is safe. The token comes
from ``HF_TOKEN`` or ``hf auth login``.
"""

import argparse
import tempfile
from pathlib import Path

from huggingface_hub import ModelCardData

from models import MODELS, ModelConfig, load_checkpoint, save_checkpoint
from models.checkpoint import BUNDLED, CONFIG, GOLDEN, STORAGES, read_config, verify_golden, write_text
from models.hub import is_repo_id
from models.model_card import model_card, percent, table
from models.training_record import data_name
from train import DATA, LICENSE, RESULTS
from train.commands import command_line, one_line_errors
from train.findings import find_evaluations, is_bundled
from train.upload import UploadError, check_name, list_files, upload

COLLECTION = "dynconv-lab"  # the repository whose README links the others
TAGS = ["image-classification", "dynamic-convolution"]


def add_license(parser: argparse.ArgumentParser) -> None:
    """The option ``--license``; without it ``license_of`` says."""
    about = f"of the weights, as the Hub spells it; by default {LICENSE} for the project's, none for yours"
    parser.add_argument("--license", type=str.lower, help=about)


def license_of(folder: Path) -> str | None:
    """That of the project's own weights: a bundled network, trained on the project's pictures; None for any other."""
    return LICENSE if is_bundled(folder.resolve()) and data_name(read_config(folder / CONFIG)) == DATA else None


def stage(
    folder: Path, staging: Path, repo_id: str, *, storage: str, results: Path, license: str | None = None
) -> ModelConfig:
    """Verify a checkpoint and write what is to be published of it to ``staging``.

    Raises ``CheckpointError`` when it cannot be loaded or gives other logits than it recorded.
    """
    license = license or license_of(folder)
    model = load_checkpoint(folder)
    difference = verify_golden(model, folder)
    print(f"{folder}: golden logits agree (difference {difference:.1e} of the largest)")
    if model.config.storage != storage == "fp32":
        print(f"note: its {model.config.storage} weights become a larger file, no more precise; --storage keeps them")
    config = save_checkpoint(model, staging, storage=storage)
    evaluations = find_evaluations(results, config, folder)
    if not evaluations:
        print(f"note: {results} holds no evaluation of {folder}, so that its card has none; see train.evaluate --json")
    about = {"evaluations": evaluations, "license": license, "validated": model.config.storage}
    write_text(staging / "README.md", model_card(config, repo_id=repo_id, **about))
    return config


def stage_all(folder: Path, staging: Path, user: str, name: str, **options) -> dict[str, Path]:
    """Stage every bundled checkpoint and a README that links them: ``{repo_id: staged folder}``.

    All are verified before the first is pushed.
    """
    staged, configs = {}, {}
    for key in MODELS:
        repo_id = f"{user}/{key}"
        staged[repo_id] = staging / key
        configs[repo_id] = stage(folder / key, staged[repo_id], repo_id, **options)
    collection = staging / "collection"
    collection.mkdir()
    license = options["license"] or license_of(folder / next(iter(MODELS)))
    text = collection_card(configs, folder, options["results"], license)
    write_text(collection / "README.md", text)
    return staged | {f"{user}/{name}": collection}


def collection_card(configs: dict[str, ModelConfig], folder: Path, results: Path, license: str | None) -> str:
    """A README with a link and the RGB accuracy of each published model."""
    header = ModelCardData(license=license, library_name="dynconv-lab", tags=TAGS).to_yaml()
    rows = []
    for repo_id, config in configs.items():
        found = find_evaluations(results, config, folder / config.model)
        measured = [percent(row["accuracy"]) for result in found for row in result["rows"] if row["channels"] == "RGB"]
        rows.append((f"[{repo_id}](https://huggingface.co/{repo_id})", measured[0] if measured else "–"))
    first = next(iter(configs))
    return f"""\
---
{header}
---

# DynConv Lab

{len(configs)} image classifiers that take any subset of the red, green and blue channels; `adaptive_vgg19` takes
other bands, too. Each has a repository of its own:

{table(("model", "test accuracy, RGB, %"), rows)}

```python
from models import load_model  # the code of DynConv Lab

model = load_model("{first}")
```

The card of each model also shows how to load it without this code.
"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line("publish", __doc__)
    parser.add_argument("--checkpoint", type=Path, help="folder to publish; with --all the folder that holds them all")
    parser.add_argument("--all", action="store_true", help=f"publish {', '.join(MODELS)} and a README that links them")
    parser.add_argument("--repo-id", required=True, help=f"USER/NAME; with --all USER, or USER/NAME ({COLLECTION})")
    parser.add_argument("--private", action="store_true", help="create the repository as a private one")
    parser.add_argument("--revision", help="branch to push to, created when missing (default main)")
    parser.add_argument("--tag", help="tag for the commit, such as v1")
    parser.add_argument("--storage", choices=STORAGES, default="fp32", help="of the weights (default %(default)s)")
    add_license(parser)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of evaluations for the model card")
    parser.add_argument("--dry-run", action="store_true", help="list what would be uploaded; needs no network")
    options = parser.parse_args(arguments)
    if not options.all and options.checkpoint is None:
        parser.error("give --checkpoint FOLDER, or --all")
    if not options.all:
        check_name(options.repo_id)
    user, _, name = options.repo_id.partition("/")
    if options.all and (name in MODELS or not is_repo_id(f"{user}/{name or COLLECTION}")):
        parser.error(
            f"--repo-id with --all is USER, or USER/NAME of a repository that links the others, got {options.repo_id!r}"
        )
    return options


def publish(options: argparse.Namespace) -> None:
    """Stage everything, then push it; raises ``CheckpointError`` or ``UploadError``."""
    source = options.checkpoint or BUNDLED
    details = {"storage": options.storage, "results": options.results, "license": options.license}
    with tempfile.TemporaryDirectory() as folder:
        staging = Path(folder)
        if options.all:
            user, _, name = options.repo_id.partition("/")
            staged = stage_all(source, staging, user, name or COLLECTION, **details)
        else:
            staged = {options.repo_id: staging}
            stage(source, staging, options.repo_id, **details)
        for repo_id, part in staged.items():
            print(f"{repo_id}\n{list_files(part)}")
            if options.dry_run:
                continue
            commit = upload(
                part,
                repo_id,
                message=f"Publish {repo_id.partition('/')[2]} ({options.storage})",
                ours=GOLDEN,
                private=options.private,
                revision=options.revision,
                tag=options.tag,
            )
            print(f"published as commit {commit[:7]}" + (f", tag {options.tag}" if options.tag else ""))
    if options.dry_run:
        print("dry run: nothing was sent")


@one_line_errors(UploadError)
def main(arguments: list[str] | None = None) -> None:
    publish(parse(arguments))


if __name__ == "__main__":
    main()
