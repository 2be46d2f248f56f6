"""Emoji, from an npm package of the emoji-datasource family: `emoji:<path>`, packed or unpacked.

`npm pack emoji-datasource-twitter@16.0.0` fetches 3,786 of them, 64x64, drawn by Twitter (CC BY
4.0: pictures that are shown need the attribution).
"""

import dataclasses
import hashlib
import io
import json
import pathlib
import tarfile
import zlib

import numpy as np
from PIL import Image

from keras_gen.data.dataset import ArrayPixels
from keras_gen.data.errors import DataError
from keras_gen.data.geometry import BYTE
from keras_gen.data.sources.folder import labels_of
from keras_gen.data.splits import joined

LIST = "emoji.json"
SIDE = "64"  # the folder of the package's single pictures


def load(request):
    """Loads emoji on white, with their category as the class.

    What differs by skin alone, and what is the same picture, stands in one split; of equal
    pictures only the first is kept.

    Args:
        request: a `Request`.

    Returns:
        A `Dataset` of `(64, 64, 3)`, or as `size` and `channels` say.

    Raises:
        DataError: the file is no such package, or a picture in it is damaged.
    """
    request.known_split()
    path = request.path()
    package = Package(path)
    chosen = members(request, package.groups, package.digests)
    return request.opened(
        ArrayPixels(package.pictures(chosen, request.geometry), BYTE),
        **labels_of(package.categories, chosen),
        licence=package.licence,
    )


class Package:
    """The emoji of one package, in the order of its list.

    Args:
        path: the `.tgz` that `npm pack` wrote, or the folder that it unpacks to.

    Attributes:
        names: of each picture, its path inside the package.
        categories: of each.
        groups: what each is a variant of.
        digests: bytes that stand for each.

    Raises:
        DataError: it is no such package.
    """

    def __init__(self, path):
        self.path = path
        entries, self.files = read(path)
        self.names, self.categories, self.groups = listed(path, entries, self.files)
        self.digests = [digest(self.files[name]) for name in self.names]

    @property
    def licence(self):
        """The licence of the drawings: that of the house that drew them."""
        house = pathlib.PurePosixPath(self.names[0]).parts[1]
        return {"twitter": "CC BY 4.0", "google": "Apache-2.0"}.get(house)

    def pictures(self, chosen, geometry):
        """Decodes pictures, on white, in colour where `geometry` says nothing else.

        Args:
            chosen: positions in the list.
            geometry: a `Geometry`.

        Returns:
            uint8 `(count, height, width, channels)`.

        Raises:
            DataError: one is damaged.
        """
        geometry = dataclasses.replace(geometry, channels=geometry.channels or 3)
        decoded = []
        for name in (self.names[position] for position in chosen):
            try:
                with Image.open(io.BytesIO(self.files[name])) as image:
                    decoded.append(geometry.picture(image))
            except DataError:  # a crop that is too large
                raise
            except (OSError, SyntaxError, ValueError) as error:
                raise DataError(f"{self.path}: {name}: cannot be decoded ({error})") from error
        return np.stack(decoded)


def members(request, groups, *digests):
    """Chooses the emoji of the split: groups stay whole, and so does what copies connect.

    Args:
        request: a `Request`.
        groups: what each emoji is a variant of.
        *digests: of each emoji's picture; of a pair of pictures twice.

    Returns:
        Positions; of equal emoji only the first is among them.
    """
    for each in digests:
        groups = joined(groups, each)
    first = {}
    for position, known in enumerate(zip(*digests, strict=True)):
        first.setdefault(known, position)
    kept = list(first.values())
    names = [digest(groups[position].encode()) for position in kept]
    return [kept[position] for position in request.members(["train"] * len(kept), names)]


def digest(content):
    """The bytes that stand for some content."""
    return hashlib.blake2b(content, digest_size=16).digest()


def read(path):
    """Reads the list and the pictures of a package.

    Args:
        path: the `.tgz` that `npm pack` wrote, or the folder that it unpacks to.

    Returns:
        The entries of `emoji.json`, and `{path inside the package: bytes}` of its 64x64 pictures.

    Raises:
        DataError: it is neither.
    """
    wanted = f"{path}: expected an npm package of emoji, emoji-datasource-twitter-16.0.0.tgz"
    if not path.exists():
        raise DataError(f"{wanted}: no such file; npm pack emoji-datasource-twitter@16.0.0")
    try:
        contents = dict(_members(path))
        entries = json.loads(contents.pop(LIST))
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{wanted}; it cannot be read ({error})") from error
    except (KeyError, ValueError):
        raise DataError(f"{wanted}; there is no list {LIST} in it") from None
    if not contents:
        raise DataError(f"{wanted}; there are no pictures img/.../{SIDE}/*.png in it")
    return entries, contents


def _members(path):
    """`(path inside the package, bytes)` of the list and the pictures."""
    if path.is_dir():
        root = path / "package" if (path / "package").is_dir() else path
        for file in (root / LIST, *sorted(root.glob(f"img/*/{SIDE}/*.png"))):
            if file.is_file():
                yield file.relative_to(root).as_posix(), file.read_bytes()
        return
    with tarfile.open(path) as package:
        for member in package:
            name = member.name.removeprefix("package/")
            parts = pathlib.PurePosixPath(name).parts
            picture = parts[:1] == ("img",) and parts[2:3] == (SIDE,) and len(parts) == 4
            if member.isfile() and (name == LIST or picture):
                yield name, package.extractfile(member).read()


def listed(path, entries, files):
    """The pictures that the list names: each one's path, category, and what it is a variant of.

    Args:
        path: the package, for errors.
        entries: of `emoji.json`.
        files: `{path: bytes}`.

    Returns:
        Three lists of texts.

    Raises:
        DataError: the list has another form.
    """
    folder = pathlib.PurePosixPath(min(files)).parent
    names, categories, groups = [], [], []
    try:
        for entry in entries:
            for one in (entry, *entry.get("skin_variations", {}).values()):
                name = str(folder / one["image"])
                if name in files:
                    names.append(name)
                    categories.append(entry["category"])
                    groups.append(entry["unified"])
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: {LIST}: expected emoji with image, category and unified, got {error!r}"
        ) from error
    if not names:
        raise DataError(f"{path}: {LIST} names none of the {len(files)} pictures in {folder}")
    return names, categories, groups
