import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from types import SimpleNamespace

import pytest
import torch

from demo import loading, ui
from demo.loading import BUNDLED, Source
from models import MODELS, CheckpointError, ModelConfig, build_model, load_model, save_checkpoint
from models.checkpoint import BUNDLED as CHECKPOINTS


def stub(gamma: float | None) -> SimpleNamespace:
    """What stands for a loaded network."""
    return SimpleNamespace(gamma=gamma, config=SimpleNamespace(class_names=("ant", "bee")))


@pytest.fixture
def fresh():
    """An empty cache, before and after."""
    loading.load_once.cache_clear()
    yield
    loading.load_once.cache_clear()


def test_many_callers_load_once(monkeypatch, fresh):
    asked = []
    monkeypatch.setattr(loading, "load_model", lambda name: asked.append(name) or stub(gamma=None))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: loading.load_models(), range(16)))
    assert asked == [CHECKPOINTS / name for name in MODELS]  # whatever lies in the working directory
    assert all(result is results[0] for result in results)


def test_a_model_missing_on_the_hub_is_replaced_by_the_bundled_one(monkeypatch, fresh, caplog):
    def load(source):
        if source == "someone/compact":
            raise CheckpointError("no such repository")
        held = {"someone/dynamic_vgg19": "vgg19"}.get(source, Path(source).name)
        names = () if source == "someone/resnet34" else ("ant", "bee")
        return SimpleNamespace(name=held, source=source, config=SimpleNamespace(class_names=names), gamma=None)

    monkeypatch.setattr(loading, "load_model", load)
    loaded = loading.load_models(Source("someone"))
    assert loaded.not_on_hub == ("dynamic_vgg19", "compact", "resnet34")  # another network, none, no names of classes
    assert {loaded.networks[name].source for name in loaded.not_on_hub} == {CHECKPOINTS / n for n in loaded.not_on_hub}
    assert loaded.networks["vgg19"].source == "someone/vgg19"
    assert "someone/compact could not be loaded" in caplog.text


def test_latency_is_the_fastest_so_far_measured_again_now_and_then(monkeypatch):
    network = load_model("compact")
    assert loading.latency_ms(network) == loading.latency_ms(network) > 0
    monkeypatch.setattr(loading, "fastest", {network: (1e6, -loading.MEASURE_AGAIN_S)})  # when the machine was busy
    better = loading.latency_ms(network)
    assert better < 1e6
    monkeypatch.setattr(loading, "fastest_run", lambda network: 1e6)
    monkeypatch.setattr(loading, "MEASURE_AGAIN_S", 0)
    assert loading.latency_ms(network) == better


def test_run_gives_a_function_the_networks(monkeypatch, fresh):
    monkeypatch.setattr(loading, "load_model", lambda name: stub(gamma=0.5))
    assert loading.run(lambda networks, x, y: (sorted(networks), x, y), BUNDLED, 1, y=2) == (sorted(MODELS), 1, 2)


@pytest.mark.parametrize("zero_gpu", [False, True])
def test_networks_answer_in_one_thread_but_where_processes_do(monkeypatch, fresh, zero_gpu):
    monkeypatch.setattr(loading, "load_model", lambda name: stub(gamma=0.5))
    monkeypatch.setattr(loading, "ON_ZERO_GPU", zero_gpu)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    answering = {loading.run(lambda networks: threading.current_thread().name, BUNDLED) for _ in range(3)}
    assert answering == ({threading.current_thread().name} if zero_gpu else {"models_0"})


@pytest.mark.parametrize("zero_gpu", [False, True])
def test_where_cuda_is_a_stand_in_the_main_thread_loads(monkeypatch, zero_gpu):
    loaders = Queue()
    monkeypatch.setattr(ui, "load_models", lambda source: loaders.put(threading.current_thread()))
    monkeypatch.setattr(ui, "ON_ZERO_GPU", zero_gpu)
    ui.create_demo()
    assert (loaders.get(timeout=60) is threading.main_thread()) == zero_gpu


@pytest.fixture
def own(tmp_path):
    """A folder with a compact network of three classes, as ``train.run`` leaves it."""
    model = build_model("compact", num_classes=3)
    model.config = ModelConfig("compact", model.arguments, class_names=("ant", "bee", "cat"))
    save_checkpoint(model, tmp_path / "mine")
    return str(tmp_path / "mine")


def test_a_checkpoint_of_ones_own_replaces_the_network_of_its_kind(own, fresh):
    loaded = loading.load_models(Source(checkpoints=(own,)))
    assert list(loaded.networks) == list(MODELS) and loaded.own == {"compact": "mine"}
    assert loaded.networks["compact"].arguments["num_classes"] == 3
    assert loaded.networks["vgg19"].arguments["num_classes"] == 50


def test_two_checkpoints_of_one_kind_are_refused(own, fresh):
    with pytest.raises(ValueError, match=r"mine and .*mine both hold compact; give one of them"):
        loading.load_models(Source(checkpoints=(own, own)))


def test_a_repository_in_place_of_a_user_is_refused():
    with pytest.raises(ValueError, match=r"--from-hub is a user .*, got 'me/compact'; .* --checkpoint USER/NAME"):
        Source("me/compact")


def test_a_checkpoint_without_names_of_its_classes_is_refused(tmp_path, fresh):
    save_checkpoint(build_model("compact", num_classes=3), tmp_path / "bare")
    with pytest.raises(ValueError, match="bare does not say what its classes are called"):
        loading.load_models(Source(checkpoints=(str(tmp_path / "bare"),)))


def test_a_checkpoint_that_is_none_ends_the_command_with_one_line(root):
    command = [sys.executable, "app.py", "--checkpoint", "nowhere"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "error: no checkpoint 'nowhere'; give one of" in done.stderr
