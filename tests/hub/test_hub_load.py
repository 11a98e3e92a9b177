"""Loading from the Hub: the real client over HTTP, with everything that can go wrong."""

import ast
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.utils import close_session

import hubconf
import models.hub
from models import CheckpointError, build_model, load_checkpoint, load_model
from models.checkpoint import CONFIG, GOLDEN, WEIGHTS, golden_logits, read_tensors
from models.compact import Compact
from models.resnet import ResNet34

REPO = "USER/tiny"
ROOT = str(models.hub.BUNDLED.parent)


@pytest.fixture
def pushed(hub, checkpoint):
    """The checkpoint as a repository on the server; its first commit."""
    return hub.add(REPO, files_of(checkpoint))


def files_of(folder, **changes):
    return {path.name: path.read_bytes() for path in folder.iterdir()} | changes


def load(source=REPO, **options):
    return load_model(source, device="cpu", **options)


def blob(hub, name):
    """The cached content behind the snapshot of the main branch."""
    commit = hub.repo(REPO).branches["main"]
    root = models.hub.Path(constants.HF_HUB_CACHE) / "models--USER--tiny"
    return (root / "snapshots" / commit / name).resolve()


def test_a_pulled_model_gives_the_same_logits_to_the_bit(pushed, checkpoint):
    golden = read_tensors(checkpoint / GOLDEN)
    assert torch.equal(golden_logits(load(), golden["input"]), golden["logits"])


def test_a_model_pushed_by_the_mixin_comes_back_the_same(hub, token, checkpoint):
    model = load_checkpoint(checkpoint)
    model.push_to_hub(REPO)
    assert hub.repo(REPO).files.keys() == {CONFIG, WEIGHTS, GOLDEN, "README.md"}
    assert f'load_model("{REPO}")' in hub.repo(REPO).files["README.md"].decode()
    back = Compact.from_pretrained(REPO, map_location="cpu")
    assert back.config.class_names == model.config.class_names and not back.training
    assert all(torch.equal(value, back.state_dict()[key]) for key, value in model.state_dict().items())


def test_a_bundled_8_bit_model_is_saved_in_full_precision_and_its_card_says_so(tmp_path):
    load("compact").save_pretrained(tmp_path / "saved")
    assert load(tmp_path / "saved").config.storage == "fp32"
    card = (tmp_path / "saved" / "README.md").read_text()
    assert "Stored as fp32" in card and ".scale" not in card


def test_save_pretrained_writes_what_from_pretrained_reads(checkpoint, tmp_path):
    load_checkpoint(checkpoint).save_pretrained(tmp_path / "saved")
    assert isinstance(Compact.from_pretrained(tmp_path / "saved", device="cpu"), Compact)


def test_revisions_are_branches_tags_and_commits(hub, pushed, checkpoint):
    config = json.loads((checkpoint / CONFIG).read_text()) | {"class_names": ["v", "w", "x", "y", "z"]}
    hub.repo(REPO).tags["v1"] = pushed
    hub.add(REPO, files_of(checkpoint, **{CONFIG: json.dumps(config).encode()}))
    assert load(revision="v1").config.class_names[0] == load(revision=pushed).config.class_names[0] == "ant"
    assert load().config.class_names[0] == load(revision="main").config.class_names[0] == "v"


def test_config_and_weights_come_from_one_commit_although_the_branch_moves(hub, pushed, checkpoint, monkeypatch):
    check = models.hub.check_class

    def move_branch(*arguments):
        hub.add(REPO, files_of(checkpoint, **{WEIGHTS: b"of another network"}))
        check(*arguments)

    monkeypatch.setattr(models.hub, "check_class", move_branch)
    assert load().name == "compact"


def test_another_architecture_is_refused_before_its_weights_are_downloaded(hub, pushed):
    with pytest.raises(CheckpointError, match="describes 'compact', expected ResNet34; load it with Compact"):
        ResNet34.from_pretrained(REPO)
    assert not any(WEIGHTS in request for request in hub.requests)


def test_from_pretrained_is_strict(pushed):
    with pytest.raises(ValueError, match="strict=False is not supported"):
        Compact.from_pretrained(REPO, strict=False)


def test_weights_of_another_network_are_refused(hub, pushed, checkpoint):
    config = json.loads((checkpoint / CONFIG).read_text())
    config["arguments"]["blocks"] = "none"
    hub.add(REPO, files_of(checkpoint, **{CONFIG: json.dumps(config).encode()}))
    with pytest.raises(CheckpointError, match=r"does not hold the weights of compact .* is unknown"):
        load()


@pytest.mark.parametrize(
    ("source", "options", "sentence"),
    [
        ("USER/absent", {}, "no folder 'USER/absent' here and no repository of that name on the Hub"),
        (REPO, {"revision": "v9"}, "has no revision 'v9'"),
        ("USER/secret", {}, "or it is private"),
        ("USER/gated", {}, r"is gated; accept its terms at http://127\.0\.0\.1:\d+/USER/gated"),
        ("USER/pickle", {}, r"lacks config.json or model.safetensors; .* pickled weights .* are never read"),
        ("USER/foreign", {}, "is not a DynConv Lab config"),
        ("USER/a..b", {}, "no checkpoint 'USER/a..b'; give one of vgg19"),
        ("compact", {"revision": "v1"}, "it has no revision 'v1'"),
        ("no such thing", {}, "give one of vgg19"),
    ],
)
def test_what_is_not_there_or_not_ours_is_one_sentence(hub, pushed, checkpoint, source, options, sentence):
    hub.add("USER/secret", files_of(checkpoint), private=True)
    hub.add("USER/gated", files_of(checkpoint), gated=True)
    hub.add("USER/pickle", {CONFIG: (checkpoint / CONFIG).read_bytes(), "pytorch_model.bin": b"\x80\x04pickle"})
    hub.add("USER/foreign", {CONFIG: b'{"architectures": ["BertModel"]}', WEIGHTS: b""})
    with pytest.raises(CheckpointError, match=sentence) as failure:
        load(source, **options)
    assert "\n" not in str(failure.value)


def test_a_pickle_under_the_name_of_the_weights_is_refused(hub, checkpoint):
    hub.add(REPO, files_of(checkpoint, **{WEIGHTS: b"\x80\x04\x95" + bytes(50_000)}))
    with pytest.raises(CheckpointError, match=r"not a safetensors file .* pickled weights .* are never read"):
        load()


def test_a_private_repository_opens_with_the_token(hub, checkpoint):
    hub.add("USER/secret", files_of(checkpoint), private=True)
    assert load("USER/secret", token=hub.token).name == "compact"


def test_a_file_changed_on_the_way_is_refused_and_can_be_fetched_again(hub, pushed):
    hub.fail("GET", WEIGHTS, corrupt=True, times=1)
    with pytest.raises(CheckpointError, match=r"model.safetensors is truncated or was changed.*force_download=True"):
        load()
    with pytest.raises(CheckpointError, match="force_download=True"):
        load()
    assert load(force_download=True).name == "compact"


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + b"\0"], ids=["cut", "changed"])
def test_a_damaged_cache_is_noticed(hub, pushed, name, damage):
    load()
    path = blob(hub, name)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=f"{name} is truncated or was changed"):
        load()


def test_a_download_that_breaks_off_is_resumed(hub, pushed):
    hub.fail("GET", WEIGHTS, cut=1000, times=2)
    assert load().name == "compact"
    assert sum(request.startswith("GET") and WEIGHTS in request for request in hub.requests) == 3


@pytest.mark.parametrize("fault", [{"cut": 0}, {"short": 5000}, {"status": 500}], ids=["hangs up", "too short", "500"])
def test_a_download_that_fails_for_good_is_one_sentence_and_leaves_no_file(hub, pushed, fault):
    hub.fail("GET", f"resolve/{pushed}/{WEIGHTS}", **fault)
    with pytest.raises(CheckpointError, match=r"the download of USER/tiny broke off \(.*\); load again"):
        load()
    hub.faults.clear()
    assert load().name == "compact"


def unplug(hub, monkeypatch):
    """Nobody listens any more, and open connections are gone."""
    hub.http.shutdown()
    hub.http.server_close()
    close_session()


def go_offline(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def slow_down(hub, monkeypatch):
    monkeypatch.setattr(models.hub, "REACH_S", 0.3)
    hub.fail("GET", "", delay=1)
    hub.fail("HEAD", "", delay=1)


def break_down(hub, monkeypatch):
    hub.fail("GET", "", status=503)
    hub.fail("HEAD", "", status=503)


def turn_away(hub, monkeypatch):
    hub.fail("GET", "", status=429)
    hub.fail("HEAD", "", status=429)


OUTAGES = pytest.mark.parametrize("outage", [unplug, go_offline, slow_down, break_down, turn_away])


@OUTAGES
def test_out_of_reach_and_nothing_cached_fails_in_seconds_with_a_sentence(hub, pushed, monkeypatch, outage):
    outage(hub, monkeypatch)
    started = time.perf_counter()
    answers = outage in (break_down, turn_away)
    why, remedy = ("too busy", "load again in a few minutes") if answers else ("out of reach", "go online")
    with pytest.raises(
        CheckpointError, match=rf"not in the cache and the Hub is {why} .*{remedy}.* or use bundled"
    ) as failure:
        load()
    assert time.perf_counter() - started < 5
    assert "\n" not in str(failure.value)


@OUTAGES
def test_cached_files_load_at_once_when_the_hub_is_out_of_reach(hub, pushed, checkpoint, monkeypatch, outage):
    load()
    outage(hub, monkeypatch)
    started = time.perf_counter()
    assert load().name == load(revision=pushed).name == "compact"
    assert time.perf_counter() - started < 5


def test_a_forced_download_does_not_fall_back_on_the_cache(hub, pushed, monkeypatch):
    load()
    unplug(hub, monkeypatch)
    with pytest.raises(CheckpointError, match="cannot download USER/tiny: the Hub is out of reach"):
        load(force_download=True)


def test_local_files_only_asks_nobody(hub, pushed):
    with pytest.raises(CheckpointError, match="downloads are switched off; load again without local_files_only, or"):
        load(local_files_only=True)
    load()
    hub.requests.clear()
    assert load(local_files_only=True).name == "compact"
    assert hub.requests == []


def test_a_cache_that_cannot_be_written_is_named(pushed, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "/home/user")

    monkeypatch.setattr("models.hub.hf_hub_download", refuse)
    with pytest.raises(CheckpointError, match=r"cache of downloads cannot be written \(.*/home/user.*set HF_HOME"):
        load()


@pytest.mark.parametrize("name", models.MODELS)
def test_torch_hub_builds_every_model(name):
    model = torch.hub.load(ROOT, name, source="local", num_classes=3)
    assert (model.name, model.arguments["num_classes"]) == (name, 3)


def test_torch_hub_is_told_all_that_models_import():
    nodes = [node for path in Path(ROOT, "models").glob("*.py") for node in ast.parse(path.read_text("utf-8")).body]
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    packages = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - {"models"}
    assert set(hubconf.dependencies) == packages


def test_torch_hub_loads_bundled_weights():
    model = torch.hub.load(ROOT, "dynamic_vgg19", source="local", pretrained=True)
    assert model.name == "dynamic_vgg19" and not model.training
    with pytest.raises(ValueError, match="come with their own arguments, got num_classes"):
        torch.hub.load(ROOT, "compact", source="local", pretrained=True, num_classes=3)


def test_torch_hub_says_that_another_package_has_the_name(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("")
    code = f"import models, torch; torch.hub.load({str(ROOT)!r}, 'compact', source='local')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "another of that name is imported already" in done.stderr.splitlines()[-1]


def test_torch_hub_passes_on_what_this_package_lacks():
    code = (
        f"import sys, torch; sys.modules['models.hub'] = None; torch.hub.load({str(ROOT)!r}, 'compact', source='local')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True)
    assert "models.hub" in done.stderr.splitlines()[-1] and "another of that name" not in done.stderr


def test_a_device_of_number_0_is_a_device(monkeypatch):
    asked = []
    monkeypatch.setattr(models.hub, "load_checkpoint", lambda folder, *, device, expected: asked.append(device))
    load_model("compact", device=0)
    assert asked == [0]


def test_a_copy_of_the_folder_needs_no_hub(hub, checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "copy")
    assert load(tmp_path / "copy").name == "compact"
    assert hub.requests == []


def test_a_path_is_always_a_folder(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("compact", "runs/compact"):  # of which the Hub is not asked
        with pytest.raises(CheckpointError, match=f"no checkpoint '{name}'"):
            load_model(Path(name))
    assert load_model("compact", device="cpu").config.arguments["num_classes"] == 50  # bundled


def test_a_checkpoint_here_comes_before_the_bundled_one_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_model("compact", num_classes=7).save_pretrained("compact")
    for source in ("compact", Path("compact"), "./compact"):
        assert load_model(source, device="cpu").config.arguments["num_classes"] == 7


def test_without_a_clone_bundled_weights_are_not_looked_for(monkeypatch, tmp_path):
    monkeypatch.setattr("models.hub.BUNDLED", tmp_path / "site-packages" / "checkpoints")
    with pytest.raises(CheckpointError, match=r"in a clone of the repository only: pip install -e \. there, or load"):
        load_model("compact")


def test_an_unknown_argument_is_refused():
    with pytest.raises(TypeError, match="unknown argument 'devise'"):
        load_model("compact", devise="cuda")
