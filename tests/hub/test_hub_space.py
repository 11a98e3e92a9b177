"""The Space: what is uploaded, and that the uploaded folder is a live app; the container beside it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from huggingface_hub import snapshot_download
from PIL import Image

import train.space
from models import MODELS, load_model
from train.space import NEEDED
from train.space import main as make_space

ROOT = Path(__file__).resolve().parents[2]
SPACE = "USER/lab"
SETTINGS = "---\ntitle: Lab\nsdk: gradio\nsdk_version: 6.31.0\napp_file: app.py\n---\n# Lab\n"
START_S = 120  # two busy cores; the app itself takes some 10 s


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A project of a few bytes, with things beside it that must stay here."""
    root = tmp_path / "project"
    for name in (
        "models/vgg.py",
        "models/__pycache__/vgg.pyc",
        "demo/ui.py",
        "checkpoints/vgg19/.model.tmp",
        "results/summary.json",
        "results/figures/curves.png",
        "results/task2.json",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    for name in ("LICENSE", "app.py", "requirements.txt", "checkpoints/vgg19/model.safetensors", "Makefile", ".env"):
        (root / name).write_text(name)
    for name in (*MODELS, "mine"):
        (root / "checkpoints" / name).mkdir(exist_ok=True)
        (root / "checkpoints" / name / "config.json").write_text(name)
    (root / "pyproject.toml").write_text('[project]\nname = "lab"\nversion = "9.8.7"\n')
    (root / "README.md").write_text(SETTINGS)
    for name in ("tests", "runs", "data", "train"):
        (root / name).mkdir()
        (root / name / "file").write_text("not for the Space")
    monkeypatch.setattr(train.space, "ROOT", root)
    return root


WANTED = {"LICENSE", "README.md", "app.py", "requirements.txt", "models/vgg.py", "demo/ui.py"}
WANTED |= {f"checkpoints/{name}/config.json" for name in MODELS}
WANTED |= {"checkpoints/vgg19/model.safetensors", "results/summary.json", "results/figures/curves.png"}


def run(*arguments):
    make_space(["--repo-id", SPACE, *arguments])


def test_only_what_the_app_needs_is_uploaded_in_one_commit_with_the_version(hub, token, small):
    run()
    space = hub.repo(SPACE, "space")
    assert space.files.keys() == WANTED
    assert space.messages == ["initial commit", "DynConv Lab 9.8.7"]


def test_a_space_can_be_told_to_load_published_weights(hub, token, small, capsys):
    for name in ("vgg19", "compact"):
        hub.add(f"USER/{name}", {})
    run("--from-hub", "USER")
    assert hub.repo(SPACE, "space").variables == {"DYNCONV_FROM_HUB": "USER"}
    assert "USER has no dynamic_vgg19, adaptive_vgg19, resnet34 on the Hub" in capsys.readouterr().out


def test_a_dry_run_lists_the_files_and_asks_nobody(hub, small, capsys):
    run("--dry-run")
    listed = re.findall(r"^ +[\d,]+  (\S+)$", capsys.readouterr().out, re.MULTILINE)
    assert set(listed) == WANTED
    assert hub.requests == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--repo-id", "USER/my lab"], "'USER/my lab' is not the name of a repository"),
        (["--repo-id", SPACE, "--from-hub", "USER/compact"], "--from-hub is a user of the Hub alone"),
    ],
)
def test_a_dry_run_refuses_names_that_cannot_be(small, capsys, arguments, sentence):
    with pytest.raises(SystemExit) as failure:
        make_space([*arguments, "--dry-run"])
    assert sentence in str(failure.value) + capsys.readouterr().err


def test_an_update_removes_what_is_gone_and_no_change_makes_no_commit(hub, token, small):
    run()
    run()
    assert len(hub.repo(SPACE, "space").commits) == 2
    (small / "models/vgg.py").rename(small / "models/resnet.py")
    run()
    assert hub.repo(SPACE, "space").files.keys() == WANTED - {"models/vgg.py"} | {"models/resnet.py"}


def test_a_space_with_another_app_is_left_alone(hub, token, small):
    run()
    space = hub.repo(SPACE, "space")
    before = space.commit(
        "main", {"README.md": b"", "app.py": b"another", "a.py": b"", "b.py": b"", "c.py": b""}, "theirs"
    )
    with pytest.raises(SystemExit, match=r"holds something else already \(a\.py, app\.py, b\.py, …\)"):
        run("--from-hub", "USER")
    assert space.branches == {"main": before} and space.variables == {}


def test_a_failure_half_way_leaves_the_running_version(hub, token, small):
    run()
    before = hub.repo(SPACE, "space").branches["main"]
    (small / "app.py").write_text("print('new')")
    hub.fail("POST", "/commit/", status=500)
    with pytest.raises(SystemExit, match=r"broke off .* Run the same command again"):
        run()
    assert hub.repo(SPACE, "space").branches["main"] == before


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_part_is_named(hub, token, small, name):
    path = small / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(SystemExit, match=f"lacks {name}"):
        run()
    assert hub.requests == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("# no header", "must open with a YAML header"),
        ("---\nsdk: docker\n---\n", "sdk: gradio"),
        (SETTINGS.replace("app.py", "main.py"), "names app_file 'main.py'"),
    ],
)
def test_a_readme_that_makes_no_space_is_refused(small, settings, sentence):
    (small / "README.md").write_text(settings)
    with pytest.raises(SystemExit, match=sentence):
        run("--dry-run")


@pytest.fixture
def project(tmp_path):
    """A copy of this project; the large weights are linked."""
    root = tmp_path / "project"
    hidden = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("models", "train", "demo", "results"):
        shutil.copytree(ROOT / name, root / name, ignore=hidden)
    for name in ("app.py", "requirements.txt", "pyproject.toml"):
        shutil.copy2(ROOT / name, root / name)
    for name, stand_in in (("README.md", SETTINGS), ("LICENSE", "Apache-2.0")):
        (root / name).write_text((ROOT / name).read_text() if (ROOT / name).exists() else stand_in)
    (root / "checkpoints").symlink_to(ROOT / "checkpoints")
    return root


@pytest.fixture
def pictures(tmp_path):
    """Two classes of coloured squares, enough for an epoch of training."""
    for index in range(32):
        colour = ("crimson", "navy")[index % 2]
        path = tmp_path / "pictures" / ("train", "train", "val", "test")[index // 8] / colour / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), colour).save(path)
    return tmp_path / "pictures"


README_COMMANDS = (
    "python -m train.run --model compact --channels sample --data-root DATA --run-dir runs/compact",
    "python -m train.publish --checkpoint runs/compact --repo-id USER/compact --tag v1",
    "make space SPACE=USER/dynconv-lab FROM_HUB=USER",
)


def test_three_commands_lead_from_training_to_a_live_space(hub, project, pictures, tmp_path):
    environment = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": hub.token,
        "HF_HUB_DISABLE_XET": "1",
    }
    as_here = {
        "DATA": f"{pictures} --image-size 16 --epochs 1 --batch-size 8",
        "make space SPACE=": "python -m train.space --repo-id ",
        "FROM_HUB=": "--from-hub ",
    }
    for command in README_COMMANDS:
        for word, replacement in as_here.items():
            command = command.replace(word, replacement)
        done = execute(*command.split()[1:], folder=project, environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert hub.token not in done.stdout + done.stderr

    colours = {"crimson", "navy"}
    assert set(load_model("USER/compact", revision="v1", device="cpu").config.class_names) == colours
    unpacked = tmp_path / "elsewhere"
    snapshot_download("USER/dynconv-lab", repo_type="space", local_dir=unpacked)
    with running_app(unpacked, environment, "--from-hub", "USER") as url:
        client, picture = Client(url, verbose=False), handle_file(str(pictures / "test" / "navy" / "25.png"))
        compact = client.predict(image=picture, api_name="/compare_compact")[0]["compact"]
        assert compact["probabilities"].keys() == colours  # the published weights
        answers = client.predict(image=picture, channels="RG", api_name="/predict_channels")[0]["answers"]
        assert len(answers["vgg19"]["top"]) == 5  # the bundled ones


def test_the_readme_shows_the_commands_that_were_tested():
    text = (ROOT / "README.md").read_text()
    for command in README_COMMANDS:
        assert f"\n{command}" in text


def execute(*arguments, folder, environment):
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=START_S
    )


@contextmanager
def running_app(folder, environment, *arguments):
    """``python app.py`` in ``folder``, as a visitor finds it; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {**environment, "GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder.parent / "uploads")}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "app.py", *arguments]
    log = folder.parent / "app.log"
    with log.open("w") as output:
        app = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + START_S
            while not answers(url):
                assert app.poll() is None, f"the app ended:\n{log.read_text()}"
                assert time.monotonic() < deadline, f"the app did not answer within {START_S} s:\n{log.read_text()}"
                time.sleep(0.5)
            yield url
        finally:
            app.terminate()
            app.wait(20)


def answers(url):
    try:
        return urllib.request.urlopen(f"{url}/config", timeout=2).status == 200
    except OSError:
        return False


def test_offline_in_a_fresh_process_fails_in_seconds_with_a_sentence(tmp_path):
    code = (
        "import time; from models import load_model; started = time.perf_counter()\n"
        "try: load_model('USER/absent')\n"
        "except Exception as error: print(type(error).__name__, error, sep='|', end='|')\n"
        "print(time.perf_counter() - started)"
    )
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = execute("-c", code, folder=ROOT, environment=environment)
    name, sentence, seconds = done.stdout.strip().split("|")
    assert name == "CheckpointError" and "the Hub is out of reach" in sentence
    assert float(seconds) < 5


def instructions(text):
    """(instruction, argument) of a Dockerfile."""
    joined = re.sub(r"^#.*\n|\\\n", "", text, flags=re.MULTILINE)
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def test_the_container_copies_what_the_space_gets_and_ignores_the_rest():
    steps = instructions((ROOT / "Dockerfile").read_text())
    copied = {name for step, argument in steps if step == "COPY" for name in argument.split()[:-1] if name[:2] != "--"}
    assert copied == set(NEEDED) - {"README.md"}
    ignored = (ROOT / ".dockerignore").read_text().split()
    networks = {f"checkpoints/{name}" for name in MODELS}  # others are not for everybody
    assert {line[1:] for line in ignored if line.startswith("!")} == copied - {"checkpoints"} | networks


def test_the_container_runs_the_app_as_nobody_special_with_a_healthcheck():
    steps = instructions((ROOT / "Dockerfile").read_text())
    names = [step for step, _ in steps]
    assert names[:2] == ["ARG", "FROM"] and "HEALTHCHECK" in names
    assert names.index("USER") < names.index("CMD")
    assert dict(steps)["USER"] != "root" and dict(steps)["CMD"] == '["python3", "app.py"]'
    assert not any("latest" in argument for _, argument in steps)


def test_the_cuda_base_that_the_container_names_has_a_torch_that_is_kept():
    base = re.search(r"pytorch/pytorch:(\d+)\.(\d+)", (ROOT / "Dockerfile").read_text())
    least = re.search(r"^torch>=(\d+)\.(\d+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert [*map(int, base.groups())] >= [*map(int, least.groups())]
