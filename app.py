"""The demo: ``python app.py`` and open the address it prints. Also a Space's entry file."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

# Before Gradio is imported: no connection is made, and uploads go to a folder of the user's own, since /tmp/gradio
# belongs to whoever started an app first on this machine.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
if hasattr(os, "getuid"):  # not on Windows, where users share no such folder
    os.environ.setdefault("GRADIO_TEMP_DIR", str(Path(tempfile.gettempdir(), f"gradio-{os.getuid()}")))

from demo.loading import Source
from demo.ui import LAUNCH, create_demo
from models import CheckpointError


def main() -> None:
    parser = argparse.ArgumentParser(description="Dynamic convolution and lost colour channels, live.")
    parser.add_argument(
        "--from-hub",
        metavar="USER",
        default=os.environ.get("DYNCONV_FROM_HUB"),  # a Space starts this file without arguments
        help="use the models USER/vgg19 … from the Hugging Face Hub",
    )
    help_text = "your own networks, each shown in place of its kind: folders or user/repo"
    parser.add_argument("--checkpoint", nargs="+", default=[], help=help_text)
    parser.add_argument("--host", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, help="port (default: the first free one from 7860)")
    parser.add_argument("--share", action="store_true", help="also open a public link through Gradio's servers")
    options = parser.parse_args()
    try:
        demo = create_demo(Source(options.from_hub, tuple(options.checkpoint)))
    except (CheckpointError, ValueError) as error:
        sys.exit(f"error: {error}")
    demo.launch(server_name=options.host, server_port=options.port, share=options.share, **LAUNCH)


if __name__ == "__main__":
    main()
