"""Training, evaluation and publishing. Imports ``models``, never ``demo``."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the repository
RESULTS = ROOT / "results"
LICENSE = "apache-2.0"  # of the project's own weights
DATA = "mini-imagenet-50"  # that these were trained on
