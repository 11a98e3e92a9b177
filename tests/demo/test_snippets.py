import os
import re
import runpy
import shlex
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest

from demo import snippets
from demo.snippets import LOCAL_URL, SNIPPETS, read
from demo.text import say
from models import load_model
from models.export import NEEDED


def run(code: str, root, folder=None) -> str:
    """A Python snippet in a fresh process at the repository's root, or with it as a library in ``folder``."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder or root, env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_model_snippet_prints_five_classes_and_the_attention(root):
    output = run(read("load_model"), root)
    assert len(re.findall(r"^ *[\d.]+%", output, re.MULTILINE)) == 5
    assert "torch.Size([1, 16, 4])" in output


def test_the_snippet_on_any_channels_agrees_by_name_and_by_wavelength(root):
    output = run(read("any_channels"), root)
    assert "True\nlion\n" in output
    assert "torch.Size([1, 2, 4])" in output


def test_the_snippet_on_own_networks_opens_and_converts_one(root):
    attention, shapes = run(read("own_network"), root).splitlines()
    assert attention == "torch.Size([4, 2, 5])" and shapes == "torch.Size([4, 10]) torch.Size([4, 10])"


def test_the_torch_hub_snippet_loads_the_compact_network(root):
    if not (root / "hubconf.py").is_file():
        pytest.skip("hubconf.py is not there yet")
    assert "447,491 parameters" in run(read("torch_hub"), root)


def test_the_export_snippet_asks_the_file_about_two_bands_and_about_five(root, tmp_path):
    for package in NEEDED:
        pytest.importorskip(package)
    usage, *answers = run(read("export"), root, tmp_path).splitlines()
    assert "resized" in usage and len(answers) == 2 and {*answers} <= {*load_model("compact").config.class_names}
    assert [path.name for path in tmp_path.iterdir()] == ["adaptive_vgg19.onnx"]


def test_the_client_snippet_asks_the_running_app(served, root):
    output = run(read("client").replace(LOCAL_URL, served.rstrip("/")), root)
    assert "dynamic_vgg19 {" in output
    assert output.count("adaptive_vgg19 {") == 2  # of the picture and of the bands


@pytest.mark.parametrize("name", ["train", "gpu"])
def test_commands_name_modules_and_options_that_exist(name, root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    for line in read(name).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:2] == ["python", "-m"]:
            start = partial(runpy.run_module, words[2], run_name="__main__", alter_sys=True)
        elif words[:1] == ["python"] and words[1].endswith(".py"):
            start = partial(runpy.run_path, words[1], run_name="__main__")
        else:
            continue
        monkeypatch.setattr(sys, "argv", ["", "--help"])
        with pytest.raises(SystemExit, match="0"):
            start()
        shown = capsys.readouterr().out
        assert all(re.search(rf"{word}(?![\w-])", shown) for word in words if word.startswith("--"))


def test_the_client_snippet_names_the_visitors_address():
    headers = {"host": "lab.example", "x-forwarded-proto": "https"}
    request = SimpleNamespace(headers=headers, url=SimpleNamespace(scheme="http"), base_url=SimpleNamespace(path="/"))
    assert 'Client("https://lab.example")' in snippets.blocks(request)
    headers |= {"x-forwarded-host": "lab.example, inner", "x-forwarded-proto": "https, http"}
    request.base_url.path = "/demo/"
    assert 'Client("https://lab.example/demo")' in snippets.blocks(request)


def test_the_snippets_are_in_the_visitors_language():
    request = SimpleNamespace(
        headers={"accept-language": "zh-TW"}, url=SimpleNamespace(scheme="http"), base_url=SimpleNamespace(path="/")
    )
    html = snippets.blocks(request)
    assert html.count('aria-label="複製：') == html.count('class="code"') == len(SNIPPETS)
    assert "複製：詢問這個執行中的應用" in html


def test_snippets_are_shown_escaped():
    assert "&lt;class&gt;" in snippets.as_html(read("train"))


def test_a_space_shows_the_snippets_that_work_there(tmp_path, monkeypatch):
    url = SimpleNamespace(scheme="https", path="/")
    request = SimpleNamespace(headers={"host": "host"}, url=url, base_url=url)
    whole = snippets.blocks(request)
    (tmp_path / "demo").mkdir()
    monkeypatch.setattr(snippets, "ROOT", tmp_path)
    shown = snippets.blocks(request)
    for name in SNIPPETS:
        title = say("en", f"snippet_{name}")
        assert title in whole and (title in shown) == (name not in ("torch_hub", "train"))
