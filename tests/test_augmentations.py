"""Augmentations: what each change does to a pixel, that p = 0 changes nothing, and gradients."""

import functools

import keras
import numpy as np
import pytest
from keras import ops
from scipy import ndimage, stats
from scipy.spatial.transform import Rotation

from keras_gen import engine
from keras_gen.augmentations import TRANSFORMS, adapt, augmentation, overfitting

NEVER, ALWAYS = 1 - 1e-6, 1e-6  # uniform numbers that are (not) below p = 1/2
HALF = 0.5


def images(count=2, height=6, width=6, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (count, height, width, channels)).astype("float32")


def one_program(function):
    """The function as the backend compiles or captures a train step."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.jit(function)
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    from torch.fx.experimental.proxy_tensor import make_fx

    return lambda *inputs: make_fx(function, tracing_mode="fake")(*inputs)(*inputs)


@functools.cache
def changing(names):
    """What changes images by these names; one program on JAX, where eager operations are slow."""
    change = augmentation(names).apply
    return one_program(change) if keras.backend.backend() == "jax" else change


def apply(name, x, uniforms, p=HALF):
    """One image each, changed by numbers of its own."""
    uniforms = np.atleast_2d(np.asarray(uniforms, "float32"))
    x, uniforms = (ops.convert_to_tensor(a) for a in (x, uniforms))
    return ops.convert_to_numpy(changing(name)(x, uniforms, p))


def uniform_of(normal):
    return float(stats.norm.cdf(normal))


# -- Nothing is changed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "channels, dtype", [(1, "float32"), (3, "float32"), (2, "bfloat16"), (3, "float16")]
)
def test_at_p_0_adaptive_changes_are_exactly_the_identity(channels, dtype):
    x = ops.cast(images(5, 6, 9, channels), dtype)
    change = augmentation("ada")
    uniforms = keras.random.uniform((5, change.draws(channels)), seed=1)
    changed = change.apply(x, uniforms, 0.0)
    assert keras.backend.standardize_dtype(changed.dtype) == dtype
    got, expected = (ops.convert_to_numpy(ops.cast(t, "float32")) for t in (changed, x))
    np.testing.assert_array_equal(got, expected)


def test_at_p_1_every_image_is_changed():
    x = images(50)
    for name in ("ada_pixels", "ada_geometry", "ada_color"):
        uniforms = np.random.default_rng(2).uniform(size=(50, augmentation(name).draws(3)))
        same = (apply(name, x, uniforms, 1.0) == x).all(axis=(1, 2, 3))
        # Of whole pixels, one in 2 * 4 * 3 * 3 images is neither mirrored, turned nor moved.
        assert same.sum() <= (5 if name == "ada_pixels" else 0)


def test_neutral_draws_of_diffaugment_change_nothing():
    x = images(1)
    # b = 0, s = 1, c = 1, and a shift by 0.
    np.testing.assert_allclose(apply("color", x, [0.5, 0.5, 0.5]), x, atol=1e-6)
    np.testing.assert_array_equal(apply("translation", x, [0.5, 0.5]), x)


# -- DiffAugment ----------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_brightness_saturation_and_contrast_by_their_formulas(channels):
    x = images(2, channels=channels).astype("float64")
    draws = np.array([[0.9, 0.25, 0.7], [0.1, 0.8, 0.2]])
    expected = []
    for image, (b, s, c) in zip(x, draws, strict=True):
        image = image + b - 0.5
        grey = image.mean(axis=-1, keepdims=True)
        image = grey + 2 * s * (image - grey)
        expected.append(image.mean() + (c + 0.5) * (image - image.mean()))
    draws = draws if channels == 3 else draws[:, [0, 2]]
    np.testing.assert_allclose(apply("color", x.astype("float32"), draws), expected, atol=1e-6)


def test_brightness_alone_adds_what_it_says():
    x = images(1)
    np.testing.assert_allclose(apply("color", x, [0.75, 0.5, 0.5]) - x, 0.25, atol=1e-6)


@pytest.mark.parametrize("down, right", [(-2, 1), (0, 0), (2, -1), (2, 1), (-2, -1)])
def test_a_translation_is_numpys_roll_with_zeros(down, right):
    x = images(1, height=16, width=8)  # an eighth: 2 rows, 1 column
    expected = np.roll(x, (down, right), axis=(1, 2))
    expected[:, : max(down, 0)] = expected[:, 16 + min(down, 0) :] = 0
    expected[:, :, : max(right, 0)] = expected[:, :, 8 + min(right, 0) :] = 0
    uniforms = (down + 2 + 0.5) / 5, (right + 1 + 0.5) / 3
    np.testing.assert_array_equal(apply("translation", x, uniforms), expected)


def test_each_shift_is_as_likely_and_none_is_larger():
    x = np.zeros((3000, 16, 1, 1), "float32")
    x[:, 8] = 1
    uniforms = (np.arange(3000) + 0.5) / 3000
    moved = apply("translation", x, np.stack([uniforms, uniforms], axis=1))
    np.testing.assert_array_equal(moved.sum(axis=0)[6:11, 0, 0], [600] * 5)
    largest = apply("translation", x[:1], [1 - 2.0**-24] * 2)  # the largest number below 1
    assert largest[0, 10, 0, 0] == 1


@pytest.mark.parametrize("height, width", [(8, 8), (5, 7)])
def test_cutout_blackens_a_box_of_half_the_sides(height, width):
    x = np.ones((1, height, width, 2), "float32")
    tall, wide = (height + 1) // 2, (width + 1) // 2
    rows, columns = height + 1 - tall % 2, width + 1 - wide % 2
    for row, column in ((0, 0), (rows // 2, columns // 2), (rows - 1, columns - 1)):
        expected = x.copy()
        top, left = row - tall // 2, column - wide // 2
        expected[:, max(top, 0) : top + tall, max(left, 0) : left + wide] = 0
        uniforms = (row + 0.5) / rows, (column + 0.5) / columns
        np.testing.assert_array_equal(apply("cutout", x, uniforms), expected)
    whole = apply("cutout", x, [0.5, 0.5])
    assert (whole == 0).sum() == 2 * tall * wide


# -- Adaptive: whole pixels -----------------------------------------------------------------------


def test_mirrored():
    x = images(2, 5, 8)
    draws = [ALWAYS, 0.4, NEVER, 0, NEVER, 0, 0], [ALWAYS, 0.6, NEVER, 0, NEVER, 0, 0]
    changed = apply("ada_pixels", x, draws)
    np.testing.assert_array_equal(changed[0], x[0, :, ::-1])
    np.testing.assert_array_equal(changed[1], x[1])


@pytest.mark.parametrize("quarters", range(4))
def test_turned_by_quarters(quarters):
    x = images(1, 6, 6)
    draws = [NEVER, 0, ALWAYS, (quarters + 0.5) / 4, NEVER, 0, 0]
    expected = np.rot90(x, quarters, axes=(1, 2))
    np.testing.assert_array_equal(apply("ada_pixels", x, draws), expected)
    mirrored = np.rot90(x[:, :, ::-1], quarters, axes=(1, 2))
    draws[:2] = ALWAYS, 0.1
    np.testing.assert_array_equal(apply("ada_pixels", x, draws), mirrored)
    oblong = images(1, 6, 8)
    draws[:2] = NEVER, 0
    np.testing.assert_array_equal(apply("ada_pixels", oblong, draws), oblong)


def test_moved_by_whole_pixels_and_mirrored_beyond_the_border():
    x = images(1, 16, 8)
    draws = [NEVER, 0, NEVER, 0, ALWAYS, 0.95, 0.05]  # 0.9 * 2 = 1.8: 2 down; -0.9: 1 to the left
    padded = np.pad(x, ((0, 0), (2, 0), (0, 1), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(apply("ada_pixels", x, draws), padded[:, :16, 1:])


# -- Adaptive: geometry ---------------------------------------------------------------------------


def geometry(scale=None, turn=None, stretch=None, second=None, move=None):
    """Uniform numbers of one image: log2 of scale and stretch, angles, shares of the sides."""
    draws = []
    for value, deviation in ((scale, 0.2), (turn, None), (stretch, 0.2), (second, None)):
        chosen = NEVER if value is None else ALWAYS
        value = value or 0.0
        level = value / (2 * np.pi) + 0.5 if deviation is None else uniform_of(value / deviation)
        draws += [chosen, level]
    down, right = (0.0, 0.0) if move is None else move
    return [
        *draws,
        NEVER if move is None else ALWAYS,
        *map(uniform_of, (down / 0.125, right / 0.125)),
    ]


@pytest.mark.parametrize("quarters", [1, 2, -1])
def test_a_turn_by_a_right_angle_is_numpys(quarters):
    x = images(1, 7, 7)
    expected = np.rot90(x, quarters, axes=(1, 2))
    for place in ("turn", "second"):
        changed = apply("ada_geometry", x, geometry(**{place: quarters * np.pi / 2}))
        np.testing.assert_allclose(changed, expected, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 0.3},
        {"scale": -0.4},
        {"turn": 0.7},
        {"stretch": 0.5},
        {"move": (0.1, -0.23)},
        {"scale": -0.2, "turn": 0.4, "stretch": 0.3, "second": -2.0, "move": (-0.07, 0.2)},
    ],
)
def test_geometry_is_scipys_affine_transform(options):
    """Forward matrices of `(row, column)`, in the paper's order, then SciPy's inverse map."""

    def turned(angle):  # counter-clockwise, rows counted downwards
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    x = images(1, 9, 12)
    stretch = 2.0 ** options.get("stretch", 0.0)
    forward = 2.0 ** options.get("scale", 0.0) * np.eye(2)
    for change in (
        turned(options.get("turn", 0.0)),
        np.diag([1 / stretch, stretch]),
        turned(options.get("second", 0.0)),
    ):
        forward = change @ forward
    inverse = np.linalg.inv(forward)
    middle, move = np.array([4.0, 5.5]), np.array(options.get("move", (0, 0))) * [9, 12]
    expected = np.stack(
        [
            ndimage.affine_transform(
                x[0, :, :, channel].astype("float64"),
                inverse,
                middle - inverse @ (middle + move),
                order=1,
                mode="mirror",
            )
            for channel in range(3)
        ],
        axis=-1,
    )
    changed = apply("ada_geometry", x, geometry(**options))
    np.testing.assert_allclose(changed[0], expected, atol=2e-5)


def test_each_turn_happens_with_half_the_odds():
    """1 - sqrt(1 - p) each: of p = 0.36, one turn in five, and none of both in 0.64."""
    x = images(1, 6, 6)
    for place, draw, changes in (
        (2, 0.19, True),
        (2, 0.21, False),
        (6, 0.19, True),
        (6, 0.21, False),
    ):
        uniforms = [NEVER] * 11
        uniforms[place] = draw
        uniforms[place + 1] = 0.3
        assert (apply("ada_geometry", x, uniforms, p=0.36) != x).any() == changes


# -- Adaptive: colour -----------------------------------------------------------------------------


def test_colour_is_the_papers_matrix():
    """`C = S H L K B` on `(r, g, b, 1)`, with SciPy's rotation about the axis of greys."""
    x = images(1)
    brightness, contrast, angle, saturation = 0.3, 2.0**0.4, 0.9, 2.0**-1.2
    draws = [
        *(ALWAYS, uniform_of(0.3 / 0.2), ALWAYS, uniform_of(0.4 / 0.5)),
        *(ALWAYS, 0.2, ALWAYS, angle / (2 * np.pi) + 0.5, ALWAYS, uniform_of(-1.2)),
    ]
    v = np.ones(3) / np.sqrt(3)
    mirror = np.eye(3) - 2 * np.outer(v, v)
    hue = Rotation.from_rotvec(angle * v).as_matrix()
    grey = np.outer(v, v)
    matrix = (grey + saturation * (np.eye(3) - grey)) @ hue @ mirror
    expected = contrast * (x + brightness) @ matrix.T
    np.testing.assert_allclose(apply("ada_color", x, draws), expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
def test_of_other_channels_brightness_and_contrast(channels):
    x = images(1, channels=channels)
    draws = [ALWAYS, uniform_of(-1.0), ALWAYS, uniform_of(2.0)]
    np.testing.assert_allclose(apply("ada_color", x, draws), 2 * (x - 0.2), atol=1e-5)


# -- Gradients ------------------------------------------------------------------------------------


def matrix_of(change, uniforms, shape):
    """A linear change of one image as a matrix: what it makes of each pixel alone."""
    size = int(np.prod(shape))
    alone = np.eye(size, dtype="float32").reshape(size, *shape)
    repeated = np.repeat(uniforms, size, axis=0)
    changed = change.apply(ops.convert_to_tensor(alone), ops.convert_to_tensor(repeated), HALF)
    return ops.convert_to_numpy(changed).reshape(size, size).T.astype("float64")


@pytest.mark.parametrize("name", [*TRANSFORMS, "ada"])
def test_first_and_second_gradients_are_those_of_the_linear_map_compiled_too(name):
    """`y = T x + t`: `d (w.y) / dx = T'w`; of `g = d (|y|^2 / 2) / dx`, `d (v.g) / dx = T'T v`."""
    shape = (4, 4, 3)
    change = augmentation(name)
    rng = np.random.default_rng(5)
    uniforms = rng.uniform(size=(1, change.draws(3))).astype("float32")
    for i, own in enumerate(change.names):
        if own.startswith("ada"):  # everything is applied
            first = sum(TRANSFORMS[before][1](3) for before in change.names[:i])
            places = {"ada_pixels": (0, 2, 4), "ada_geometry": (0, 2, 4, 6, 8)}
            uniforms[0, first + np.array(places.get(own, (0, 2, 4, 6, 8)))] = ALWAYS
    x, w, v = (images(1, 4, 4, seed=seed) for seed in (1, 2, 3))
    zero = change.apply(ops.zeros((1, *shape)), ops.convert_to_tensor(uniforms), HALF)
    offset = ops.convert_to_numpy(zero).ravel().astype("float64")
    matrix = matrix_of(change, uniforms, shape) - offset[:, None]
    assert np.abs(matrix - np.eye(48)).max() > 0.1

    def gradients(x, w, v, uniforms):
        def changed(x):
            return change.apply(x, uniforms, HALF)

        def slope(x):
            return engine.input_gradient(lambda x: 0.5 * ops.square(changed(x)), x)

        first = engine.input_gradient(lambda x: w * changed(x), x)
        return changed(x), first, engine.input_gradient(lambda x: v * slope(x), x)

    inputs = [ops.convert_to_tensor(t) for t in (x, w, v, uniforms)]
    expected = [matrix @ x.ravel() + offset, matrix.T @ w.ravel(), matrix.T @ matrix @ v.ravel()]
    for run in (gradients, one_program(gradients)):
        for got, wanted in zip(run(*inputs), expected, strict=True):
            got = ops.convert_to_numpy(got).ravel()
            np.testing.assert_allclose(got, wanted, atol=1e-4 * max(1, np.abs(wanted).max()))


# -- How strongly ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "p, overfit, expected",
    [(0.5, 0.9, 0.51), (0.5, 0.2, 0.49), (0.5, 0.6, 0.5), (0.995, 1.0, 1.0), (0.004, -1.0, 0.0)],
)
def test_p_follows_the_overfitting(p, overfit, expected):
    moved = adapt(p, ops.convert_to_tensor(np.float32(overfit)), target=np.float32(0.6), speed=0.01)
    assert float(ops.convert_to_numpy(moved)) == pytest.approx(expected, abs=1e-6)


def test_overfitting_is_the_mean_sign_of_the_logits():
    logits = np.array([[3.0], [0.1], [-2.0], [0.0], [7.0]], "float32")
    assert float(ops.convert_to_numpy(overfitting(logits))) == pytest.approx(2 / 5)


# -- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names, message",
    [
        ("colour", "expected names among 'color', .*'ada'; got 'colour'"),
        ([], "one or more of .* got none"),
        (["ada", "ada_color"], "each change once"),
    ],
)
def test_unknown_names(names, message):
    with pytest.raises(ValueError, match=f"augmentation: .*{message}"):
        augmentation(names)


@pytest.mark.parametrize(
    "shape, uniforms, p, message",
    [
        ((2, 8), (2, 2), None, "changes images .* only; got shape .2, 8..* vectors and signals"),
        ((2, 8, 3), (2, 2), None, "changes images"),
        ((2, 8, 8, 1), (2, 3), None, r"uniforms: expected .batch, 2. for cutout of 1 channel"),
    ],
)
def test_what_is_no_image(shape, uniforms, p, message):
    with pytest.raises(ValueError, match=message):
        augmentation("cutout").apply(ops.zeros(shape), ops.zeros(uniforms), p)


def test_adaptive_changes_need_a_probability():
    change = augmentation(("cutout", "ada_pixels"))
    assert change.adaptive and not augmentation("cutout").adaptive
    with pytest.raises(ValueError, match="p: expected a number in .0, 1. for cutout, ada_pixels"):
        change.apply(ops.zeros((1, 4, 4, 1)), ops.zeros((1, change.draws(1))))


def test_draws_of_several_changes_are_joined_in_order():
    x = images(3)
    uniforms = np.random.default_rng(4).uniform(size=(3, 5)).astype("float32")
    both = apply(("cutout", "color"), x, uniforms)
    expected = apply("color", apply("cutout", x, uniforms[:, :2]), uniforms[:, 2:])
    np.testing.assert_array_equal(both, expected)
