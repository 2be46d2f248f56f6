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

LOOKS_AT_NO_VALUE = {"NoOp", "VarIsInitializedOp", "VariableShape"}
HANDS_ON = {"Identity", "Switch"}  # a handle; a branch is entered by switches


def source(name):
    return name.lstrip("^").split(":")[0]


def only_reads(node, handle):
    """Whether a node leaves a resource as it is; of one with branches TensorFlow notes it."""
    noted = node.attr["_read_only_resource_inputs"].list.i
    inputs = [i for i, name in enumerate(node.input) if source(name) == handle]
    return node.op == "ReadVariableOp" or set(inputs) <= set(noted)


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
    handles = {name: name for name in resources}
    for name in sorted(nodes, key=lambda name: before[name].bit_count()):
        node = nodes[name]
        taken = [source(i) for i in node.input if not i.startswith("^") and source(i) in handles]
        if node.op in HANDS_ON and taken:
            handles[name] = handles[taken[0]]
        elif node.op not in LOOKS_AT_NO_VALUE:
            for handle in set(taken):
                accesses[handles[handle]].append((node, only_reads(node, handle)))
    return [
        (a.name, b.name)
        for group in accesses.values()
        for k, (a, a_reads) in enumerate(group)
        for b, b_reads in group[:k]
        if not (a_reads and b_reads)
        and not (before[a.name] >> position[b.name] & 1 or before[b.name] >> position[a.name] & 1)
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_update_overtakes_a_read(case):
    model = case.model(jit_compile=False)
    x, labels = case.data(8)
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
