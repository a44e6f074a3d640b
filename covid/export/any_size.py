"""A graph that resizes by itself, for programs that have a decoder and no Pillow."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from tqdm import tqdm

from covid.edge.images import read_grey
from covid.edge.model import EVIDENCE, OUTPUTS
from covid.edge.predict import Outputs
from covid.edge.processors import usable_processors
from covid.export.graph import check
from covid.export.parity import Check, check_evidence
from covid.export.reference import Reference

Floats = npt.NDArray[np.float32]

# Of a probability. The graph's resize and Pillow's agree to the pixel but for the image's edge,
# where they weigh what lies outside differently, and for roundings half way.
TOLERANCE = 2e-2


def any_size_graph(model: onnx.ModelProto, image_size: int) -> onnx.ModelProto:
    """An exported graph with a resize before it: `image`, uint8 `[1, height, width]` of any size.

    The resize is ONNX's, linear and antialiased, on bytes. Outputs are those of one image.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["resized" if name == "image" else name for name in node.input]
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([0], dtype=np.int64), "batch_axis"),
            numpy_helper.from_array(np.array([1, 1, image_size, image_size]), "resized_shape"),
        ]
    )
    resize = helper.make_node(
        "Resize", ["plane", "", "", "resized_shape"], ["resized"], name="resize",
        mode="linear", antialias=1,
    )  # fmt: skip
    graph.node.insert(0, resize)
    graph.node.insert(0, helper.make_node("Unsqueeze", ["image", "batch_axis"], ["plane"], "add"))
    batch, height, width = (onnx.TensorShapeProto.Dimension() for _ in range(3))
    batch.dim_value, height.dim_param, width.dim_param = 1, "height", "width"
    shape = graph.input[0].type.tensor_type.shape
    del shape.dim[:]
    shape.dim.extend([batch, height, width])
    for output in graph.output:
        output.type.tensor_type.shape.dim[0].dim_value = 1
    check(model)
    return model


def check_any_size(path: Path, reference: Reference) -> dict[str, Any]:
    """How far a file is from the network, each validation image given to it at its own size.

    What report.json says: `checks`, `largest_difference` and `mean_difference` of a
    probability, `decisions_changed`.
    """
    places = list(range(len(reference.indices)))
    names, files = reference.names(places), reference.files(places)
    session = _open(path)
    there = {output.name for output in session.get_outputs()}
    wanted = [name for name in (*OUTPUTS, *EVIDENCE) if name in there]
    answered: list[Outputs] = []
    with tqdm(total=len(files), desc="any size", unit=" images", leave=False, delay=1,
              disable=None) as bar:  # fmt: skip
        for file in files:
            feed = {"image": np.asarray(read_grey(file, greys=reference.card.greys))[np.newaxis]}
            answered.append(Outputs(*session.run(wanted, feed)))
            bar.update()
    given = np.concatenate([outputs.probabilities for outputs in answered])
    difference = np.abs(given - reference.probabilities)
    difference = np.where(np.isfinite(difference), difference, np.float32(np.inf))
    space, largest = reference.space, float(difference.max())
    other = (space.decide(given) != space.decide(reference.probabilities)).any(axis=1)
    changed = [names[place] for place in np.flatnonzero(other).tolist()]
    far = _far_from_threshold(reference.probabilities, space.thresholds)
    wrong = [names[place] for place in np.flatnonzero(other & far).tolist()]
    worst = names[int(difference.max(axis=1).argmax())]
    checks = [
        Check(
            "probabilities",
            largest <= TOLERANCE,
            f"largest difference {largest:.2g} (at most {TOLERANCE:g}): {worst}; "
            f"on average {difference.mean():.2g}",
        ),
        Check(
            "decisions",
            not wrong,
            f"{len(changed)} of {len(files)} differ, {len(wrong)} of them further than "
            f"{TOLERANCE:g} from a threshold",
        ),
        check_evidence(answered),
    ]
    return {
        "checks": checks,
        "largest_difference": largest,
        "mean_difference": float(difference.mean()),
        "decisions_changed": changed,
    }


def _far_from_threshold(
    probabilities: Floats, thresholds: tuple[float, ...] | None
) -> npt.NDArray[np.bool_]:
    """bool `[images]`: no probability is within the tolerance of where its decision turns."""
    if thresholds is None:  # the two largest could change places
        second, first = np.sort(probabilities, axis=1)[:, -2:].T
        far: npt.NDArray[np.bool_] = first - second > 2 * TOLERANCE
        return far
    margin = np.abs(probabilities - np.array(thresholds, dtype=np.float32))
    return np.asarray((margin > TOLERANCE).all(axis=1))


def _open(path: Path) -> onnxruntime.InferenceSession:
    """As a program without this package would, which knows nothing of `covid.edge`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_processors()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
