"""The regularized autoencoder: a smooth decoder instead of a VAE's noise."""

from keras import ops

from keras_gen import engine
from keras_gen.models.autoencoders.point_codes import FittedCodes
from keras_gen.models.base import GenerativeModel

REGULARIZERS = ("l2", "gradient_penalty", "spectral")


class RegularizedAutoencoder(FittedCodes, GenerativeModel):
    """Regularized autoencoder (RAE): deterministic, with short codes and a smooth decoder.

    `loss = mean(d(x, decoder(z)) + beta * |z|^2 / 2) + regularizer_weight * R`, `z = encoder(x)`

    `l2:               R = sum of the squares of the decoder's weights`
    `gradient_penalty: R = mean(|d decoder(z) / dz|^2)`, the squared Frobenius norm
    `spectral:         R = sum over the decoder's kernels of (largest singular value)^2`

    The Jacobian's norm is estimated without bias by one random direction an example,
    `E |v' J|^2 = |J|^2` for `v ~ N(0, I)`, of the decoder as it generates (`training=False`).
    The singular values come from one power iteration a kernel and train step, which goes on from
    the last; of a convolution it is that of its kernel as a matrix of its last axis. (The paper
    normalizes by them; to pay for them needs no layers of another kind.)

    It has no prior of its own: `sample` decodes codes drawn from a diagonal normal distribution
    with the running mean and variance of the training codes.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, latent_dim)`.
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)`.
        latent_dim: Size of the code.
        beta: Weight of the code's length.
        regularizer: "l2", "gradient_penalty", "spectral", or `None`.
        regularizer_weight: Weight of the regularizer: lambda.
        reconstruction: "squared_error" (data of any range, summed over the pixels) or
            "bernoulli" (data in [0, 1]; the decoder gives logits; nats an image).
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Ghosh et al. 2020, "From Variational to Deterministic Autoencoders", section 3; Hoffman et
        al. 2019, "Robust Learning with Jacobian Regularization", for the random directions;
        Yoshida & Miyato 2017, "Spectral Norm Regularization", for the price of singular values.
    """

    terms = ("loss", "reconstruction", "code_length")

    def __init__(
        self,
        encoder,
        decoder,
        *,
        latent_dim: int,
        beta: float = 1e-4,
        regularizer: str | None = "l2",
        regularizer_weight: float = 1e-6,
        reconstruction: str = "squared_error",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.rebuild_by(reconstruction)
        if regularizer is not None and regularizer not in REGULARIZERS:
            known = ", ".join(map(repr, REGULARIZERS))
            raise ValueError(f"regularizer must be None or one of {known}; got {regularizer!r}.")
        for name, weight in {"beta": beta, "regularizer_weight": regularizer_weight}.items():
            if weight < 0:
                raise ValueError(f"{name} must not be negative; got {weight!r}.")
        self.encoder = encoder
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.beta = beta
        self.regularizer = regularizer
        self.regularizer_weight = regularizer_weight
        self.add_code_moments()
        if regularizer is not None:
            self.add_term("regularization")
        still = {"dtype": "float32", "trainable": False}
        self.directions = [
            self.add_weight(shape=w.shape[-1:], initializer="ones", name=f"direction_{i}", **still)
            for i, w in enumerate(self._kernels() if regularizer == "spectral" else ())
        ]

    def draw_noise(self, x):
        """Directions `(batch, height, width, channels)` in which the Jacobian is looked at."""
        return self.normal(ops.shape(x)) if self.regularizer == "gradient_penalty" else None

    def objective(self, x, noise, labels, training):
        code = self.encoder(x, training=training)
        if training:
            self.follow(code)
        reconstruction = self.reconstruction_error(x, code, training)
        code_length = 0.5 * ops.mean(ops.sum(ops.square(ops.cast(code, "float32")), axis=1))
        loss = reconstruction + self.beta * code_length
        terms = {"reconstruction": reconstruction, "code_length": code_length}
        if self.regularizer is None:
            return loss, terms
        if self.regularizer == "l2":
            regularization = self.squared_weights()
        elif self.regularizer == "gradient_penalty":
            regularization = ops.mean(self.squared_slope(code, noise))
        else:
            regularization = self.squared_spectral_norms(training)
        return loss + self.regularizer_weight * regularization, {
            **terms,
            "regularization": regularization,
        }

    def squared_weights(self):
        """`sum(w^2)` over all trainable weights of the decoder."""
        weights = self.decoder.trainable_variables
        return sum(ops.sum(ops.square(ops.cast(w, "float32"))) for w in weights)

    def squared_slope(self, code, direction):
        """`|v' J|^2` per example `(batch,)`, `J` the decoder's Jacobian at a code.

        Args:
            code: `(batch, latent_dim)`.
            direction: v, `(batch, height, width, channels)`.
        """

        def along(code):
            output = self.decoder(code, training=False)
            return ops.cast(output, "float32") * ops.cast(direction, "float32")

        slope = engine.input_gradient(along, code)
        return ops.sum(ops.square(ops.cast(slope, "float32")), axis=1)

    def squared_spectral_norms(self, training=False):
        """Sum over the decoder's kernels of `(u' W v)^2`, one power iteration on from the last."""
        total = 0.0
        for kernel, direction in zip(self._kernels(), self.directions, strict=True):
            matrix = ops.reshape(ops.cast(kernel, "float32"), (-1, kernel.shape[-1]))
            fixed = ops.stop_gradient(matrix)
            left = _unit(ops.matmul(fixed, direction))
            right = _unit(ops.matmul(left, fixed))
            if training:
                direction.assign(right)
            total = total + ops.square(ops.sum(left * ops.matmul(matrix, right)))
        return total

    def _kernels(self):
        return [w for w in self.decoder.trainable_variables if len(w.shape) > 1]


def _unit(vector):
    return vector / (ops.sqrt(ops.sum(ops.square(vector))) + 1e-12)
