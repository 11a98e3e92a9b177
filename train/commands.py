"""What the commands of ``train`` share: their help, and how they fail."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from models import CheckpointError

EXPECTED = (CheckpointError, ValueError, OSError, MemoryError)


def command_line(name: str, about: str) -> argparse.ArgumentParser:
    """The parser of ``python -m train.<name>``, whose help is the module's docstring as it stands."""
    return argparse.ArgumentParser(
        prog=f"python -m train.{name}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def processes() -> int:
    """How many processes torchrun or accelerate started, this one among them."""
    return int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def one_line_errors(*more: type[Exception]) -> Iterator[None]:
    """What the user can mend, ``EXPECTED`` or ``more``, ends the command in one line instead of a traceback, and so
    does Ctrl-C, with what the exception says."""
    try:
        yield
    except torch.OutOfMemoryError:
        sys.exit("error: the GPU's memory is too small; use smaller batches or pictures, or --bf16, if it is an option")
    except (*EXPECTED, *more) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as error:
        sys.exit(f"interrupted; {error}" if error.args else "interrupted")
