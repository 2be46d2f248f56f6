"""A WGAN-GP as a user would write it: five critic steps, a gradient penalty, any backend."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_gen
from keras_gen import engine


class WGANGP(keras_gen.GenerativeModel):
    """Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", algorithm 1."""

    terms = ("critic_loss", "generator_loss", "penalty")

    def __init__(self, generator, critic, *, latent_dim, critic_steps=5, **kwargs):
        super().__init__(**kwargs)
        self.generator, self.critic = generator, critic
        self.latent_dim, self.critic_steps = latent_dim, critic_steps

    def critic_objective(self, real, fake, mix):
        between = mix * real + (1 - mix) * fake
        slope = engine.input_gradient(self.critic, between)
        norm = ops.sqrt(ops.sum(ops.square(slope), axis=-1) + 1e-12)
        penalty = ops.mean(ops.square(norm - 1))
        loss = ops.mean(self.critic(fake)) - ops.mean(self.critic(real))
        return loss + 10 * penalty, penalty

    def train_step(self, data):
        real, _ = self.unpack(data)
        batch = ops.shape(real)[0]
        for _ in range(self.critic_steps):
            fake = ops.stop_gradient(self.generator(self.normal((batch, self.latent_dim))))
            mix = self.uniform((batch, 1))
            critic_loss, penalty = engine.minimize(
                lambda fake=fake, mix=mix: self.critic_objective(real, fake, mix),
                self.critic.trainable_variables,
                self.optimizer["critic"],
            )
        noise = self.normal((batch, self.latent_dim))
        generator_loss, _ = engine.minimize(
            lambda: (-ops.mean(self.critic(self.generator(noise))), {}),
            self.generator.trainable_variables,
            self.optimizer["generator"],
        )
        return self.log(critic_loss=critic_loss, generator_loss=generator_loss, penalty=penalty)

    def sample(self, count, seed=None, labels=None):
        return self.generator(self.sampling_stream(seed).normal((count, self.latent_dim)))


# A user's file ends here: the rest looks on.


def network(inputs, outputs):
    dense = keras.layers.Dense
    return keras.Sequential([keras.Input((inputs,)), dense(32, "leaky_relu"), dense(outputs)])


def model(**options):
    keras.utils.set_random_seed(1)
    wgan = WGANGP(network(2, 2), network(2, 1), latent_dim=2)
    adam = {"learning_rate": 2e-3, "beta_1": 0.0, "beta_2": 0.9}
    players = {name: keras.optimizers.Adam(**adam) for name in ("generator", "critic")}
    wgan.compile(players, **options)
    return wgan


def points(count=512):
    return np.random.default_rng(0).normal((2.0, -1.0), 0.3, (count, 2)).astype("float32")


@pytest.mark.slow
def test_it_learns_where_the_points_are():
    wgan = model(jit_compile=True)
    history = wgan.fit(points(), batch_size=64, epochs=20, verbose=0).history
    assert set(history) == set(WGANGP.terms)
    # The penalty keeps the critic's slope near 1 (it is a mean of squared distances from 1).
    assert history["penalty"][-1] < 0.2
    # From the origin the points are 2.24 away: at most a quarter of the way is left.
    made = ops.convert_to_numpy(wgan.sample(1000, seed=0))
    assert np.linalg.norm(made.mean(0) - [2.0, -1.0]) < 0.56
    critic, generator = wgan.optimizer["critic"], wgan.optimizer["generator"]
    assert int(critic.iterations) == 5 * int(generator.iterations) == 5 * 20 * 8


def test_without_jit_it_takes_the_same_steps():
    plain, jitted = (
        model(jit_compile=jit).fit(points(128), batch_size=64, shuffle=False, verbose=0).history
        for jit in (False, True)
    )
    for term in WGANGP.terms:
        np.testing.assert_allclose(plain[term], jitted[term], rtol=1e-4, err_msg=term)


def test_the_whole_class_takes_less_than_sixty_lines():
    import inspect

    assert len(inspect.getsource(WGANGP).splitlines()) < 60


def test_it_saves_and_loads_with_both_optimizers(tmp_path):
    wgan = model(run_eagerly=True)
    wgan.fit(points(64), batch_size=32, verbose=0)
    wgan.save(tmp_path / "wgan.keras")
    loaded = keras.saving.load_model(tmp_path / "wgan.keras")
    assert int(loaded.optimizer["critic"].iterations) == 10
    for kept, saved in zip(loaded.optimizer.variables, wgan.optimizer.variables, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(kept.value), ops.convert_to_numpy(saved.value)
        )
