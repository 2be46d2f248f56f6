"""Daily returns of the S&P 500, 1999 to 2018, carried by arch: in the wheel, no download."""

import importlib.util
import pathlib

import numpy as np

from keras_gen.data.errors import DataError
from keras_gen.data.sources import series

CLOSE = 3  # of open, high, low, close, adjusted close, volume


def load(request):
    """Loads windows of daily log-returns, `log(close today / close yesterday)`.

    Args:
        request: a `Request`; `size` is the days of a window, 64 where it is None.

    Returns:
        A `Dataset` of `(days, 1)` as `series.windows` gives it.

    Raises:
        DataError: arch is not installed, or an option does not fit a series.
    """
    # Found and not imported: arch loads statsmodels, which a CSV file does not need.
    package = importlib.util.find_spec("arch")
    if package is None:
        raise DataError("sp500: needs arch; pip install 'keras-gen[series]'")
    path = pathlib.Path(package.submodule_search_locations[0]) / "data" / "sp500" / "sp500.csv.gz"
    returns = np.diff(np.log(series.read(path)[:, [CLOSE]]), axis=0)
    return series.windows(request, returns, "sp500", licence="NCSA")
