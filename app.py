"""The demo: ``python app.py`` and open the address it prints. Also a Space's entry file."""

import argparse
import os
import sys

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before Gradio is imported: no connection is made

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
