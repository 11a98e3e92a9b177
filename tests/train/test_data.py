import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demo.pictures import open_picture
from train.data import DataError, EpochSampler, Pictures, Split, load_split, make_loader, mix_seed, read_picture


def write_picture(path: Path, mode: str = "RGB", size: tuple[int, int] = (20, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


@pytest.fixture
def lists(tmp_path) -> Path:
    """Two classes, three pictures, one name with spaces."""
    for name in ("n01/a.JPEG", "n01/b c (1).JPEG", "n02/d.JPEG"):
        write_picture(tmp_path / "images" / name)
    (tmp_path / "train.txt").write_text("images/n01/a.JPEG 0\nimages/n01/b c (1).JPEG 0\nimages/n02/d.JPEG 1\n")
    return tmp_path


@pytest.fixture
def class_folders(tmp_path) -> Path:
    """Class folders alone: 2 x 40 pictures."""
    picture = write_picture(tmp_path / "cat" / "000.png").read_bytes()
    for name in ("cat", "dog"):
        for number in range(40):
            path = tmp_path / name / f"{number:03}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(picture)
    return tmp_path


def rewrite(path: Path, before: str, after: str) -> None:
    path.write_bytes(path.read_bytes().replace(before.encode(), after.encode()))


# Lists


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "\n", "\n\n  \n"])
def test_lists_may_end_their_lines_either_way_and_trail_blank_ones(lists, line_end, tail):
    text = (lists / "train.txt").read_text().strip() + tail
    (lists / "train.txt").write_bytes(text.replace("\n", line_end).encode())
    split = load_split(lists, "train")
    assert [path.name for path in split.paths] == ["a.JPEG", "b c (1).JPEG", "d.JPEG"]
    assert split.labels == (0, 0, 1) and split.skipped == 0


def test_a_byte_order_mark_is_not_part_of_the_first_name(lists):
    (lists / "train.txt").write_bytes(b"\xef\xbb\xbf" + (lists / "train.txt").read_bytes())
    assert load_split(lists, "train").paths[0] == lists / "images/n01/a.JPEG"


def test_classes_are_named_by_their_folders(lists):
    split = load_split(lists, "train")
    assert split.synsets == split.class_names == ("n01", "n02")


def test_classes_txt_may_name_folders_of_several_words(tmp_path):
    write_picture(tmp_path / "images" / "polar bear" / "1.png")
    write_picture(tmp_path / "images" / "brown bear" / "1.png")
    (tmp_path / "train.txt").write_text("images/polar bear/1.png 0\nimages/brown bear/1.png 1\n")
    (tmp_path / "classes.txt").write_text("polar bear\nbrown bear\n")
    split = load_split(tmp_path, "train")
    assert split.synsets == split.class_names == ("polar bear", "brown bear")
    (tmp_path / "val.txt").write_text("images/polar bear/1.png 0\n")  # none of the other class
    assert load_split(tmp_path, "val").synsets == split.synsets
    (tmp_path / "classes.txt").write_text("red fox\nred deer\n")
    with pytest.raises(DataError, match=r"classes.txt has 'red' more than once; a line is '<folder> <name>'"):
        load_split(tmp_path, "train")


def test_classes_txt_names_the_classes(lists):
    (lists / "classes.txt").write_bytes(b"\xef\xbb\xbfn01 red fox\r\nn02 lynx\r\nn03\r\n\r\n")  # as Notepad saves
    split = load_split(lists, "train")
    assert split.synsets == ("n01", "n02", "n03") and split.class_names == ("red fox", "lynx", "n03")


@pytest.mark.parametrize("name", ["train.txt", "classes.txt"])
def test_a_list_that_is_not_utf8_is_named(lists, name):
    (lists / name).write_text("n01 red fox\n", encoding="utf-16")
    with pytest.raises(DataError, match=rf"{name} is not UTF-8 text; save it as that"):
        load_split(lists, "train")


def test_classes_of_one_name_are_told_apart_by_their_folders(lists):
    (lists / "classes.txt").write_text("n01 crane\nn02 crane\nn03 lynx\n")
    assert load_split(lists, "train").class_names == ("crane (n01)", "crane (n02)", "lynx")


@pytest.mark.parametrize("line", ["images/n01/a.JPEG", "0", "images/n01/a.JPEG one", "images/n01/a.JPEG -1", "a ²"])
def test_a_malformed_line_is_refused_with_its_number(lists, line):
    rewrite(lists / "train.txt", "images/n01/b c (1).JPEG 0", line)
    with pytest.raises(DataError, match=r"train\.txt line 2: expected '<path> <label>', got '"):
        load_split(lists, "train")


def test_a_label_beyond_the_classes_is_refused(lists):
    (lists / "classes.txt").write_text("n01 red fox\n")
    with pytest.raises(DataError, match=r"train\.txt has label 1, but .*classes\.txt names only 1 classes"):
        load_split(lists, "train")


@pytest.mark.parametrize("text", ["", "\r\n \r\n"])
def test_an_empty_list_is_refused(lists, text):
    (lists / "train.txt").write_text(text)
    with pytest.raises(DataError, match=r"split 'train' of .* is empty; it needs at least one picture"):
        load_split(lists, "train")


def test_the_first_pictures_of_each_class_are_taken_in_order(lists):
    split = load_split(lists, "train").first_of_each_class(1)
    assert [path.name for path in split.paths] == ["a.JPEG", "d.JPEG"] and split.labels == (0, 1)
    assert len(load_split(lists, "train").first_of_each_class(9)) == 3


def test_a_label_that_is_another_folders_class_is_refused(lists):
    (lists / "classes.txt").write_text("n02 lynx\nn01 fox\n")
    with pytest.raises(DataError, match=r"train.txt gives images/n01/a.JPEG the label 0, but classes.txt gives n01 1"):
        load_split(lists, "train")
    lines = [f"{lists / line}\n" for line in (lists / "train.txt").read_text().splitlines()]
    (lists / "elsewhere").mkdir()
    (lists / "elsewhere" / "train.txt").write_text("".join(lines))
    (lists / "elsewhere" / "classes.txt").write_text("n02 lynx\nn01 fox\n")
    with pytest.raises(DataError, match=r"train.txt gives /.*/images/n01/a.JPEG the label 0"):
        load_split(lists / "elsewhere", "train")


@pytest.mark.parametrize("labels", [(0, 1, 2), (0, 0, 0)])
def test_folders_that_do_not_tell_the_classes_need_their_names(lists, labels):
    paths = [line.rpartition(" ")[0] for line in (lists / "train.txt").read_text().splitlines()]
    lines = [f"{path} {label}" for path, label in zip(paths, labels, strict=True)]
    (lists / "train.txt").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"do not tell the classes: .* name the classes in .*classes.txt, a line"):
        load_split(lists, "train")
    (lists / "classes.txt").write_text("zero\none\ntwo\n")
    assert load_split(lists, "train").labels == labels


# Unreadable pictures


def test_missing_and_unreadable_pictures_stop_with_their_count_and_paths(lists):
    (lists / "images/n01/a.JPEG").unlink()
    (lists / "images/n02/d.JPEG").write_bytes(b"not a picture")
    with pytest.raises(
        DataError,
        match=r"(?s)2 of 3 pictures.*a\.JPEG: .*No such file.*\n.*d\.JPEG: cannot identify.*\n.*--skip-unreadable",
    ):
        load_split(lists, "train")


def test_a_truncated_picture_is_unreadable(lists):
    path = lists / "images/n01/a.JPEG"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"1 of 3 pictures cannot be used:\n.*a\.JPEG"):
        load_split(lists, "train")


def test_only_the_first_paths_are_shown(lists):
    (lists / "train.txt").write_text("".join(f"images/n01/missing{number}.JPEG 0\n" for number in range(9)))
    with pytest.raises(DataError, match=r"(?s)9 of 9 .*missing4\.JPEG: .*\n  …") as caught:
        load_split(lists, "train")
    assert "missing5" not in str(caught.value)


def test_unreadable_pictures_can_be_left_out_and_are_counted(lists):
    (lists / "images/n01/a.JPEG").unlink()
    split = load_split(lists, "train", skip_unreadable=True)
    assert split.skipped == 1 and [path.name for path in split.paths] == ["b c (1).JPEG", "d.JPEG"]
    assert split.labels == (0, 1) and split.synsets == ("n01", "n02")


def test_leaving_out_every_picture_is_refused(lists):
    for path in lists.glob("images/*/*"):
        path.unlink()
    with pytest.raises(DataError, match="none of the 3 pictures can be read"):
        load_split(lists, "train", skip_unreadable=True)


# Folders


def test_split_folders_are_read_as_they_are(tmp_path):
    for name in ("train/cat/1.png", "train/cat/2.jpg", "train/dog/3.webp", "val/cat/4.png", "val/dog/5.png"):
        write_picture(tmp_path / name)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not a picture")
    split = load_split(tmp_path, "train")
    assert [path.name for path in split.paths] == ["1.png", "2.jpg", "3.webp"]
    assert split.labels == (0, 0, 1) and split.class_names == ("cat", "dog")
    assert len(load_split(tmp_path, "val")) == 2


def test_hidden_files_and_folders_are_left_out(tmp_path):
    for name in ("cat/1.png", "cat/._1.png", "cat/.thumbnails/1.png", ".ipynb_checkpoints/1.png"):
        write_picture(tmp_path / "train" / name)
    split = load_split(tmp_path, "train")
    assert split.synsets == ("cat",) and [path.name for path in split.paths] == ["1.png"]


@pytest.mark.parametrize("name", ["Train", "validation"])
def test_a_misspelt_split_is_not_a_class(tmp_path, name):
    for folder in (name, "Test"):
        write_picture(tmp_path / folder / "cat" / "1.png")
    if (tmp_path / "test").is_dir():
        pytest.skip("the disk does not tell Test from test")
    with pytest.raises(DataError, match=rf"holds .*{name}.*, which would be classes; name .* train, val, test"):
        load_split(tmp_path, "train")


def test_class_folders_are_split_into_disjoint_parts_that_cover_all(class_folders):
    parts = {name: set(load_split(class_folders, name).paths) for name in ("train", "val", "test")}
    assert sum(len(part) for part in parts.values()) == 80
    assert set.union(*parts.values()) == set(class_folders.rglob("*.png"))


def test_class_folders_are_split_80_10_10(class_folders):
    sizes = [len(load_split(class_folders, name)) for name in ("train", "val", "test")]
    assert 50 < sizes[0] < 75 and all(2 < size < 16 for size in sizes[1:])


def test_adding_pictures_moves_none(class_folders):
    before = set(load_split(class_folders, "val").paths)
    for number in range(100, 140):
        write_picture(class_folders / "cat" / f"{number}.png")
    assert before < set(load_split(class_folders, "val").paths)


def test_the_split_does_not_depend_on_where_the_folder_lies(class_folders, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "moved"
    before = {path.name for path in load_split(class_folders, "test").paths if path.parent.name == "dog"}
    class_folders.rename(elsewhere)
    assert {path.name for path in load_split(elsewhere, "test").paths if path.parent.name == "dog"} == before


def test_every_part_knows_all_classes(class_folders):
    assert {load_split(class_folders, name).synsets for name in ("train", "val", "test")} == {("cat", "dog")}


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*nowhere; --data-root is the folder that holds the pictures"):
        load_split(tmp_path / "nowhere", "train")


def test_a_folder_without_classes_is_refused(tmp_path):
    write_picture(tmp_path / "a.png")
    with pytest.raises(DataError, match="holds no class folders; put each class's pictures in a folder of its own"):
        load_split(tmp_path, "train")


def test_a_missing_split_is_refused(lists):
    with pytest.raises(
        DataError, match=r"has other splits but neither val\.txt nor val/; add one of them, or take another split"
    ):
        load_split(lists, "val")


def test_an_unknown_split_is_refused(lists):
    with pytest.raises(DataError, match="unknown split 'dev'; known are train, val, test"):
        load_split(lists, "dev")


# Pictures


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("L", "a.png"),
        ("1", "a.png"),
        ("P", "a.png"),
        ("P", "a.gif"),
        ("LA", "a.png"),
        ("RGBA", "a.png"),
        ("CMYK", "a.jpg"),
    ],
)
def test_every_kind_of_picture_becomes_rgb(tmp_path, mode, name):
    picture = read_picture(write_picture(tmp_path / name, mode))
    assert picture.mode == "RGB" and picture.size == (20, 16)


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    pixels = np.asarray(read_picture(tmp_path / "deep.png"))[..., 0].astype(int)
    assert abs(pixels - levels / 257).max() <= 0.5


def test_training_sees_a_picture_as_the_demo_shows_it(tmp_path):
    """Turned upright and on white: a network trained on photographs as they lie on disk would see others later."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    picture = Image.linear_gradient("L").resize((20, 16)).convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").rotate(90).resize((20, 16)))
    picture.save(tmp_path / "a.png", exif=exif)
    assert read_picture(tmp_path / "a.png").size == (16, 20)
    assert read_picture(tmp_path / "a.png").tobytes() == open_picture(tmp_path / "a.png").tobytes()


def split_of(folder: Path, count: int = 6) -> Split:
    paths = tuple(write_picture(folder / f"{number}.png", size=(30 + number, 24)) for number in range(count))
    return Split(paths, tuple(n % 2 for n in range(count)), ("a", "b"), ("a", "b"))


def augmented(folder: Path, *, epoch: int = 0, seed: int = 0) -> Pictures:
    pictures = Pictures(split_of(folder), size=16, crop_scale=0.35, seed=seed)
    pictures.start(size=16, epoch=epoch)
    return pictures


def test_a_picture_is_bytes_of_the_asked_size(tmp_path):
    pictures = Pictures(split_of(tmp_path), size=16)
    pixels, label = pictures[3]
    assert pixels.shape == (3, 16, 16) and pixels.dtype == torch.uint8 and label == 1
    pictures.start(size=24, epoch=0)
    assert pictures[3][0].shape == (3, 24, 24)


def test_without_augmentation_a_picture_is_always_the_same(tmp_path):
    pictures = Pictures(split_of(tmp_path), size=16)
    first = pictures[0][0]
    pictures.start(size=16, epoch=5)
    assert torch.equal(pictures[0][0], first)


def test_augmentation_repeats_for_the_same_seed_epoch_and_index(tmp_path):
    first = augmented(tmp_path)[2][0]
    torch.manual_seed(1234)
    assert torch.equal(augmented(tmp_path)[2][0], first)


@pytest.mark.parametrize("change", [{"epoch": 1}, {"seed": 1}])
def test_augmentation_changes_with_seed_and_epoch(tmp_path, change):
    same, other = augmented(tmp_path), augmented(tmp_path, **change)
    assert any(not torch.equal(same[index][0], other[index][0]) for index in range(3))


def test_augmentation_leaves_the_random_state_alone(tmp_path):
    before = torch.get_rng_state()
    augmented(tmp_path)[0]
    assert torch.equal(torch.get_rng_state(), before)


def test_augmentation_and_order_do_not_depend_on_the_number_of_workers(tmp_path):
    epochs = []
    for workers in (0, 1, 2):
        loader = make_loader(augmented(tmp_path, epoch=3), batch_size=2, workers=workers, seed=7)
        loader.sampler.epoch = 3
        epochs.append([torch.cat([pixels.flatten(), labels]) for pixels, labels in loader])
    for batches in epochs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(epochs[0], batches, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_next_pass_of_the_same_loader_is_of_its_own_size_and_epoch(tmp_path, workers):
    pictures = augmented(tmp_path)
    loader = make_loader(pictures, batch_size=2, workers=workers, seed=7)
    assert loader.persistent_workers == (workers > 0)
    first = torch.cat([pixels for pixels, _ in loader])
    pictures.start(size=24, epoch=1)
    assert torch.cat([pixels for pixels, _ in loader]).shape == (6, 3, 24, 24)
    pictures.start(size=16, epoch=1)
    second = torch.cat([pixels for pixels, _ in loader])
    assert second.shape == first.shape and not torch.equal(second, first)
    pictures.start(size=16, epoch=0)
    assert torch.equal(torch.cat([pixels for pixels, _ in loader]), first)


def test_the_order_changes_with_the_epoch_and_loses_nothing():
    sampler = EpochSampler(50, seed=0)
    first = list(sampler)
    assert list(sampler) == first and sorted(first) == list(range(50)) != first
    sampler.epoch = 1
    assert sorted(sampler) == sorted(first) and list(sampler) != first


def test_training_drops_a_short_last_batch_and_evaluation_keeps_it(tmp_path):
    pictures = Pictures(split_of(tmp_path), size=8)
    assert [len(labels) for _, labels in make_loader(pictures, batch_size=4, workers=0, seed=0)] == [4]
    assert [len(labels) for _, labels in make_loader(pictures, batch_size=4, workers=0)] == [4, 2]


def test_fewer_pictures_than_a_batch_are_one_short_batch(tmp_path):
    pictures = Pictures(split_of(tmp_path), size=8)
    assert [len(labels) for _, labels in make_loader(pictures, batch_size=64, workers=0, seed=0)] == [6]


def test_seeds_differ_by_every_part_and_position():
    seeds = {mix_seed(*parts) for parts in [(0,), (0, 0), (0, 1), (1, 0), (0, 0, -1), (0, 0, 0)]}
    assert len(seeds) == 6 and all(0 <= seed < 2**63 for seed in seeds)


def test_a_decompression_bomb_is_unreadable(lists, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="3 of 3 pictures"):
        load_split(lists, "train")


def test_crops_show_things_in_the_shape_that_the_whole_resized_to_a_square_shows_them(tmp_path):
    across, down = np.meshgrid(np.linspace(0, 255, 200), np.linspace(0, 255, 80))
    Image.fromarray(np.stack([across, down, down], axis=2).astype(np.uint8)).save(tmp_path / "wide.png")
    split = Split((tmp_path / "wide.png",) * 40, (0,) * 40, ("a",), ("a",))
    shares = []
    for pixels, _ in Pictures(split, size=32, crop_scale=0.3):
        width, height = ((part.max() - part.min()).item() for part in pixels[:2].float())
        shares.append(width / height)  # 1 where a crop has the shape of the picture
    assert 0.7 < min(shares) < 0.9 and 1.1 < max(shares) < 1.43


def test_files_with_other_endings_are_told_of_once(class_folders, capsys):
    for name in ("cat/a.heic", "cat/b.heic", "dog/notes", "dog/.hidden.heic"):
        (class_folders / name).write_bytes(b"")
    for split in ("train", "val"):
        load_split(class_folders, split)
    told = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert len(told) == 1 and told[0].endswith("are left out (2 of .heic, 1 of no ending)")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_not_utf_8_is_a_name(class_folders):
    odd = os.fsencode(class_folders / "cat") + b"/caf\xe9.png"
    shutil.copy(class_folders / "cat" / "000.png", odd)
    assert sum(len(load_split(class_folders, split)) for split in ("train", "val", "test")) == 81


def test_pictures_that_browsers_save_are_pictures(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "train" / "a" / "moving.gif", save_all=True, append_images=frames[1:])
    frames[1].save(tmp_path / "train" / "a" / "photo.jfif", format="JPEG")
    split = load_split(tmp_path, "train")
    assert [path.name for path in split.paths] == ["moving.gif", "photo.jfif"]
    assert Pictures(split, size=8)[0][0][:, 4, 4].tolist() == [255, 0, 0]  # the first of the moving ones
