"""The importance weighted autoencoder: a bound that tightens with the samples it averages."""

from keras import ops

from keras_gen.losses import importance_bound
from keras_gen.models.autoencoders.gaussian_codes import GaussianCodes
from keras_gen.models.base import GenerativeModel


class IWAE(GaussianCodes, GenerativeModel):
    """Importance weighted autoencoder of binary data.

    `loss = -mean(log(sum_k w_k / K))`, `w_k = p(x | z_k) p(z_k) / q(z_k | x)`, `z_k ~ q(z | x)`

    With one sample it is the VAE of the same networks. `groups=M` averages M such bounds of K
    samples (MIWAE); `elbo_share=b` mixes in the evidence lower bound (CIWAE).

    Args:
        encoder: `(batch, height, width, channels) -> (batch, 2 * latent_dim)`: mean and log
            variance of q(z | x).
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)`: logits.
        latent_dim: Size of z.
        samples: K, the samples inside one bound.
        groups: M, the bounds averaged for one example.
        elbo_share: b, the weight in [0, 1] of the evidence lower bound.
        binarize: Draw binary pixels with the grey levels as probabilities, anew in each step.
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Burda et al. 2016, "Importance Weighted Autoencoders", equations 8 and 14; Rainforth et
        al. 2018, "Tighter Variational Bounds are Not Necessarily Better", equations 11 and 12.
    """

    terms = ("loss", "negative_elbo")

    def __init__(
        self,
        encoder,
        decoder,
        *,
        latent_dim: int,
        samples: int = 5,
        groups: int = 1,
        elbo_share: float = 0.0,
        binarize: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value in (("samples", samples), ("groups", groups)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1; got {value!r}.")
        if not 0.0 <= elbo_share <= 1.0:
            raise ValueError(f"elbo_share must be in [0, 1]; got {elbo_share!r}.")
        self.encoder = encoder
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.samples = samples
        self.groups = groups
        self.elbo_share = elbo_share
        self.observe(binarize=binarize)

    def draw_noise(self, x):
        latent = self.normal((ops.shape(x)[0], self.groups * self.samples, self.latent_dim))
        return latent, self.pixel_noise(x)

    def objective(self, x, noise, labels, training):
        latent_noise, pixel_noise = noise
        x = self.observed(x, pixel_noise)
        log_weights = self.log_weights(x, latent_noise, labels, training)
        elbo = ops.mean(log_weights)
        bound = ops.mean(importance_bound(ops.reshape(log_weights, (-1, self.samples))))
        share = self.elbo_share
        return -(share * elbo + (1.0 - share) * bound), {"negative_elbo": -elbo}
