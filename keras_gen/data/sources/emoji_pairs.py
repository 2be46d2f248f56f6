"""The same emoji in two styles: `emoji_pairs:<input>,<target>`, two packages of npm's.

`npm pack emoji-datasource-twitter@16.0.0 emoji-datasource-google@16.0.0` fetches 3,786 emoji drawn
by Twitter (CC BY 4.0: pictures that are shown need the attribution) and by Google (Apache 2.0).
"""

import dataclasses
import pathlib

import numpy as np

from keras_gen.data.dataset import ArrayPixels
from keras_gen.data.errors import DataError
from keras_gen.data.geometry import BYTE
from keras_gen.data.sources.emoji import Package, members
from keras_gen.data.sources.folder import labels_of


def load(request):
    """Loads the emoji that both packages have, each a pair, with their category as the class.

    What differs by skin alone, and what shares a picture of either style, stands in one split; of
    equal pairs only the first is kept.

    Args:
        request: a `Request`; `size`, `channels` and `crop` are those of each picture.

    Returns:
        A `Dataset` of `(64, 64, 6)`, or as `size` and `channels` say.

    Raises:
        DataError: a file is no such package, they have no emoji in common, or a picture is damaged.
    """
    request.known_split()
    packages = [Package(path) for path in paths(request)]
    places = [
        {pathlib.PurePosixPath(name).name: place for place, name in enumerate(package.names)}
        for package in packages
    ]
    both = [name for name in places[0] if name in places[1]]
    if not both:
        raise DataError(
            f"{request.name}: {packages[0].path} and {packages[1].path} have no emoji in common; "
            "expected two packages of one version"
        )
    places = [[place[name] for name in both] for place in places]
    digests = [
        [package.digests[position] for position in where]
        for package, where in zip(packages, places, strict=True)
    ]
    groups, categories = (
        [each[position] for position in places[0]]
        for each in (packages[0].groups, packages[0].categories)
    )
    chosen = members(request, groups, *digests)
    inputs, targets = (
        package.pictures([where[i] for i in chosen], request.geometry)
        for package, where in zip(packages, places, strict=True)
    )
    licences = dict.fromkeys(package.licence or "unknown" for package in packages)
    return request.opened(
        ArrayPixels(np.concatenate([inputs, targets], axis=-1), BYTE),
        input_channels=inputs.shape[-1],
        **labels_of(categories, chosen),
        licence=" and ".join(licences),
    )


def paths(request):
    """The two packages that stand behind the colon, from `data_dir` where they are relative.

    Args:
        request: a `Request`.

    Returns:
        Two `pathlib.Path`s: of the inputs, of the targets.

    Raises:
        DataError: they are not two.
    """
    named = [part.strip() for part in request.argument.split(",")]
    if len(named) != 2 or not all(named):
        raise DataError(
            "data: expected 'emoji_pairs:<input>,<target>', two packages of npm's with a comma "
            f"between them, got {request.name!r}"
        )
    return [dataclasses.replace(request, argument=part).path() for part in named]
