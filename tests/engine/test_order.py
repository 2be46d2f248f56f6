"""TensorFlow's graph optimizer keeps the order of a step's reads and writes of each variable."""

import collections

import keras
import pytest
from families import CASES

if keras.backend.backend() != "tensorflow":
    pytest.skip("TensorFlow alone rewrites a step's graph", allow_module_level=True)

import tensorflow as tf  # noqa: E402
from tensorflow.core.protobuf import config_pb2  # noqa: E402
from tensorflow.python.grappler import tf_optimizer  # noqa: E402
from tensorflow.python.training import saver  # noqa: E402

LOOKS_AT_NO_VALUE = {"NoOp", "Identity", "VarIsInitializedOp", "VariableShape"}


def source(name):
    return name.lstrip("^").split(":")[0]


def unordered(graph, resources):
    """Pairs (write, other access) of one resource with no path between them."""
    nodes = {node.name: node for node in graph.node}
    position = {name: i for i, name in enumerate(nodes)}
    before = {}  # {node: bits of all that runs before it}
    for name in nodes:
        stack = [name]
        while stack:
            inputs = [source(i) for i in nodes[stack[-1]].input if source(i) in nodes]
            waiting = [i for i in inputs if i not in before]
            if waiting:
                stack.extend(waiting)
                continue
            bits = 0
            for i in inputs:
                bits |= before[i] | 1 << position[i]
            before[stack.pop()] = bits
    accesses = collections.defaultdict(list)
    for node in graph.node:
        if node.op not in LOOKS_AT_NO_VALUE:
            for name in resources & {source(i) for i in node.input if not i.startswith("^")}:
                accesses[name].append(node)
    return [
        (a.name, b.name)
        for group in accesses.values()
        for k, a in enumerate(group)
        for b in group[:k]
        if {a.op, b.op} != {"ReadVariableOp"}
        and not (before[a.name] >> position[b.name] & 1 or before[b.name] >> position[a.name] & 1)
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_update_overtakes_a_read(case):
    model = case.model(jit_compile=False)
    x, labels = case.data(8)
    model.fit(x, labels, batch_size=8, verbose=0)
    batch = (tf.constant(x),) if labels is None else (tf.constant(x), tf.constant(labels))
    graph = tf.function(model.train_step, autograph=False).get_concrete_function(batch).graph
    traced = graph.as_graph_def()
    resources = {inner.op.name for outer, inner in graph.captures if outer.dtype == tf.resource}
    assert len(resources) > len(model.trainable_variables)
    meta = saver.export_meta_graph(graph_def=traced, graph=graph)
    kept = [node.name for node in [*graph.outputs, *graph.control_outputs]]
    meta.collection_def["train_op"].node_list.value.extend(kept)
    optimized = tf_optimizer.OptimizeGraph(config_pb2.ConfigProto(), meta)

    assert len(optimized.node) < len(traced.node)
    assert unordered(traced, resources) == []
    assert unordered(optimized, resources) == []
