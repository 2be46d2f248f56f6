"""The shape of a config: its sections, the type and range of every key, and what must agree."""

import shlex
import statistics
import typing
from typing import Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    create_model,
    model_validator,
)

from keras_gen import evaluation
from keras_gen.config import signatures
from keras_gen.config.errors import ConfigError, did_you_mean, look_up
from keras_gen.data import has_pairs, kind_of
from keras_gen.data import known as known_sources

RANGES = ((0.0, 1.0), (-1.0, 1.0))
OUTPUT_RANGES = {"sigmoid": RANGES[0], "tanh": RANGES[1]}
IMAGE_SOCKETS = ("decoder", "generator", "inverse_generator")  # whose output is an image

Share = typing.Annotated[float, Field(ge=0, lt=1)]
Sentence = typing.Annotated[str, Field(min_length=1)]
Side = PositiveInt | typing.Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]


class Section(BaseModel):
    """A table of a config: unknown keys are refused, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Augment(Section):
    """`[data.augment]`: random changes of the training images; see `keras_gen.data`."""

    flip: bool | Literal["horizontal", "vertical", "both"] = False
    crop: NonNegativeInt = 0
    rotate: NonNegativeFloat = 0.0
    zoom: Share = 0.0
    translate: Share = 0.0
    fill: Literal["reflect", "edge"] | FiniteFloat = "reflect"


class Data(Section):
    """`[data]`: a source and the shape and range its images are brought to."""

    source: str
    size: Side | None = None
    channels: Literal[1, 3] | None = None
    crop: Side | Literal["square"] | None = None
    resize_filter: str = "lanczos"
    value_range: list[FiniteFloat] | None = None
    validation_fraction: Share = 0.0
    test_fraction: Share | None = None
    on_bad: Literal["refuse", "skip"] = "refuse"
    min_side: PositiveInt = 4
    keep_duplicates: bool = False
    source_range: list[FiniteFloat] | None = None
    seed: NonNegativeInt = 0
    label_key: str | None = None
    in_memory: bool | None = None
    input: Literal["grey", "small"] | None = None
    input_factor: PositiveInt | None = None
    unpaired: bool = False
    rate: PositiveInt | None = None
    data_dir: str | None = None
    augment: Augment | None = None

    @property
    def pairs(self):
        """Whether an image is a pair: an input and its target."""
        return self.input is not None or has_pairs(self.source)

    @property
    def kind(self):
        """What the examples are: "images", "pairs" of images, "signals" or "vectors"."""
        kind = kind_of(self.source)
        return "pairs" if kind == "images" and self.pairs else kind

    @property
    def pixel_range(self):
        """`(lowest, highest)` of images, [0, 1] where nothing is said; None of real numbers."""
        if self.kind not in ("images", "pairs"):
            return None
        return RANGES[0] if self.value_range is None else tuple(self.value_range)


class Cosine(Section):
    """Rises in a line over `warmup_epochs`, then falls along a cosine until the run ends."""

    schedule: Literal["cosine"]
    peak: PositiveFloat
    warmup_epochs: NonNegativeFloat = 0.0
    floor: NonNegativeFloat = 0.0


class Exponential(Section):
    """`start * decay ** (epoch / every_epochs)`."""

    schedule: Literal["exponential"]
    start: PositiveFloat
    decay: PositiveFloat
    every_epochs: PositiveFloat = 1.0


class Piecewise(Section):
    """`rates[i]` until epoch `until_epochs[i]`; the last rate, one more, until the run ends."""

    schedule: Literal["piecewise"]
    rates: list[PositiveFloat]
    until_epochs: typing.Annotated[list[PositiveFloat], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_lengths(self):
        if len(self.rates) != len(self.until_epochs) + 1:
            raise ValueError("one rate more than until_epochs")
        return self


SCHEDULES = {"cosine": Cosine, "exponential": Exponential, "piecewise": Piecewise}


class Optimizer(Section):
    """What all optimizers take: `[train.optimizer]`, or `[train.optimizer.<player>]`."""

    name: str
    learning_rate: Any
    weight_decay: NonNegativeFloat | None = None
    clipnorm: PositiveFloat | None = None
    clipvalue: PositiveFloat | None = None
    global_clipnorm: PositiveFloat | None = None
    # Batches whose gradients are averaged into one step of the optimizer.
    gradient_accumulation_steps: typing.Annotated[int, Field(ge=2)] | None = None


class Adam(Optimizer):
    beta_1: Share = 0.9
    beta_2: Share = 0.999
    epsilon: PositiveFloat = 1e-7
    amsgrad: bool = False


class RMSprop(Optimizer):
    rho: Share = 0.9
    momentum: Share = 0.0
    epsilon: PositiveFloat = 1e-7
    centered: bool = False


class SGD(Optimizer):
    momentum: Share = 0.0
    nesterov: bool = False


class Lion(Optimizer):
    beta_1: Share = 0.9
    beta_2: Share = 0.99


OPTIMIZERS = {"adam": Adam, "adamw": Adam, "rmsprop": RMSprop, "sgd": SGD, "lion": Lion}


class CollapseMonitor(Section):
    """`[train.collapse_monitor]`, or `true` for all of these; see `keras_gen.callbacks`."""

    every: PositiveInt = 1  # epochs
    patience: PositiveInt = 3  # checks
    stop: bool = False
    samples: typing.Annotated[int, Field(ge=2)] = 128  # and as many training examples
    seed: NonNegativeInt = 0
    diversity: NonNegativeFloat = 0.4
    duplicates: NonNegativeFloat = 0.25
    confidence: PositiveFloat | None = None


def _all_of_it(value):
    """`true` is a table without entries, `false` is none."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class Train(Section):
    """`[train]`: how long, in what batches, how often something is written."""

    epochs: PositiveInt
    batch_size: PositiveInt
    seed: NonNegativeInt = 0
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    jit_compile: bool | Literal["auto"] = "auto"
    steps_per_execution: PositiveInt = 1
    drop_last: bool = False
    start: Literal["mean"] | None = None  # at what the decoder's output bias begins
    start_from: str | None = None  # a run, whose networks' weights these begin with
    freeze: dict[str, PositiveInt] = {}  # how many of a network's first layers do not learn
    checkpoint_every: PositiveInt | None = None  # steps; besides each minute and each epoch
    sample_every: NonNegativeInt = 1  # epochs
    gif: bool = False  # of the samples' grids, once the run has ended
    collapse_monitor: typing.Annotated[CollapseMonitor | None, BeforeValidator(_all_of_it)] = None
    optimizer: Any


class Evaluate(Section):
    """`[evaluate]`: which numbers, from how many samples, drawn with which truncation; and of a
    likelihood: of how many test examples, by how many samples of each posterior."""

    metrics: list[Literal[tuple(evaluation.METRICS)]] = ["loss"]
    samples: PositiveInt = 5000
    importance_samples: PositiveInt = 500
    likelihood_examples: PositiveInt = 1000
    truncation: PositiveFloat | None = None
    seed: NonNegativeInt = 0


BACKENDS = ("jax", "tensorflow", "torch")
SEED = "SEED"  # in a command: one seed after the other


class Bound(Section):
    """A bound of one result, a number or another result's name; what was reached, seed by seed."""

    at_most: FiniteFloat | str | None = None
    at_least: FiniteFloat | str | None = None
    reached: FiniteFloat | list[FiniteFloat] | None = None
    # In the configs of runs that were made before a config had a command, seeds and a cost.
    backend: Sentence | None = None
    minutes: FiniteFloat | None = None

    @property
    def numbers(self):
        """What was reached: a number a seed, or one that no seed moves; none where nobody says."""
        if self.reached is None:
            return []
        return self.reached if isinstance(self.reached, list) else [self.reached]


class Expect(Section):
    """`[expect]`: a `Bound` a result, and the command that reached it with each of `seeds`; or why
    nothing was measured."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Bound]

    unmeasured: Sentence | None = None
    command: Sentence | None = None
    seeds: typing.Annotated[list[NonNegativeInt], Field(min_length=1)] | None = None

    @property
    def bounds(self):
        """`{result: Bound}`."""
        return self.__pydantic_extra__

    @property
    def reached(self):
        """`{result: its mean over the seeds}`, of those that were measured."""
        return {
            name: statistics.fmean(bound.numbers)
            for name, bound in self.bounds.items()
            if bound.numbers
        }


class Cost(Section):
    """`[cost]`: minutes that a run took on each backend, and on how many threads, beside what; or
    why nobody knows."""

    unmeasured: Sentence | None = None
    minutes: dict[Literal[BACKENDS], PositiveFloat] = {}
    threads: PositiveInt | None = None
    beside: Sentence | None = None  # what else the machine did


class Config(Section):
    """A whole config; `model` and `train.optimizer` are filled in by the names they hold."""

    data: Data
    model: Any
    train: Train
    evaluate: Evaluate = Evaluate()
    expect: Expect = Expect()
    cost: Cost | None = None


def checked(tables):
    """Checks the tables of a config.

    Args:
        tables: nested dicts, as TOML gives them.

    Returns:
        A `Config`.

    Raises:
        ConfigError: a key is unknown or missing, a value is not what it should be, or two keys
            do not agree.
    """
    schema = _schema_for(tables)
    try:
        config = schema.model_validate(tables)
    except ValidationError as error:
        raise _told(error, schema, tables) from None
    _check_source(config.data)
    _check_pairs(config)
    _check_ranges(config)
    _check_training(config)
    _check_evaluation(config)
    _check_expect(config.expect)
    _check_cost(config.cost)
    return config


def check_names(config):
    """Checks that what a config expects is what its `[evaluate]` measures.

    Args:
        config: a checked `Config`.

    Raises:
        ConfigError: `[expect]` names a result that no metric of `[evaluate]` gives for this family
            and these data.
    """
    outline = evaluation.Outline(
        source=config.data.source,
        kind=config.data.kind,
        terms=signatures.terms_of(config.model.family, options_of(config)),
        one_code="latent_dims" not in options_of(config),
    )
    known = evaluation.names(config.evaluate.metrics, outline)
    for name, bound in config.expect.bounds.items():
        for result in (name, bound.at_most, bound.at_least):
            if isinstance(result, str) and not evaluation.is_named(result, known):
                raise ConfigError(
                    f"expect.{name}: nothing that [evaluate] measures here is called "
                    f"{result!r}{did_you_mean(result, known)}"
                )


def sockets_of(config):
    """The networks of a checked config: `{socket: (name of the builder, its options)}`."""
    sockets = {}
    for socket in signatures.families()[config.model.family].sockets:
        options = getattr(config.model, socket).model_dump()
        sockets[socket] = (options.pop("network"), options)
    return sockets


def options_of(config):
    """The family's constructor options in a checked config."""
    family = signatures.families()[config.model.family]
    return {name: getattr(config.model, name) for name in family.options}


def translates(config):
    """Whether the family of a checked config makes images of images."""
    return "input_channels" in options_of(config)


def _schema_for(tables):
    family = look_up("model.family", _peek(tables, "model", "family"), signatures.families())
    signature = signatures.families()[family]
    networks = {}
    for socket in signature.sockets:
        field = f"model.{socket}.network"
        network = look_up(field, _peek(tables, "model", socket, "network"), signatures.networks())
        options = signatures.networks()[network].options
        networks[socket] = (_options_section(socket, {"network": str}, options), ...)
    model = _options_section("model", {"family": str}, signature.options, networks)
    train = create_model(
        "train", __base__=Train, optimizer=(_optimizer_section(tables, signature), ...)
    )
    return create_model("config", __base__=Config, model=(model, ...), train=(train, ...))


def _options_section(name, names, options, more=None):
    fields = {field: (type_, ...) for field, type_ in names.items()}
    for option, (type_, default) in options.items():
        if option == "num_classes":
            type_ = Literal["data"] | PositiveInt | None
        elif option == "input_channels":
            type_, default = Literal["data"] | PositiveInt, "data"
        fields[option] = (type_, ... if default is signatures.REQUIRED else default)
    return create_model(name, __base__=Section, **fields, **(more or {}))


def _optimizer_section(tables, signature):
    if not signature.players:
        return _one_optimizer(tables, "train", "optimizer")
    if isinstance(_peek(tables, "train", "optimizer", "name"), str):
        wanted = " and ".join(f"[train.optimizer.{player}]" for player in signature.players)
        raise ConfigError(
            f"train.optimizer: this family's players have an optimizer each: expected {wanted}, "
            "got one [train.optimizer]"
        )
    players = {
        player: (_one_optimizer(tables, "train", "optimizer", player), ...)
        for player in signature.players
    }
    return create_model("optimizer", __base__=Section, **players)


def _one_optimizer(tables, *place):
    field = ".".join(place)
    base = OPTIMIZERS[look_up(f"{field}.name", _peek(tables, *place, "name"), OPTIMIZERS)]
    rate = PositiveFloat
    if isinstance(_peek(tables, *place, "learning_rate"), dict):
        word = _peek(tables, *place, "learning_rate", "schedule")
        rate = SCHEDULES[look_up(f"{field}.learning_rate.schedule", word, SCHEDULES)]
    return create_model(place[-1], __base__=base, learning_rate=(rate, ...))


def _peek(tables, *place):
    for key in place:
        tables = tables.get(key) if isinstance(tables, dict) else None
    return tables


# -- What must agree --------------------------------------------------------------------------


def _check_source(data):
    sources = [name for name, _ in known_sources()]
    kinds = {name.partition(":")[0]: name for name in sources}
    kind, _, argument = data.source.partition(":")
    source = kinds[look_up("data.source", kind, kinds)]
    if ("<" in source) != bool(argument):
        raise ConfigError(f"data.source: expected {source!r}, got {data.source!r}")


def _check_pairs(config):
    data, family = config.data, config.model.family
    if translates(config):
        if not data.pairs:
            sources = ", ".join(name for name, _ in known_sources() if has_pairs(name))
            raise ConfigError(
                f"data.source: {family} translates images, and {data.source} has no pairs of them; "
                f'take {sources}, or make pairs by input = "grey" or "small"'
            )
    elif data.unpaired:
        raise ConfigError(
            f"data.unpaired: {family} does not translate images; leave it out, or take a family "
            "that does"
        )


def _check_ranges(config):
    pixel_range = config.data.pixel_range
    if pixel_range not in (None, *RANGES):
        raise ConfigError(f"data.value_range: expected [0, 1] or [-1, 1], got {list(pixel_range)}")
    options = options_of(config)
    bernoulli = "bernoulli" in (options.get("likelihood"), options.get("reconstruction"))
    # Families that can binarize, and leave no choice of the likelihood.
    bernoulli = bernoulli or ("binarize" in options and "likelihood" not in options)
    if pixel_range is None:
        _check_real_numbers(config, bernoulli)
    elif bernoulli and pixel_range != RANGES[0]:
        raise ConfigError(
            f"data.value_range: a Bernoulli likelihood needs pixels in [0, 1], got "
            f"{list(pixel_range)}; leave value_range out, or take a Gaussian"
        )
    for socket, activation in _output_activations(config):
        if bernoulli:
            raise ConfigError(
                f"model.{socket}.output_activation: a Bernoulli likelihood takes logits, got "
                f"{activation!r}; leave it out"
            )
        if OUTPUT_RANGES.get(activation, pixel_range) != pixel_range:
            made = list(OUTPUT_RANGES[activation])
            raise ConfigError(
                f"data.value_range: output_activation = {activation!r} of [model.{socket}] makes "
                f"pixels in {made}, the data's are in {list(pixel_range)}; set value_range = {made}"
            )


def _check_real_numbers(config, bernoulli):
    """What does not go with real numbers."""
    data = config.data
    holds = {"signals": "is a series", "vectors": "holds vectors"}[data.kind]
    for option in ("value_range", "channels", "crop", "augment", "input"):
        if getattr(data, option) is not None:
            raise ConfigError(f"data.{option}: only images have one, {data.source} {holds}")
    if data.kind == "vectors" and data.size is not None:
        raise ConfigError(f"data.size: vectors have none, got {data.size}; leave it out")
    if bernoulli:
        raise ConfigError(
            f"model.likelihood: a Bernoulli needs numbers in [0, 1], {data.source} {holds} of "
            'real numbers; set likelihood = "gaussian"'
        )
    for socket, activation in _output_activations(config):
        if activation in OUTPUT_RANGES:
            raise ConfigError(
                f"model.{socket}.output_activation: {activation!r} makes numbers in "
                f"{list(OUTPUT_RANGES[activation])}, {data.source} {holds} of real numbers; "
                "leave it out"
            )


def _output_activations(config):
    """`(socket, activation)` of each network that gives images or signals and has one."""
    for socket, (_, network) in sockets_of(config).items():
        if socket in IMAGE_SOCKETS and network.get("output_activation") is not None:
            yield socket, network["output_activation"]


def _check_training(config):
    if config.train.gif and not config.train.sample_every:
        raise ConfigError(
            "train.gif: joins the grids of samples; set train.sample_every to 1 or more"
        )
    if config.train.start is not None and config.train.start_from is not None:
        raise ConfigError(
            "train.start_from: the run's weights replace train.start; give one of them"
        )
    signature = signatures.families()[config.model.family]
    for socket in config.train.freeze:
        look_up("train.freeze", socket, signature.sockets)
    if config.train.collapse_monitor is not None and not _is_from_noise(signature):
        raise ConfigError(
            "train.collapse_monitor: watches a family with a generator of noise, got model.family "
            f"= {config.model.family!r}; leave it out"
        )


def _is_from_noise(signature):
    """Whether a family has a generator of noise."""
    return "generator" in signature.sockets and "latent_dim" in signature.options


def _check_evaluation(config):
    signature = signatures.families()[config.model.family]
    if config.evaluate.truncation is not None and not _is_from_noise(signature):
        raise ConfigError(
            "evaluate.truncation: is of the noise of a generator, which model.family = "
            f"{config.model.family!r} has none of; leave it out"
        )
    binary = options_of(config).get("binarize")  # an option of families with a likelihood
    for name in config.evaluate.metrics:
        metric = evaluation.METRICS[name]
        if metric.needs is not None and metric.needs not in signature.sockets:
            raise ConfigError(
                f"evaluate.metrics: {name!r} needs a family with {metric.needs}s, got "
                f"model.family = {config.model.family!r}"
            )
        if metric.of_binary_pixels and binary is None:
            raise ConfigError(
                f"evaluate.metrics: {name!r} needs a family with a likelihood, got "
                f"model.family = {config.model.family!r}"
            )
        if metric.of_binary_pixels and binary is False:
            raise ConfigError(
                f"evaluate.metrics: {name!r} is in nats of binary pixels; set "
                "binarize = true in [model], or leave it out"
            )
        if metric.of and config.data.kind not in metric.of:
            raise ConfigError(
                f"evaluate.metrics: {name!r} is a metric of {' and '.join(metric.of)}, which "
                f"{config.data.source} has none of"
            )
        if metric.sources and config.data.source not in metric.sources:
            raise ConfigError(
                f"evaluate.metrics: {name!r} counts the modes of data.source = "
                f"{' or '.join(map(repr, metric.sources))}, got {config.data.source!r}"
            )
        if name in ("independent_pixels_nll", "mixtures_nll") and config.data.pixel_range[0] < 0:
            raise ConfigError(f"evaluate.metrics: {name!r} needs pixels in [0, 1]")


def _check_expect(expect):
    for name, bound in expect.bounds.items():
        if bound.at_most is None and bound.at_least is None:
            raise ConfigError(f"expect.{name}: expected at_most or at_least, got neither")
    if expect.unmeasured is not None:
        others = [*expect.bounds, *(name for name in ("command", "seeds") if getattr(expect, name))]
        if others:
            raise ConfigError(
                f"expect.unmeasured: says that nothing was measured, and expect.{others[0]} what "
                "was; leave one of them out"
            )
    if expect.command is not None:
        _check_command(expect)
    before_commands = any(bound.backend for bound in expect.bounds.values())
    for name, bound in expect.bounds.items():
        if bound.reached is not None and expect.command is None and not before_commands:
            raise ConfigError(
                f"expect.{name}.reached: expected the command that reached it beside it, as "
                'expect.command = "keras-gen verify ...", got none'
            )
        many = isinstance(bound.reached, list)
        if many and (expect.seeds is None or len(bound.reached) != len(expect.seeds)):
            raise ConfigError(
                f"expect.{name}.reached: expected a number for each of expect.seeds = "
                f"{expect.seeds}, got {len(bound.reached)}"
            )


def _check_command(expect):
    """The command can be typed: programs of ours, a backend that there is, and its seeds."""
    for part in expect.command.split("&&"):
        try:
            words = shlex.split(part)
        except ValueError as error:
            raise ConfigError(f"expect.command: {error}, in {part.strip()!r}") from None
        if words[:1] != ["keras-gen"] or len(words) < 3:
            raise ConfigError(
                f"expect.command: expected keras-gen train, evaluate or verify and what it takes, "
                f"joined by && where there are more, got {part.strip()!r}"
            )
        look_up("expect.command", words[1], ("train", "evaluate", "verify"))
        if "--backend" in words[:-1]:
            look_up("expect.command: --backend", words[words.index("--backend") + 1], BACKENDS)
    several = expect.seeds is not None and len(expect.seeds) > 1
    if several != (f"train.seed={SEED}" in expect.command):
        raise ConfigError(
            f"expect.command: expected --set train.seed={SEED} where, and only where, expect.seeds "
            f"has several, got {expect.command!r} and seeds = {expect.seeds}"
        )


def _check_cost(cost):
    if cost is not None and (cost.unmeasured is None) == (not cost.minutes):
        raise ConfigError(
            "cost: expected either minutes, or unmeasured with the reason why nobody knows them, "
            f"got {'both' if cost.minutes else 'neither'}"
        )


# -- How an error is told ---------------------------------------------------------------------

EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "value_error": "{error}",
    "string_too_short": "a text",
    "too_short": "{min_length} entries or more",
    "too_long": "{max_length} entries or fewer",
}


def _told(error, schema, tables):
    """The first thing that is wrong, in one line."""
    errors = error.errors()
    field, value = _walk(tables, errors[0]["loc"])
    kind = errors[0]["type"]
    name = ".".join(map(str, field))
    if kind == "extra_forbidden":
        known = _keys_at(schema, field[:-1])
        where = f"[{'.'.join(field[:-1])}]" if field[:-1] else "the top level"
        return ConfigError(f"{name}: unknown key in {where}{did_you_mean(field[-1], known)}")
    if kind == "missing":
        missing = ".".join(map(str, errors[0]["loc"]))
        return ConfigError(f"{missing}: missing; every config of this family must set it")
    ways = [  # a union reports every type it would have taken
        EXPECTED.get(e["type"], e["msg"]).format(**e.get("ctx", {}))
        for e in errors
        if _walk(tables, e["loc"])[0] == field
    ]
    return ConfigError(f"{name}: expected {' or '.join(dict.fromkeys(ways))}, got {value!r}")


def _walk(tables, location):
    """The part of a location that the config itself has, and the value there."""
    field, value = [], tables
    for key in location:
        try:
            value = value[key]
        except (KeyError, TypeError, IndexError):
            break
        field.append(key)
    return field, value


def _keys_at(schema, field):
    for key in field:
        if key not in schema.model_fields:  # [expect]: any name, one shape
            return list(Bound.model_fields)
        annotation = schema.model_fields[key].annotation
        options = [annotation, *typing.get_args(annotation)]
        schema = next(t for t in options if isinstance(t, type) and issubclass(t, BaseModel))
    return list(schema.model_fields)
