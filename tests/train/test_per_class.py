"""What each class is taken for."""

import torch
import torch.nn.functional as F

from train.per_class import as_csv, class_rows

NAMES = ("cat", "dog", "eel", "fox")
LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 2])
LOGITS = 5.0 * F.one_hot(torch.tensor([0, 1, 1, 2, 1, 1, 0]), 4)


def test_a_class_has_its_recall_its_precision_and_what_it_is_taken_for():
    cat, dog, eel, fox = class_rows(LOGITS, LABELS, NAMES)
    assert cat == {"class": "cat", "pictures": 4, "recall": 0.25, "precision": 0.5, "taken_for": "dog", "times": 2}
    assert dog == {"class": "dog", "pictures": 2, "recall": 1.0, "precision": 0.5, "taken_for": "", "times": 0}
    assert (eel["recall"], eel["precision"], eel["taken_for"], eel["times"]) == (0.0, 0.0, "cat", 1)
    assert (fox["pictures"], fox["recall"], fox["precision"]) == (0, None, None)  # no picture and no answer


def test_the_file_has_a_row_for_each_checkpoint_subset_and_class():
    found = {"logits": {"RGB": LOGITS, "R": LOGITS.flip(1)}, "labels": LABELS}
    seen = {"input_size": 64, "crop_pct": 0.875}
    evaluations = [({"checkpoint": name} | seen, found) for name in ("runs/a", "vgg19")]
    lines = as_csv(evaluations, NAMES).splitlines()
    assert lines[0] == "checkpoint,input_size,crop_pct,channels,class,pictures,recall,precision,taken_for,times"
    assert len(lines) == 1 + 2 * 2 * 4
    assert lines[1] == "runs/a,64,0.875,RGB,cat,4,0.25,0.5,dog,2" and lines[4] == "runs/a,64,0.875,RGB,fox,0,,,,0"
    assert lines[5].startswith("runs/a,64,0.875,R,cat,4,")
