"""What autoencoders share whose code is a grid of indices: look them up, decode them, sample."""

import math

from keras import ops

from keras_gen.models.autoencoders import quantizers
from keras_gen.models.autoencoders.point_codes import PointCodes


class GridCodes(PointCodes):
    """Placed before `GenerativeModel`: an encoder that gives a grid, and finitely many codes.

    The family sets `encoder`, `decoder`, `codebook_size`, calls `rebuild_by`, and has
    `codes(x) -> indices`, `vectors(indices) -> q` and `draw_indices(stream, shape)`, which draws
    each place by itself, as often as its code is used in training: a floor for the priors that can
    be fitted to `codes(x)`.
    """

    codes_a_place = 1  # where there are more, they lie along the last axis of the indices

    @staticmethod
    def grid_sockets(data_shape, size, downsampling):
        """The sockets of a grid of vectors of `size` numbers."""
        grid = (*quantizers.grid_of(data_shape, downsampling), size)
        return {"encoder": (data_shape, grid), "decoder": (grid, data_shape)}

    @property
    def latent_dim(self):
        """Codes of one example: the places of the grid."""
        return math.prod(self.encoder.output_shape[1:-1])

    def decode_codes(self, indices):
        """Examples in the data's range from indices, as `codes` gives them.

        Raises:
            ValueError: An index is not that of a code.
        """
        return self.decode(self.vectors(quantizers.check_indices(indices, self.codebook_size)))

    def encode(self, x, labels=None):
        """Quantized vectors of examples, and their deviation, which is 0.

        Returns:
            Two tensors `(batch, rows, columns, features)`.
        """
        q = self.vectors(self.codes(x))
        return q, ops.zeros_like(q)

    def prior_codes(self, stream, count):
        """Vectors of codes that are drawn one by one, as often as each is used in training."""
        shape = (count, *self.encoder.output_shape[1:-1])
        return self.vectors(self.draw_indices(stream, shape))
