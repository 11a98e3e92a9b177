"""What ``app.py`` decides before Gradio is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="on Windows users have folders of their own")
def test_users_of_one_machine_do_not_share_a_folder_for_uploads(tmp_path):
    """/tmp/gradio would belong to the first of them, and the app of any other could not start."""
    (tmp_path / "gradio").mkdir(mode=0o500)
    environment = {key: value for key, value in os.environ.items() if key != "GRADIO_TEMP_DIR"}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    code = "import app; from gradio.utils import get_upload_folder; print(get_upload_folder())"
    found = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.strip() == str(tmp_path / f"gradio-{os.getuid()}"), found.stderr
