"""The engine on PyTorch: eager steps, or the whole step captured as one graph and compiled.

`jit_compile=True` traces the author's step once a batch shape with `make_fx` on fake tensors,
backward passes (second order too) and optimizer included, and gives the graph to inductor.
Dynamo never reads Keras' Python. State is updated in place, inside the graph.
"""

import contextlib
import shutil
import traceback
import types
import warnings

import keras
import torch
from keras import ops, tree
from keras.src.backend.common.stateless_scope import get_stateless_scope
from torch.fx.experimental.proxy_tensor import make_fx

from keras_gen.engine.kernels import fast_kernels
from keras_gen.engine.kernels.torch import products
from keras_gen.engine.memory import keep_freed_memory
from keras_gen.engine.swapping import swapped
from keras_gen.engine.versions import MovedError, has, inner_parts

has(keras.optimizers.Optimizer, "_backend_update_step")

# A cold compile costs about 30 s here and saves some 10 ms a step: shorter runs stay eager.
STEPS_THAT_REPAY_CAPTURE = 2000


def value_and_grad(objective, variables):
    """Differentiate an objective with respect to Keras variables.

    Args:
        objective: Function without arguments -> `(loss, aux)`; `loss` a scalar tensor.
        variables: List of `keras.Variable`s.

    Returns:
        `((loss, aux), gradients)`; one gradient a variable, zero where the loss does not
        depend on it.
    """
    scope = get_stateless_scope()
    with torch.enable_grad():
        if scope is None:
            values = [variable.value for variable in variables]
            loss, aux = objective()
        else:
            originals = [variable.value for variable in variables]
            values = [value.detach().requires_grad_() for value in originals]
            for variable, value in zip(variables, values, strict=True):
                scope.state_mapping[id(variable)] = value
            loss, aux = objective()
            for variable, value, original in zip(variables, values, originals, strict=True):
                if scope.state_mapping[id(variable)] is value:
                    scope.state_mapping[id(variable)] = original
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, values, allow_unused=True)
        else:
            gradients = [None] * len(values)
    if scope is not None:
        for key, value in scope.state_mapping.items():
            if value.requires_grad:
                scope.state_mapping[key] = value.detach()
    gradients = [
        torch.zeros_like(value) if gradient is None else gradient
        for gradient, value in zip(gradients, values, strict=True)
    ]
    return (loss.detach(), tree.map_structure(_detached, aux)), gradients


def _detached(value):
    return value.detach() if isinstance(value, torch.Tensor) else value


def apply_gradients(optimizer, gradients, variables):
    """Let the optimizer change the variables by the gradients.

    Args:
        optimizer: A Keras optimizer.
        gradients: List of tensors, one a variable.
        variables: List of `keras.Variable`s.
    """
    with torch.no_grad(), _traceable(optimizer):
        optimizer.apply(gradients, variables)


@contextlib.contextmanager
def _traceable(optimizer):
    """While a step is captured, let some optimizers take Keras' portable step.

    Keras' torch versions of these read the learning rate back as a Python number.
    """
    name = type(optimizer).__name__
    portable = get_stateless_scope() is not None and name in ("Adadelta", "Nadam", "SGD")
    if portable:
        step = getattr(keras.optimizers, name)._backend_update_step
        optimizer._backend_update_step = types.MethodType(step, optimizer)
    try:
        yield
    finally:
        if portable:
            del optimizer._backend_update_step


def value_and_input_gradient(fn, x):
    """The value of a function of a tensor, and the gradient of its sum: `d sum(value) / dx`.

    The sum makes it one gradient per example where `fn` treats examples apart. It can be
    differentiated again: gradient penalties are written with it, and share the pass that judges.

    Args:
        fn: Function of one tensor, a critic, a network -> `(value, aux)`.
        x: `(batch, ...)` tensor.

    Returns:
        `((value, aux), gradient)`, the gradient of the shape of `x`.
    """
    differentiable_again = torch.is_grad_enabled()
    with torch.enable_grad():
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        value, aux = fn(x)
        total = ops.cast(value, "float32").sum()
        if not total.requires_grad:
            return (value, aux), torch.zeros_like(x)
        (gradient,) = torch.autograd.grad(
            total, [x], create_graph=differentiable_again, allow_unused=True
        )
    return (value, aux), torch.zeros_like(x) if gradient is None else gradient


def every(period, counter, function, otherwise):
    """Take `function()` where `counter % period == 0`, else `otherwise()`; only one is computed.

    Args:
        period: Integer, 1 or more.
        counter: An integer `keras.Variable` that the step has not changed yet.
        function: Function without arguments -> a nest of tensors; what it writes is kept.
        otherwise: As `function`, the same nest, shapes and dtypes.

    Returns:
        What the one that was taken returned.
    """
    scope = get_stateless_scope()
    if isinstance(scope, _CaptureScope):  # a graph has no branches: one is captured for each
        here = scope.take_branch(counter, period)
    else:
        here = int(counter.value) % period == 0
    return function() if here else otherwise()


def one_program(function):
    """The function itself: a captured step compiles it, and nothing else here could.

    Args:
        function: `function(*numbers, shape) -> tensor`; the numbers int32 scalars.

    Returns:
        The function; another shape is another program, another number is not.
    """
    return function


def peek(variable):
    """The value of a scalar variable as a Python number, also while a program is being traced.

    What is traced does not see it change: for what chooses a program.

    Args:
        variable: A scalar `keras.Variable`.
    """
    return variable._value.item()


@contextlib.contextmanager
def sampling():
    """What `sample` runs in: our kernels, and no graph for gradients that nobody asks for."""
    with torch.no_grad(), fast_kernels():
        yield


class StepAdapter:
    """Placed before `keras.Model`: Keras' torch trainer with capture and several steps a call."""

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return
        keep_freed_memory()
        step = self.train_step
        if self.jit_compile and not self.run_eagerly:
            step = CapturedStep(self)
        self.train_function = _each(step)

    def make_test_function(self, force=False):
        if self.test_function is not None and not force:
            return

        def step(data):
            with torch.no_grad():
                return self.test_step(data)

        self.test_function = _each(step)

    def make_predict_function(self, force=False):
        if self.predict_function is not None and not force:
            return

        def function(batches):
            with torch.no_grad():
                outputs = [self.predict_step(data) for data in batches]
            return tree.map_structure(lambda *parts: torch.cat(parts), *outputs)

        self.predict_function = function

    def fit(self, *args, **kwargs):
        with self._short_last_group():
            return super().fit(*args, **kwargs)

    def evaluate(self, *args, **kwargs):
        with self._short_last_group():
            return super().evaluate(*args, **kwargs)

    @contextlib.contextmanager
    def _short_last_group(self):
        """Keras' torch loop takes a last, shorter group of steps for data that ran out."""
        with warnings.catch_warnings():
            if self.steps_per_execution > 1:
                warnings.filterwarnings("ignore", "Your input ran out of data")
            yield

    def _resolve_jit_for(self, steps):
        """`jit_compile="auto"`: capture where a run of `steps` steps repays the compile."""
        if steps is None or steps < STEPS_THAT_REPAY_CAPTURE:
            return False
        return any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++"))


def _each(step):
    def function(batches):
        for data in batches:
            logs = step(data)
        return logs

    return function


class _CaptureScope(keras.StatelessScope):
    """The state of a step while it is captured: a fake tensor for every variable."""

    def __init__(self, variables, values, branches):
        super().__init__(initialize_variables=False)
        self.branches = branches
        self.known = {id(variable) for variable in variables}
        for variable, value in zip(variables, values, strict=True):
            self.state_mapping[id(variable)] = value

    def take_branch(self, counter, period):
        """Whether the step that is captured is one of every `period`; remembered as a question."""
        self.branches[id(counter), period] = counter
        return int(counter._value) % period == 0

    def add_update(self, update):
        variable, value = update
        if id(variable) not in self.known:
            raise ValueError(
                f"the step writes to the variable '{variable.path}', which is not part of the "
                "model: keep it, or the layer that owns it, as an attribute of the model"
            )
        # As where one really assigns: no gradient flows through it, and what is kept is a copy,
        # which later steps of an optimizer in place do not change.
        super().add_update((variable, value.detach().clone()))


def compile_with_inductor(graph, inputs):
    """Compile a captured graph; tests of the capture alone replace this by the graph itself."""
    with inner_parts():
        from torch._guards import TracingContext, tracing
        from torch._inductor import config
        from torch._inductor.compile_fx import compile_fx
        from torch._inductor.graph import GraphLowering
        from torch._subclasses import FakeTensorMode
        from torch.fx.experimental.symbolic_shapes import ShapeEnv

        has(GraphLowering, "find_nodes_prefer_channels_last")
        products.teach_inductor()
    # Without a shape environment, inductor does not look into its cache on disk.
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    inputs = [mode.from_tensor(tensor, static_shapes=True) for tensor in inputs]
    # PyTorch 2.6 reads them off the graph, where they are of the mode that captured it.
    places = (node for node in graph.graph.nodes if node.op == "placeholder")
    for node, fake in zip(places, inputs, strict=True):
        node.meta["val"] = fake
    on_cpu = all(tensor.device.type == "cpu" for tensor in inputs)
    options = {
        # Images stay `(batch, height, width, channels)` through the whole graph; left to itself,
        # inductor decides anew at each convolution: 1.15 times the DCGAN's step.
        "force_layout_optimization": True,
        # A graph is only called with the shapes that it was captured with.
        "size_asserts": False,
        # Kernels called from C++, not from Python: with the line above, 0.7 of a tiny GAN's step.
        "cpp_wrapper": on_cpu,
    }
    layouts = swapped(GraphLowering, _captured_layouts(GraphLowering))
    with torch.no_grad(), config.patch(options), tracing(TracingContext(mode)), layouts:
        return compile_fx(graph, inputs)


def _captured_layouts(lowering_class):
    """Inductor's choice of what lies channels-last, cut to what lay so in the captured step.

    Around a convolution it takes the second axis of every image for the channels. In Keras'
    `(batch, height, width, channels)` that is the height, and what the next convolution reads
    would be written transposed.
    """
    choice = lowering_class.find_nodes_prefer_channels_last

    def cut(lowering):
        nodes = choice(lowering)
        return type(nodes)(n for n in nodes if _lies_channels_last(n.meta.get("val")))

    return {"find_nodes_prefer_channels_last": cut}


def _lies_channels_last(value):
    four = isinstance(value, torch.Tensor) and value.ndim == 4
    return four and value.is_contiguous(memory_format=torch.channels_last)


compile_graph = compile_with_inductor


class CapturedStep:
    """A model's `train_step` as one compiled graph a batch shape, and a branch of `every`.

    What cannot be captured runs eagerly after one warning that names the culprit.
    """

    def __init__(self, model):
        self.model = model
        self.graphs = {}
        self.branches = {}  # {(id of a counter, period): counter} that the step asks about
        self.fallback = False

    def __call__(self, data):
        if self.fallback:
            return self.model.train_step(data)
        leaves = [ops.convert_to_tensor(leaf) for leaf in tree.flatten(data) if leaf is not None]
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        entry = self.graphs.get((shapes, self._branch()))
        if entry is None:
            try:
                entry = self._capture(data, leaves)
            except Exception as error:
                logs = self.model.train_step(data)  # raises what is the step's own mistake
                self.fallback = True
                warnings.warn(_culprit(error, self.model), stacklevel=2)
                return logs
            self.graphs[shapes, self._branch()] = entry
        step, variables, values = entry
        if any(v._value is not value for v, value in zip(variables, values, strict=True)):
            del self.graphs[shapes, self._branch()]
            return self(data)
        return dict(zip(self.log_names, step(leaves), strict=True))

    def _branch(self):
        """The answer of this step to each question that a capture has met."""
        return tuple(int(c._value) % period == 0 for (_, period), c in self.branches.items())

    def _capture(self, data, leaves):
        model = self.model
        variables = _unique(
            [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        )
        values = [variable._value for variable in variables]

        def step(*inputs):
            state, remaining = inputs[: len(values)], iter(inputs[len(values) :])
            batch = tree.map_structure(lambda leaf: None if leaf is None else next(remaining), data)
            scope = _CaptureScope(variables, state, self.branches)
            with scope:
                logs = model.train_step(batch)
            self.log_names = list(logs)
            with torch.no_grad():
                outputs = [torch.clone(ops.convert_to_tensor(log)) for log in logs.values()]
                for variable, value in zip(variables, state, strict=True):
                    new = scope.get_current_value(variable)
                    if new is not value:
                        value.copy_(new)
            return outputs

        state = [value.detach() for value in values]
        tracer = make_fx(step, tracing_mode="fake", _allow_non_fake_inputs=True)
        graph = tracer(*state, *leaves)
        if any("_local_scalar_dense" in str(node.target) for node in graph.graph.nodes):
            raise ValueError("the step reads a tensor's value back as a Python number")
        held = _lift_held_tensors(graph)
        run = compile_graph(graph, [*state, *leaves, *held])

        def compiled(batch):
            with torch.no_grad():
                return run(*state, *batch, *held)

        if _on_gpu([*state, *leaves, *held]):
            compiled = _replayed_where_possible(compiled, state, leaves)
        return compiled, variables, values


def _on_gpu(tensors):
    return all(tensor.is_cuda for tensor in tensors)


def _replayed_where_possible(step, state, batch):
    try:
        return ReplayedOnGPU(step, state, batch)
    except RuntimeError as error:
        first_line = str(error).strip().splitlines()[0]
        warnings.warn(
            f"jit_compile: this step goes on without a CUDA graph ({first_line}).", stacklevel=2
        )
        return step


class ReplayedOnGPU:
    """A compiled step as one CUDA graph: its hundreds of kernels are one launch.

    State is updated in place, at the same addresses each step; batches are copied into buffers
    that the graph reads. Random numbers come from counters in the state, so they move on.

    Args:
        step: `step(batch) -> outputs`.
        state: List of the tensors that it changes in place.
        batch: List of the tensors of one batch: the graph keeps to their shapes.
    """

    def __init__(self, step, state, batch):
        self.buffers = [leaf.clone() for leaf in batch]
        self.graph = torch.cuda.CUDAGraph()
        before = [value.clone() for value in state]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(side):
                for _ in range(3):  # what is chosen or allocated once stays out of the graph
                    step(self.buffers)
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(self.graph):
                self.outputs = step(self.buffers)
        finally:
            for value, old in zip(state, before, strict=True):
                value.copy_(old)

    def __call__(self, batch):
        for buffer, leaf in zip(self.buffers, batch, strict=True):
            buffer.copy_(leaf)
        self.graph.replay()
        return [output.clone() for output in self.outputs]


def _unique(variables):
    return list({id(variable): variable for variable in variables}.values())


def _lift_held_tensors(graph_module):
    """Make inputs of the real tensors that the step held in closures, so that they stay live.

    Constants written in the code are lifted by `lift_fresh_copy` and stay constants.
    """
    held, graph = [], graph_module.graph
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    for node in [node for node in graph.nodes if node.op == "get_attr"]:
        tensor = getattr(graph_module, node.target)
        fresh = all("lift_fresh" in str(user.target) for user in node.users)
        if not isinstance(tensor, torch.Tensor) or fresh:
            continue
        with graph.inserting_after(placeholders[-1]):
            placeholder = graph.placeholder(f"held_{len(held)}")
            placeholder.meta["val"] = node.meta.get("val")
        placeholders.append(placeholder)
        node.replace_all_uses_with(placeholder)
        graph.erase_node(node)
        held.append(tensor.detach())
    # One flat list of inputs, whatever pytree make_fx was given.
    graph.set_codegen(torch.fx.graph.CodeGen())
    graph_module.recompile()
    return held


def _culprit(error, model):
    """One line that names the layer or optimizer in whose code the capture failed."""
    if isinstance(error, MovedError):
        return f"jit_compile: {error}. Training goes on eagerly."
    owner = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        candidate = frame.f_locals.get("self")
        if isinstance(candidate, keras.layers.Layer | keras.optimizers.Optimizer):
            if candidate is not model:
                owner = candidate
    place = f"{type(owner).__name__} '{owner.name}'" if owner is not None else "its train_step"
    first_line = (str(error) or type(error).__name__).strip().splitlines()[0]
    return (
        f"jit_compile: {type(model).__name__} cannot be captured because of {place} "
        f"({type(error).__name__}: {first_line}). Training goes on eagerly."
    )
