"""Mode: how a net is to run. The switches of a net change this and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Mode:
    """What the next forward is to be like."""

    inference: bool = False
    """Nothing is kept for backward, and blobs are freed once no later layer reads them."""
    recompute: bool = False
    """In inference, freed blobs are computed again when somebody reads them, or calls backward."""
    keep: frozenset[str] = frozenset()
    """Names of blobs that are not freed."""
    checkpointing: bool = False
    """Blobs between checkpoints are freed, and computed again in backward."""
    compiled: bool = False
    """Stretches of layers run as graphs of torch.compile."""
    compiled_keep: frozenset[str] = frozenset()
    """Names of blobs that these graphs hand out."""

    whole: bool = True
    """Whether all layers run."""
    watched: bool = False
    """Whether hooks look on: then every layer runs by itself."""
    device: str = "cpu"

    def now(self, also: frozenset[str], whole: bool, watched: bool, device: str) -> Mode:
        """For one forward; ``also`` names more blobs that are not freed."""
        keep = self.keep | also
        return replace(self, keep=keep, whole=whole, watched=watched, device=device)
