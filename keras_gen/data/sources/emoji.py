"""Emoji, from an npm package of the emoji-datasource family: `emoji:<path>`, packed or unpacked.

`npm pack emoji-datasource-twitter@16.0.0` fetches 3,786 of them, 64x64, drawn by Twitter (CC BY
4.0: pictures that are shown need the attribution).
"""

import hashlib
import io
import json
import pathlib
import tarfile
import zlib

import numpy as np
from PIL import Image

from keras_gen.data.errors import DataError
from keras_gen.data.geometry import BYTE

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
    entries, files = read(path)
    names, categories, groups = listed(path, entries, files)
    digests = [hashlib.blake2b(files[name], digest_size=16).digest() for name in names]
    kept, groups = without_copies(digests, groups)
    chosen = request.members(
        ["train"] * len(kept),
        [hashlib.blake2b(group.encode(), digest_size=16).digest() for group in groups],
    )
    chosen = [kept[position] for position in chosen]
    class_names = sorted(set(categories))
    return request.dataset(
        np.stack([picture(path, names[i], files[names[i]], request.geometry) for i in chosen]),
        BYTE,
        labels=np.array([class_names.index(categories[i]) for i in chosen], np.int32),
        num_classes=len(class_names),
        class_names=class_names,
        licence=licence(names[0]),
    )


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


def without_copies(digests, groups):
    """Leaves out copies, and joins the groups that they connect.

    Args:
        digests: of each picture.
        groups: the group of each.

    Returns:
        Positions of the first of each picture, and the joined group of each of these.
    """
    first, joined = {}, {}

    def root(group):
        while group in joined:
            group = joined[group]
        return group

    for position, digest in enumerate(digests):
        original = first.setdefault(digest, position)
        ours, theirs = root(groups[position]), root(groups[original])
        if ours != theirs:
            joined[ours] = theirs
    kept = list(first.values())
    return kept, [root(groups[position]) for position in kept]


def picture(path, name, content, geometry):
    """Decodes one picture, on white, as `geometry` asks."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return geometry.picture(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: {name}: cannot be decoded ({error})") from error


def licence(name):
    """The licence of the drawings: that of the house that drew them."""
    house = pathlib.PurePosixPath(name).parts[1]
    return {"twitter": "CC BY 4.0", "google": "Apache-2.0"}.get(house)
