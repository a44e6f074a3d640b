"""What exported files answer on other processors: emulated ones, which prove answers, not speed.

    python benchmarks/processors.py runs/resnet18_multilabel --arm64 /tmp/arm64 --json figures.json

Takes run folders (with an `export/` in them) or ONNX files, and asks each file the same images
through `covid.edge` on this machine and on every processor that can be emulated here. Answers are
compared with exact ones: the graph as it is written, its integers computed in float. `--help`
says how to get the emulators.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402 (the project is no installed package)
import numpy.typing as npt  # noqa: E402
import onnx  # noqa: E402
from tqdm import tqdm  # noqa: E402

from benchmarks.figures import Figure, figure, write_figures  # noqa: E402
from benchmarks.inference import find_subject  # noqa: E402
from covid.data.phantom import render_set  # noqa: E402
from covid.edge.model import load  # noqa: E402
from covid.edge.predict import find_images  # noqa: E402
from covid.edge.table import format_table  # noqa: E402
from covid.errors import ConfigError, ModelError, exit_code  # noqa: E402
from covid.export.golden import exact_answers  # noqa: E402

Floats = npt.NDArray[np.float32]
Booleans = npt.NDArray[np.bool_]

MIN_IMAGES = 8
# Of a probability. Float sums in another order, and rounding on the way to 8 bits, in which
# processors may differ by one step.
MAX_DIFFERENCE = {"fp32": 1e-4, "int8": 0.03}

HELP = """\
For x86 processors, on an x86 machine with Debian or Ubuntu:

    apt-get install qemu-user-static

For ARM processors also Debian's Python for arm64, in a folder of its own (here /tmp/arm64), with
the three packages of requirements-edge.txt (onnxruntime 1.26: 1.32 crashes there on import):

    dpkg --add-architecture arm64 && apt-get update
    mkdir -p /tmp/arm64/debs && cd /tmp/arm64/debs
    apt-get download python3.11-minimal:arm64 libpython3.11-minimal:arm64 \\
        libpython3.11-stdlib:arm64 libc6:arm64 libgcc-s1:arm64 libstdc++6:arm64 zlib1g:arm64 \\
        libexpat1:arm64 libssl3:arm64 libffi8:arm64 libbz2-1.0:arm64 liblzma5:arm64
    for package in *.deb; do dpkg -x $package ..; done
    pip install --target ../packages --only-binary=:all: --python-version 3.11 \\
        --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \\
        numpy Pillow onnxruntime==1.26.*
"""

# What runs on the other processor: the edge code alone. Prints JSON.
WORKER = """
import hashlib, json, sys
from pathlib import Path
import covid.edge
from covid.errors import ModelError
try:
    model = covid.edge.load(Path(sys.argv[1]))
except ModelError as error:
    print(json.dumps({"refused": str(error)}))
    raise SystemExit
pixels = hashlib.sha256()
probabilities = []
for path in sys.argv[2:]:
    image = model.read(Path(path))
    pixels.update(image.tobytes())
    probabilities.append(model.run(image[None]).probabilities[0].tolist())
print(json.dumps({
    "arithmetic": model.arithmetic, "pixels": pixels.hexdigest(), "probabilities": probabilities,
}))
"""


@dataclass(frozen=True)
class Processor:
    """One that a file is asked on."""

    name: str
    emulator: str | None  # a program of QEMU's; None: the machine itself
    cpu: str = ""  # as QEMU calls it

    def command(self, arm64: Path | None) -> list[str] | None:
        """What starts Python there, or None where something that it needs is missing."""
        if self.emulator is None:
            return [sys.executable]
        if shutil.which(self.emulator) is None:
            return None
        start = [self.emulator, "-cpu", self.cpu]
        if "aarch64" not in self.emulator:
            return [*start, sys.executable]
        if arm64 is None:
            return None
        python = arm64 / "usr/bin/python3.11"
        if not python.is_file():
            raise ConfigError(f"--arm64 {arm64}: holds no usr/bin/python3.11; --help says how.")
        return [*start, "-L", str(arm64), "-E", f"PYTHONPATH={arm64 / 'packages'}", str(python)]


HERE = Processor("this machine", None)
PROCESSORS = (
    HERE,
    Processor("x86 without VNNI (Haswell)", "qemu-x86_64-static", "Haswell"),
    Processor("x86 without AVX (Nehalem)", "qemu-x86_64-static", "Nehalem"),
    Processor("Cortex-A72 (no dot product)", "qemu-aarch64-static", "cortex-a72"),
    Processor("Cortex-A76 (dot product)", "qemu-aarch64-static", "cortex-a76"),
)


@dataclass(frozen=True)
class Answers:
    """What one file said on one processor, beside exact answers."""

    name: str  # of the network
    precision: str
    processor: Processor
    refused: str | None  # the sentence, where the file was not opened
    arithmetic: str = ""
    same_pixels: bool = False  # image files were decoded and resized to the same pixels
    difference: float = 0.0  # largest, of a probability
    changed: int = 0  # images decided otherwise
    far: int = 0  # of these, images with no probability within 0.03 of its threshold
    images: int = 0

    @property
    def holds(self) -> bool:
        """Right to rounding; a file that is refused gives no wrong answer either."""
        if self.refused:
            return True
        within = self.difference <= MAX_DIFFERENCE[self.precision]
        return within and self.same_pixels and not self.far

    def row(self) -> list[str]:
        start = [f"{self.name}, {self.precision}", self.processor.name]
        if self.refused:
            return [*start, "refused", "–", "–", "–"]
        pixels = "same" if self.same_pixels else "OTHER"
        return [
            *start, self.arithmetic, pixels, f"{self.difference:.1g}",
            f"{self.changed} of {self.images}",
        ]  # fmt: skip

    def figures(self) -> list[Figure]:
        what = f"{self.name}: {self.precision} on {self.processor.name}"
        details = {
            "refused": self.refused, "arithmetic": self.arithmetic, "images": self.images,
            "same_pixels": self.same_pixels, "changed_far_from_a_threshold": self.far,
        }  # fmt: skip
        most = MAX_DIFFERENCE[self.precision]
        return [
            figure(f"{what}, largest difference of a probability from exact", self.difference, "",
                   most=most, details=details),
            figure(f"{what}, decisions changed", self.changed, "images", details=details),
        ]  # fmt: skip


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Ask exported files on other processors, emulated ones, and compare their "
        "answers with exact ones.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("subjects", nargs="+", type=Path, metavar="RUN_OR_MODEL")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER",
        help=f"images to ask (default: {MIN_IMAGES} rendered ones)",
    )  # fmt: skip
    parser.add_argument(
        "--most", type=int, default=MIN_IMAGES, metavar="N",
        help=f"of these images, evenly spaced (default: {MIN_IMAGES})",
    )  # fmt: skip
    parser.add_argument(
        "--arm64", type=Path, metavar="FOLDER", help="Python and packages for ARM, see below"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


def ask(command: Sequence[str], model: Path, images: Sequence[Path]) -> dict[str, Any]:
    """What WORKER prints there. Raises ModelError where it fails."""
    done = subprocess.run(
        [*command, "-c", WORKER, str(model.absolute()), *(str(path.absolute()) for path in images)],
        cwd=PROJECT, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise ModelError(f"{model}: {' '.join(command[:3])} cannot run it ({last}).")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def compare(
    name: str, path: Path, images: Sequence[Path], commands: dict[Processor, list[str]]
) -> list[Answers]:
    """One file on every processor."""
    model = load(path, spinning=False)
    space, precision = model.card.space, model.card.precision
    pixels = np.stack([model.read(image) for image in images])
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    exact = exact_answers(onnx.load(path), pixels, "probability")
    decided, near = space.decide(exact), near_a_threshold(exact, space.thresholds)
    answers = []
    for processor, command in tqdm(commands.items(), desc=f"{name}, {precision}", leave=False):
        answer = ask(command, path, images)
        if "refused" in answer:
            answers.append(Answers(name, precision, processor, answer["refused"]))
            continue
        given = np.array(answer["probabilities"], dtype=np.float32)
        other = (space.decide(given) != decided).any(axis=1)
        answers.append(Answers(
            name, precision, processor, None, answer["arithmetic"], answer["pixels"] == digest,
            float(np.abs(given - exact).max()), int(other.sum()), int((other & ~near).sum()),
            len(images),
        ))  # fmt: skip
    return answers


def near_a_threshold(probabilities: Floats, thresholds: Sequence[float] | None) -> Booleans:
    """bool `[images]`: whether a decision may turn where a probability moves by 0.03."""
    reach = MAX_DIFFERENCE["int8"]
    if thresholds is None:
        first, second = np.sort(probabilities, axis=1)[:, :-3:-1].T
        return np.asarray(first - second <= 2 * reach)
    return np.asarray((np.abs(probabilities - np.array(thresholds)) <= reach).any(axis=1))


def benchmark(arguments: argparse.Namespace) -> list[Answers]:
    commands = {}
    for processor in PROCESSORS:
        command = processor.command(arguments.arm64 and arguments.arm64.absolute())
        if command is None:
            print(f"{processor.name}: left out, its emulator or Python is not here (see --help).",
                  file=sys.stderr)  # fmt: skip
        else:
            commands[processor] = command
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        source = arguments.images or render_set(
            Path(folder) / "phantoms", ["normal", "pneumonia"], images=arguments.most, size=512
        )
        images, _ = find_images([source])
        spaced = np.linspace(0, len(images) - 1, min(len(images), arguments.most))
        images = [images[int(place)] for place in spaced]
        for path in arguments.subjects:
            subject = find_subject(path)
            for file in subject.files.values():
                answers += compare(subject.name, file, images, commands)
    return answers


def report(answers: Sequence[Answers], path: Path | None) -> int:
    """Prints the table; writes the figures where `path` names a file. 1 where an answer differs."""
    header = ["file", "processor", "arithmetic", "pixels", "largest difference", "changed"]
    print(format_table(header, [each.row() for each in answers]))
    print("\nEmulation proves answers, not speed. For learning and research, not for diagnosis.")
    if path:
        write_figures(path, [figure for each in answers for figure in each.figures()])
    return 0 if all(each.holds for each in answers) else 1


def main() -> int:
    arguments = parse_arguments()
    return exit_code(lambda: report(benchmark(arguments), arguments.json), "Interrupted.")


if __name__ == "__main__":
    sys.exit(main())
