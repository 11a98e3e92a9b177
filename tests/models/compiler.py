"""Whether there is a C compiler with OpenMP: asked of a program that has nothing to do with ours."""

import os
import shlex
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from models import tiled

PROGRAM = "#include <omp.h>\nint threads(void) { return omp_get_max_threads(); }\n"


@cache
def has_compiler() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "any.c")
        source.write_text(PROGRAM)
        command = [*shlex.split(os.environ.get("CC", "cc")), *tiled.FLAGS, "-o", source.with_suffix(".so"), source]
        try:
            return subprocess.run(command, capture_output=True).returncode == 0
        except OSError:
            return False


needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no C compiler with OpenMP")
