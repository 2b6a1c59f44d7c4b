"""ArchSpec: every adaptable module's name, type and shape, and the facts of a base model; knows no framework."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

from loraplan.record import record

Kind = Literal["Linear", "Conv1D", "Embedding", "Conv1d", "Conv2d", "Conv3d", "Parameter", "Norm", "Router", "Other"]
"""Class of a module as PEFT sees it. `Parameter`: a bare nn.Parameter (fused experts), reachable only by
`target_parameters`. `Router`: a gate whose class PEFT cannot adapt. `Conv1D`: transformers' transposed linear."""
Role = Literal["q", "k", "v", "o", "qkv", "gate", "up", "down", "gate_up", "fc1", "fc2", "router", "embed", "head", ""]
Part = Literal[
    "attention", "mlp", "expert", "shared_expert", "router", "embedding", "head", "vision", "audio", "projector",
    "norm", "other",
]  # fmt: skip


class Module(NamedTuple):
    """One module of one layer pattern. `name` has `{i}` for the layer (and `{e}` for the expert) where repeated."""

    name: str
    kind: Kind
    shape: tuple[int, ...]
    """(in, out) of a linear layer, (rows, width) of an embedding, the tensor's shape of a Parameter."""
    bias: bool = False
    part: Part = "other"
    role: Role = ""
    layers: tuple[int, ...] | None = None
    """The layer indices that have it; None where the name has no `{i}`."""
    experts: int = 0
    """How many `{e}` copies there are."""

    @property
    def copies(self) -> int:
        """How many such modules the model has."""
        return (len(self.layers) if self.layers is not None else 1) * max(self.experts, 1)

    @property
    def features(self) -> tuple[int, int]:
        """The two sides that a low-rank update joins: (in, out) of a linear layer, the last two of a Parameter."""
        return (self.shape[-2], self.shape[-1]) if len(self.shape) > 1 else (1, self.shape[0])

    @property
    def elements(self) -> int:
        """Parameters of one copy; a bias has the width of the output (convolutions: (out, in, *kernel))."""
        side = self.shape[0] if self.kind in ("Conv1d", "Conv2d", "Conv3d") else self.shape[-1]
        return math.prod(self.shape) + (side if self.bias else 0)


@record()
class ArchSpec:
    """One base model. Counts are of elements, lengths in tokens, layers in decoder blocks of the text model."""

    name: str
    model_type: str
    modules: tuple[Module, ...]
    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    """Rows of the embedding in the checkpoint."""
    tied_embeddings: bool
    max_positions: int | None
    rope_scaling: bool = False
    num_experts: int = 0
    experts_per_token: int = 0
    fused_experts: bool = False
    multimodal: bool = False
    dtype: str | None = None
    """dtype of the published weights."""
    prequantized: str | None = None
    """`bnb-4bit`, `gptq`, `awq`, ... where the named checkpoint is stored quantized."""
    source: str = ""
    """Where the facts come from: a path, or the catalogue row's source."""
    parameters: int = 0
    """All parameters of the model as transformers builds it, tied ones once."""

    def names(self, module: Module) -> Iterator[str]:
        """The full names of a module pattern."""
        for layer in module.layers if module.layers is not None else (None,):
            name = module.name if layer is None else module.name.replace("{i}", str(layer))
            if module.experts:
                yield from (name.replace("{e}", str(expert)) for expert in range(module.experts))
            else:
                yield name
