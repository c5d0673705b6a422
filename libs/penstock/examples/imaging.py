"""What the pictures example does with Pillow: thumbnails, metadata, a contact sheet, sample pictures."""

import colorsys
import math
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from penstock import Terminal

try:
    from PIL import ExifTags, Image, ImageDraw, ImageFont, ImageOps, ImageStat, UnidentifiedImageError
except ImportError:
    raise Terminal("This example needs Pillow: pip install 'penstock[pictures]'") from None

THUMBNAIL = (256, 256)
COLUMNS = 6
CAPTION = 34
MARGIN = 12
SAMPLE = (2400, 1600)


def make_thumbnail(source: Path, folder: Path) -> dict[str, Any]:
    """Write the thumbnail and its facts; answers with the facts. Raises Terminal when the file is no picture."""
    try:
        status = source.stat()
        with Image.open(source) as image:
            facts = {**_metadata(image), "file": str(source), "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise Terminal(f"{source} is gone.") from None
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise Terminal(f"{source} is no picture that Pillow can read: {error}") from None
    facts["colour"] = "#{:02x}{:02x}{:02x}".format(*(round(mean) for mean in ImageStat.Stat(upright).mean))
    small = ImageOps.contain(upright, THUMBNAIL, Image.Resampling.LANCZOS)
    folder.mkdir(parents=True, exist_ok=True)
    _save(small, folder / f"{source.name}.jpg")
    # The facts come last: their presence says that the thumbnail is whole.
    _write(folder / f"{source.name}.json", msgspec.json.encode(facts))
    return facts


def is_done(source: Path, folder: Path) -> bool:
    """True if the thumbnail of this very version of the file is there, or the file cannot be read as a picture."""
    facts = _facts(source, folder)
    if facts is not None:
        return bool(facts["mtime_ns"] == source.stat().st_mtime_ns)
    try:
        with Image.open(source):
            return False
    except (OSError, Image.DecompressionBombError):
        return True


def make_sheet(sources: list[Path], folder: Path, target: Path) -> int:
    """Write one picture with all thumbnails that are there, in the order of their names; answers with their number."""
    shown = [(source, facts) for source in sources if (facts := _facts(source, folder)) is not None]
    if not shown:
        raise Terminal(f"There are no thumbnails in {folder}.")
    columns = min(COLUMNS, len(shown))
    cell = (THUMBNAIL[0] + MARGIN, THUMBNAIL[1] + CAPTION + MARGIN)
    rows = math.ceil(len(shown) / columns)
    sheet = Image.new("RGB", (columns * cell[0] + MARGIN, rows * cell[1] + MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for index, (source, facts) in enumerate(shown):
        left, top = MARGIN + index % columns * cell[0], MARGIN + index // columns * cell[1]
        with Image.open(folder / f"{source.name}.jpg") as small:
            sheet.paste(small, (left + (THUMBNAIL[0] - small.width) // 2, top + (THUMBNAIL[1] - small.height) // 2))
        draw.text((left, top + THUMBNAIL[1] + 2), source.name[:38], fill="black", font=font)
        draw.text((left, top + THUMBNAIL[1] + 17), _caption(facts)[:44], fill="gray", font=font)
    _save(sheet, target)
    return len(shown)


def make_samples(folder: Path, count: int) -> None:
    """Write pictures with a date and a camera in them; the same ones every time."""
    folder.mkdir(parents=True, exist_ok=True)
    start = datetime(2026, 6, 1, 9, 0)
    vertical = Image.linear_gradient("L").resize(SAMPLE)
    horizontal = vertical.transpose(Image.Transpose.ROTATE_90).resize(SAMPLE)
    for number in range(1, count + 1):
        hue = number * 0.618 % 1
        dark, light = _colour(hue, 0.25), _colour(hue + 0.12, 0.95)
        ramp = ImageOps.colorize(vertical if number % 2 else horizontal, dark, light)
        draw = ImageDraw.Draw(ramp)
        for ring in range(8):
            radius = 90 + ring * 70
            x, y = SAMPLE[0] * (number * 0.37 % 1), SAMPLE[1] * (number * 0.71 % 1)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=light, width=14)
        draw.text((80, 60), str(number), fill="white", font=ImageFont.load_default(260))
        exif = Image.Exif()
        exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Penstock", f"Sample {number % 3 + 1}"
        taken = (start + timedelta(hours=7 * number)).strftime("%Y:%m:%d %H:%M:%S")
        exif[ExifTags.Base.DateTime] = taken
        ramp.save(folder / f"picture-{number:04}.jpg", quality=88, exif=exif)


def _metadata(image: Image.Image) -> dict[str, Any]:
    exif = image.getexif()
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    taken = detail.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime) or ""
    names = (exif.get(ExifTags.Base.Make), exif.get(ExifTags.Base.Model))
    return {
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "taken": _clean(taken),
        "camera": " ".join(_clean(name) for name in names if name),
    }


def _clean(value: object) -> str:
    return str(value).replace("\x00", "").strip()[:100]


def _caption(facts: dict[str, Any]) -> str:
    parts = [str(facts["taken"])[:10].replace(":", "-"), str(facts["camera"]), f"{facts['width']}x{facts['height']}"]
    return "  ".join(part for part in parts if part)


def _facts(source: Path, folder: Path) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode((folder / f"{source.name}.json").read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None


def _colour(hue: float, brightness: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, 0.6, brightness)
    return round(red * 255), round(green * 255), round(blue * 255)


def _save(image: Image.Image, target: Path) -> None:
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    image.save(draft, "JPEG", quality=85)
    draft.replace(target)


def _write(target: Path, content: bytes) -> None:
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(target)
