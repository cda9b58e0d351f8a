"""Models of the transformers library by their name on the hub or from a folder, with nothing of their makers' run."""

from typing import Any

SAFE = {"trust_remote_code": False}  # by default transformers asks at a terminal whether to run a model's own code


def pretrained(name: str) -> Any:
    """A model without its task's head, in float32, ready to encode; its weights are safetensors, never a pickle.

    Raises:
        OSError, ValueError: where there is none, it comes with code of its own, or its weights are of another format.
    """
    from transformers import AutoModel

    return AutoModel.from_pretrained(name, use_safetensors=True, **SAFE).float().eval()
