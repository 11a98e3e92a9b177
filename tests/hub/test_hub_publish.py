"""From a checkpoint folder to the Hub: what is pushed, what is refused, what a failure leaves behind."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import tifffile
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load, load_file, save_file
from tiny_checkpoints import make_checkpoint

from models import MODELS, load_checkpoint, load_model
from models.checkpoint import (
    BUNDLED,
    CONFIG,
    GOLDEN,
    STORAGES,
    WEIGHTS,
    checksum,
    golden_logits,
    read_config,
    read_tensors,
    write_config,
)
from models.model_card import model_card
from models.training_record import RECIPE, matters
from train import LICENSE, RESULTS
from train.cards import main as write_cards
from train.config import PLACES, TrainConfig
from train.findings import find_evaluations
from train.publish import license_of, stage
from train.publish import main as publish

REPO = "USER/tiny"
PUSHED = {WEIGHTS, CONFIG, GOLDEN, "README.md"}


@pytest.fixture
def results(tmp_path):
    """A folder with evaluations: one of the checkpoint, one of a namesake network, one of another run."""
    folder = tmp_path / "results"
    folder.mkdir()
    row = {"accuracy": 0.4125, "precision": 0.42, "recall": 0.4125, "f1": 0.4, "ci_low": 0.39, "ci_high": 0.435}
    rows = [row | {"channels": "RGB"}, row | {"channels": "G", "accuracy": 0.3333}]
    mine = {"kind": "evaluation", "model": "compact", "split": "test", "data": "pictures", "n": 2000, "rows": rows}
    mine |= {"fill": "aligned", "storage": "fp32", "input_size": 32}
    others = (
        mine | {"checkpoint": "runs/tiny"},
        mine | {"checkpoint": "runs/tiny", "model": "vgg19", "n": 7},
        mine | {"checkpoint": "runs/other", "n": 7},
        mine | {"checkpoint": "runs/tiny", "split": "val", "n": 7},
        {"kind": "costs"},
    )
    for index, result in enumerate(others):
        (folder / f"{index}.json").write_text(json.dumps(result))
    return folder


def run(*arguments):
    publish([str(argument) for argument in arguments])


def test_push_list_pull_gives_the_same_logits_to_the_bit(hub, token, checkpoint):
    run("--checkpoint", checkpoint, "--repo-id", REPO, "--tag", "v1")
    repo = hub.repo(REPO)
    assert repo.files.keys() == PUSHED
    assert repo.messages == ["initial commit", "Publish tiny (fp32)"]
    assert repo.tags == {"v1": repo.branches["main"]}
    golden = load(repo.files[GOLDEN])
    assert torch.equal(golden["logits"], read_tensors(checkpoint / GOLDEN)["logits"])
    model = load_model(REPO, revision="v1", device="cpu")
    assert torch.equal(golden_logits(model, golden["input"]), golden["logits"])


@pytest.mark.parametrize("storage", STORAGES)
def test_each_storage_comes_with_its_own_golden_logits(hub, token, checkpoint, storage):
    run("--checkpoint", checkpoint, "--repo-id", REPO, "--storage", storage)
    golden = load(hub.repo(REPO).files[GOLDEN])
    model = load_model(REPO, device="cpu")
    assert model.config.storage == storage
    assert torch.equal(golden_logits(model, golden["input"]), golden["logits"])


def test_weights_have_the_licence_that_is_given(hub, token, checkpoint):
    run("--checkpoint", checkpoint, "--repo-id", REPO, "--license", "cc-by-nc-4.0")
    card = hub.repo(REPO).files["README.md"].decode()
    assert ModelCard(card).data.license == "cc-by-nc-4.0" and "; the weights: cc-by-nc-4.0." in card


def test_a_branch_and_a_private_repository(hub, token, checkpoint):
    run("--checkpoint", checkpoint, "--repo-id", REPO, "--revision", "half", "--storage", "fp16", "--private")
    assert hub.repo(REPO).private
    assert hub.repo(REPO).files == {}
    assert load_model(REPO, revision="half", token=token, device="cpu").config.storage == "fp16"


def test_private_is_not_ignored_for_a_public_repository(hub, token, checkpoint):
    hub.add(REPO, {})
    with pytest.raises(SystemExit, match="exists and is public"):
        run("--checkpoint", checkpoint, "--repo-id", REPO, "--private")
    assert hub.repo(REPO).files == {}


def test_a_repository_with_other_work_is_left_alone(hub, token, checkpoint):
    theirs = {"README.md": b"mine", "config.json": b"{}", "pytorch_model.bin": b"weights"}
    before = hub.add(REPO, theirs)
    with pytest.raises(SystemExit, match=r"holds something else already \(config\.json, pytorch_model\.bin\)"):
        run("--checkpoint", checkpoint, "--repo-id", REPO, "--tag", "v1")
    assert hub.repo(REPO).branches == {"main": before} and hub.repo(REPO).tags == {}


def test_a_dry_run_lists_the_files_with_sizes_and_asks_nobody(hub, checkpoint, capsys):
    run("--checkpoint", checkpoint, "--repo-id", REPO, "--dry-run")
    listed = dict(re.findall(r"^ +([\d,]+)  (\S+\.\w+)$", capsys.readouterr().out, re.MULTILINE))
    assert set(listed.values()) == PUSHED
    assert f"{(checkpoint / WEIGHTS).stat().st_size:,}" in listed
    assert hub.requests == []


def test_a_dry_run_lists_just_what_is_pushed(hub, token, checkpoint, capsys):
    run("--checkpoint", checkpoint, "--repo-id", REPO, "--dry-run")
    listed = capsys.readouterr().out.split("dry run")[0]
    run("--checkpoint", checkpoint, "--repo-id", REPO)
    assert capsys.readouterr().out.startswith(listed)


def test_running_again_makes_no_second_commit(hub, token, checkpoint):
    for _ in range(2):
        run("--checkpoint", checkpoint, "--repo-id", REPO, "--tag", "v1")
    assert len(hub.repo(REPO).commits) == 2


def test_a_tag_is_never_moved(hub, token, checkpoint):
    run("--checkpoint", checkpoint, "--repo-id", REPO, "--tag", "v1")
    first = hub.repo(REPO).tags["v1"]
    with pytest.raises(SystemExit, match=f"tag 'v1' already marks {first[:7]}; run again with another --tag"):
        run("--checkpoint", checkpoint, "--repo-id", REPO, "--tag", "v1", "--storage", "fp16")
    assert hub.repo(REPO).tags["v1"] == first


def test_a_tag_of_an_older_version_is_refused_before_anything_is_pushed(hub, token, checkpoint):
    run("--checkpoint", checkpoint, "--repo-id", REPO, "--tag", "v1")
    run("--checkpoint", checkpoint, "--repo-id", REPO, "--tag", "v2", "--storage", "fp16")
    before = hub.repo(REPO).branches["main"]
    with pytest.raises(SystemExit, match=r"nothing was pushed to .*: tag 'v1' already marks \w{7}; run again with ano"):
        run("--checkpoint", checkpoint, "--repo-id", REPO, "--tag", "v1", "--license", "mit")
    assert hub.repo(REPO).branches["main"] == before


def test_a_tag_that_cannot_be_set_is_no_failed_push(hub, token, checkpoint):
    hub.fail("POST", "/tag/", status=400)
    with pytest.raises(SystemExit, match=r"holds the new version \(\w{7}\), but the tag 'v1' could not be set"):
        run("--checkpoint", checkpoint, "--repo-id", REPO, "--tag", "v1")
    assert hub.repo(REPO).files.keys() >= PUSHED


def test_other_logits_than_golden_are_refused(hub, token, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "tiny")
    weights = load_file(folder / WEIGHTS)
    weights["classifier.bias"] += 1
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(SystemExit, match=r"gives other logits than golden.safetensors holds .* restore its files"):
        run("--checkpoint", folder, "--repo-id", REPO)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda golden: {"input": golden["input"]}, "expected input and logits"),
        (lambda golden: golden | {"logits": golden["logits"][:, :2].contiguous()}, r"has logits \(2, 2\)"),
        (lambda golden: golden | {"logits": golden["logits"] * float("nan")}, "gives other logits"),
    ],
)
def test_a_damaged_golden_file_is_refused(checkpoint, tmp_path, change, sentence):
    folder = shutil.copytree(checkpoint, tmp_path / "tiny")
    save_file(change(load_file(folder / GOLDEN)), folder / GOLDEN)
    with pytest.raises(SystemExit, match=sentence):
        run("--checkpoint", folder, "--repo-id", REPO, "--dry-run")


@pytest.mark.parametrize(
    ("method", "part", "fault", "sentence"),
    [
        ("POST", "/commit/", {"status": 500}, "the push to USER/tiny broke off .* never half of it. Run the same"),
        ("POST", "/commit/", {"cut": 0}, "broke off .* Run the same command again"),
        ("PUT", "/lfs/", {"status": 500}, "broke off .* Run the same command again"),
        ("POST", "/preupload/", {"status": 503}, "broke off .* Run the same command again"),
        ("POST", "/preupload/", {"status": 403}, "the token may not write to USER/tiny"),
    ],
)
def test_a_failure_half_way_leaves_the_old_commit_and_a_second_run_succeeds(
    hub, token, checkpoint, capsys, method, part, fault, sentence
):
    old = hub.add(REPO, {"README.md": b"old"})
    hub.fail(method, part, **fault)
    with pytest.raises(SystemExit, match=sentence) as failure:
        run("--checkpoint", checkpoint, "--repo-id", REPO)
    if "status" in fault:
        assert hub.repo(REPO).branches["main"] == old
    assert token not in str(failure.value) + "".join(capsys.readouterr())
    hub.faults.clear()
    run("--checkpoint", checkpoint, "--repo-id", REPO)
    assert hub.repo(REPO).files.keys() == PUSHED


def test_a_refused_token_is_named_but_not_shown(hub, monkeypatch, checkpoint, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_some_other_secret")
    with pytest.raises(SystemExit, match="does not accept the token; run `hf auth login` again") as failure:
        run("--checkpoint", checkpoint, "--repo-id", REPO)
    assert "hf_some_other_secret" not in str(failure.value) + "".join(capsys.readouterr())


def test_without_a_token_nothing_is_asked(hub, checkpoint):
    with pytest.raises(SystemExit, match="no Hub token; run `hf auth login`"):
        run("--checkpoint", checkpoint, "--repo-id", REPO)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--repo-id", REPO], "give --checkpoint FOLDER, or --all"),
        (["--repo-id", "USER/vgg19", "--all"], "of a repository that links the others, got 'USER/vgg19'"),
        (["--repo-id", "USER/a/b", "--all"], "of a repository that links the others, got 'USER/a/b'"),
    ],
)
def test_incomplete_commands_are_refused(arguments, sentence, capsys):
    with pytest.raises(SystemExit):
        run(*arguments)
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tiny", "me/näm", "me/my tiny", "USER/-tiny", "USER/ti..ny", "USER/tiny.git"])
def test_what_no_repository_can_be_called_is_refused_at_once(hub, checkpoint, name):
    with pytest.raises(SystemExit, match=rf"{re.escape(repr(name))} is not the name of a repository; give it as USER"):
        run("--checkpoint", checkpoint, "--repo-id", name, "--dry-run")
    assert hub.requests == []


def test_a_licence_that_the_hub_does_not_know_is_refused_in_its_words_before_anything_is_made(hub, token, checkpoint):
    with pytest.raises(
        SystemExit, match=r"the Hub refuses the header .* \(.*license.* must be one of .*\); correct that"
    ):
        run("--checkpoint", checkpoint, "--repo-id", REPO, "--license", "my own")
    assert not hub.repos
    run("--checkpoint", checkpoint, "--repo-id", REPO, "--license", "MIT")
    assert "license: mit\n" in hub.repo(REPO).files["README.md"].decode()


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("HF_TOKEN", "hf_ä", "the token holds a character that no token has"),
        ("HF_HUB_OFFLINE", "1", "nothing was sent to USER/tiny: the Hub is switched off by HF_HUB_OFFLINE"),
    ],
)
def test_what_will_not_pass_is_not_called_a_broken_connection(
    hub, token, checkpoint, monkeypatch, variable, value, sentence
):
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", variable == "HF_HUB_OFFLINE")
    with pytest.raises(SystemExit, match=sentence) as failure:
        run("--checkpoint", checkpoint, "--repo-id", REPO)
    assert "again to go on" not in str(failure.value)


def test_a_missing_checkpoint_is_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match=r"no config.json in .*a checkpoint folder holds"):
        run("--checkpoint", tmp_path, "--repo-id", REPO)


def test_all_publishes_the_four_and_a_readme_that_links_them(hub, token, tmp_path, monkeypatch, results):
    monkeypatch.setattr("train.publish.MODELS", ("compact", "tiny"))  # two small ones stand for the four
    for name in ("compact", "tiny"):
        make_checkpoint("compact", tmp_path / "weights" / name)
    run("--all", "--checkpoint", tmp_path / "weights", "--repo-id", "USER", "--results", results)
    assert hub.repo("USER/compact").files.keys() == hub.repo("USER/tiny").files.keys() == PUSHED
    readme = hub.repo("USER/dynconv-lab").files["README.md"].decode()
    assert "| [USER/compact](https://huggingface.co/USER/compact) | – |" in readme
    assert "| [USER/tiny](https://huggingface.co/USER/tiny) |" in readme


def test_all_pushes_nothing_when_one_is_broken(hub, token, tmp_path, monkeypatch):
    monkeypatch.setattr("train.publish.MODELS", ("compact", "tiny"))
    make_checkpoint("compact", tmp_path / "weights" / "compact")
    with pytest.raises(SystemExit, match=r"no config\.json"):
        run("--all", "--checkpoint", tmp_path / "weights", "--repo-id", "USER/lab")
    assert hub.requests == []


def test_the_card_holds_the_figures_of_the_checkpoint_and_its_own_evaluations(hub, token, checkpoint, results):
    run("--checkpoint", checkpoint, "--repo-id", REPO, "--results", results)
    card = hub.repo(REPO).files["README.md"].decode()
    assert "| RGB | 41.2 | 39.0 to 43.5 | 42.0 | 41.2 | 40.0 |" in card
    assert "pictures, test, 2,000 pictures" in card and "7 pictures" not in card
    assert "Accuracy on validation: 43.2 %; the epoch was chosen on the same pictures." in card
    assert "missing channels filled `aligned` (one channel is copied to all three;" in card
    assert "pictures, 1,234 pictures" in card and "| `epochs` | 3 |" in card
    for heading in ("Use", "Results", "Training", "Cost", "Keys", "Limits", "Licence and citation"):
        assert f"## {heading}\n" in card
    data = ModelCard(card).data
    assert data.license is None and data.pipeline_tag == "image-classification"
    assert "no licence is stated for the weights" in card
    assert [result.metric_value for result in data.eval_results] == [0.4125, 0.4, 0.3333, 0.4]
    told = [index["dataset"]["config"].split(",")[0] for index in data.to_dict()["model-index"][0]["results"]]
    assert told == ["RGB", "G"]  # the Hub puts together what has one config


SOMEONES = {
    "data_root": "/home/someone/pictures",
    "init_from": "/home/someone/runs/base",
    "teacher": "/home/someone/runs/teacher",
}


def test_no_path_of_the_machine_is_published(hub, token, checkpoint):
    run("--checkpoint", checkpoint, "--repo-id", REPO)
    model = load_checkpoint(checkpoint)
    model.config = dataclasses.replace(model.config, training=SOMEONES)
    model.push_to_hub("USER/mixin")
    for repo_id in (REPO, "USER/mixin"):
        assert not any(b"/home/someone" in content for content in hub.repo(repo_id).files.values())
        assert b'"data_root": "pictures"' in hub.repo(repo_id).files[CONFIG]


def test_the_card_says_when_the_figures_are_of_another_storage(tmp_path, results):
    folder = make_checkpoint("compact", tmp_path / "tiny")
    sentence = "measured with the weights stored as fp32, this file is int8"
    for storage in ("fp32", "int8"):
        stage(folder, tmp_path / storage, REPO, storage=storage, results=results)
        assert (sentence in (tmp_path / storage / "README.md").read_text()) == (storage == "int8")


def test_expanding_8_bit_weights_is_said(tmp_path, capsys):
    folder = make_checkpoint("compact", tmp_path / "tiny", storage="int8")
    run("--checkpoint", folder, "--repo-id", REPO, "--dry-run")
    assert "note: its int8 weights become a larger file, no more precise" in capsys.readouterr().out


def test_publishing_without_evaluations_is_remarked_on(checkpoint, tmp_path, results, capsys):
    for folder, words in ((results, False), (tmp_path, True)):
        stage(checkpoint, tmp_path / "staged", REPO, storage="fp32", results=folder)
        assert ("holds no evaluation of" in capsys.readouterr().out) == words


def test_a_card_without_evaluations_says_so(checkpoint):
    config = dataclasses.replace(read_config(checkpoint / CONFIG), metrics={}, training={})
    card = model_card(config)
    assert "Not evaluated" in card and "no record of a training run" in card


def test_the_card_reads_the_record_of_a_bundled_checkpoint(checkpoint):
    settings = {"image_size": "32:6,64:2", "lr": 0.05, "bf16": True, "init_from": "vgg19", "seed": 0}
    config = dataclasses.replace(
        read_config(checkpoint / CONFIG),
        training={"data": "lions", "images": 23998, "epochs": 8, "channels": "RGB", "settings": settings},
        metrics={"val_accuracy": 0.5, "val_accuracy_full_precision": 0.51},
    )
    card = model_card(config)
    stage = "This is the last stage: it started from the trained weights of `vgg19`."
    assert f"on lions, 23,998 pictures. {stage} Other settings are its defaults." in card
    assert "50.0 % (51.0 % before the weights were rounded)" in card
    shown = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", card, re.MULTILINE))
    assert shown == {key: str(value) for key, value in settings.items()} | {"channels": "RGB"}


@pytest.mark.parametrize(
    ("model", "own"),
    [
        ("vgg19", {"width", "fill"}),
        ("dynamic_vgg19", {"width", "fill", "num_kernels", "temperature_end", "temperature_epochs"}),
        ("adaptive_vgg19", {"width", "num_kernels", "own_kernels"}),
        ("compact", {"fill", "blocks"}),
        ("resnet34", {"fill"}),
    ],
)
def test_a_card_shows_the_settings_that_its_network_has(model, own):
    settings = {"width": 0.5, "fill": "aligned", "num_kernels": 4, "temperature_end": 1, "own_kernels": True}
    settings |= {"blocks": "none", "temperature_epochs": 4.0}
    assert {key for key in settings if matters(key, settings, model)} == own


def test_the_card_counts_the_kernels_that_there_are():
    config = read_config(BUNDLED / "adaptive_vgg19" / CONFIG)
    config = dataclasses.replace(
        config, training={"num_kernels": 4, "bands": "B,G,R,NIR"}, arguments=config.arguments | {"num_kernels": 6}
    )
    assert "| `num_kernels` | 6 |" in model_card(config)


def test_the_card_says_of_what_the_validation_is(checkpoint):
    config = dataclasses.replace(
        read_config(checkpoint / CONFIG), training={"channels": "R"}, metrics={"val_accuracy": 0.5}, storage="int8"
    )
    alone = "Accuracy on validation on R alone: 50.0 %; the epoch was chosen on the same pictures"
    assert f"{alone}." in model_card(config)
    other = "; measured with the weights stored as fp32, this file is int8."
    assert alone + other in model_card(config, validated="fp32")
    exact = dataclasses.replace(config, storage="fp32")  # the values that int8 weights have
    assert f"{alone}." in model_card(exact, validated="int8")
    turned = dataclasses.replace(config, training={"channels": "BGR"})
    assert "Accuracy on validation: 50.0 %" in model_card(turned)


def test_the_card_of_rounded_weights_says_that_their_validation_is_not_theirs(checkpoint, tmp_path, results):
    config = read_config(checkpoint / CONFIG)
    write_config(dataclasses.replace(config, metrics={"val_accuracy": 0.5}), checkpoint)
    for storage, told in (("int8", True), ("fp32", False)):
        stage(checkpoint, tmp_path / storage, REPO, storage=storage, results=results)
        card = (tmp_path / storage / "README.md").read_text()
        assert (
            f"on the same pictures; measured with the weights stored as fp32, this file is {storage}" in card
        ) == told


def test_temperatures_in_between_are_told_from_measured_ones(checkpoint):
    config = read_config(checkpoint / CONFIG)
    for count in (3, 5):
        metrics = {"calibration_temperature": [1.5] * count}
        assert f"for 1 to {count} channels, or" in model_card(dataclasses.replace(config, metrics=metrics))
    unnamed = dataclasses.replace(config, bands=("?",) * 4, metrics={"calibration_temperature": [1.5] * 4})
    assert "measured for 4 and where bands have names" in model_card(unnamed)


def test_a_setting_of_zero_is_a_setting_where_zero_is_not_the_default():
    zeros = {"weight_decay": 0.0, "label_smoothing": 0.0, "pseudo_share": 0.0, "ema": 0.0, "clip_norm": 0.0, "seed": 0}
    zeros |= {"channels": "sample", "bf16": False, "mix": "none"}
    shown = {key for key in zeros if matters(key, zeros, "adaptive_vgg19")}
    assert shown == {"weight_decay", "label_smoothing", "pseudo_share", "seed", "channels"}


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"channels": "sample"}, "trained for on mixtures of R, G and B alone."),
        ({"channels": "sample", "settings": {"pseudo_share": 0.0}}, "not trained for."),
        ({"channels": "RGB"}, "not trained for."),
    ],
)
def test_the_card_says_whether_other_wavelengths_were_trained_for(training, words):
    config = read_config(BUNDLED / "adaptive_vgg19" / CONFIG)
    card = model_card(dataclasses.replace(config, training=training))
    assert f"More than three channels, and wavelengths other than those of R, G and B, were {words}" in card


@pytest.mark.parametrize(
    ("model", "settings", "shown"),
    [
        ("adaptive_vgg19", {"channels": "sample"}, True),
        ("adaptive_vgg19", {"channels": "RGB"}, False),
        ("adaptive_vgg19", {"channels": "sample", "bands": "B,NIR"}, False),  # real bands, no mixtures
        ("vgg19", {"channels": "sample"}, False),
    ],
)
def test_the_card_names_a_setting_where_it_matters(model, settings, shown):
    assert matters("pseudo_share", settings | {"pseudo_share": 0.25}, model) == shown


def test_the_card_says_where_kernels_have_second_parts_and_normalisation_is_plain():
    assert matters("own_kernels", {"own_kernels": True}, "adaptive_vgg19")
    assert not matters("own_kernels", {"own_kernels": False}, "adaptive_vgg19")
    assert matters("plain_norm", {"plain_norm": True}, "adaptive_vgg19")


def test_the_card_leaves_out_no_setting_that_decides_the_result():
    no_matter = PLACES | {"channels_last", "skip_unreadable"}
    assert {field.name for field in dataclasses.fields(TrainConfig)} == {*RECIPE, "model"} | no_matter


def test_a_broken_evaluation_file_is_named(checkpoint, tmp_path):
    (tmp_path / "half.json").write_text('{"kind":')
    with pytest.raises(ValueError, match=r"half.json is not JSON .* write it again, or remove it"):
        find_evaluations(tmp_path, read_config(checkpoint / CONFIG), checkpoint)


def test_an_evaluation_made_again_stands_once_in_the_precision_of_the_training(checkpoint, tmp_path, results):
    config = read_config(checkpoint / CONFIG)
    (mine,) = find_evaluations(results, config, checkpoint)
    again = mine | {"bf16": True, "rows": mine["rows"][:1]}
    larger, appended = mine | {"input_size": 40}, again | {"fill": "appended"}
    for index, result in enumerate((again, {"kind": "comparison", "first": mine, "second": larger}, appended)):
        (results / f"5{index}.json").write_text(json.dumps(result))
    assert find_evaluations(results, config, checkpoint) == [mine, appended]
    in_bf16 = dataclasses.replace(config, training=config.training | {"settings": {"bf16": True}})
    assert find_evaluations(results, in_bf16, checkpoint) == [again, appended, mine]  # G was measured in fp32 alone


def test_an_evaluation_on_other_bands_is_of_another_input(checkpoint, tmp_path, results):
    config = read_config(checkpoint / CONFIG)
    (mine,) = find_evaluations(results, config, checkpoint)
    (results / "6.json").write_text(json.dumps(mine | {"bands": ["B", "NIR"]}))
    assert find_evaluations(results, config, checkpoint) == [mine]


def test_an_evaluation_of_weights_that_were_replaced_is_not_theirs(checkpoint, results):
    config = read_config(checkpoint / CONFIG)
    (mine,) = find_evaluations(results, config, checkpoint)
    path = results / "7.json"
    path.write_text(json.dumps(mine | {"rows": mine["rows"][:1], "fill": "appended", "weights_sha256": "of others"}))
    assert find_evaluations(results, config, checkpoint) == [mine]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weights_sha256": checksum(checkpoint)}))
    assert len(find_evaluations(results, config, checkpoint)) == 2


def test_a_run_of_that_name_on_other_pictures_has_no_evaluations(checkpoint, results):
    config = read_config(checkpoint / CONFIG)
    assert find_evaluations(results, config, checkpoint)
    others = dataclasses.replace(config, training=config.training | {"data": "my-pictures"})
    assert find_evaluations(results, others, checkpoint) == []


def test_a_run_named_as_a_bundled_network_has_not_its_evaluations(tmp_path):
    bundled = read_config(BUNDLED / "vgg19" / CONFIG)
    assert find_evaluations(RESULTS, bundled, BUNDLED / "vgg19")
    assert find_evaluations(RESULTS, bundled, tmp_path / "vgg19") == []


def test_only_the_projects_own_weights_are_under_its_licence(tmp_path, monkeypatch):
    assert license_of(BUNDLED / "compact") == LICENSE
    make_checkpoint("compact", tmp_path / "compact", storage="int8")
    assert license_of(tmp_path / "compact") is None
    monkeypatch.setattr("train.publish.BUNDLED", tmp_path)
    assert license_of(tmp_path / "compact") is None  # of that name, trained on other pictures
    shutil.copytree(BUNDLED / "compact", tmp_path / "mine")
    assert license_of(tmp_path / "mine") is None


def test_cards_are_written_into_checkpoint_folders(tmp_path, results, capsys):
    folder = make_checkpoint("compact", tmp_path / "tiny", storage="int8")
    write_cards([str(folder), "--user", "SOMEONE", "--results", str(results)])
    card = (folder / "README.md").read_text()
    assert 'load_model("SOMEONE/tiny")' in card and "no licence is stated for the weights" in card
    assert "1 evaluations" in capsys.readouterr().out
    write_cards([str(folder), "--license", "MIT"])
    assert "license: mit\n" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "storage", "arguments"),
    [
        *((name, "fp32", {}) for name in MODELS),
        *((name, "fp32", {"width": 0.1}) for name in MODELS if name.endswith("vgg19")),
        ("adaptive_vgg19", "int8", {"own_kernels": True}),
        ("adaptive_vgg19", "fp32", {"plain_norm": True}),
        ("compact", "int8", {}),
        ("resnet34", "fp16", {}),
    ],
)
def test_the_example_of_the_card_works_without_this_code(hub, tmp_path, name, storage, arguments):
    folder = make_checkpoint(name, tmp_path / name, storage=storage, arguments=arguments)
    hub.add(REPO, {path.name: path.read_bytes() for path in folder.iterdir()})
    card = model_card(read_config(folder / CONFIG), repo_id=REPO)
    assert ("batch normalisation follow" in card) == (name == "adaptive_vgg19" and "plain_norm" not in arguments)
    example = re.search(r"Without it:\n\n```python\n(.+?)```", card, re.DOTALL)[1]
    assert re.findall(r"^from (\w*models) ", example, re.MULTILINE) == []
    namespace = {}
    exec(compile(example, "example of the card", "exec"), namespace)
    golden = read_tensors(folder / GOLDEN)
    with torch.inference_mode():
        logits = namespace["model"](golden["input"])
    torch.testing.assert_close(logits, golden["logits"], rtol=1e-3, atol=1e-4 * golden["logits"].abs().max())


@pytest.mark.parametrize("name", MODELS)
def test_the_example_of_the_card_works_with_this_code(hub, tmp_path, monkeypatch, name):
    folder = make_checkpoint(name, tmp_path / name)
    hub.add(REPO, {path.name: path.read_bytes() for path in folder.iterdir()})
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 50), "teal").save("picture.jpg")
    card = model_card(read_config(folder / CONFIG), repo_id=REPO)
    example = re.search(r"```python\n(from PIL.+?)```", card, re.DOTALL)[1]
    namespace = {}
    with torch.inference_mode():
        exec(example, namespace)
    assert namespace["logits"].shape == (1, 5)


def test_the_examples_of_a_card_of_a_sensor_work(hub, tmp_path, monkeypatch):
    folder = make_checkpoint("adaptive_vgg19", tmp_path / "field", bands=("B", "0.74", "?"))
    hub.add(REPO, {path.name: path.read_bytes() for path in folder.iterdir()})
    card = model_card(read_config(folder / CONFIG), repo_id=REPO)
    assert "trained on pictures of these bands: B, 0.74, ?." in card and "mixtures" not in card
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite(
        "picture.tif", np.random.default_rng(0).integers(0, 4000, (3, 40, 50), np.uint16), photometric="minisblack"
    )
    with_code, without = re.findall(r"```python\n(.+?)```", card, re.DOTALL)
    ours, theirs = {}, {}
    with torch.inference_mode():
        exec(with_code.replace("logits = model(images[:", "few = model(images[:"), ours)
        exec(without, theirs)
        call = re.search(r"`logits = (model\(images, .+?\))` then takes a batch \(B, 3, 32, 32\)", card)[1]
        logits = eval(call, theirs | {"images": ours["images"]})
    torch.testing.assert_close(logits, ours["logits"], rtol=1e-3, atol=1e-4 * logits.abs().max().item())
    assert ours["few"].shape == (1, 5)


@pytest.mark.parametrize("name", MODELS)
def test_the_card_lists_every_key_with_its_shape(name):
    model = load_checkpoint(BUNDLED / name)
    listed = re.findall(r"^(\S+) +(\([\d, ]*\))$", model_card(model.config), re.MULTILINE)
    assert dict(listed) == {key: str(tuple(value.shape)) for key, value in model.state_dict().items()}
