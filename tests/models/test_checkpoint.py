import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from models import (
    MODELS,
    CheckpointError,
    ImageClassifier,
    ModelConfig,
    build_model,
    load_checkpoint,
    load_model,
    save_checkpoint,
    to_dynamic,
)
from models.checkpoint import (
    GOLDEN,
    golden_logits,
    halve,
    pack,
    quantize,
    remove_unfinished,
    types_of,
    unpack,
    write_json,
    write_safely,
)
from models.compact import Compact
from models.resnet import ResNet34
from models.vgg import VGG19

CLASSES = ("n01 red fox", "灰狼", "lynx")


def trained_compact():
    """A small network with weights, running statistics and γ unlike those of a fresh one."""
    model = build_model("compact", num_classes=3)
    with torch.no_grad():
        model.branches["attention"].gamma.fill_(0.3)
        model(torch.randn(4, 3, 16, 16))
    model.config = ModelConfig(
        model="compact",
        arguments=model.arguments,
        class_names=CLASSES,
        synsets=("n1", "n2", "n3"),
        input_size=16,
        mean=(0.4, 0.5, 0.6),
        training={"epochs": 3},
        metrics={"val_accuracy": 0.5},
    )
    return model.eval()


@pytest.fixture
def model():
    return trained_compact()


@pytest.fixture
def folder(model, tmp_path):
    save_checkpoint(model, tmp_path / "saved")
    return tmp_path / "saved"


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder, edit):
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


# Round trips


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_what_is_said_to_be_fp32_is(dtype):
    packed = pack({"weight": torch.ones(2, dtype=dtype), "count": torch.tensor(3)}, "fp32")
    assert packed["weight"].dtype == torch.float32 and packed["count"].dtype == torch.int64


def test_fp32_comes_back_bit_for_bit(model, folder):
    loaded = load_checkpoint(folder).state_dict()
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(loaded[key], value) for key, value in model.state_dict().items())


def test_fp16_comes_back_rounded_to_half(model, tmp_path):
    save_checkpoint(model, tmp_path, storage="fp16")
    loaded = load_checkpoint(tmp_path).state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(loaded[key], value.half().float() if value.is_floating_point() else value)


def test_int8_is_off_by_at_most_half_a_scale(model, tmp_path):
    save_checkpoint(model, tmp_path, storage="int8")
    stored, loaded = load_file(tmp_path / "model.safetensors"), load_checkpoint(tmp_path).state_dict()
    weights = {key: value for key, value in model.state_dict().items() if value.ndim >= 2}
    for key, value in weights.items():
        scale = stored[f"{key}.scale"].view(-1, *[1] * (value.ndim - 1))
        assert stored[key].dtype == torch.int8
        assert ((loaded[key] - value).abs() <= scale / 2 * (1 + 1e-5)).all()


def test_int8_takes_a_quarter_of_the_space(model, tmp_path):
    sizes = {}
    for storage in ("fp32", "int8"):
        save_checkpoint(model, tmp_path / storage, storage=storage)
        sizes[storage] = (tmp_path / storage / "model.safetensors").stat().st_size
    assert sizes["int8"] < 0.3 * sizes["fp32"]


def test_int8_hardly_changes_the_answer(model, tmp_path):
    images = torch.randn(4, 3, 16, 16)
    save_checkpoint(model, tmp_path, storage="int8")
    with torch.no_grad():
        before, after = model(images).softmax(1), load_checkpoint(tmp_path)(images).softmax(1)
    torch.testing.assert_close(after, before, rtol=0, atol=0.02)


def test_every_output_channel_has_a_scale_of_its_own():
    weight = torch.randn(6, 4, 3, 3) * torch.logspace(-3, 2, 6).view(-1, 1, 1, 1)
    rounded, scale = quantize(weight)
    assert scale.shape == (6,)
    torch.testing.assert_close(scale, weight.abs().amax((1, 2, 3)) / 127)
    assert (rounded.abs().amax((1, 2, 3)) == 127).all()


def test_a_row_of_zeros_stays_zero():
    state = {"weight": torch.zeros(2, 3)}
    assert torch.equal(unpack(pack(state, "int8"))["weight"], state["weight"])


def test_a_value_too_large_for_half_is_kept_whole():
    tensor = torch.tensor([1e6, 1.0])
    assert torch.equal(halve(tensor), tensor)


def test_the_config_comes_back(model, folder):
    assert load_checkpoint(folder).config == model.config


def test_the_config_is_readable_text(folder):
    assert "灰狼" in (folder / "config.json").read_text(encoding="utf-8")


def test_a_network_without_a_config_gets_one(tmp_path):
    save_checkpoint(build_model("compact", num_classes=3, fill="appended"), tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert loaded.config.arguments == {"num_classes": 3, "fill": "appended", "blocks": "both"}
    assert loaded.fill == "appended"


def test_a_loaded_network_is_in_eval_mode(folder):
    assert not load_checkpoint(folder).training


def test_loading_takes_a_folder_as_text_or_path(folder):
    first, second = load_model(str(folder), device="cpu"), load_model(folder, device="cpu")
    assert torch.equal(first.classifier.weight, second.classifier.weight)


def test_saving_over_a_checkpoint_replaces_it(model, folder):
    with torch.no_grad():
        model.classifier.bias.add_(1)
    save_checkpoint(model, folder)
    assert torch.equal(load_checkpoint(folder).classifier.bias, model.classifier.bias)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", GOLDEN, "model.safetensors"]


def test_loading_does_not_touch_the_random_state(folder):
    before = torch.get_rng_state()
    load_checkpoint(folder)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("storage", ["fp32", "fp16", "int8"])
def test_golden_logits_reproduce(model, tmp_path, storage):
    save_checkpoint(model, tmp_path, storage=storage)
    golden = load_file(tmp_path / GOLDEN)
    assert golden["input"].shape == (2, 3, 16, 16)
    torch.testing.assert_close(golden_logits(load_checkpoint(tmp_path), golden["input"]), golden["logits"])


def test_the_temperature_is_saved_state(tmp_path):
    model = build_model("dynamic_vgg19", num_classes=2, num_kernels=1, temperature=30.0)
    model.config = ModelConfig(model="dynamic_vgg19", arguments=model.arguments, input_size=32)
    model.set_temperature(7.5)
    assert save_checkpoint(model, tmp_path, storage="int8").temperature == 7.5
    loaded = load_checkpoint(tmp_path)
    assert loaded.temperature == loaded.config.temperature == 7.5


# Failures: each names the file and the remedy


def refused(folder, *words, **options):
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder, **options)
    for word in (str(folder), *words):
        assert word in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path):
    refused(tmp_path / "nowhere", "config.json", "model.safetensors")
    with pytest.raises(CheckpointError, match=r"no checkpoint '.*nowhere'.*vgg19.*folder.*user/name"):
        load_model(tmp_path / "nowhere")


def test_a_missing_config_is_refused(folder):
    (folder / "config.json").unlink()
    refused(folder, "config.json", "a checkpoint folder holds")


def test_missing_weights_are_refused(folder):
    (folder / "model.safetensors").unlink()
    refused(folder, "model.safetensors", "fetch the checkpoint again")


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_weights_are_refused(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(folder, "model.safetensors", "truncated", "fetch it again")


def test_weights_that_are_no_numbers_are_refused(model, folder, tmp_path):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    key = next(key for key, tensor in tensors.items() if tensor.is_floating_point())
    tensors[key].view(-1)[0] = torch.nan
    save_file(tensors, path)
    refused(folder, "NaN or infinity", "fetch the checkpoint again")
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = torch.inf
    with pytest.raises(ValueError, match="are not finite"):
        save_checkpoint(model, tmp_path / "diverged")
    assert not (tmp_path / "diverged").exists()


def test_a_pickle_under_another_name_is_refused_without_being_run(model, folder, tmp_path):
    class Bomb:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'boom')!r}, 'w')",)

    torch.save(model.state_dict() | {"bomb": Bomb()}, folder / "model.safetensors")
    refused(folder, "model.safetensors", "not a safetensors file", "pickled weights", "never read")
    assert not (tmp_path / "boom").exists()


def test_a_git_lfs_pointer_is_refused(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")
    refused(folder, "model.safetensors", "not a safetensors file")


def test_another_architecture_is_refused(folder):
    refused(folder, "config.json", "'compact'", "expected ResNet34", "Compact.from_pretrained", expected=ResNet34)


def test_the_expected_architecture_is_loaded(folder):
    assert isinstance(load_checkpoint(folder, expected=Compact), Compact)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "compact"])
def test_weights_of_another_architecture_are_refused(folder, name):
    edit_config(folder, model=name, arguments={"num_classes": 3}, input_size=32)
    refused(folder, "model.safetensors", f"weights of {name}", "config.json the weights came with")


def test_what_a_killed_process_left_is_removed(folder):
    for name in (".state.safetensors.123.tmp", ".model.safetensors.5.tmp"):
        (folder / name).touch()
    kept = {path.name for path in folder.iterdir() if path.suffix != ".tmp"}
    remove_unfinished(folder)
    remove_unfinished(folder / "nowhere")
    assert {path.name for path in folder.iterdir()} == kept


def test_a_missing_key_is_refused(folder):
    edit_weights(folder, lambda tensors: tensors.pop("classifier.bias"))
    refused(folder, "model.safetensors", "1 differences", "classifier.bias is missing")


def test_an_extra_key_is_refused(folder):
    edit_weights(folder, lambda tensors: tensors.update(surplus=torch.zeros(1)))
    refused(folder, "model.safetensors", "surplus is unknown")


def test_a_wrong_shape_is_refused(folder):
    edit_weights(folder, lambda tensors: tensors.update({"classifier.bias": torch.zeros(4)}))
    refused(folder, "model.safetensors", "classifier.bias is (4,), expected (3,)")


def test_a_scale_of_the_wrong_length_is_refused(model, tmp_path):
    save_checkpoint(model, tmp_path, storage="int8")
    edit_weights(tmp_path, lambda tensors: tensors.update({"classifier.weight.scale": torch.ones(5)}))
    refused(tmp_path, "model.safetensors")


def test_a_missing_scale_is_refused(model, tmp_path):
    save_checkpoint(model, tmp_path, storage="int8")
    edit_weights(tmp_path, lambda tensors: tensors.pop("classifier.weight.scale"))
    refused(tmp_path, "model.safetensors")


def test_a_newer_format_is_refused(folder):
    edit_config(folder, format_version=2)
    refused(folder, "config.json", "format 2", "update the code")


def test_an_unknown_model_is_refused(folder):
    edit_config(folder, model="vgg16")
    refused(folder, "config.json", "'vgg16'", "vgg19, dynamic_vgg19, adaptive_vgg19, compact, resnet34")


@pytest.mark.parametrize(
    "arguments", [{"num_classes": 3, "depth": 9}, {"num_classes": "three"}, {"blocks": "all"}, [3]]
)
def test_arguments_that_do_not_fit_are_refused(folder, arguments):
    edit_config(folder, arguments=arguments)
    refused(folder, "config.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"model": "compact"}', "\u0000"])
def test_a_broken_config_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    refused(folder, "config.json", "fetch the checkpoint again")


def test_an_unknown_storage_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="unknown storage 'int4'; known are fp32, fp16, int8"):
        save_checkpoint(model, tmp_path, storage="int4")


def test_a_failed_save_leaves_the_old_checkpoint(model, folder, monkeypatch):
    def fail(tensors, path, **options):
        path.write_bytes(b"half")
        raise OSError("disk full")

    before = (folder / "model.safetensors").read_bytes()
    monkeypatch.setattr("models.checkpoint.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(model, folder)
    assert (folder / "model.safetensors").read_bytes() == before


def test_the_saved_config_describes_the_storage(model, tmp_path):
    config = save_checkpoint(model, tmp_path, storage="int8")
    assert config == replace(model.config, storage="int8")


@pytest.mark.parametrize(
    "changes",
    [
        {"input_size": 0},
        {"crop_pct": 0},
        {"crop_pct": 1.1},
        {"metrics": {"calibration_temperature": 0}},
        {"metrics": {"calibration_temperature": "warm"}},
        {"metrics": {"calibration_temperature": [1.0, 0]}},
        {"metrics": {"calibration_temperature": []}},
        {"metrics": {"unsure_below": 1.5}},
        {"mean": ["a", "b", "c"]},
        {"mean": [0.5, 0.5]},
        {"bands": ["R", "NIR"]},
        {"std": [0.5, 0, 0.5]},
        {"class_names": ["one"]},
        {"class_names": [1, 2, 3]},
        {"arguments": {"num_classes": 3, "blocks": "none", "fill": "middle"}},
    ],
    ids=str,
)
def test_a_config_that_contradicts_itself_is_refused(folder, changes):
    edit_config(folder, **changes)
    refused(folder, "config.json")


@pytest.mark.parametrize("bands", [["b", "nir"], [0.49, 0.842], ["B", "XY"], ["0.490"]])
def test_bands_are_written_as_they_are_spelled(tmp_path, bands):
    save_checkpoint(build_model("adaptive_vgg19", num_classes=2), tmp_path)
    edit_config(tmp_path, bands=bands)
    refused(tmp_path, "bands cannot be")


def test_a_whole_number_is_good_where_any_number_is(folder):
    edit_config(folder, crop_pct=1)
    assert load_checkpoint(folder).config.crop_pct == 1


def test_weights_of_another_type_are_refused(folder):
    edit_weights(folder, lambda tensors: tensors.update({"stem.0.bias": tensors["stem.0.bias"].long()}))
    refused(folder, "stem.0.bias is torch.int64, expected torch.float32")


def test_a_scale_without_weights_is_refused(folder):
    edit_weights(folder, lambda tensors: tensors.update({"foo.scale": torch.ones(3)}))
    refused(folder, "foo.scale is unknown")


def test_writing_through_a_link_leaves_the_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "result.json", tmp_path / "elsewhere" / "result.json"
    link.symlink_to(target)
    write_json(link, {"a": 1})
    assert link.is_symlink() and target.read_text() == '{\n  "a": 1\n}\n'


def test_a_converted_network_leaves_the_checkpoint_it_came_from(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match=r"this compact has other layers than its arguments make .*; of a compiled"):
        save_checkpoint(to_dynamic(load_checkpoint(folder)), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_saving_the_huggingface_way_is_whole_or_not_at_all_and_renews_the_card(folder):
    model = load_checkpoint(folder)
    (folder / "README.md").write_text("of other weights")
    model.save_pretrained(folder)
    assert "of other weights" not in (folder / "README.md").read_text()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="this compact has other layers"):
        to_dynamic(model).save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": ("ant", "bee")}, "it names 2 classes for "),
        ({"class_names": ("ant", "bee", "ant")}, "class_names has 'ant' more than once"),
        ({"input_size": 7}, "input_size cannot be 7, compact needs 8 px or more"),
        ({"metrics": {"val_accuracy": np.float32(0.7)}}, "float32 is not JSON serializable"),
    ],
)
def test_a_config_that_could_not_be_read_again_leaves_the_checkpoint(folder, changes, message):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model = load_checkpoint(folder)
    model.config = replace(model.config, **changes)
    with pytest.raises(ValueError, match=f"the config of this compact does not fit: .*{message}"):
        model.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_option_of_pushing_alone_is_not_ignored_when_saving(folder):
    with pytest.raises(TypeError, match="got 'storage', which is for push_to_hub=True"):
        load_checkpoint(folder).save_pretrained(folder, storage="int8")


@pytest.mark.parametrize(
    ("annotation", "types"), [(float | None, (float, type(None))), (tuple[str, ...], tuple), (dict, dict), (int, int)]
)
def test_annotations_become_types_to_compare_with(annotation, types):
    assert types_of(annotation) == types


@pytest.mark.parametrize("arguments", [{"name": "x"}, {"num_classes": 10**400}])
def test_arguments_that_no_network_can_have_are_a_damaged_config(folder, arguments):
    edit_config(folder, arguments=arguments, class_names=[])
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_checkpoint(folder)


@pytest.mark.parametrize("changes", [{"input_size": True}, {"input_size": 10**400}, {"crop_pct": 10**400}])
def test_values_that_cannot_be_are_refused(folder, changes):
    edit_config(folder, **changes)
    with pytest.raises(CheckpointError, match=f"{next(iter(changes))} cannot be"):
        load_checkpoint(folder)


def test_a_config_nested_without_end_is_refused(folder):
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="is not a DynConv Lab config"):
        load_checkpoint(folder)


def test_weights_load_whatever_type_new_tensors_have(folder):
    torch.set_default_dtype(torch.float64)
    try:
        assert next(load_checkpoint(folder).parameters()).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_another_registered_network_is_not_what_was_expected_though_derived_from_it(tmp_path):
    save_checkpoint(build_model("adaptive_vgg19", num_classes=2, width=0.05), tmp_path)
    assert load_checkpoint(tmp_path, expected=ImageClassifier).name == "adaptive_vgg19"
    with pytest.raises(CheckpointError, match="expected VGG19"):
        load_checkpoint(tmp_path, expected=VGG19)


def test_a_full_disk_is_an_error_of_the_disk(tmp_path):
    def write(path):
        raise SafetensorError("No space left on device")

    with pytest.raises(OSError, match=r"weights could not be written: No space left"):
        write_safely(tmp_path / "weights", write)


def test_a_loaded_network_does_not_follow_what_its_file_becomes(folder, tmp_path):
    images = torch.randn(2, 3, 16, 16)
    loaded = load_checkpoint(folder)
    before = golden_logits(loaded, images)
    other = trained_compact()
    other.config = loaded.config
    save_checkpoint(other, tmp_path / "other")
    (folder / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    assert torch.equal(golden_logits(loaded, images), before)
