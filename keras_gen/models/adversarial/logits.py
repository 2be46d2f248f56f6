"""What a discriminator gives: one number an example, or a map of them, one a patch."""


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
