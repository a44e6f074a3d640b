"""Where images come from: folders, a manifest, or rendered ones; one class for each."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from covid.config import PHANTOM, Config, resolve
from covid.data.folders import Folders
from covid.data.index import Index, join, with_labels
from covid.data.manifest import Manifest
from covid.data.phantom import SYNTHETIC, render_set
from covid.edge.labels import read_cell
from covid.errors import DataError

# What `advice` is where images were there once.
NAME_FOLDER = "name the folder where they are now with --data FOLDER."


class Source(Protocol):
    """A collection of images. Another kind is another class with this one method."""

    def index(self) -> Index:
        """Its samples as it names them, each with what reads it (`Sample.read`).

        Raises DataError: no images, a file that is missing.
        """
        ...


class Phantom:
    """Radiographs that are rendered into `folder` when they are first asked for."""

    def __init__(
        self,
        folder: Path,
        labels: Sequence[str],
        size: int,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.folder, self.labels, self.size, self.progress = folder, labels, size, progress

    def index(self) -> Index:
        """See `Source`. Their split was made when they were rendered."""
        render_set(self.folder, self.labels, size=self.size, progress=self.progress)
        return Manifest(self.folder).index()


def source_of(root: Path) -> Source:
    """What reads a folder: its manifest where there is one."""
    return Manifest(root) if (root / "manifest.csv").is_file() else Folders(root)


def names_in(roots: Sequence[Path]) -> set[str]:
    """All labels that images in `roots` bear, as their collections name them. Raises DataError."""
    return {
        name
        for root in roots
        for sample in _index_of(root).samples
        for name in read_cell(sample.label)
    }


def _index_of(root: Path) -> Index:
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder.")
    return source_of(root).index()


def load_index(
    roots: Path | Sequence[Path],
    labels: Sequence[str],
    *,
    renamed: Mapping[str, str] | None = None,
) -> Index:
    """All images of one root or of several, by whatever layout each has.

    `renamed`: see `with_labels`. A root without splits leaves its samples UNSPLIT. Raises
    DataError: a root that is not there, what `Source.index` and `with_labels` raise.
    """
    roots = [roots] if isinstance(roots, Path) else roots
    return with_labels(join([_index_of(root) for root in roots]), labels, renamed)


def open_source(
    config: Config, *, advice: str, progress: Callable[[int, int], None] | None = None
) -> Index:
    """The index of `data.root`; phantoms are rendered first, once for all runs.

    `advice` ends the sentence that the error is where a root is missing. `progress(done, all)`
    is called while phantoms are rendered. Raises DataError as `load_index` does.
    """
    data, labels = config.data, list(config.data.labels)
    sources: list[Source] = []
    for root in data.roots:
        if root == PHANTOM:
            name = "-".join([PHANTOM, *sorted(labels), str(data.image_size)])
            folder = resolve(data.cache_dir) / name
            sources.append(Phantom(folder, labels, data.image_size, progress))
        elif resolve(root).is_dir():
            sources.append(source_of(resolve(root)))
        else:
            raise DataError(
                f"data.root: there is no folder {resolve(root)}; put images there, or {advice}"
            )
    return with_labels(join([source.index() for source in sources]), labels)


def is_synthetic(index: Index) -> bool:
    """Whether any image of `index` was rendered, whatever its folder is called now."""
    return any("SYNTHETIC" in sample.columns.get("source", "") for sample in index.samples)


def data_name(index: Index) -> str:
    """What figures and tables say that they are about."""
    return SYNTHETIC if is_synthetic(index) else index.name
