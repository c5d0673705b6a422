"""Every picture of a folder becomes an event, a thumbnail and a place on a contact sheet.

    python -m penstock.examples.pictures --sample holiday      # makes pictures, for those who have none at hand
    python -m penstock.examples.pictures holiday               # publishes one event `picture.added` per picture

Everything is written below FOLDER/.penstock-pictures. Each function writes the same file whenever it runs for the same
picture, whole or not at all, so that an attempt that died half way does no harm.
"""

import argparse
import asyncio
import hashlib
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from penstock import App, Client, Event, PenstockError, Terminal
from penstock.domain.limits import batch_items_max
from penstock.service.keys import find_key
from penstock.service.settings import load_settings

app = App("pictures", retries=2, timeout="5m")

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"})
OUTPUT = ".penstock-pictures"
AT_A_TIME = 16


class Picture(msgspec.Struct, frozen=True):
    """The data of a `picture.added` event."""

    folder: str
    name: str
    size: int = 0
    modified: str = ""
    batch: str = ""

    @property
    def path(self) -> Path:
        return Path(self.folder) / self.name


@app.function(on="picture.added")
def thumbnail(event: Event) -> dict[str, Any]:
    """Make a thumbnail and read the metadata; whoever finishes a folder orders its contact sheet."""
    try:
        picture = msgspec.convert(event.data, Picture)
    except msgspec.ValidationError as error:
        raise Terminal(f"This is no picture.added event: {error}") from None
    # Pillow is an extra; without it the other functions still work.
    from penstock.examples import imaging

    facts = imaging.make_thumbnail(picture.path, _thumbnails(picture.folder))
    print(f"{picture.name}: {facts['width']} x {facts['height']}, taken {facts['taken'] or 'at an unknown time'}")
    # From the last one: while much is left to do, the first look finds something.
    others = reversed(find_pictures(Path(picture.folder)))
    if all(imaging.is_done(path, _thumbnails(picture.folder)) for path in others):
        # Two that finish together both come here; the key makes one execution of it.
        key = f"{picture.batch}/{_digest(picture.folder)}"
        contact_sheet.options(idempotency_key=key, metadata={"folder": picture.folder[:512]}).enqueue(picture.folder)
    return facts


@app.function
def contact_sheet(folder: str) -> dict[str, Any]:
    """Compose all thumbnails of a folder into one picture with captions."""
    from penstock.examples import imaging

    target = Path(folder) / OUTPUT / "contact-sheet.jpg"
    count = imaging.make_sheet(find_pictures(Path(folder)), _thumbnails(folder), target)
    print(f"{count} pictures on {target}")
    return {"pictures": count, "file": str(target)}


def find_pictures(folder: Path) -> list[Path]:
    """The picture files directly in the folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def describe(path: Path, batch: str) -> Picture:
    """The event data of one file."""
    status = path.stat()
    modified = datetime.fromtimestamp(status.st_mtime, UTC).isoformat().replace("+00:00", "Z")
    return Picture(folder=str(path.parent), name=path.name, size=status.st_size, modified=modified, batch=batch)


async def publish(folder: Path) -> int:
    """Publish one event per picture, a few at a time; answers with their number when all are stored."""
    batch = uuid.uuid4().hex
    pictures = [describe(path, batch) for path in find_pictures(folder)]
    async with Client(api_key=find_key(load_settings())) as client:
        for start in range(0, len(pictures), AT_A_TIME):
            some = pictures[start : start + AT_A_TIME]
            await asyncio.gather(*(client.event("picture.added", msgspec.to_builtins(one)) for one in some))
    return len(pictures)


def _thumbnails(folder: str) -> Path:
    return Path(folder) / OUTPUT / "thumbnails"


def _digest(folder: str) -> str:
    """Changes whenever a picture of the folder is added, removed or replaced."""
    lines = [f"{path.name}/{path.stat().st_size}/{path.stat().st_mtime_ns}" for path in find_pictures(Path(folder))]
    return hashlib.blake2b("\n".join([folder, *lines]).encode(), digest_size=16).hexdigest()


def main() -> None:
    """The command of this module."""
    parser = argparse.ArgumentParser(prog="python -m penstock.examples.pictures", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", action="store_true", help="make sample pictures in the folder and publish nothing")
    parser.add_argument("--count", type=int, default=150, help="how many sample pictures (1 to 1000)")
    given = parser.parse_args()
    folder = given.folder.expanduser().resolve()
    if given.sample:
        from penstock.examples import imaging

        count = max(1, min(given.count, batch_items_max))
        imaging.make_samples(folder, count)
        print(f"{count} pictures in {folder}")
        return
    if not folder.is_dir():
        parser.error(f"{folder} is no folder")
    try:
        count = asyncio.run(publish(folder))
    except PenstockError as error:
        parser.exit(1, f"{error}\n")
    print(f"{count} events published for {folder}" if count else f"no pictures in {folder}")


if __name__ == "__main__":
    main()
