"""Write a checkpoint as one ONNX file that ONNX Runtime answers alike.

    python -m train.export --checkpoint adaptive_vgg19 --to adaptive_vgg19.onnx
    python -m train.export --checkpoint runs/vgg19 --channels RG --to rg.onnx

The first file takes any number of channels and their wavelengths, the second red and green alone; ``models/export.py``
says what goes in and comes out. Takes half a minute or less. Beside what the app needs, install onnx, onnxscript and
onnxruntime.
"""

from pathlib import Path

from models import load_model
from models.bands import parse_bands, spell
from models.export import export_onnx
from train.commands import command_line, one_line_errors


@one_line_errors(ImportError)
def main() -> None:
    parser = command_line("export", __doc__)
    parser.add_argument("--checkpoint", required=True, help="name, folder or user/repo")
    parser.add_argument("--to", type=Path, required=True, help="file to write")
    parser.add_argument("--channels", help="such as RG: the file takes these; by default RGB, or any where they can be")
    options = parser.parse_args()
    if options.to.is_dir():
        raise ValueError(f"{options.to} is a folder; name a file in it")
    options.to.parent.mkdir(parents=True, exist_ok=True)
    model = load_model(options.checkpoint, device="cpu")
    difference = export_onnx(model, options.to, channels=options.channels)
    free = model.any_channels and options.channels is None
    channels = spell(parse_bands(options.channels or model.config.all_channels))
    shown = "any number of channels, with their wavelengths_um" if free else channels
    print(
        f"{options.to}: {options.to.stat().st_size / 1e6:,.0f} MB, takes {shown}; ONNX Runtime's logits agree "
        f"(difference {difference:.1e} of the largest)"
    )


if __name__ == "__main__":
    main()
