"""What the zoo says that it reached: by which command, how far seeds lie apart, above what."""

import json
import math
import re
import shlex
import statistics

import pytest
from scipy import stats
from typer.testing import CliRunner

from keras_gen import cli, config
from keras_gen.config import ConfigError, files, schema

ZOO = {name: config.read(name) for name in config.presets()}
MEASURED = {name: recipe for name, recipe in ZOO.items() if recipe.config.expect.bounds}


# -- Every config says what it reached and what it costs, or why it does not -----------------------


@pytest.mark.parametrize("name", ZOO)
def test_a_config_has_bounds_or_a_reason_and_a_cost_or_a_reason(name):
    settings = ZOO[name].config
    assert bool(settings.expect.bounds) != bool(settings.expect.unmeasured)
    assert settings.cost is not None
    if settings.cost.minutes:
        assert settings.cost.threads is not None


@pytest.mark.parametrize("name", MEASURED)
def test_what_was_reached_carries_its_command_and_its_seeds(name):
    expect = MEASURED[name].config.expect
    for part in expect.command.split("&&"):
        words = shlex.split(part)
        assert words[2] == name
        assert "--backend" in words
    for result, bound in expect.bounds.items():
        if not isinstance(bound.at_most or bound.at_least, str):  # one that training moves
            assert len(bound.numbers) == len(expect.seeds), result


# -- A bound follows from what was reached, and from nothing else ----------------------------------

# What the bound of one run leaves to another, of `config.result`. Of squared errors on digits,
# `t * s * sqrt(2)` of the deviations of three configs there, of three seeds each (pooled, 0.058 of
# the number, 6 degrees of freedom); of nats there, 4.5 deviations of the VAE's (0.011). Of shares
# of samples, `t * s * sqrt(2)` of what three seeds of each of four GANs lie apart (README, mode
# coverage: pooled, 0.024 to 0.028, 8 degrees of freedom); of that config's modes and divergence, 8
# deviations of its own three seeds there. Where nobody has run three seeds of anything alike, a
# share that was chosen: of errors and nats on larger data, of returns, of points in the plane.
ONE_RUN = {
    r"\w+_digits\.reconstruction_error": lambda reached: 0.26 * reached,
    r"denoising_autoencoder_digits\.test_loss": lambda reached: 0.26 * reached,
    r"(?!denoising)\w+_(digits|sp500)\.(negative_log_likelihood|test_loss)": (
        lambda reached: 0.05 * abs(reached)
    ),
    r"\w+(?<!_digits)\.reconstruction_error": lambda reached: 0.08 * reached,
    r"\w+_fashion_mnist\.(negative_elbo|negative_log_likelihood)": (
        lambda reached: 0.0105 * reached
    ),
    r"\w+\.\w+_(accepted|precision|recall)": lambda reached: 0.11,
    r"\w+\.stacked_digits_judge_modes": lambda reached: 16,
    r"\w+\.stacked_digits_judge_reverse_kl": lambda reached: 0.048,
    r"\w+_sp500\.(excess_kurtosis|volatility_clustering)": lambda reached: reached / 2,
    r"\w+_sp500\.autocorrelation": lambda reached: 0.03,
    r"gan_(ring|grid)\.modes": lambda reached: 0,
    r"gan_(ring|grid)\.high_quality": lambda reached: 0.1,
    r"gan_(ring|grid)\.reverse_kl": lambda reached: 0.035,
}


def margin(numbers, of):
    """What a bound leaves: of several seeds, what 99 of 100 further runs keep, were they normal.

    `t * s * sqrt(1 + 1 / n)`, t the 0.99 quantile of Student's distribution with n - 1 degrees of
    freedom: 8.04 deviations of three seeds.
    """
    n = len(numbers)
    if n == 1:
        (rule,) = (rule for name, rule in ONE_RUN.items() if re.fullmatch(name, of))
        return rule(numbers[0])
    return stats.t.ppf(0.99, n - 1) * math.sqrt(1 + 1 / n) * statistics.stdev(numbers)


def outward(number, up):
    """Rounded to four digits, up or down."""
    digit = 10.0 ** (math.floor(math.log10(abs(number))) - 3)
    return (math.ceil if up else math.floor)(round(number / digit, 3)) * digit


def trained_bounds(settings):
    """`(result, bound)` of those that training moves, and whose limit is a number."""
    for result, bound in settings.expect.bounds.items():
        if not isinstance(bound.at_most, str) and not isinstance(bound.at_least, str):
            yield result, bound


def best_baseline(settings, result, up):
    """The lowest recorded baseline of a result that is to be low, the highest of one to be high."""
    bounds = settings.expect.bounds
    found = [bounds[name].numbers for name in bounds if re.fullmatch(f"{result}_of_\\w+", name)]
    return (min if up else max)((numbers[0] for numbers in found if numbers), default=None)


def by_the_rule(name, settings, result, bound):
    """What the limit of a bound must be."""
    up = bound.at_most is not None
    mean = statistics.fmean(bound.numbers)
    baseline = best_baseline(settings, result, up)
    if len(bound.numbers) == 1 and result == "translation_error":
        return outward((mean + baseline) / 2, up)  # half of the gain
    left = margin(bound.numbers, f"{name}.{result}")
    return outward(mean + left if up else mean - left, up)


@pytest.mark.parametrize("name", MEASURED)
def test_a_bound_leaves_no_more_than_the_rule(name):
    """One that was there before the seeds were may leave less, where all of them keep it."""
    settings = MEASURED[name].config
    for result, bound in trained_bounds(settings):
        up = bound.at_most is not None
        limit = bound.at_most if up else bound.at_least
        rule = by_the_rule(name, settings, result, bound)
        assert limit <= rule + 1e-9 if up else limit >= rule - 1e-9, result
        assert all(number <= limit if up else number >= limit for number in bound.numbers), result


@pytest.mark.parametrize("name", MEASURED)
def test_no_bound_is_met_by_a_baseline(name):
    """A fifth of what was gained over the best of them is kept, at the least."""
    settings = MEASURED[name].config
    for result, bound in trained_bounds(settings):
        up = bound.at_most is not None
        baseline = best_baseline(settings, result, up)
        if baseline is None:
            continue
        limit = bound.at_most if up else bound.at_least
        gained, kept = (abs(x - baseline) for x in (statistics.fmean(bound.numbers), limit))
        assert (limit < baseline) == up, result
        assert kept >= 0.2 * gained, result


def test_the_margin_of_three_seeds_is_eight_deviations():
    """Student's t of 2 degrees of freedom has a closed form, in x = 2p - 1."""
    x = 2 * 0.99 - 1
    t = x * math.sqrt(2 / (1 - x**2))
    assert margin([1.0, 2.0, 3.0], "any") == pytest.approx(t * math.sqrt(4 / 3))
    assert outward(-16.0512, True) == pytest.approx(-16.05)
    assert outward(0.71239, False) == pytest.approx(0.7123)


# -- What is expected is checked before anything is trained ----------------------------------------


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("expect.test_los.at_most=3", ("expect.test_los", "did you mean 'test_loss'")),
        ("expect.test_loss.at_most=test_k", ("expect.test_loss", "did you mean 'test_kl'")),
        ("expect.test_kl.at_mos=3", ("expect.test_kl.at_mos", "did you mean 'at_most'")),
        ("expect.test_reconstruction.reached=3", ("test_reconstruction", "at_most or at_least")),
        ("expect.test_loss.reached=[1, 2]", ("expect.test_loss.reached", "expect.seeds", "got 2")),
        ("expect.command=make", ("expect.command", "keras-gen train", "'make'")),
        ("expect.command=keras-gen train 'a", ("expect.command", "No closing quotation")),
        ("expect.command=keras-gen fly vae", ("expect.command", "'fly'", "verify")),
        ("expect.command=keras-gen train a --backend jx", ("--backend", "did you mean 'jax'")),
        ("expect.command=keras-gen train a", ("expect.command", "SEED", "[0, 1, 2]")),
        ("expect.unmeasured=nobody", ("expect.unmeasured", "leave one of them out")),
        ("cost.unmeasured=nobody", ("cost", "either minutes, or unmeasured", "got both")),
        ("cost.minutes.jx=3", ("cost.minutes.jx", "'jax'")),
    ],
)
def test_what_is_expected_and_what_it_cost_are_checked(override, words):
    with pytest.raises(ConfigError) as error:
        config.read("vae_digits", [override])
    assert all(word in str(error.value) for word in words), error.value


def test_what_was_reached_needs_its_command():
    tables = {**ZOO["vae_digits"].tables}
    tables["expect"] = {"test_loss": {"at_most": 3.0, "reached": 2.0}}
    with pytest.raises(ConfigError, match="expect.test_loss.reached.*the command"):
        config.read(tables)
    tables["expect"]["test_loss"].pop("reached")
    assert config.read(tables)


def test_a_cost_says_one_thing():
    tables = {**ZOO["vae_digits"].tables, "cost": {"threads": 1}}
    with pytest.raises(ConfigError, match="got neither"):
        config.read(tables)


def test_a_config_of_ones_own_may_expect_nothing():
    tables = {k: v for k, v in ZOO["vae_digits"].tables.items() if k not in ("expect", "cost")}
    recipe = config.read(tables)
    assert recipe.config.cost is None and not recipe.config.expect.bounds
    with pytest.raises(ConfigError, match="no \\[expect\\]"):
        files.check_expectations(recipe)


def test_a_typing_error_is_found_in_a_file_whatever_else_is_overridden(tmp_path):
    text = ZOO["vae_digits"].text.replace("reconstruction_error_of_pca =", "error_of_pca =")
    (tmp_path / "mine.toml").write_text(text)
    for overrides in ((), ["train.epochs=1"]):
        with pytest.raises(ConfigError, match="expect.error_of_pca"):
            config.read(tmp_path / "mine.toml", overrides)


def test_other_data_are_trained_on_and_not_verified(tmp_path):
    """What a config expects is of its own data: those of others have results of other names."""
    overrides = ["data.source=folder:pictures", "data.size=28"]
    recipe = config.read("dcgan_fashion_mnist", overrides)
    with pytest.raises(ConfigError, match="fashion_mnist_judge_accepted.*folder_pictures_judge"):
        files.check_expectations(recipe)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text(recipe.text)
    assert config.read(tmp_path / "run" / "config.toml").tables == recipe.tables
    assert config.read(recipe).tables == recipe.tables


def test_a_class_is_named_by_its_number():
    override = "expect.digits_cnn_share_of_7.at_least=0.05"
    assert config.read("gan_digits", [override]).config.expect.bounds
    with pytest.raises(ConfigError, match="digits_cnn_share_of_seven"):
        config.read("gan_digits", [override.replace("7", "seven")])


# -- What is told of it ----------------------------------------------------------------------------


def test_the_list_tells_costs_and_reasons():
    entries = json.loads(CliRunner().invoke(cli.app, ["list", "--json"]).stdout)["presets"]
    shown = CliRunner().invoke(cli.app, ["list"]).stdout.splitlines()
    for entry in entries:
        (line,) = (line for line in shown if line.split()[0] == entry["name"])
        expect, cost = (getattr(ZOO[entry["name"]].config, part) for part in ("expect", "cost"))
        if expect.unmeasured:
            assert f"not measured: {expect.unmeasured}" in line
            assert entry["unmeasured"] == expect.unmeasured
        else:
            assert entry["command"] == expect.command and entry["seeds"] == expect.seeds
        for backend, minutes in cost.minutes.items():
            assert f"{minutes:g} {backend}" in line


def test_verify_says_why_there_is_nothing_to_verify():
    result = CliRunner().invoke(cli.app, ["verify", "progressive_gan_emoji"])
    assert result.exit_code == 2
    assert ZOO["progressive_gan_emoji"].config.expect.unmeasured in result.stderr


def test_a_number_reached_by_several_seeds_is_told_as_their_mean():
    bound = {"at_most": 3.0, "reached": [1.0, 2.0, 3.0]}
    expect = schema.Expect.model_validate(
        {"command": "keras-gen verify a --set train.seed=SEED", "seeds": [0, 1, 2], "loss": bound}
    )
    assert expect.reached == {"loss": 2.0}
