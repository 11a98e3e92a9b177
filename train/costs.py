"""The study's two cost tables: parameters and multiply-accumulates of its networks.

    python -m train.costs [--image-size 256] [--json]

What is counted, and how, is said in ``models/costs.py``; no weights are needed.
"""

import argparse
import json
from dataclasses import asdict

from models.costs import Cost, cost_of

IMAGENET_CLASSES = 1000
STUDY_CLASSES = 50


def cost_tables(image_size: int = 256) -> dict[str, dict[str, Cost]]:
    """The study's two tables: ``{"task1": {row: Cost}, "task2": {row: Cost}}``."""
    fifty = {"num_classes": STUDY_CLASSES}
    compact = cost_of("compact", image_size, **fifty)
    thop = cost_of("compact", image_size, "thop", **fifty)
    gamma = 1  # the study's counter also missed this one parameter
    return {
        "task1": {name: cost_of(name, image_size, **fifty) for name in ("vgg19", "dynamic_vgg19")},
        "task2": {
            "resnet34 (1000-class head)": cost_of("resnet34", image_size, num_classes=IMAGENET_CLASSES),
            "resnet34": cost_of("resnet34", image_size, **fifty),
            "compact (as the study counted)": Cost(compact.parameters - gamma, thop.macs),
            "compact": compact,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m train.costs", description="The study's two cost tables.")
    parser.add_argument("--image-size", type=int, default=256, help="pixels (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.image_size < 32:
        parser.error(f"--image-size must be at least 32, got {options.image_size}")
    tables = cost_tables(options.image_size)
    if options.json:
        rows = {table: {row: asdict(cost) for row, cost in costs.items()} for table, costs in tables.items()}
        print(json.dumps({"image_size": options.image_size, **rows}, indent=2))
        return
    for title, costs in zip(("Task 1", "Task 2"), tables.values(), strict=True):
        print(f"\n{title}, {options.image_size} x {options.image_size} input")
        print(f"  {'model':<32}{'parameters':>14}{'multiply-accumulates':>24}")
        for row, cost in costs.items():
            print(f"  {row:<32}{cost.parameters:>14,}{cost.macs:>24,}")
    print("\nMultiply-accumulates in fvcore's train-mode convention, except where the study counted otherwise.")


if __name__ == "__main__":
    main()
