#!/usr/bin/env bash
# jax 0.10.2, jaxlib 0.10.2, CPU, x86-64.
#
# `lax.scan` over K train steps is how JAX users save the dispatch of K calls.
# Expected: ten steps of a small convolutional network in a scan take as long as ten calls of the
# compiled step, or a little less.
# Seen: forward passes do; steps with gradients take twenty times as long in the scan (1.5 s for 0.08 s on one
# core), from the same numbers to the same numbers.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 2>/dev/null
JAX_PLATFORMS=cpu "$place/venv/bin/python" - <<'PY'
import time

import jax
import jax.numpy as jnp

STEPS = 10
images, kernel = jnp.ones((32, 28, 28, 16)), jnp.full((3, 3, 16, 16), 0.01)


def convolve(x, kernel):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)


def forward(kernel):
    return kernel + 1e-9 * jnp.mean(convolve(jax.nn.relu(convolve(images, kernel)), kernel))


def train(kernel):
    loss = lambda k: jnp.mean(convolve(jax.nn.relu(convolve(images, k)), k) ** 2)
    return kernel - 1e-3 * jax.grad(loss)(kernel)


def timed(steps):
    found = steps(kernel).block_until_ready()
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        steps(kernel).block_until_ready()
        seconds.append(time.perf_counter() - begun)
    return found, min(seconds)


ratios = {}
for step in (forward, train):
    compiled = jax.jit(step)

    def by_calls(k):
        for _ in range(STEPS):
            k = compiled(k)
        return k

    scan = jax.jit(lambda k: jax.lax.scan(lambda k, _: (step(k), None), k, None, length=STEPS)[0])
    (one, calls), (other, looped) = timed(by_calls), timed(scan)
    apart = float(jnp.abs(one - other).max() / jnp.abs(one - kernel).max())
    assert apart < 1e-3, (step.__name__, apart)
    ratios[step.__name__] = looped / calls
    print(f"{step.__name__}: {calls:.3f} s by calls, {looped:.3f} s in a scan")
assert ratios["forward"] < 2 and ratios["train"] > 5, ratios
PY
