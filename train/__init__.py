"""Training, evaluation and publishing. Imports ``models``, never ``demo``."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the repository
RESULTS = ROOT / "results"
