"""Training curves of one run."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def plot_curves(rows: list[dict], path: Path, *, title: str) -> None:
    """Loss and accuracy by epoch from the rows of ``metrics.jsonl``, readable on light and dark pages."""
    epochs = [row["epoch"] for row in rows]
    figure, (loss, accuracy) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    loss.plot(epochs, [row["train_loss"] for row in rows], marker="o", label="training")
    loss.plot(epochs, [row["val_loss"] for row in rows], marker="o", label="validation")
    highest = 3 * max(row["train_loss"] for row in rows)  # a first epoch's on validation can be a hundred times that
    loss.set(title=f"{title}: loss", xlabel="epoch", ylabel="cross-entropy", ylim=(0, min(loss.get_ylim()[1], highest)))
    accuracy.plot(epochs, [100 * row["train_accuracy"] for row in rows], marker="o", label="training (augmented)")
    accuracy.plot(epochs, [100 * row["val_accuracy"] for row in rows], marker="o", label="validation")
    accuracy.set(title=f"{title}: accuracy", xlabel="epoch", ylabel="%")
    for axes in (loss, accuracy):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
