"""Write the model cards of checkpoint folders, from their configs and the evaluations.

python -m train.cards checkpoints/vgg19 checkpoints/compact … [--user USER]
"""

from pathlib import Path

from models.checkpoint import CONFIG, read_config, write_text
from models.model_card import model_card
from train import RESULTS
from train.commands import command_line, one_line_errors
from train.findings import find_evaluations
from train.publish import add_license, license_of


@one_line_errors()
def main(arguments: list[str] | None = None) -> None:
    parser = command_line("cards", __doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path, help="folders that get a README.md")
    parser.add_argument("--user", default="USER", help="whose repositories the examples name (default %(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of evaluations (default results)")
    add_license(parser)
    options = parser.parse_args(arguments)
    for folder in options.checkpoints:
        config = read_config(folder / CONFIG)
        evaluations = find_evaluations(options.results, config, folder)
        license = options.license or license_of(folder)
        repo_id = f"{options.user}/{folder.resolve().name}"
        card = model_card(config, repo_id=repo_id, evaluations=evaluations, license=license)
        write_text(folder / "README.md", card)
        print(f"{folder / 'README.md'}: {len(evaluations)} evaluations")


if __name__ == "__main__":
    main()
