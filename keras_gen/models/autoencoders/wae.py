"""The Wasserstein autoencoder: its codes as a whole, not each by itself, follow the prior."""

from keras import ops

from keras_gen.losses import imq_kernel, maximum_mean_discrepancy, rbf_kernel
from keras_gen.models.autoencoders.point_codes import PointCodes
from keras_gen.models.base import GenerativeModel

KERNELS = {"imq": imq_kernel, "rbf": rbf_kernel}


class WAE(PointCodes, GenerativeModel):
    """Wasserstein autoencoder with a maximum mean discrepancy (WAE-MMD).

    `loss = mean(|x - decoder(z)|**2) + penalty_weight * MMD(z, N(0, I))`, `z = encoder(x)`

    Args:
        encoder: `(batch, height, width, channels) -> (batch, latent_dim)`.
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)` in the data's range.
        latent_dim: Size of z.
        penalty_weight: Weight of the discrepancy.
        kernel: "imq" (sums of inverse multiquadratics, heavy tails: the paper's) or "rbf".
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Tolstikhin et al. 2018, "Wasserstein Auto-Encoders", algorithm 2; the kernel's scale is
        2 * latent_dim, the mean squared distance of two codes of the prior.
    """

    terms = ("loss", "reconstruction", "discrepancy")

    def __init__(
        self,
        encoder,
        decoder,
        *,
        latent_dim: int,
        penalty_weight: float = 10.0,
        kernel: str = "imq",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if penalty_weight < 0:
            raise ValueError(f"penalty_weight must not be negative; got {penalty_weight!r}.")
        if kernel not in KERNELS:
            known = ", ".join(map(repr, KERNELS))
            raise ValueError(f"kernel must be one of {known}; got {kernel!r}.")
        self.encoder = encoder
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.penalty_weight = penalty_weight
        self.kernel = kernel
        self.rebuild_by("squared_error")

    def draw_noise(self, x):
        """Codes of the prior, as many as examples."""
        return self.normal((ops.shape(x)[0], self.latent_dim))

    def objective(self, x, noise, labels, training):
        z = self.encoder(x, training=training)
        reconstruction = self.reconstruction_error(x, z, training)
        kernel = KERNELS[self.kernel]
        discrepancy = maximum_mean_discrepancy(z, noise, kernel, 2.0 * self.latent_dim)
        loss = reconstruction + self.penalty_weight * discrepancy
        return loss, {"reconstruction": reconstruction, "discrepancy": discrepancy}
