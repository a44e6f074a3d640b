"""Where a config's images are: in a folder of the user's, or rendered on the spot."""

from collections.abc import Callable
from pathlib import Path

from covid.config import PHANTOM, Config, resolve
from covid.data.index import Index, load_index
from covid.data.phantom import SYNTHETIC, render_set
from covid.errors import DataError

# What `advice` is where images were there once.
NAME_FOLDER = "name the folder where they are now with --data FOLDER."


def open_source(
    config: Config, *, advice: str, progress: Callable[[int, int], None] | None = None
) -> Index:
    """The index of `data.root`; phantoms are rendered first, once for all runs.

    `advice` ends the sentence that the error is where the root is missing. `progress(done, all)`
    is called while phantoms are rendered.
    """
    labels = list(config.data.labels)
    if config.data.root == PHANTOM:
        size = config.data.image_size
        name = "-".join([PHANTOM, *sorted(labels), str(size)])
        root = render_set(
            resolve(config.data.cache_dir) / name, labels, size=size, progress=progress
        )
    else:
        root = resolve(config.data.root)
    if not root.is_dir():
        raise DataError(f"data.root: there is no folder {root}; put images there, or {advice}")
    return load_index(
        root,
        labels,
        seed=config.seed,
        allow_patient_overlap=config.data.allow_patient_overlap,
    )


def is_synthetic(index: Index) -> bool:
    """Whether any image of `index` was rendered, whatever its folder is called now."""
    return any("SYNTHETIC" in sample.columns.get("source", "") for sample in index.samples)


def data_name(index: Index) -> str:
    """What figures and tables say that they are about."""
    return SYNTHETIC if is_synthetic(index) else Path(index.root).resolve().name
