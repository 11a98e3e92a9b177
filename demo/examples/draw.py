"""Draws the three drawn example pictures: ``python demo/examples/draw.py``. Same seed, same pictures."""

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

FOLDER = Path(__file__).resolve().parent
SIZE = 1024  # drawn large, saved at a quarter: smooth edges


def backdrop(rng: np.random.Generator, top: tuple, bottom: tuple, blobs: int = 40) -> Image.Image:
    """A soft, out-of-focus background between two colours."""
    mix = np.linspace(0, 1, SIZE)[:, None, None]
    gradient = (np.array(top) * (1 - mix) + np.array(bottom) * mix).repeat(SIZE, axis=1)
    picture = Image.fromarray(gradient.astype(np.uint8))
    draw = ImageDraw.Draw(picture, "RGBA")
    for _ in range(blobs):
        x, y, r = rng.uniform(0, SIZE), rng.uniform(0, SIZE), rng.uniform(30, 160)
        shade = int(rng.uniform(0, 255))
        draw.ellipse((x - r, y - r, x + r, y + r), (shade, shade, shade // 2, 22))
    return picture.filter(ImageFilter.GaussianBlur(40))


def sphere(colour: tuple, rng: np.random.Generator, light: tuple = (-0.4, -0.5, 0.75), grain: float = 0.05):
    """A lit ball on the unit square: (SIZE, SIZE, 3) pixels and its mask."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    z = np.sqrt(np.clip(1 - x**2 - y**2, 0, None))
    light = np.array(light) / np.linalg.norm(light)
    shade = np.clip(x * light[0] + y * light[1] + z * light[2], 0, 1)
    texture = Image.fromarray((rng.random((256, 256)) * 255).astype(np.uint8)).resize((SIZE, SIZE), Image.BICUBIC)
    bumps = 1 + grain * (np.asarray(texture) / 255 - 0.5) * 4
    pixels = np.array(colour) * (0.25 + 0.8 * shade * bumps)[..., None] + 180 * (shade**30)[..., None]
    mask = ((x**2 + y**2) <= 1) * 255
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), Image.fromarray(mask.astype(np.uint8))


def paste_ball(picture: Image.Image, ball: tuple, box: tuple[int, int, int, int]) -> None:
    size = (box[2] - box[0], box[3] - box[1])
    picture.paste(ball[0].resize(size), box[:2], ball[1].resize(size))


def shadow(picture: Image.Image, box: tuple, darkness: int = 150) -> Image.Image:
    layer = Image.new("L", picture.size, 0)
    ImageDraw.Draw(layer).ellipse(box, darkness)
    return Image.composite(Image.new("RGB", picture.size, "black"), picture, layer.filter(ImageFilter.GaussianBlur(28)))


def orange(rng: np.random.Generator) -> Image.Image:
    picture = backdrop(rng, (226, 220, 208), (150, 118, 88))
    for box in ((420, 300, 940, 820), (110, 380, 640, 910)):
        picture = shadow(picture, (box[0] + 20, box[3] - 110, box[2] + 60, box[3] + 30))
        paste_ball(picture, sphere((255, 138, 18), rng), box)
        x, y = (box[0] + box[2]) // 2 + 30, box[1] + 95
        ImageDraw.Draw(picture).ellipse((x - 17, y - 11, x + 17, y + 11), (92, 96, 34))
    return picture


def ladybug(rng: np.random.Generator) -> Image.Image:
    picture = backdrop(rng, (96, 150, 60), (40, 96, 34))
    draw = ImageDraw.Draw(picture)
    draw.polygon([(0, 1024), (0, 640), (460, 520), (1024, 660), (1024, 1024)], (70, 140, 48))
    for x in range(-200, 1100, 110):
        draw.line([(512, 1200), (x, 520)], (88, 160, 62), 8)
    picture = picture.filter(ImageFilter.GaussianBlur(3))
    picture = shadow(picture, (240, 640, 820, 800))
    draw = ImageDraw.Draw(picture)
    for x, dx in ((330, -90), (470, -40), (600, 40), (730, 90)):
        draw.line([(x, 640), (x + dx // 2, 740), (x + dx, 770)], (18, 16, 16), 18)
    paste_ball(picture, sphere((40, 38, 40), rng), (620, 420, 880, 680))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((770, 470, 830, 530), (235, 230, 220))
    for end in ((900, 380), (940, 430)):
        draw.line([(830, 450), end], (18, 16, 16), 10)
    paste_ball(picture, sphere((214, 24, 18), rng, grain=0.0), (190, 290, 770, 770))
    draw = ImageDraw.Draw(picture)
    draw.line([(300, 390), (470, 330), (690, 360)], (60, 8, 8), 9)
    for x, y, r in ((330, 500, 52), (480, 430, 44), (470, 600, 58), (610, 520, 50), (620, 390, 34), (330, 650, 40)):
        draw.ellipse((x - r, y - r * 0.9, x + r, y + r * 0.9), (20, 14, 14))
    return picture


def spider_web(rng: np.random.Generator) -> Image.Image:
    picture = backdrop(rng, (34, 54, 44), (14, 26, 24))
    draw = ImageDraw.Draw(picture)
    centre, spokes = (500, 490), 18
    angles = [2 * math.pi * (i + rng.uniform(-0.18, 0.18)) / spokes for i in range(spokes)]

    def at(angle: float, radius: float) -> tuple[float, float]:
        return centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)

    for angle in angles:
        draw.line([centre, at(angle, 900)], (214, 222, 222), 4)
    for radius in range(40, 760, 34):
        for i, angle in enumerate(angles):
            following = angles[(i + 1) % spokes] + (2 * math.pi if i == spokes - 1 else 0)
            sag = at((angle + following) / 2, radius * 0.93)  # threads hang between the spokes
            draw.line([at(angle, radius), sag, at(following, radius)], (226, 234, 236), 4, joint="curve")
    return picture.filter(ImageFilter.GaussianBlur(1.2))


def main() -> None:
    for name, draw in (("orange", orange), ("ladybug", ladybug), ("spider_web", spider_web)):
        picture = draw(np.random.default_rng(0)).resize((256, 256), Image.Resampling.LANCZOS)
        picture.save(FOLDER / f"{name}.jpg", quality=88)


if __name__ == "__main__":
    main()
