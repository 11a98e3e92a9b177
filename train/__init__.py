"""Training, evaluation and publishing. Imports ``models``, never ``demo``."""
