"""Write a checkpoint as one ONNX file, and compare what ONNX Runtime makes of it.

    python -m train.export --checkpoint adaptive_vgg19 --to adaptive_vgg19.onnx
    python -m train.export --checkpoint runs/vgg19 --channels RG --to rg.onnx

The first file takes any number of channels and their wavelengths, the second red and green alone; ``models/export.py``
says what goes in and comes out. Takes half a minute or less, and the packages onnx, onnxscript and onnxruntime.
"""

import argparse
import sys

from models import CheckpointError, load_model
from models.export import export_onnx, largest_difference
from train.evaluate import result_file

TOLERANCE = 1e-4  # of the largest logit; fp32 in another order of summation gives about 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m train.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, help="name, folder or user/repo")
    parser.add_argument("--to", type=result_file, required=True, help="file to write")
    parser.add_argument("--channels", help="such as RG: the file takes these; by default RGB, or any where they can be")
    options = parser.parse_args()
    try:
        network = export_onnx(load_model(options.checkpoint), options.to, channels=options.channels)
        difference = largest_difference(options.to, network)
    except (CheckpointError, ImportError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    if not difference < TOLERANCE:
        sys.exit(f"error: ONNX Runtime's logits differ by {difference:.1e} of the largest; do not use {options.to}")
    shown = "".join(network.channels) if network.channels else "any number of channels, with their wavelengths_um"
    print(
        f"{options.to}: {options.to.stat().st_size / 1e6:,.0f} MB, takes {shown}; ONNX Runtime's logits agree "
        f"(difference {difference:.1e} of the largest)"
    )


if __name__ == "__main__":
    main()
