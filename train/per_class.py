"""Which classes a network recognises, and what it takes the others for: a row for each class, as CSV."""

import csv
import io

from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

ABOUT = ("checkpoint", "input_size", "crop_pct")
COLUMNS = (*ABOUT, "channels", "class", "pictures", "recall", "precision", "taken_for", "times")


def class_rows(logits: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> list[dict]:
    """A row per class, in the order of the labels, from (N, num_classes) logits and (N,) labels.

    ``recall`` is the share of its pictures that are recognised, ``precision`` the share of the answers with its name
    that are right, both in 0..1 and None where there are no such; ``taken_for`` is the class that most of its other
    pictures are taken for (the first of equals, "" for none), ``times`` how many.
    """
    count = logits.shape[1]
    counts = multiclass_confusion_matrix(logits, labels, num_classes=count)  # (true, answered)
    right, pictures, answers = counts.diagonal(), counts.sum(1), counts.sum(0)
    wrong = (counts - right.diag()).max(dim=1)
    return [
        {
            "class": class_names[index],
            "pictures": pictures[index].item(),
            "recall": right[index].item() / pictures[index].item() if pictures[index] else None,
            "precision": right[index].item() / answers[index].item() if answers[index] else None,
            "taken_for": class_names[wrong.indices[index]] if wrong.values[index] else "",
            "times": wrong.values[index].item(),
        }
        for index in range(count)
    ]


def as_csv(evaluations: list[tuple[dict, dict]], class_names: tuple[str, ...]) -> str:
    """The rows of several checkpoints (an evaluation, its logits by subset and the labels) on every subset."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for evaluation, found in evaluations:
        for channels, logits in found["logits"].items():
            about = {key: evaluation[key] for key in ABOUT} | {"channels": channels}
            writer.writerows(about | row for row in class_rows(logits, found["labels"], class_names))
    return buffer.getvalue()
