#!/usr/bin/env bash
# tensorflow 2.21.0, CPU, one device.
#
# A tf.function runs reads and updates of one variable in the order of the Python code: automatic
# control dependencies promise that. A linear critic is trained by hand: the loss is the mean of
# `(x v) w`, so the gradient of w does not depend on w. Both gradients go through `tf.identity_n`, as
# Keras' sum of all gradients over one replica does, and then both variables are updated.
# Expected: the returned loss is that of the weights before the update, as it is in eager mode.
# Seen: 12 eagerly, 10.8 or 7.2 compiled: one variable or the other is updated before it is read. The
# function as traced has a path from each read to the update; the graph optimizer bypasses IdentityN
# and drops it. With a `tf.identity` for each gradient, or with dependency optimization off, the loss is
# right. It is a race: a slow operation before one read lets the update win in nearly every step here.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check tensorflow==2.21.0 2>/dev/null
TF_CPP_MIN_LOG_LEVEL=3 "$place/venv/bin/python" - 2>/dev/null <<'PY'
import tensorflow as tf


def losses(hand_on):
    """Of steps from the same weights: once eagerly, five times as a function."""
    v, w = tf.Variable(tf.ones((4, 3))), tf.Variable(tf.ones((3, 1)))

    def step(x, slow):
        with tf.GradientTape() as tape:
            hidden = tf.matmul(x, v)
            with tf.control_dependencies([tf.linalg.matmul(slow, tf.matmul(slow, slow))]):
                weights = w.read_value()
            loss = tf.reduce_mean(tf.matmul(hidden, weights))
        gradients = hand_on(tape.gradient(loss, [v, w]))
        for variable, gradient in zip((v, w), gradients):
            variable.assign_sub(0.1 * gradient)
        return loss

    found = []
    for run in (step, *[tf.function(step)] * 5):
        v.assign(tf.ones_like(v))
        w.assign(tf.ones_like(w))
        found.append(float(run(tf.ones((5, 4)), tf.ones((1500, 1500)))))
    return found


one_by_one = losses(lambda gradients: [tf.identity(gradient) for gradient in gradients])
together = losses(tf.identity_n)
tf.config.optimizer.set_experimental_options({"dependency_optimization": False})
without = losses(tf.identity_n)
print("loss, eager and compiled: tf.identity", one_by_one)
print("tf.identity_n", together)
print("tf.identity_n without dependency optimization", without)
assert one_by_one == without == [12.0] * 6, (one_by_one, without)
assert together[0] == 12.0 and min(together[1:]) < 11, together
PY
