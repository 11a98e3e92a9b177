import base64
import io
import struct
import zlib
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from gradio.data_classes import ImageData
from PIL import Image

from demo.pictures import FORMATS, MAX_MEGABYTES, WORKING_SIZE, open_picture, readable
from demo.text import FriendlyError
from demo.ui import LAUNCH
from demo.widgets import PictureInput
from models.pictures import to_rgb

GREY = (120, 120, 120)


def gradient(size=(40, 30)) -> Image.Image:
    """Dark left, bright right."""
    return Image.linear_gradient("L").rotate(90).resize(size)


def left_and_right(picture: Image.Image) -> tuple[float, float]:
    values = np.asarray(picture.convert("L"), dtype=float)
    return values[:, :4].mean(), values[:, -4:].mean()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1", "I;16", "I", "F"])
def test_a_picture_of_any_mode_opens_as_rgb(mode, save):
    deep = mode[0] in "IF"
    picture = Image.new(mode, (20, 10), 30000) if deep else Image.new("RGB", (20, 10), GREY).convert(mode)
    opened = open_picture(save("any.tiff" if deep else "any.png", picture))
    assert (opened.mode, opened.size) == ("RGB", (20, 10))


@pytest.mark.parametrize("name", ["any.jpg", "any.webp", "any.avif", "any.bmp", "any.tiff", "any.gif"])
def test_a_common_format_keeps_its_picture(name, save):
    left, right = left_and_right(open_picture(save(name, gradient().convert("RGB"))))
    assert right - left > 150


def test_transparency_is_composited_on_white(save):
    opened = open_picture(save("clear.png", Image.new("RGBA", (8, 8), (0, 0, 0, 0))))
    assert opened.getpixel((4, 4)) == (255, 255, 255)


def test_a_transparent_palette_is_composited_on_white(save):
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    assert open_picture(save("palette.png", picture, transparency=0)).getpixel((4, 4)) == (255, 255, 255)


def test_a_phone_photo_is_turned_upright(save):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    assert open_picture(save("phone.jpg", Image.new("RGB", (40, 20)), exif=exif)).size == (20, 40)
    assert open_picture(save("deep.png", Image.new("I;16", (40, 20)), exif=exif)).size == (20, 40)


@pytest.mark.parametrize("exif", [b"Exif\0\0" + bytes(40), b"Exif\0\0II*\0", b"Exif\0\0" + bytes(range(60)), b"?"])
@pytest.mark.parametrize("name", ["phone.jpg", "phone.png", "phone.webp"])
def test_damaged_notes_of_a_camera_do_not_hide_the_picture(save, name, exif):
    path = save(name, gradient().convert("RGB"), exif=exif)
    left, right = left_and_right(open_picture(path))
    assert right - left > 150
    with Image.open(path) as picture:
        assert to_rgb(picture).size == (40, 30)


def test_damaged_pixels_are_an_error_at_the_first_look(save):
    path = Path(save("broken.png", gradient((200, 200)).convert("RGB")))
    content = bytearray(path.read_bytes())
    middle = content.index(b"IDAT") + 10
    content[middle : middle + 20] = b"\xff" * 20  # damaged, not cut short
    path.write_bytes(content)
    with Image.open(path) as picture, pytest.raises((OSError, SyntaxError)):
        to_rgb(picture)


def test_a_16_bit_grey_picture_keeps_its_shades(save):
    values = np.linspace(0, 65535, 64, dtype=np.uint16)[None].repeat(16, 0)
    left, right = left_and_right(open_picture(save("deep.png", Image.fromarray(values))))
    assert left < 20
    assert right > 235


def test_cmyk_opens_as_rgb(save):
    assert open_picture(save("print.jpg", Image.new("CMYK", (9, 9), (0, 255, 255, 0)))).mode == "RGB"


def test_an_animation_shows_its_first_frame(save):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    red, _, blue = open_picture(save("moving.gif", frames[0], save_all=True, append_images=frames[1:])).getpixel((4, 4))
    assert red > 200 > 60 > blue


def test_a_tiny_picture_opens(save):
    assert open_picture(save("dot.png", Image.new("RGB", (1, 1), GREY))).size == (1, 1)


def test_a_thin_picture_keeps_at_least_a_pixel(save):
    assert min(open_picture(save("line.png", Image.new("L", (4000, 1)))).size) == 1


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
def test_a_large_picture_is_reduced(name, save):
    opened = open_picture(save(name, Image.new("RGB", (4000, 3000), GREY)))
    assert opened.size == (WORKING_SIZE, WORKING_SIZE * 3 // 4)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    """A PNG that claims 30,000 x 30,000 pixels, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(FriendlyError, match="50 megapixels"):
        open_picture(path)


def test_a_file_above_20_megabytes_is_refused_with_its_size(tmp_path):
    path = tmp_path / "scan.png"
    with path.open("wb") as file:
        file.truncate(24_500_000)
    with pytest.raises(FriendlyError, match=r"24\.5 MB; at most 20 MB") as caught:
        open_picture(path)
    assert "24.5 MB，最多 20 MB" in caught.value.in_language("zh-TW")


def test_gradios_own_limit_leaves_room_for_our_sentence():
    assert int(LAUNCH["max_file_size"].removesuffix("mb")) >= 2 * MAX_MEGABYTES


@pytest.mark.parametrize("content", [b"just some text", b"", b"\xff\xd8\xff\xe0 cut off", b"<svg></svg>"])
def test_what_is_no_picture_gets_one_friendly_sentence(content, tmp_path):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    with pytest.raises(FriendlyError, match="please try a JPEG, PNG or WebP") as caught:
        open_picture(path)
    assert str(tmp_path) not in str(caught.value)


def test_a_file_that_would_start_another_program_is_not_opened(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n")
    with Image.open(path) as picture:
        assert picture.format == "EPS"  # by whatever name
    with pytest.raises(FriendlyError, match="please try a JPEG, PNG or WebP"):
        open_picture(path)


def test_every_format_is_known_to_pillow():
    Image.init()
    assert set(readable()) == {*FORMATS} & {*Image.OPEN} and {"JPEG", "PNG", "WEBP"} <= {*readable()}


def test_a_truncated_photo_gets_the_same_sentence(save):
    path = save("cut.png", Image.effect_noise((200, 200), 90))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(FriendlyError, match="cannot be read"):
        open_picture(path)


def test_a_picture_that_the_server_has_deleted_is_to_be_chosen_again(tmp_path):
    with pytest.raises(FriendlyError, match="no longer on the server"):
        open_picture(tmp_path / "holiday.jpg")


def test_a_program_may_send_the_picture_itself(lion):
    buffer = io.BytesIO()
    lion.save(buffer, "png")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    path = PictureInput().preprocess(ImageData(url=url))
    assert open_picture(path).tobytes() == lion.tobytes()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("data:image/png,hello", "cannot be read"),
        ("data:image/png;base64," + "A" * 27_000_000, "20.3 MB; at most 20"),
    ],
)
def test_a_picture_sent_badly_gets_a_sentence(url, words):
    with pytest.raises(gr.Error, match=words):
        PictureInput().preprocess(ImageData(url=url))


def test_whatever_a_decoder_raises_is_an_unreadable_picture(tmp_path, lion, monkeypatch):
    lion.save(tmp_path / "lion.png")

    def fail(self):
        raise RuntimeError("Failed to decode frame 0")  # as Pillow does for damaged AVIF files

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(FriendlyError, match="cannot be read"):
        open_picture(tmp_path / "lion.png")


@pytest.mark.parametrize("place", ["{0}/secret.png", "{1}/../secret.png", "/etc/passwd", "/nowhere.png"])
def test_other_files_of_the_server_are_not_read(tmp_path, lion, monkeypatch, place):
    (tmp_path / "uploads").mkdir()
    lion.save(tmp_path / "secret.png")
    lion.save(tmp_path / "uploads" / "mine.png")
    component = PictureInput()
    monkeypatch.setattr(component, "GRADIO_CACHE", str(tmp_path / "uploads"))
    with pytest.raises(gr.Error, match="no longer on the server"):
        component.preprocess(ImageData(path=place.format(tmp_path, tmp_path / "uploads")))
    mine = str(tmp_path / "uploads" / "mine.png")
    assert component.preprocess(ImageData(path=mine)) == mine


def test_a_picture_that_was_sent_is_deleted_with_the_uploads():
    component = PictureInput()
    path = component.preprocess(ImageData(url="data:image/gif;base64,R0lGODlhAQABAAAAACw="))
    assert path in component.temp_files


def test_no_picture_asks_for_one():
    with pytest.raises(FriendlyError, match="upload one on the Channels page, or choose an example"):
        open_picture(None)
