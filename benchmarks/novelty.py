"""Whether files know what they do not know: novelty of images that are no chest radiographs.

    python benchmarks/novelty.py runs/NAME --data data/xray3 --json figures.json

Each file of RUN/export is asked about images of many kinds. A kind's AUROC says how often one of it
is more novel than one of the run's own test images (`samples.csv`; both files read as predict.py
reads them), and its share flagged how many lie beyond the file's threshold, by novelty alone.
Turned, mirrored and inverted images are the test images. Photographs are those that scikit-learn
and, where they are installed, matplotlib and scikit-image carry, and those of folders named with
--photographs: each whole, and seven squares of it. `--kind NAME=FOLDER` adds kinds of one's own,
such as another hospital.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402 (the project is no installed package)
import numpy.typing as npt  # noqa: E402

from benchmarks.figures import Figure, figure, report_figures  # noqa: E402
from covid.data.phantom import CLASSES, render_image  # noqa: E402
from covid.data.samples import read_rows  # noqa: E402
from covid.edge.images import read_grey, resize  # noqa: E402
from covid.edge.model import Model, load  # noqa: E402
from covid.edge.predict import find_images  # noqa: E402
from covid.errors import DataError, ModelError, exit_code  # noqa: E402

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

FILES = ("model.onnx", "model.int8.onnx")
LEAST_AUROC = 0.95  # of what no radiograph of a chest looks like
ASKED = ("photographs", "turned by 90 degrees", "turned by 180 degrees", "inverted")
PHANTOMS = 120
SQUARES = 7  # of each photograph, beside the whole
SQUARE_SIDES = (0.5, 0.9)  # of its shorter side
# Of scikit-image's pictures those that show a scene: no drawing, page, cell or retina.
SCENES = {
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png",
    "grass.png", "gravel.png", "hubble_deep_field.jpg", "moon.png", "motorcycle_left.png",
    "rocket.jpg",
}  # fmt: skip
CARRIED = {
    "sklearn": ("datasets/images", {"china.jpg", "flower.jpg"}),
    "matplotlib": ("mpl-data/sample_data", {"grace_hopper.jpg"}),
    "skimage": ("data", SCENES),
}
CHANGED: dict[str, Callable[[Pixels], Pixels]] = {
    "turned by 90 degrees": lambda pixels: np.rot90(pixels, axes=(1, 2)),
    "turned by 180 degrees": lambda pixels: np.rot90(pixels, 2, axes=(1, 2)),
    "turned by 270 degrees": lambda pixels: np.rot90(pixels, 3, axes=(1, 2)),
    "upside down": lambda pixels: pixels[:, ::-1],
    "mirrored": lambda pixels: pixels[:, :, ::-1],
    "inverted": lambda pixels: 255 - pixels,
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what files say of unfamiliar images.")
    parser.add_argument("run", type=Path, help="a run folder with an export in it")
    parser.add_argument("--data", type=Path, required=True, help="the run's images")
    parser.add_argument(
        "--photographs", type=Path, nargs="+", action="extend", default=[], metavar="FOLDER",
        help="more of them, beside those that packages carry",
    )  # fmt: skip
    parser.add_argument(
        "--kind", action="append", default=[], metavar="NAME=FOLDER", help="another kind of images"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


def own_images(run: Path, data: Path) -> list[Path]:
    """The run's test images under `data`. Raises DataError where there are none."""
    rows = read_rows(run) or []
    paths = [data / row.path for row in rows if row.split == "test"]
    missing = [path for path in paths if not path.is_file()]
    if not paths or missing:
        what = f"lacks {missing[0]}" if missing else f"{run}/samples.csv names no test images"
        raise DataError(f"{data}: {what}; name the folder that the run was trained on.")
    return paths


def photographs(folders: Sequence[Path]) -> list[Path]:
    """Those that installed packages carry, then those in `folders`."""
    paths = []
    for package, (folder, names) in CARRIED.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            inside = Path(spec.origin).parent / folder
            paths += [inside / name for name in sorted(names) if (inside / name).is_file()]
    return paths + (find_images(folders)[0] if folders else [])


def squares_of(paths: Sequence[Path], size: int) -> Pixels:
    """uint8 `[n, size, size]`: each photograph, then SQUARES parts of it, always the same."""
    draw = np.random.default_rng(0)
    pixels = []
    for path in paths:
        grey = read_grey(path)
        pixels.append(resize(grey, size))
        for _ in range(SQUARES):
            side = int(min(grey.size) * draw.uniform(*SQUARE_SIDES))
            left, top = (int(draw.integers(0, length - side + 1)) for length in grey.size)
            pixels.append(resize(grey.crop((left, top, left + side, top + side)), size))
    return np.stack(pixels)


def kinds_of(model: Model, own: Pixels, arguments: argparse.Namespace) -> dict[str, Pixels]:
    """Kind -> uint8 `[n, size, size]`, as the file is given them."""
    size = model.card.image_size
    kinds = {"photographs": squares_of(photographs(arguments.photographs), size)}
    kinds |= {name: np.ascontiguousarray(change(own)) for name, change in CHANGED.items()}
    kinds["phantoms"] = np.stack(
        [render_image(CLASSES[i % 3], 1000 + i, i, size) for i in range(PHANTOMS)]
    )
    kinds["one grey"] = np.stack([np.full((size, size), level, np.uint8) for level in range(256)])
    for pair in arguments.kind:
        name, _, folder = pair.partition("=")
        if not folder:
            raise DataError(f"--kind {pair}: write it NAME=FOLDER.")
        paths = [path for path in find_images([Path(folder)])[0] if "masks" not in path.parts]
        kinds[name] = np.stack([model.read(path) for path in paths])
    return kinds


def novelty(model: Model, pixels: Pixels) -> Floats:
    answers = []
    for start in range(0, len(pixels), model.batch_size):
        given = model.run(pixels[start : start + model.batch_size]).novelty
        assert given is not None
        answers.append(given)
    return np.concatenate(answers)


def auroc(novel: Floats, familiar: Floats) -> float:
    """How often one of `novel` is larger than one of `familiar`; equal counts half."""
    larger = (novel[:, None] > familiar).mean() + (novel[:, None] >= familiar).mean()
    return float(larger / 2)


def measure(path: Path, arguments: argparse.Namespace, own_paths: Sequence[Path]) -> list[Figure]:
    """What one file says of every kind."""
    model = load(path, spinning=False)
    threshold = model.card.novelty_threshold
    if threshold is None:
        raise ModelError(f"{path}: does not say how novel an image is; export it anew.")
    own = np.stack([model.read(each) for each in own_paths])
    familiar = novelty(model, own)
    flagged = float((familiar > threshold).mean())
    about = {"file": path.name, "threshold": threshold}
    figures = [
        figure(f"{path.name}: own test images: flagged", flagged, "of them",
               details={**about, "images": len(own)})
    ]  # fmt: skip
    for kind, pixels in kinds_of(model, own, arguments).items():
        given = novelty(model, pixels)
        details = {**about, "images": len(pixels), "median": float(np.median(given))}
        figures += [
            figure(f"{path.name}: {kind}: AUROC", auroc(given, familiar), "",
                   least=LEAST_AUROC if kind in ASKED else None, details=details),
            figure(f"{path.name}: {kind}: flagged", float((given > threshold).mean()), "of them",
                   details=details),
        ]  # fmt: skip
    return figures


def benchmark(arguments: argparse.Namespace) -> list[Figure]:
    """The figures of each file that the run has. Raises UserError."""
    paths = [arguments.run / "export" / name for name in FILES]
    present = [path for path in paths if path.is_file()]
    if not present:
        raise ModelError(f"{arguments.run}: has no export; run export.py on it first.")
    own = own_images(arguments.run, arguments.data)
    return [each for path in present for each in measure(path, arguments, own)]


def main() -> int:
    arguments = parse_arguments()
    return exit_code(
        lambda: report_figures(benchmark(arguments), arguments.json), "Interrupted."
    )


if __name__ == "__main__":
    sys.exit(main())
