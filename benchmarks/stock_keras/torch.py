"""Stock Keras on PyTorch: the train steps of its guide, "Customizing fit() with PyTorch"."""

import keras
import torch

from ..keras_gen_model import OnTorch
from . import gan, parts

MODES = ("eager", "jit")


class Guided:
    """What the train steps of both models share."""

    def update(self, loss, optimizer, weights):
        """The guide's lines from the loss on."""
        self.zero_grad()
        loss.backward()
        gradients = [weight.value.grad for weight in weights]
        with torch.no_grad():
            optimizer.apply(gradients, weights)

    def track(self, values):
        for tracker, value in zip(self.trackers, values, strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


class VAE(Guided, parts.VAE):
    """One optimizer."""

    def train_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        terms = self.losses_of(x, self(x, training=True))
        self.update(terms[0], self.optimizer, self.trainable_weights)
        return self.track([term.detach() for term in terms])


class IWAE(parts.IWAE, VAE):
    """The train step is the same."""


class VQVAE(parts.VQVAE, VAE):
    """The train step is the same."""


class GAN(Guided, gan.GAN):
    """An optimizer a player, as the guide's end-to-end example."""

    def compile(self, **compiling):
        super().compile(optimizer=None, **compiling)

    def train_step(self, data):
        real, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        for _ in range(self.discriminator_steps):
            noise, mix = self.draw(real, self.mixing)
            with torch.no_grad():
                fake = self.generator(noise, training=True)
            d_loss = self.discriminator_loss(self.judge, self.judge_and_slope, real, fake, mix)
            weights = self.discriminator.trainable_weights
            self.update(d_loss, self.d_optimizer, weights)
        noise, _ = self.draw(real, False)
        g_loss = self.generator_loss(self.judge, real, self.generator(noise, training=True))
        weights = self.generator.trainable_weights
        self.update(g_loss, self.g_optimizer, weights)
        return self.track([d_loss.detach(), g_loss.detach()])

    def judge(self, x):
        return self.discriminator(x, training=True)

    def judge_and_slope(self, x):
        x = x.detach().requires_grad_()
        logits = self.judge(x)
        return logits, torch.autograd.grad(logits.sum(), x, create_graph=True)[0]


class StockKeras(parts.Stock, OnTorch):
    """A `benchmarks.contestants.Contestant`: stock Keras' trainer on PyTorch."""

    models = {"vae": VAE, "iwae": IWAE, "vqvae": VQVAE, "gan": GAN}
    modes = {"eager": False, "jit": True}

    def __init__(self, case, mode, weights, steps_per_call=1):
        # Keras on PyTorch refuses `steps_per_execution` above 1: its users loop.
        super().__init__(case, mode, weights)
        self.steps_per_call = steps_per_call
        self.model.train()
        self.proven = mode == "eager"

    def call(self, data):
        """Takes the steps of one call.

        Raises:
            NotImplementedError: Keras' `jit_compile` fails on this model; the message is torch's.
        """
        try:
            for batch in data:
                self.model.train_function([batch])
        except Exception as error:
            if self.proven:
                raise
            first_line = (str(error) or type(error).__name__).strip().splitlines()[0]
            raise NotImplementedError(f"Keras' jit_compile on PyTorch: {first_line}") from error
        self.proven = True
