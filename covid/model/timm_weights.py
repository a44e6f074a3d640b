"""Published weights of timm's networks, from the Hugging Face hub's cache or the hub itself."""

import torch

from covid.errors import WeightsError
from covid.model.architectures import size_of

TIMEOUT_SECONDS = 10.0  # seconds to the first answer of the hub: what its own client waits
FILES = ("model.safetensors", "pytorch_model.bin")  # as timm looks for them, one or the other


def timm_state(name: str, image_size: int) -> dict[str, torch.Tensor]:
    """The tensors of a network of three channels with its own classifier, under timm's names.

    timm loads them, strictly, and resamples position embeddings for images of `image_size`
    pixels. Raises WeightsError: there are none, or they are neither here nor to be had.
    """
    import timm  # takes seconds
    from huggingface_hub import constants
    from timm.models import get_pretrained_cfg

    known = get_pretrained_cfg(name)
    if known is None or not known.has_weights:
        raise WeightsError(
            f"timm has no ImageNet weights of {name}; name a .safetensors or .pth file in "
            f"model.weights, or train from scratch with --set model.weights=none."
        )
    try:
        if known.hf_hub_id:
            _ask_hub(known.hf_hub_id, (known.hf_hub_filename,) if known.hf_hub_filename else FILES)
        network = timm.create_model(name, pretrained=True, **size_of(name, image_size))
    except Exception as error:  # of a client of the hub, which has changed; a file's; a disk's
        first = (str(error) or type(error).__name__).splitlines()[0]
        place = f"https://huggingface.co/{known.hf_hub_id}" if known.hf_hub_id else known.url
        raise WeightsError(
            f"The ImageNet weights of {name} could be had neither from the hub's cache "
            f"{constants.HF_HUB_CACHE} nor from {place} ({first}); name its .safetensors or .pth "
            f"file in model.weights, point HF_HUB_CACHE to a cache that has it, or train from "
            f"scratch with --set model.weights=none."
        ) from None
    state: dict[str, torch.Tensor] = network.state_dict()
    return state


def _ask_hub(repository: str, files: tuple[str, ...]) -> None:
    """Raises what the hub's client does where no file is cached and the hub cannot be reached.

    Asked once: the client's download tries for most of a minute before it says so.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    repository, _, revision = repository.partition("@")
    if any(
        isinstance(try_to_load_from_cache(repository, file, revision=revision or None), str)
        for file in files
    ):
        return
    try:
        get_hf_file_metadata(
            hf_hub_url(repository, files[0], revision=revision or None), timeout=TIMEOUT_SECONDS
        )
    except EntryNotFoundError:  # it is there, under the other name
        return
