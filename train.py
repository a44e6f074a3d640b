"""Fine-tunes a network on chest X-rays; the whole method is in `train` below.

    accelerate launch train.py --config configs/resnet18_multilabel.yaml
"""

import argparse
import math
import sys
import time
from pathlib import Path

from covid.errors import ConfigError, LaunchError, TrainingError, exit_code


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Fine-tune an ImageNet network on chest X-rays, as a config describes it. "
        "For learning and research, not for diagnosis."
    )
    parser.add_argument(
        "--config", type=Path, required=True, help="the experiment: a YAML file as in configs/"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="change one key of the config, such as epochs=2 or data.root=my/images; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--fold", metavar="K/N",
        help="cross-validation: hold out fold K of N and train on the others",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path,
        help="the run folder (default: runs/NAME, and fold-KofN in it for a fold)",
    )  # fmt: skip
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    again.add_argument("--overwrite", action="store_true", help="replace the run that is there")
    parser.add_argument(
        "--accept-changed-data", action="store_true",
        help="with --resume: go on though images were added, removed or changed, and record it",
    )  # fmt: skip
    return parser.parse_args()


def train(arguments: argparse.Namespace) -> int:
    """One run, from a config to a run folder. Returns the exit code."""
    # Imported here because torch takes seconds, and --help should not.
    from accelerate.utils import set_seed

    from covid.config import load_config, resolve
    from covid.data import samples
    from covid.data.batches import Split, load_batches
    from covid.data.cache import Images
    from covid.data.drawings import Augmentation
    from covid.data.folds import Fold, hold_out_fold
    from covid.data.index import require_whole_patients, targets_of
    from covid.data.source import data_name, open_source
    from covid.data.splits import draw_splits
    from covid.edge.files import write_atomically
    from covid.evaluation.metrics import quick_figures
    from covid.evaluation.selection import check_select_by, merit
    from covid.model.architectures import find_architecture
    from covid.model.losses import make_loss
    from covid.model.networks import average, build_network, freeze, set_training_mode, trained
    from covid.model.weights import load_weights, save_trained
    from covid.training import run, watch
    from covid.training.checkpoint import Checkpoints, Progress
    from covid.training.epochs import count_correct, mean_loss, none_alone, predict, train_epoch
    from covid.training.launch import loader_workers, start_accelerator
    from covid.training.optimizer import Schedule, make_optimizer
    from covid.training.prefix import keep_prefix, require_frozen
    from covid.training.report import Reporter, advice_without_data, rendering_bar
    from covid.training.scan import scan
    from covid.training.sheet import write_augmentation_sheet

    if arguments.accept_changed_data and not arguments.resume:
        raise ConfigError("--accept-changed-data: is about a run that goes on; add --resume.")
    config = load_config(arguments.config, arguments.set)
    check_select_by(config.select_by, str(arguments.config))
    find_architecture(config.model.arch)  # a name that is none fails now, not after all images
    space = config.label_space
    fold = Fold.parse(arguments.fold) if arguments.fold else None
    folder = arguments.output or run.default_folder(config.name, fold)
    run.check_run(folder, config, resume=arguments.resume, overwrite=arguments.overwrite)
    accelerator = start_accelerator(
        precision=config.precision,
        gradient_accumulation=config.gradient_accumulation,
        compile=config.compile,
        tracker=config.tracker,
        logging_dir=folder / "tracker",
    )

    # The images. Each is read once before training, so that none fails in the middle of it.
    with accelerator.main_process_first():
        advice = advice_without_data(arguments.config)
        index = open_source(config, advice=advice, progress=rendering_bar())
    # A split is drawn once; a run that goes on takes it from where it was written down.
    before = samples.read_rows(folder) if arguments.resume else None
    index = samples.keep_splits(index, before) if before else draw_splits(index, config.seed)
    if fold is not None:
        index = hold_out_fold(index, fold, config.seed)
    index = require_whole_patients(index, allowed=config.data.allow_patient_overlap)
    cache_dir = resolve(config.data.cache_dir) if config.data.cache else None
    images = Images(index, config.data.image_size, cache_dir)
    named = data_name(index) + (f", {fold} held out" if fold else "")
    report = Reporter(accelerator, config, folder, named)
    data = scan(accelerator, index, images, config)
    rows = samples.rows_of(index, data.originals)
    if before is not None:
        accepted = run.check_same_images(
            folder, before, rows, accept=arguments.accept_changed_data
        )
        data.warnings.extend(accepted)
        rows += samples.remembered(before, rows)
    targets = targets_of(space, index)
    augmentation = Augmentation.from_config(config.data, config.seed)
    train_split = Split(
        images, data.train, targets[data.train], seed=config.seed, augmentation=augmentation,
        # Where an image has a fixed number of drawings, being mirrored is part of each.
        horizontal_flip=config.data.horizontal_flip and config.data.variants is None,
        balanced=config.data.sampler == "balanced",
    )  # fmt: skip
    validation_split = Split(images, data.validation, targets[data.validation])

    # The network. What is frozen gets no gradient, and the optimiser never sees it.
    set_seed(config.seed)
    size = config.data.image_size
    network = build_network(
        config.model, len(space.classes), mean=data.mean, std=data.std, image_size=size
    )
    with accelerator.main_process_first():  # the main process downloads, the others find the file
        load_weights(network, config.model, size)
    plan = config.plan()  # one stage, unless the config has several
    merged = []
    for stage in plan:  # so that a mistake in the last shows before the first
        freeze(network, stage.model.trainable)
        require_frozen(network, stage)
        set_training_mode(network, stage.model.trainable)
        merged.append(none_alone(
            accelerator, network, images=len(train_split), batch_size=stage.batch_size, size=size
        ))  # fmt: skip
    averaged = average(network, config.ema, accelerator.device) if config.ema else None
    loss = make_loss(config.loss, space.classes, targets[data.train])

    # The run folder, and where an interrupted run had got to.
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        run.start_run(folder, config, overwrite=arguments.overwrite)
        write_atomically(folder / samples.FILE, samples.to_csv(rows))
        run.write_json(folder / "data_audit.json", data.audit)
        labels = [index.samples[i].label for i in data.train]
        title = f"{config.name} · {named}"
        write_augmentation_sheet(folder / "augmentation.png", train_split, labels, title)
    progress = Progress()
    checkpoints = Checkpoints(accelerator, folder / "checkpoints", config.checkpoint_minutes)
    if arguments.resume:
        report.log("\n".join(checkpoints.load(progress)))
    report.start(progress, data, images)

    for number, stage in list(enumerate(plan))[progress.stage :]:
        progress.stage = number
        report.stage(progress, stage)
        freeze(network, stage.model.trainable)
        optimizer = make_optimizer(stage.optimizer, trained(network))
        # Frozen layers that come before all others run once per image, not once per epoch: `rest`
        # is the network without those, or all of it, and batches carry what it takes.
        prefix = keep_prefix(accelerator, network, train_split, validation_split, stage, report.log)
        if prefix.problem:
            report.warn(progress, prefix.problem)
        if accelerator.is_main_process and config.data.cache_limit_gb is not None:
            removed = images.make_room(config.data.cache_limit_gb)
            if removed:
                report.log(removed)
        workers = loader_workers(accelerator, features=prefix.kept)
        prepared, prepared_optimizer, train_batches, validation_batches = accelerator.prepare(
            prefix.rest(network),
            optimizer,
            load_batches(
                train_split, batch_size=stage.batch_size, workers=workers, none_alone=merged[number]
            ),
            load_batches(validation_split, batch_size=stage.batch_size, workers=workers),
        )
        updates = -(-len(train_batches) // config.gradient_accumulation)
        schedule = Schedule(
            stage.scheduler, optimizer, epochs=stage.epochs, updates_per_epoch=updates
        )
        set_seed(config.seed, device_specific=True)  # dropout differs between processes
        checkpoints.begin_stage({
            "network": network, "optimizer": optimizer, "schedule": schedule,
            "averaged": averaged, "scaler": accelerator.scaler,
        })  # fmt: skip

        while progress.epoch < sum(each.epochs for each in plan[: number + 1]):
            train_split.begin_epoch(progress.epoch)
            set_training_mode(network, stage.model.trainable)
            remaining = accelerator.skip_first_batches(train_batches, progress.step)
            clock = time.perf_counter()
            try:
                for step in train_epoch(
                    accelerator, prepared, remaining, loss, prepared_optimizer, stage.gradient_clip,
                    images=len(train_split) - progress.images, augmentation=augmentation,
                ):  # fmt: skip
                    if step.updated and not step.gradient:
                        report.warn(progress, watch.NO_GRADIENT)
                    if step.updated:
                        schedule.after_update()
                        if averaged:
                            averaged.update_parameters(network)
                    started, clock = clock, time.perf_counter()
                    correct = count_correct(space, step.predictions)
                    progress.count(step.images, step.loss, correct, clock - started)
                    report.step(progress, len(data.train))
                    if step.updated and checkpoints.due():
                        checkpoints.save(progress)
                        if checkpoints.signal:
                            return report.interrupted(progress, checkpoints.signal)
            except TrainingError as error:
                raise report.failed(progress, str(error)) from None

            clock = time.perf_counter()
            evaluated = averaged.module if averaged else network
            predictions = predict(accelerator, prefix.rest(evaluated), validation_batches)
            validation_loss = mean_loss(loss, predictions)
            if not math.isfinite(validation_loss):
                raise report.failed(progress, f"the validation loss became {validation_loss}")
            figures = quick_figures(
                space, predictions.probabilities(space.task), predictions.targets
            ) | {"loss": validation_loss}
            record = {
                "epoch": progress.epoch + 1,
                "train_loss": progress.loss_sum / progress.images,
                "train_accuracy": progress.correct / progress.images,
                "validation_loss": validation_loss,
                "validation_accuracy": figures["accuracy"],
                "validation_macro_f1": figures["macro_f1"],
                "learning_rate": schedule.learning_rate,
                "seconds": progress.seconds + time.perf_counter() - clock,
                "images_per_second": progress.images / progress.seconds,
            }
            schedule.after_epoch(validation_loss)
            if progress.finish_epoch(record, merit(config.select_by, figures)):
                kept = dict.fromkeys(("accuracy", "macro_f1", "loss", config.select_by))
                accelerator.on_main_process(save_trained)(
                    folder / "best.safetensors", evaluated, config, progress.epoch,
                    {name: figures[name] for name in kept}, samples.digest(rows),
                )  # fmt: skip
            report.epoch(progress, figures)
            decisions = space.decide(predictions.probabilities(space.task))
            for sentence in watch.after_epoch(decisions, predictions.targets, progress.history):
                report.warn(progress, sentence)
            if checkpoints.due(epoch_ended=True):
                checkpoints.save(progress)
                if checkpoints.signal:
                    return report.interrupted(progress, checkpoints.signal)
        accelerator.free_memory()

    report.finish(progress)
    return 0


def main() -> int:
    arguments = parse_arguments()

    def work() -> int:
        try:
            return train(arguments)
        except RuntimeError as error:
            from covid.training.launch import partner_is_gone

            if not partner_is_gone(error):
                raise
            raise LaunchError(
                "Another process of this run is gone, so this one ends too; --resume goes on from "
                "the last checkpoint."
            ) from None

    return exit_code(work, "Interrupted before the first step; nothing was lost.")


if __name__ == "__main__":
    sys.exit(main())
