"""What the twins share: device, batches, compilation, epochs, samples."""

import numpy as np
import torch

from .. import plan
from .networks import build
from .optimizers import FusedAdam, TracedAdam
from .weights import keras_weights, trained

MODES = ("eager", "compiled_modules", "compiled_step")


class Trainer:
    """One case in plain PyTorch.

    A subclass has `step(batch) -> {term: tensor}`, `generate(count)` and its players' losses.

    Args:
        case: A `benchmarks.cases.Case`.
        mode: One of `MODES`.
        weights: `{network: [float32 array, ...]}` as Keras has them; fresh ones where `None`.
        steps_per_call: Train steps that one `call` takes.

    Attributes:
        of_modules: Options of inductor, on a CPU, where it compiles the networks.
        of_steps: Those where it compiles the whole step.
    """

    of_modules = {}
    # Kernels called from C++ and not from Python: 0.7 of the time on `gan_ring`, 1.0 elsewhere.
    of_steps = {"cpp_wrapper": True}

    def __init__(self, case, mode, weights, steps_per_call=1):
        if mode not in MODES:
            raise ValueError(f"mode: expected one of {MODES}, got {mode!r}")
        self.case, self.mode = case, mode
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.images = len(case.shape) == 3
        # On the CPU 0.79 of the contiguous time for DCGANs, 0.84 to 0.94 for WGAN-GP, and for the
        # VAE 1.0 eagerly and 0.78 compiled. GPUs gain from it in half precision, not in float32.
        self.channels_last = self.images and self.device.type == "cpu"
        self.networks = torch.nn.ModuleDict(
            {
                name: build(
                    network,
                    None if weights is None else weights[name],
                    self.channels_last,
                )
                for name, network in plan.networks(case).items()
            }
        ).to(self.device)
        self.optimizers = {}
        if mode == "compiled_modules":
            options = self.of_modules if self.device.type == "cpu" else {}
            for network in self.networks.values():
                network.compile(options=options or None)
        self.generate = self.whole(self.generate)

    def whole(self, function):
        """The function as one compiled graph, gradients included, where the mode is that."""
        if self.mode != "compiled_step":
            return function
        # Dynamo then reads `torch.autograd.grad` into its graph; differentiating twice works too.
        torch._dynamo.config.trace_autograd_ops = True
        if self.device.type == "cuda":
            return torch.compile(function, fullgraph=True, dynamic=False, mode="reduce-overhead")
        return torch.compile(function, fullgraph=True, dynamic=False, options=self.of_steps)

    def adam(self, player, network):
        """The mode's optimizer of a player's network."""
        adam = TracedAdam if self.mode == "compiled_step" else FusedAdam
        optimizer = adam(network.parameters(), *plan.adam(self.case, player))
        self.optimizers[player] = optimizer
        return optimizer

    def noise(self, count):
        """Standard normal `(count, latent_dim)`."""
        return torch.randn(count, self.case.latent_dim, device=self.device)

    def put(self, batches):
        return [self.to_device(batch) for batch in batches]

    def to_device(self, examples):
        """NumPy `(count, height, width, channels)` as a tensor, channels of images second."""
        x = torch.from_numpy(examples).to(self.device)
        if not self.images:
            return x
        x = x.permute(0, 3, 1, 2)
        return x if self.channels_last else x.contiguous()

    def call(self, data):
        for batch in data:
            self.terms = self.step(batch)

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def losses(self):
        return {term: value.item() for term, value in self.terms.items()}

    def sample(self, count):
        self.networks.eval()
        with torch.inference_mode():
            x = self.generate(count)
        self.networks.train()
        if self.images:
            x = x.permute(0, 2, 3, 1)
        return np.ascontiguousarray(x.cpu().numpy())

    def epoch(self, examples):
        x, size = self.to_device(examples), self.case.batch_size
        order = torch.randperm(len(x), device=self.device)
        for indices in order[: len(order) // size * size].split(size):
            self.terms = self.step(x[indices])
        self.wait()

    def as_keras(self):
        weights = {
            name: [weight.to_keras(weight.tensor) for weight in keras_weights(network)]
            for name, network in self.networks.items()
        }
        return weights, {player: list(self.moments_of(player)) for player in self.optimizers}

    def moments_of(self, player):
        """Yields Adam's first moments in the order of the player's Keras trainable variables."""
        optimizer = self.optimizers[player]
        found = zip(optimizer.parameters, optimizer.first_moments, strict=True)
        moments = {id(parameter): moment for parameter, moment in found}
        for name, network in self.networks.items():
            if player in ("model", name):
                yield from (w.to_keras(moments[id(w.tensor)]) for w in trained(network))
