"""How fast exported files answer, beside PyTorch and, where it is installed, OpenVINO.

    python benchmarks/inference.py runs/resnet18_multilabel --json figures.json

Takes run folders (with an `export/` in them) or ONNX files; only a run is compared with PyTorch.
All engines take turns in one process, on the same image, so that a slow moment of the machine
slows them alike. Let nothing else run meanwhile.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402 (the project is no installed package)
import numpy.typing as npt  # noqa: E402

from benchmarks.figures import Figure, figure, report_figures  # noqa: E402
from covid.data.phantom import render_set  # noqa: E402
from covid.edge.model import Model, load  # noqa: E402
from covid.edge.predict import find_images  # noqa: E402
from covid.edge.processors import usable_processors  # noqa: E402
from covid.errors import ModelError, exit_code  # noqa: E402
from covid.export.latency import measure_latency  # noqa: E402
from covid.model.weights import load_trained  # noqa: E402

Pixels = npt.NDArray[np.uint8]
Call = Callable[[], object]
BASELINE = "PyTorch eager fp32"

# Of each network: int8 against PyTorch eager and against OpenVINO on the same file (times as
# fast, all threads, on a processor with VNNI), bytes of the int8 file over fp32's, seconds of a
# cold start, megabytes at the peak.
TARGETS = {
    "resnet18": (4.5, 0.9, 0.27, 0.35, 120),
    "vgg16": (4.3, 0.9, 0.27, 0.6, 200),
    "efficientnet_lite0": (6.5, 0.9, 0.32, 0.35, 110),
}
# Without VNNI 8-bit products take no fewer instructions than float ones: it must not be slower.
WITHOUT_VNNI = 1.0  # times as fast as fp32
CPUINFO = Path("/proc/cpuinfo")  # its flags name avx512_vnni or avx_vnni
COLD_START = """
import sys
from pathlib import Path
import covid.edge
prediction = covid.edge.load(Path(sys.argv[1]))(sys.argv[2])
print(prediction.probabilities, flush=True)
status = Path("/proc/self/status").read_text()
print(status.split("VmHWM:")[1].split()[0])
"""


@dataclass(frozen=True)
class Subject:
    """What is measured under one name: files, and the run that they were made from."""

    name: str
    files: dict[str, Path]  # fp32, int8
    weights: Path | None


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure exported files: latency, cold start, memory, images from a folder."
    )
    parser.add_argument("subjects", nargs="+", type=Path, metavar="RUN_OR_MODEL")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER",
        help="images to read (default: 96 rendered ones of 1024 x 1024 pixels)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=40, help="turns of each engine (default: 40)")
    return parser.parse_args()


def find_subject(path: Path) -> Subject:
    """A run folder with its export, or one ONNX file. Raises ModelError."""
    if path.is_dir():
        files = {
            precision: path / "export" / name
            for precision, name in (("fp32", "model.onnx"), ("int8", "model.int8.onnx"))
        }
        files = {precision: file for precision, file in files.items() if file.is_file()}
        if not files:
            raise ModelError(f"{path}: holds no export; make one with python export.py {path}.")
        return Subject(path.resolve().name, files, path / "best.safetensors")
    model = load(path)
    return Subject(str(path), {model.card.precision: path}, None)


def torch_calls(weights: Path, pixels: Pixels, threads: int) -> dict[str, Call]:
    """The network as it was trained: as PyTorch runs it by default, and at its fastest here."""
    import torch

    plain = load_trained(weights).network.to(memory_format=torch.contiguous_format)
    fast = load_trained(weights).network.to(memory_format=torch.channels_last)
    images = torch.from_numpy(pixels[np.newaxis, np.newaxis])

    def eager() -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            plain(images)

    def mixed() -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            fast(images)

    return {BASELINE: eager, "PyTorch channels-last bf16": mixed}


def our_calls(files: dict[str, Path], pixels: Pixels, threads: int) -> dict[str, Call]:
    """As `load` opens a file for single images, and as `predict.py` does for many."""
    return {
        f"ours {precision}{how}": partial(
            load(path, threads=threads, spinning=spinning).run, pixels[np.newaxis]
        )
        for precision, path in files.items()
        for how, spinning in (("", True), (" without spinning", False))
    }


def has_vnni() -> bool:
    """Whether this processor adds four products of 8 bits in 32; False where it is not known."""
    try:
        return "vnni" in CPUINFO.read_text()
    except OSError:
        return False


def openvino_calls(files: dict[str, Path], pixels: Pixels, threads: int) -> dict[str, Call]:
    """The same files under OpenVINO's CPU plugin, where that is installed."""
    if find_spec("openvino") is None:
        return {}
    import openvino

    core = openvino.Core()
    calls: dict[str, Call] = {}
    for precision, path in files.items():
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        request = core.compile_model(str(path), "CPU", settings).create_infer_request()
        calls[f"OpenVINO {precision}"] = partial(request.infer, {"image": pixels[None, None]})
    return calls


def measure_speed(subject: Subject, arch: str, pixels: Pixels, rounds: int) -> list[Figure]:
    """Latency of every engine with one thread and with all."""
    figures = []
    everything, vnni = usable_processors(), has_vnni()
    for threads in sorted({1, everything}):
        calls: dict[str, Call] = {}
        if subject.weights:
            calls |= torch_calls(subject.weights, pixels, threads)
        calls |= our_calls(subject.files, pixels, threads)
        calls |= openvino_calls(subject.files, pixels, threads)
        took = measure_latency(calls, rounds)
        eager = took.get(BASELINE)
        against_eager, against_openvino, *_ = TARGETS[arch]
        for name, latency in took.items():
            headline = (name, threads) == ("ours int8", everything)
            asked = against_eager if headline and vnni else None
            details = {"threads": threads, "vnni": vnni, **latency}
            what = f"{subject.name}: {name}, {threads} threads"
            if eager and name != BASELINE:
                ratio = eager["median_ms"] / latency["median_ms"]
                figures.append(figure(f"{what}, times as fast as {BASELINE}", ratio, "x",
                                    least=asked, details=details))  # fmt: skip
            figures.append(figure(what, latency["median_ms"], "ms", details=details))
        if {"ours fp32", "ours int8"} <= set(took):
            figures.append(figure(
                f"{subject.name}: ours int8, {threads} threads, times as fast as ours fp32",
                took["ours fp32"]["median_ms"] / took["ours int8"]["median_ms"], "x",
                least=None if vnni else WITHOUT_VNNI, details={"threads": threads, "vnni": vnni},
            ))  # fmt: skip
        for precision in ("fp32", "int8"):
            ours, theirs = took.get(f"ours {precision}"), took.get(f"OpenVINO {precision}")
            if ours and theirs:
                hard = precision == "int8" and threads == everything and vnni
                figures.append(figure(
                    f"{subject.name}: ours {precision}, {threads} threads, times as fast as "
                    f"OpenVINO on the same file",
                    theirs["median_ms"] / ours["median_ms"], "x",
                    least=against_openvino if hard else None, details={"threads": threads},
                ))  # fmt: skip
    return figures


def measure_size(subject: Subject, arch: str) -> list[Figure]:
    if set(subject.files) != {"fp32", "int8"}:
        return []
    sizes = {precision: path.stat().st_size for precision, path in subject.files.items()}
    ratio = sizes["int8"] / sizes["fp32"]
    name = f"{subject.name}: bytes of int8 over fp32"
    return [figure(name, ratio, "", most=TARGETS[arch][2], details=sizes)]


def measure_cold_start(subject: Subject, arch: str, image: Path) -> list[Figure]:
    """A new process to its first answer, imports included, and the most memory that it held."""
    figures = []
    for precision, path in subject.files.items():
        runs = [cold_start(path, image) for _ in range(8)][1:]  # the first fills the disk's cache
        seconds = statistics.median(run[0] for run in runs)
        megabytes = statistics.median(run[1] for run in runs)
        most = TARGETS[arch][3:] if precision == "int8" else (None, None)
        what = f"{subject.name}: {precision}"
        figures.append(figure(f"{what}, cold start to first answer", seconds, "s", most=most[0]))
        peak = f"{what}, peak memory of that process"
        figures.append(figure(peak, megabytes, "MB", most=most[1]))
        golden = statistics.median(golden_seconds(path) for _ in range(5))
        figures.append(figure(f"{what}, its golden answers, of that", 1000 * golden, "ms"))
    return figures


def golden_seconds(path: Path) -> float:
    """What `load` spends on golden answers."""
    model = load(path)
    golden = model.card.golden
    assert golden is not None
    ask = partial(golden.difference, model.card.image_size, lambda images: model.run(images).logits)
    return seconds_of(ask)


def cold_start(model: Path, image: Path) -> tuple[float, float]:
    """Seconds, and megabytes at the peak, of one process with one answer."""
    command = [sys.executable, "-c", COLD_START, str(model.absolute()), str(image.absolute())]
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - start
        peak = process.stdout.read()
    if process.returncode:
        raise ModelError(f"{model}: a new process could not use it; what it said stands above.")
    # Linux's own count for that process, in KiB. (What wait4 gives counts the parent too.)
    return seconds, int(peak) * 1024 / 1e6


def measure_folder(subject: Subject, images: Sequence[Path]) -> list[Figure]:
    """Images per second from files, beside decoding and inference, each measured apart.

    Apart, each has one core, as each has in turn while both run: on two cores, the slower of
    the two sets the pace.
    """
    figures = []
    for precision, path in subject.files.items():
        alone, whole = load(path, threads=1), load(path, spinning=False)
        turns = [time_folder(alone, whole, images) for _ in range(3)]
        decode, infer, together = (statistics.median(taken) for taken in zip(*turns, strict=True))
        apart = max(decode, infer)
        what = f"{subject.name}: {precision}, from files"
        details = {
            "decode_ms_one_core": 1000 * decode,
            "inference_ms_one_core": 1000 * infer,
            "batch_size": whole.batch_size,
            "threads": whole.threads,
        }
        figures.append(figure(what, 1 / together, "images/s", details=details))
        if whole.threads == 2:
            figures.append(figure(f"{what}, time over the slower of decoding and inference apart",
                                together / apart, "x", most=1.15, details=details))  # fmt: skip
    return figures


def time_folder(
    alone: Model, whole: Model, images: Sequence[Path]
) -> tuple[float, float, float]:
    """Seconds per image: decoding on one core, inference on one core, both on all."""
    pixels = np.stack([alone.read(image) for image in images[: alone.batch_size]])
    taken = (
        seconds_of(lambda: [alone.read(image) for image in images]),
        seconds_of(lambda: repeat(alone, pixels, len(images))),
        seconds_of(lambda: list(whole.predict(images))),
    )
    decode, infer, together = (seconds / len(images) for seconds in taken)
    return decode, infer, together


def repeat(model: Model, pixels: Pixels, images: int) -> None:
    for _ in range(-(-images // len(pixels))):
        model.run(pixels)


def seconds_of(function: Call) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def benchmark(arguments: argparse.Namespace) -> list[Figure]:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        source = arguments.images or render_set(
            Path(folder) / "phantoms", ["normal", "pneumonia"], images=96, size=1024
        )
        images, _ = find_images([source])
        for path in arguments.subjects:
            subject = find_subject(path)
            model = load(next(iter(subject.files.values())))
            arch = model.card.arch
            print(f"{subject.name} ({arch}) …", file=sys.stderr, flush=True)
            figures += measure_speed(subject, arch, model.read(images[0]), arguments.rounds)
            figures += measure_size(subject, arch)
            figures += measure_cold_start(subject, arch, images[0])
            figures += measure_folder(subject, images)
    return figures


def main() -> int:
    arguments = parse_arguments()
    return exit_code(
        lambda: report_figures(benchmark(arguments), arguments.json), "Interrupted."
    )


if __name__ == "__main__":
    sys.exit(main())
