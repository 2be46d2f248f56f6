"""The denoising autoencoder: it learns to repair what was spoilt before it saw it."""

from keras import ops

from keras_gen.models.autoencoders.point_codes import FittedCodes
from keras_gen.models.base import GenerativeModel


class DenoisingAutoencoder(FittedCodes, GenerativeModel):
    """Autoencoder that is shown spoilt examples and judged by the whole ones.

    `loss = mean(d(x, decoder(encoder(spoilt x))))`

    Examples are spoilt by noise, by values that are missing (set to 0), by a square hole, or by
    several of these. `reconstruct(spoilt)` repairs noise; `reconstruct(x, mask=known)` fills what
    is missing and leaves the rest.

    Args:
        encoder: `(batch, height, width, channels) -> (batch, latent_dim)`.
        decoder: `(batch, latent_dim) -> (batch, height, width, channels)`.
        latent_dim: Size of the code; for repair it may be larger than the data.
        noise: Deviation of normal noise, in units of the data.
        missing: Share of the pixels, in [0, 1), set to 0, all channels at once; of the numbers
            where the data are vectors.
        hole: Side in pixels of a square set to 0, anywhere in the image.
        reconstruction: "squared_error" (data of any range, summed over the pixels) or
            "bernoulli" (data in [0, 1]; the decoder gives logits; nats an image).
        **kwargs: `seed`, `name`, `dtype` of `GenerativeModel`.

    Reference:
        Vincent et al. 2008, "Extracting and Composing Robust Features with Denoising
        Autoencoders", section 2.3; Pathak et al. 2016, "Context Encoders", section 3.3, for holes.
    """

    terms = ("loss",)

    def __init__(
        self,
        encoder,
        decoder,
        *,
        latent_dim: int,
        noise: float = 0.0,
        missing: float = 0.0,
        hole: int = 0,
        reconstruction: str = "squared_error",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.rebuild_by(reconstruction)
        if noise < 0:
            raise ValueError(f"noise must not be negative; got {noise!r}.")
        if not 0.0 <= missing < 1.0:
            raise ValueError(f"missing must be in [0, 1); got {missing!r}.")
        sides = encoder.input_shape[1:-1]
        if hole and (len(sides) != 2 or not 0 < hole < min(sides)):
            raise ValueError(
                "hole must be the side of a square smaller than the image, "
                f"{' x '.join(map(str, sides)) or 'which is a vector'}; got {hole!r}."
            )
        if not (noise or missing or hole):
            raise ValueError(
                "noise, missing and hole are all 0: nothing would be spoilt. Set one of them, or "
                "take Autoencoder."
            )
        self.encoder = encoder
        self.decoder = decoder
        self.latent_dim = latent_dim
        self.noise = noise
        self.missing = missing
        self.hole = hole
        self.add_code_moments()

    def draw_noise(self, x):
        """What spoils a batch: noise added, and a mask of what is known."""
        added = self.noise * self.normal(ops.shape(x)) if self.noise else None
        known = None
        if self.missing:
            *places, values = ops.shape(x)
            pixels = self.uniform((*places, 1) if len(places) > 1 else (*places, values))
            known = ops.cast(pixels >= self.missing, x.dtype)
        if self.hole:
            around = self._around_a_hole(x)
            known = around if known is None else known * around
        return added, known

    def _around_a_hole(self, x):
        """1 outside a square at a random place of each image, 0 inside: `(batch, h, w, 1)`."""
        batch, *sides = ops.shape(x)[:3]
        inside = []
        for axis, side in enumerate(sides):
            corner = self.integers((batch, 1), side - self.hole + 1)
            place = ops.arange(side, dtype="int32")[None] - corner
            along = ops.logical_and(place >= 0, place < self.hole)
            inside.append(ops.expand_dims(along, 2 - axis))
        return 1 - ops.cast(ops.logical_and(*inside), x.dtype)[..., None]

    def spoil(self, x, noise):
        """`known * (x + added)`: what the encoder is shown."""
        added, known = noise
        x = x if added is None else x + added
        return x if known is None else known * x

    def objective(self, x, noise, labels, training):
        code = self.encoder(self.spoil(x, noise), training=training)
        if training:
            self.follow(code)
        return self.reconstruction_error(x, code, training), {}
