"""scikit-learn's boosting by histograms, walked by onnxruntime: the same sums in the same order, in half the time."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from gitops_serving.fast.known import require

Floats = npt.NDArray[np.float64]
KINDS = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
# Versions of the two sets of operators, and of the format, that have trees in double precision.
TREES, PLAIN, FORMAT = 5, 21, 10
LEQ, SUM, NOTHING = 0, 1, 0


def raw_predict(fitted: Any) -> Callable[[Floats], Floats]:
    """What says the same as `fitted._raw_predict`, shape (rows, classes), of which there is one if there are two.

    Raises:
        UnknownError: it is another estimator, or has trees that decide by categories.
        ModuleNotFoundError: onnx or onnxruntime is not installed.
    """
    require(type(fitted) in KINDS, type(fitted).__name__)
    require(fitted._preprocessor is None and fitted.is_categorical_ is None, "boosting with categories of its own")
    onnx, runtime = importlib.import_module("onnx"), importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.enable_cpu_mem_arena = False
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = _model(onnx, fitted).SerializeToString()
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def predict(rows: Floats) -> Floats:
        found: Floats = session.run(None, {"rows": np.ascontiguousarray(rows)})[0]
        return found

    return predict


class _Nodes:
    """The nodes and leaves of all trees, one after the other, as the operator TreeEnsemble wants them."""

    def __init__(self) -> None:
        self.roots: list[int] = []
        self.features: list[int] = []
        self.thresholds: list[float] = []
        self.gaps_left: list[int] = []
        # Of each node the left and the right: the number of a node or of a leaf, and which of the two.
        self.below: tuple[list[int], list[int]] = ([], [])
        self.is_leaf: tuple[list[int], list[int]] = ([], [])
        self.values: list[float] = []
        self.targets: list[int] = []

    def leaf(self, value: float, target: int) -> None:
        """A tree of one leaf, which takes a node to stand on."""
        self.roots.append(len(self.features))
        self.features.append(0)
        self.thresholds.append(0.0)
        self.gaps_left.append(1)
        for below, is_leaf in zip(self.below, self.is_leaf, strict=True):
            below.append(len(self.values))
            is_leaf.append(1)
        self.values.append(value)
        self.targets.append(target)

    def tree(self, nodes: npt.NDArray[Any], target: int) -> None:
        """A tree of scikit-learn."""
        if nodes["is_leaf"][0]:
            self.leaf(float(nodes["value"][0]), target)
            return
        inner, leaves = np.flatnonzero(nodes["is_leaf"] == 0), np.flatnonzero(nodes["is_leaf"])
        place = np.empty(len(nodes), dtype=np.int64)
        place[inner] = len(self.features) + np.arange(len(inner))
        place[leaves] = len(self.values) + np.arange(len(leaves))
        self.roots.append(len(self.features))
        self.features += nodes["feature_idx"][inner].tolist()
        self.thresholds += nodes["num_threshold"][inner].tolist()
        self.gaps_left += nodes["missing_go_to_left"][inner].tolist()
        for side, below, is_leaf in zip(("left", "right"), self.below, self.is_leaf, strict=True):
            below.extend(place[nodes[side][inner]].tolist())
            is_leaf.extend((nodes["is_leaf"][nodes[side][inner]] != 0).astype(int).tolist())
        self.values += nodes["value"][leaves].tolist()
        self.targets += [target] * len(leaves)


def _model(onnx: Any, fitted: Any) -> Any:
    first = np.ravel(fitted._baseline_prediction).tolist()
    nodes = _Nodes()
    # Sums begin with what is there before any tree.
    for target, value in enumerate(first):
        nodes.leaf(value, target)
    for trees in fitted._predictors:
        for target, tree in enumerate(trees):
            require(not tree.nodes["is_categorical"].any(), "trees that decide by categories")
            nodes.tree(tree.nodes, target)
    helper, double = onnx.helper, onnx.TensorProto.DOUBLE

    def tensor(name: str, kind: int, values: list[Any]) -> Any:
        return helper.make_tensor(name, kind, (len(values),), values)

    node = helper.make_node(
        "TreeEnsemble",
        ["rows"],
        ["sums"],
        domain="ai.onnx.ml",
        aggregate_function=SUM,
        post_transform=NOTHING,
        n_targets=len(first),
        tree_roots=nodes.roots,
        nodes_featureids=nodes.features,
        nodes_splits=tensor("splits", double, nodes.thresholds),
        nodes_modes=tensor("modes", onnx.TensorProto.UINT8, [LEQ] * len(nodes.features)),
        nodes_missing_value_tracks_true=nodes.gaps_left,
        nodes_truenodeids=nodes.below[0],
        nodes_falsenodeids=nodes.below[1],
        nodes_trueleafs=nodes.is_leaf[0],
        nodes_falseleafs=nodes.is_leaf[1],
        leaf_weights=tensor("weights", double, nodes.values),
        leaf_targetids=nodes.targets,
    )
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("rows", double, [None, fitted.n_features_in_])],
        [helper.make_tensor_value_info("sums", double, [None, len(first)])],
    )
    versions = [helper.make_opsetid("ai.onnx.ml", TREES), helper.make_opsetid("", PLAIN)]
    return helper.make_model(graph, opset_imports=versions, ir_version=FORMAT)
