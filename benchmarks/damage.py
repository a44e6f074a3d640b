"""Files that are damaged; each function says what counts as lost."""

import io
import os
import random
import resource
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks.forks import CONFIG, Broken, Stage, count_lost, exporting, finish, start, tail
from covid.config import load_config
from covid.edge.images import read_image
from covid.edge.model import load
from covid.errors import ConfigError, ImageError, ModelError, WeightsError
from covid.model.weights import read_state

MAX_IMAGE_SECONDS = 1.0  # the longest that one damaged image may take
MAX_IMAGE_BYTES = 1_000_000_000  # the most memory that it may take


def damaged_images(stage: Stage, times: int) -> Broken:
    """Damaged image files. Lost: neither an array nor our error, above 1 s, or above 1 GB."""

    def work() -> list[str]:
        warnings.simplefilter("ignore")  # Pillow's, of what it finds in damaged files
        chance = random.Random(stage.chance.random())
        sound = list(sound_images())
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MAX_IMAGE_BYTES, resource.RLIM_INFINITY))
        path, wrong = stage.folder / "damaged", []
        for number in range(times):
            path.write_bytes(damage(sound[number % len(sound)], chance))
            begin = time.perf_counter()
            try:
                pixels = read_image(path, 16)
                good = pixels.shape == (16, 16) and pixels.dtype == np.uint8
            except ImageError:
                good = True
            except Exception:
                traceback.print_exc()
                good = False
            slow = time.perf_counter() - begin > MAX_IMAGE_SECONDS
            if slow or not good:
                wrong.append(f"image {number}: {'slow' if slow else 'not our error'}")
        return wrong

    return Broken("image files, damaged", times, *count_lost(work, stage.folder / "log.txt"))


def sound_images() -> Iterator[bytes]:
    """Small files of every format that is common, grey and colour, 8 bits and 16."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    colour = Image.fromarray(pixels)
    wide = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    for image, form, options in (
        (colour, "PNG", {}), (colour, "JPEG", {}), (colour, "GIF", {}), (colour, "TIFF", {}),
        (colour, "TIFF", {"compression": "tiff_lzw"}), (colour, "BMP", {}), (colour, "WEBP", {}),
        (colour, "PPM", {}), (colour, "TGA", {}), (colour, "JPEG2000", {}), (colour, "PCX", {}),
        (wide, "PNG", {}), (wide, "TIFF", {}), (colour.convert("P"), "PNG", {}),
        (colour.convert("CMYK"), "JPEG", {}), (colour.convert("RGBA"), "PNG", {}),
    ):  # fmt: skip
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        yield buffer.getvalue()


def damage(content: bytes, chance: random.Random) -> bytes:
    """Bits flipped, bytes changed, inserted, repeated or cut off; half of it near the start."""
    broken = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        near = min(64, len(broken))
        place = chance.randrange(near if chance.random() < 0.5 else len(broken))
        kind = chance.randrange(5)
        if kind == 0:
            broken[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            broken[place] = chance.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            broken[place:place] = chance.randbytes(chance.randint(1, 8))
        elif kind == 3:
            broken[place:place] = broken[place : place + chance.randint(1, 32)]
        else:
            del broken[place + 2 :]
    return bytes(broken)


def damaged_models(stage: Stage, times: int) -> Broken:
    """An ONNX file with one bit flipped, or cut short. Lost: opened, with another answer."""
    output = stage.folder / "model"
    log = stage.folder / "model.txt"
    if finish(start(exporting(stage.whole, output), log)) not in (0, 1):
        return Broken("ONNX files, damaged", 0, 1, (f"no export: {tail(log)}",))

    def work() -> list[str]:
        content = (output / "model.onnx").read_bytes()
        pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
        expected = load(output / "model.onnx").run(pixels).logits
        path, wrong = stage.folder / "damaged.onnx", []
        for number in range(times):
            broken = bytearray(content)
            if number % 5 == 4:
                del broken[stage.chance.randrange(len(broken)) :]
            else:  # half of the flips in the card, where a name or a threshold may change
                first = len(broken) - 3000 if number % 2 else 0
                place = stage.chance.randrange(first, len(broken))
                broken[place] ^= 1 << stage.chance.randrange(8)
            path.write_bytes(broken)
            try:
                answered = (load(path).run(pixels).logits == expected).all()
            except ModelError:
                continue
            if not answered:
                wrong.append(f"ONNX file {number} was opened and answered otherwise")
        return wrong

    return Broken("ONNX files, damaged", times, *count_lost(work, stage.folder / "log.txt"))


def damaged_configs(stage: Stage, times: int) -> Broken:
    """Damaged configs. Lost: neither a config nor our error."""
    content, path = CONFIG.read_bytes(), stage.folder / "damaged.yaml"
    lost = 0
    notes: list[str] = []
    for number in range(times):
        path.write_bytes(damage(content, stage.chance))
        try:
            load_config(path)
        except ConfigError:
            continue
        except Exception as error:
            lost += 1
            path.rename(stage.folder / f"config-{number}.yaml")
            notes.append(f"config {number}: {error!r}")
    return Broken("configs, damaged", times, lost, tuple(notes))


def damaged_weights(stage: Stage, times: int) -> Broken:
    """Weights with damage, and pickles that would run. Lost: another error, or a file that ran."""

    def work() -> list[str]:
        folder, wrong = stage.folder, []
        tensors = {"layer.weight": torch.arange(64.0).reshape(8, 8), "layer.bias": torch.zeros(8)}
        torch.save(tensors, folder / "sound.pth")
        save_file(tensors, folder / "sound.safetensors")
        ran = folder / "ran"
        torch.save({"layer": _Payload(ran)}, folder / "payload.pth")
        for number in range(times):
            sound = folder / ("sound.pth", "payload.pth", "sound.safetensors")[number % 3]
            path = folder / f"damaged{sound.suffix}"
            content = sound.read_bytes()
            path.write_bytes(content if number < 3 else damage(content, stage.chance))
            try:
                read_state(path)
            except WeightsError:
                pass
            except Exception as error:
                wrong.append(f"weights {number}: {error!r}")
            if ran.exists():
                ran.rmdir()
                wrong.append(f"weights {number}: the pickle ran")
        return wrong

    lost = count_lost(work, stage.folder / "log.txt")
    return Broken("weights and pickles, damaged", times, *lost)


class _Payload:
    """What a pickle can do to whoever loads it: here it makes an empty folder."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.mkdir, (str(self.path),)
