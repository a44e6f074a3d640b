"""What a run logs: a bar, lines and a table on the terminal; history, curves and a summary."""

import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from tqdm import tqdm

from covid.config import Config
from covid.data.cache import Images
from covid.data.folds import Fold
from covid.edge.table import format_table
from covid.errors import TrainingError
from covid.evaluation.plots import plot_curves
from covid.project import command
from covid.training import run
from covid.training.checkpoint import Progress
from covid.training.launch import device_name
from covid.training.run import EpochRecord
from covid.training.scan import TrainingData

# Seconds between two drawings of the curves: one takes as long as some epochs on kept features.
DRAW_SECONDS = 10.0


def advice_without_data(config: Path) -> str:
    """What to do on a machine with neither images nor weights, at the end of a sentence."""
    return (
        f"name their folder with --set data.root=FOLDER, or try it on rendered images with: "
        f"{command('train', 'accelerate launch')} --config {config} "
        f"--set data.root=phantom --set model.weights=none"
    )


def rendering_bar() -> Callable[[int, int], None]:
    """For `open_source`: a bar while phantoms are rendered, which happens once."""
    what = "rendering SYNTHETIC images"
    bar = tqdm(desc=what, unit=" images", leave=False, disable=None, delay=1)

    def advance(done: int, images: int) -> None:
        bar.total = images
        bar.update(done - bar.n)
        if done == images:
            bar.close()

    return advance


class Reporter:
    """Logs how a run goes; silent but in the main process."""

    def __init__(self, accelerator: Accelerator, config: Config, folder: Path, data: str):
        self.accelerator = accelerator
        self.config = config
        self.folder = folder
        self.data = data  # what the images are, in words that every output repeats
        self.bar: tqdm[Any] | None = None
        self.drawn_at = time.monotonic()

    def log(self, text: str) -> None:
        self.accelerator.print(text, flush=True)

    def warn(self, progress: Progress, sentence: str) -> None:
        """Once per run; summary.json keeps it."""
        if progress.warn(sentence) and self.accelerator.is_main_process:
            print(f"Warning: {sentence}", file=sys.stderr, flush=True)

    def start(self, progress: Progress, data: TrainingData, images: Images) -> None:
        """Before the first stage: the data, the machine, what was noticed."""
        accelerator, size = self.accelerator, self.config.data.image_size
        self.log(
            f"{self.config.name} on {self.data}: {len(data.train)} training and "
            f"{len(data.validation)} validation images, {device_name(accelerator)}, "
            f"{accelerator.num_processes} process(es) of {torch.get_num_threads()} threads, "
            f"precision {accelerator.mixed_precision}"
        )
        if images.kept:
            self.log(f"cached {data.seen} images, {data.seen * size**2 / 1e6:.0f} MB")
        self.log("\n".join(data.shortcuts))
        for sentence in data.warnings:
            self.warn(progress, sentence)
        if self.config.tracker:
            accelerator.init_trackers(self.config.name, run.flat(self.config))

    def stage(self, progress: Progress, stage: Config) -> None:
        """Where there are several stages, which one begins."""
        if self.config.stages:
            trainable = stage.model.trainable
            what = trainable if isinstance(trainable, str) else ", ".join(trainable)
            self.log(
                f"stage {progress.stage + 1} of {len(self.config.stages)}: trains {what}, "
                f"{stage.epochs} epoch(s), {stage.optimizer.name} with lr {stage.optimizer.lr:g}"
            )

    def step(self, progress: Progress, images: int) -> None:
        """Moves the bar of the epoch in hand, which has `images` images."""
        if not self.accelerator.is_main_process:
            return
        if self.bar is None:
            self.bar = tqdm(
                total=images, initial=0, unit=" images", disable=None, leave=False,
                desc=f"epoch {progress.epoch + 1}/{self.config.all_epochs}", dynamic_ncols=True,
            )  # fmt: skip
        loss, accuracy = progress.loss_sum / progress.images, progress.correct / progress.images
        self.bar.set_postfix_str(f"loss {loss:.3f}, accuracy {accuracy:.3f}", refresh=False)
        self.bar.update(progress.images - self.bar.n)

    def epoch(self, progress: Progress, figures: Mapping[str, float | None]) -> None:
        """After an epoch: a line, history.csv, curves.png, the tracker.

        `figures` are all that validation gave, of which the line has the one that selects.
        """
        record, selected = progress.history[-1], self.config.select_by
        also = ""
        if selected not in ("accuracy", "macro_f1", "loss"):
            also = f", {selected} {figure(figures[selected])}"
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        best = " (best so far)" if progress.best_epoch == record["epoch"] else ""
        self.log(
            f"epoch {record['epoch']}/{self.config.all_epochs}: "
            f"train loss {record['train_loss']:.3f}, accuracy {record['train_accuracy']:.3f}; "
            f"validation loss {record['validation_loss']:.3f}, "
            f"accuracy {record['validation_accuracy']:.3f}, "
            f"macro F1 {figure(record['validation_macro_f1'])}{also}; "
            f"{record['images_per_second']:.1f} images/s, {record['seconds']:.0f} s{best}"
        )
        every = {**record, **{f"validation_{name}": value for name, value in figures.items()}}
        self.accelerator.log({k: v for k, v in every.items() if v is not None}, step=progress.epoch)
        if self.accelerator.is_main_process:
            run.write_history(self.folder, progress.history)
        if time.monotonic() - self.drawn_at >= DRAW_SECONDS:
            self._draw(progress)

    def _draw(self, progress: Progress) -> None:
        if self.accelerator.is_main_process and progress.history:
            title = f"{self.config.name} · {self.data}"
            plot_curves(self.folder / "curves.png", progress.history, title, progress.best_epoch)
        self.drawn_at = time.monotonic()

    def finish(self, progress: Progress) -> None:
        """At the end: the table of epochs, and where everything is."""
        self._summarise(progress, "finished")
        self.accelerator.end_training()
        if self.accelerator.is_main_process:
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        fold = Fold.of_folder(self.folder.name)
        self.log(f"\n{self.config.name} on {self.data}")
        self.log(history_table(progress.history, progress.best_epoch))
        self.log(
            f"\nBest by {self.config.select_by}: epoch {progress.best_epoch}. "
            f"{self.folder} holds best.safetensors, curves.png, history.csv.\n"
            f"Next: {command('evaluate')} {self.folder}{' --split folds' * bool(fold)}"
        )

    def interrupted(self, progress: Progress, signal_number: int) -> int:
        """After the checkpoint that a signal asked for; returns the exit code."""
        self._summarise(progress, "interrupted")
        self.log(
            f"\nInterrupted after epoch {progress.epoch}, step {progress.step}; all is saved, "
            f"and the same command with --resume goes on from here."
        )
        return 128 + signal_number

    def failed(self, progress: Progress, what: str) -> TrainingError:
        """Notes why training cannot go on; returns the error with what the user can do."""
        progress.warn(f"epoch {progress.epoch + 1}, step {progress.step + 1}: {what}.")
        self._summarise(progress, "failed", what)
        kept = f"epoch {progress.best_epoch}'s network" if progress.best_epoch else "nothing yet"
        return TrainingError(
            f"epoch {progress.epoch + 1}, step {progress.step + 1}: {what}; kept in {self.folder} "
            f"is {kept}, and what may help is a smaller optimizer.lr, gradient_clip=1.0 or "
            f"precision=no, with --overwrite."
        )

    def _summarise(self, progress: Progress, status: str, reason: str | None = None) -> None:
        """Writes summary.json and the last curves; `reason` says why a run failed."""
        self._draw(progress)
        if not self.accelerator.is_main_process:
            return
        summary = {
            "status": status,
            "name": self.config.name,
            "data": self.data,
            "epochs": progress.epoch,
            "best_epoch": progress.best_epoch,
            "best": next(
                (record for record in progress.history if record["epoch"] == progress.best_epoch),
                None,
            ),
            "select_by": self.config.select_by,
            "seconds": round(sum(float(record["seconds"] or 0) for record in progress.history), 3),
            "images_per_second": images_per_second(progress.history),
            "device": device_name(self.accelerator),
            "processes": self.accelerator.num_processes,
            "precision": self.accelerator.mixed_precision,
            "warnings": progress.warnings,
            "versions": run.versions(),
        }
        if reason is not None:
            summary["reason"] = reason
        run.write_json(self.folder / "summary.json", summary)


def images_per_second(history: Sequence[EpochRecord]) -> float | None:
    """Training images over training time: of all epochs but the first, where there are more."""
    records = history[1:] or history
    speeds = [float(record["images_per_second"] or 0) for record in records]
    # Each epoch trains on as many images, so the mean over time is the harmonic mean.
    return round(len(speeds) / sum(1 / speed for speed in speeds), 2) if speeds else None


def history_table(history: Sequence[EpochRecord], best_epoch: int | None) -> str:
    """One line per epoch; the best one is marked."""
    header = ("epoch", "train loss", "accuracy", "validation loss", "accuracy", "macro F1",
              "learning rate", "images/s")  # fmt: skip
    keys = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy",
            "validation_macro_f1")  # fmt: skip
    rows = [
        [
            f"{record['epoch']}" + (" best" if record["epoch"] == best_epoch else ""),
            *(figure(record[key]) for key in keys),
            f"{record['learning_rate']:.2g}",
            f"{record['images_per_second']:.1f}",
        ]
        for record in history
    ]
    return format_table(header, rows)


def figure(value: float | int | None) -> str:
    """Three decimals, or a dash where a figure is not defined."""
    return "–" if value is None else f"{value:.3f}"
