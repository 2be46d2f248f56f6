#!/usr/bin/env bash
# jax 0.10.2, jaxlib 0.10.2, CPU, x86-64.
#
# Expected: a program of one elementwise operation has nothing to fuse, so XLA's fusion emitters
# should not matter to how long it takes to compile.
# Seen: with `--xla_cpu_use_fusion_emitters=false` 160 such programs compile in about half of the
# time (4.6 s -> 2.3 s of 160 on one core of a shared Xeon). `jax_disable_most_optimizations` alone,
# whose name promises more, saves a sixth (15.7 s -> 12.8 s of 400). Results are the same bits.
# Whoever runs JAX op by op, as eager Keras does, pays this at each new shape of each operation.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 2>/dev/null
cat > "$place/compile.py" <<'PY'
import hashlib
import time

import jax
import jax.numpy as jnp

jax.config.update("jax_disable_most_optimizations", True)
jnp.sin(jnp.ones((3, 4))).block_until_ready()
seconds, digest = [], hashlib.sha256()
jax.monitoring.register_event_duration_secs_listener(
    lambda event, duration, **_: seconds.append(duration) if "backend_compile" in event else None
)
for rows in range(5, 45):
    y = jnp.full((rows, 4), 0.5)
    digest.update(bytes((jnp.sin(y * y) + 1.0).tobytes()))
print(sum(seconds), digest.hexdigest())
PY
run() { XLA_FLAGS="$1" JAX_PLATFORMS=cpu OMP_NUM_THREADS=1 "$place/venv/bin/python" "$place/compile.py"; }
for round in 1 2 3; do
  run "" >> "$place/with"
  run "--xla_cpu_use_fusion_emitters=false" >> "$place/without"
done
python3 - "$place" <<'PY'
import statistics
import sys
from pathlib import Path

def read(name):
    rows = [line.split() for line in (Path(sys.argv[1]) / name).read_text().splitlines()]
    return statistics.median(float(row[0]) for row in rows), {row[1] for row in rows}

(with_them, bits), (without, other_bits) = read("with"), read("without")
print(f"compiling: {with_them:.2f} s with fusion emitters, {without:.2f} s without")
assert bits == other_bits, "the results differ"
assert without < 0.7 * with_them, "the fusion emitters no longer cost what they did"
PY
