"""Priors: densities that are fitted to a trained autoencoder's codes, and sampled from.

`prior.fit(model, x)`, then `prior.sample(count)`: examples; or `prior.sample_codes(count)` and
`prior.log_prob(codes)`.
"""

from keras_gen.priors.gaussian_mixture import GaussianMixture
from keras_gen.priors.maf import MAF
from keras_gen.priors.pixel_cnn import PixelCNN
from keras_gen.priors.prior import Prior, StandardNormal
from keras_gen.priors.two_stage import TwoStageVAE

PRIORS = {
    "standard_normal": StandardNormal,
    "gaussian_mixture": GaussianMixture,
    "two_stage_vae": TwoStageVAE,
    "maf": MAF,
    "pixel_cnn": PixelCNN,
}

__all__ = ["MAF", "PRIORS", "GaussianMixture", "PixelCNN", "Prior", "StandardNormal", "TwoStageVAE"]
