"""A mixture of normals over codes: scikit-learn's."""

from keras_gen.priors.prior import Prior


class GaussianMixture(Prior):
    """Mixture of normals with full covariances, fitted by expectation maximization.

    `p(z) = sum_k weight_k N(z; mean_k, covariance_k)`

    Args:
        components: Normals of the mixture, at least 1.
        seed: Of the posterior's samples and of the first means.

    Reference:
        Ghosh et al. 2020, "From Variational to Deterministic Autoencoders", section 4: the
        density of 10 normals that they sample from.
    """

    def __init__(self, components: int = 10, *, seed: int = 0):
        super().__init__(seed=seed)
        if isinstance(components, bool) or not isinstance(components, int) or components < 1:
            raise ValueError(f"components must be an integer of at least 1; got {components!r}.")
        self.components = components

    def fit_codes(self, codes):
        from sklearn import mixture

        if len(codes) < self.components:
            raise ValueError(
                f"components: {self.components} normals cannot be fitted to {len(codes)} codes."
            )
        self.mixture = mixture.GaussianMixture(self.components, random_state=self.seed)
        self.mixture.fit(codes)

    def draw(self, count, rng):
        self.mixture.random_state = int(rng.integers(2**31))
        codes, _ = self.mixture.sample(count)
        return rng.permutation(codes)  # they come sorted by component

    def density(self, codes):
        return self.mixture.score_samples(codes)
