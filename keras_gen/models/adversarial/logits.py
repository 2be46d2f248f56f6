"""What a discriminator gives: one number an example, or a map of them, one a patch."""

from keras import ops


def scores(real_logits, fake_logits):
    """The mean probability of "real" that a discriminator gives to data and to generated examples.

    Args:
        real_logits: `(batch, 1)`, or a map of them.
        fake_logits: as `real_logits`.

    Returns:
        `{"real_score": scalar, "fake_score": scalar}`, float32, in [0, 1].
    """
    return {
        "real_score": ops.mean(ops.sigmoid(ops.cast(real_logits, "float32"))),
        "fake_score": ops.mean(ops.sigmoid(ops.cast(fake_logits, "float32"))),
    }


def check_logits(socket, network):
    """Refuses a network that gives anything else, where its shape is known already.

    Args:
        socket: what the network is plugged into, for the message.
        network: a `keras.Model`.

    Raises:
        ValueError: its output is neither `(batch, 1)` nor a map `(batch, ..., 1)`.
    """
    shape = getattr(network, "output_shape", None) if network.built else None
    if isinstance(shape, tuple) and (len(shape) < 2 or shape[-1] != 1):
        raise ValueError(
            f"{socket}: expected one number an example, (batch, 1), or a map of them, "
            f"(batch, rows, columns, 1); got {('batch', *shape[1:])}. End it with one unit, or "
            "one channel."
        )


def check_heads(socket, network, **heads):
    """Refuses a network whose output is not as wide as its heads together, where it is known.

    Args:
        socket: what the network is plugged into, for the message.
        network: a `keras.Model`.
        **heads: how many numbers of an example each head takes, by its name.

    Raises:
        ValueError: its output is not `(batch, sum of the heads)`.
    """
    shape = getattr(network, "output_shape", None) if network.built else None
    width = sum(heads.values())
    if isinstance(shape, tuple) and shape[1:] != (width,):
        parts = " + ".join(f"{size} {name}" for name, size in heads.items())
        raise ValueError(
            f"{socket}: expected {parts.replace('_', ' ')} = {width} numbers an example, (batch, "
            f"{width}); got {('batch', *shape[1:])}. End it with {width} units."
        )
