"""Every kind of file that photographers deliver: decoded upright, in RGB, or refused with the reason."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from featstore import images
from featstore.errors import ImageError
from featstore.images import Photograph, decode, load_crop, load_photograph
from featstore.roi import RECIPES, ViewRecipe


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def half_red(size: tuple[int, int] = (60, 40)) -> Image.Image:
    """Red left half, blue right half."""
    image = Image.new("RGB", size, "blue")
    image.paste("red", (0, 0, size[0] // 2, size[1]))
    return image


def is_red(pixel: np.ndarray) -> bool:
    red, _, blue = pixel.tolist()
    return red > 180 and blue < 90


def assert_left_red(pixels: np.ndarray) -> None:
    height, width, _ = pixels.shape
    left, right = pixels[height // 2, width // 5], pixels[height // 2, -width // 5]
    assert is_red(left)
    assert is_red(right[::-1])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF"])
def test_every_format_becomes_rgb(kind: str) -> None:
    photograph = decode(encoded(half_red(), kind), "photo")
    assert photograph.pixels.dtype == np.uint8
    assert photograph.pixels.shape == (40, 60, 3)
    assert photograph.full_size == (40, 60)
    assert_left_red(photograph.pixels)


def test_cmyk_keeps_its_colours() -> None:
    assert_left_red(decode(encoded(half_red().convert("CMYK"), "JPEG", quality=95), "cmyk").pixels)


def test_palette_and_grey_become_rgb() -> None:
    assert_left_red(decode(encoded(half_red().convert("P"), "PNG"), "palette").pixels)
    grey = decode(encoded(Image.new("L", (5, 4), 77), "PNG"), "grey").pixels
    assert (grey == 77).all()
    assert grey.shape == (4, 5, 3)


@pytest.mark.parametrize("mode", ["P", "1"])
def test_palettes_and_black_and_white_are_reduced_as_what_they_show(mode: str) -> None:
    """Fine stripes become grey; with every third column of theirs they would stay stripes."""
    stripes = np.zeros((30, 3000), dtype=np.uint8)
    stripes[:, ::2] = 255
    shown = decode(encoded(Image.fromarray(stripes).convert(mode), "PNG"), mode).pixels
    np.testing.assert_array_equal(shown, decode(encoded(Image.fromarray(stripes).convert("RGB"), "PNG"), "rgb").pixels)
    assert shown.std() < 5
    # Black is transparent, and so white.
    black = 0 if mode == "1" else Image.fromarray(stripes).convert("P").getpixel((1, 0))
    clear = encoded(Image.fromarray(stripes).convert(mode), "PNG", transparency=black)
    assert (decode(clear, "clear").pixels == 255).all()


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :].repeat(4, axis=0)
    pixels = decode(encoded(Image.fromarray(ramp), "PNG"), "deep").pixels
    assert np.array_equal(pixels[0, :, 0], np.arange(256))


def test_transparency_is_laid_over_white() -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((0, 0), (0, 255, 0, 255))
    pixels = decode(encoded(image, "PNG"), "transparent").pixels
    assert pixels[0, 0].tolist() == [0, 255, 0]
    assert pixels[3, 3].tolist() == [255, 255, 255]


@pytest.mark.parametrize(("orientation", "size"), [(1, (40, 60)), (3, (40, 60)), (6, (60, 40)), (8, (60, 40))])
def test_exif_rotation_is_applied(orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photograph = decode(encoded(half_red(), "JPEG", exif=exif, quality=95), "turned")
    assert photograph.full_size == size == photograph.pixels.shape[:2]
    # Where the red half lies after turning, by the EXIF standard: left, right, top, bottom.
    height, width = size
    row, column = {1: (0.5, 0.2), 3: (0.5, 0.8), 6: (0.2, 0.5), 8: (0.8, 0.5)}[orientation]
    assert is_red(photograph.pixels[int(row * height), int(column * width)])


def test_large_photographs_are_reduced_and_know_their_full_size() -> None:
    photograph = decode(encoded(half_red((4000, 3000)), "JPEG"), "12 megapixels")
    assert photograph.full_size == (3000, 4000)
    assert photograph.pixels.shape == (768, 1024, 3)
    assert_left_red(photograph.pixels)


def test_a_flat_strip_keeps_one_row() -> None:
    photograph = decode(encoded(Image.new("RGB", (5000, 2)), "PNG"), "strip")
    assert photograph.pixels.shape[0] >= 1
    assert photograph.pixels.shape[1] == 1024


def frames(kind: str) -> bytes:
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    return encoded(first, kind, save_all=True, append_images=[second])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_are_refused(kind: str) -> None:
    with pytest.raises(ImageError, match=r"a still photograph, got an animation of 2 frames: moving"):
        decode(frames(kind), "moving")


def test_second_pages_are_previews_and_ignored() -> None:
    assert decode(frames("TIFF"), "pages").pixels[4, 4].tolist() == [255, 0, 0]
    assert decode(frames("MPO"), "stereo").pixels[4, 4, 0] > 200


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file: broken.jpg"),
        (b"Thumbs.db is no photograph", r"got a text file: broken\.jpg\. Remove or replace it"),
        (b"\xff\x00" * 99, r"got a file that is no photograph: broken\.jpg\. Remove or replace it"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(99), r"got a HEIC or AVIF picture: broken\.jpg\. Save it as JPEG"),
        (encoded(half_red(), "JPEG")[:-200], r"a damaged file \(.*\): broken\.jpg"),
        (encoded(half_red(), "PNG")[:60], r"a damaged file \(.*\): broken\.jpg"),
        (encoded(half_red(), "PPM"), "PPM: broken.jpg"),
        (encoded(Image.new("F", (4, 4)), "TIFF"), "floating-point"),
    ],
)
def test_damage_is_named(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        decode(data, "broken.jpg")


def test_enormous_photographs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match=r"60 x 40 px: huge"):
        decode(encoded(half_red(), "JPEG"), "huge")


def test_damaged_exif_costs_the_rotation_not_the_photograph() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(half_red(), "JPEG", exif=exif, quality=95)
    start = data.index(b"Exif") + 6
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(data)
        for place in rng.integers(start, start + 26, 4):
            damaged[place] = rng.integers(256)
        assert decode(bytes(damaged), "odd").pixels.size == 60 * 40 * 3


def test_random_damage_is_always_an_image_error() -> None:
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF"):
        data = encoded(half_red(), kind)
        for _ in range(150):
            damaged = bytearray(data)
            for place in rng.integers(0, len(data), 6):
                damaged[place] = rng.integers(256)
            try:
                decode(bytes(damaged), "odd")
            except ImageError:
                continue


def test_a_missing_file_is_an_image_error(tmp_path) -> None:
    with pytest.raises(ImageError, match=r"No such file or directory: gone.jpg\. Correct the path, or restore"):
        load_photograph(tmp_path / "gone.jpg")


def test_boxes_survive_the_way_to_full_size_and_back() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        height, width = rng.integers(1, 200, 2)
        full = (int(height * rng.uniform(1, 9)), int(width * rng.uniform(1, 9)))
        photograph = Photograph(np.zeros((height, width, 3), dtype=np.uint8), full)
        top, left = int(rng.integers(0, height)), int(rng.integers(0, width))
        box = (top, left, int(rng.integers(top + 1, height + 1)), int(rng.integers(left + 1, width + 1)))
        assert photograph.to_working(photograph.to_full(box)) == box


def test_load_crop_cuts_the_stored_box(tmp_path) -> None:
    half_red((2048, 1024)).save(tmp_path / "wide.png")
    crop = load_crop(tmp_path / "wide.png", (0, 0, 1024, 1024), 32, ViewRecipe())
    assert crop.shape == (32, 32, 3)
    assert (crop[:, :-1] == [255, 0, 0]).all()


def test_load_crop_finishes_the_region_as_the_recipe_says(tmp_path) -> None:
    scan = Image.new("RGB", (80, 60), (200, 200, 190))
    scan.paste((30, 90, 30), (20, 15, 60, 45))
    scan.save(tmp_path / "scan.png")
    crop = load_crop(tmp_path / "scan.png", (0, 0, 60, 80), 60, RECIPES["article"].of("LeafScan"))
    assert (crop[2, 2] == 255).all()
    assert crop[30, 30].tolist() == [30, 90, 30]
