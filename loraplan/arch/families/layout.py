"""The parts that model families are put together from, and the checked reading of a `config.json`.

Names and shapes are those that transformers 5.23.0 builds; absent keys have its configuration classes' defaults,
because `save_pretrained` leaves out what equals a default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from loraplan.arch.spec import ArchSpec, Kind, Module, Part, Role

MAX_LAYERS = 1024
MAX_WIDTH = 1 << 24
MAX_EXPERTS = 4096

_NO_SCALING = frozenset(("default", ""))


class BadConfig(ValueError):
    """A `config.json` that describes no model: which key, and what stands there."""


class Facts:
    """A `config.json` (or a part of it) read with its types and bounds checked; `defaults` stand for absent keys."""

    __slots__ = ("data", "defaults")

    def __init__(self, data: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> None:
        self.data = data
        self.defaults = defaults or {}

    def get(self, key: str) -> Any:
        value = self.data.get(key)
        return self.defaults.get(key) if value is None else value

    def size(self, key: str, fallback: int | None = None, most: int = MAX_WIDTH) -> int:
        """A positive whole number."""
        value = self.get(key)
        if value is None:
            value = fallback
        if value is None:
            raise BadConfig(f"{key} is missing")
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadConfig(f"{key} is no whole number")
        if not 0 < value <= most:
            raise BadConfig(f"{key} is {value if abs(value) < 10**18 else 'huge'}, outside 1 to {most}")
        return value

    def count(self, key: str, fallback: int = 0, most: int = MAX_WIDTH) -> int:
        """A whole number that may be zero or absent."""
        value = self.get(key)
        if value is None:
            return fallback
        return 0 if value == 0 and not isinstance(value, bool) else self.size(key, most=most)

    def flag(self, key: str, fallback: bool = False) -> bool:
        value = self.get(key)
        return fallback if value is None else value is True

    def text(self, key: str) -> str | None:
        value = self.get(key)
        return value if isinstance(value, str) else None

    def whole_numbers(self, key: str) -> tuple[int, ...] | None:
        """A list of layer indices, or None."""
        value = self.get(key)
        if not isinstance(value, list):
            return None
        if len(value) > MAX_LAYERS or not all(type(item) is int and 0 <= item < MAX_LAYERS for item in value):
            raise BadConfig(f"{key} is no list of layer indices")
        return tuple(value)

    def layer_types(self, layers: int) -> tuple[str, ...] | None:
        """`layer_types` cut to the number of layers, or None where absent."""
        value = self.get("layer_types")
        if not isinstance(value, list):
            return None
        if len(value) < layers or not all(isinstance(item, str) for item in value[:layers]):
            raise BadConfig("layer_types names too few layers")
        return tuple(value[:layers])

    def part(self, key: str, defaults: Mapping[str, Any] | None = None) -> Facts:
        """A nested configuration, e.g. `text_config`; empty where absent."""
        value = self.data.get(key)
        if value is not None and not isinstance(value, dict):
            raise BadConfig(f"{key} is no mapping")
        return Facts(value or {}, defaults)


class Sizes(NamedTuple):
    """The usual dimensions of a decoder."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    max_positions: int | None
    rope_scaling: bool

    @property
    def all(self) -> tuple[int, ...]:
        return tuple(range(self.layers))


def sizes(facts: Facts, tied: bool | None = None) -> Sizes:
    """Dimensions under their usual names (`num_hidden_layers`, `hidden_size`, ...)."""
    hidden = facts.size("hidden_size")
    heads = facts.size("num_attention_heads", most=1 << 16)
    return Sizes(
        layers=facts.size("num_hidden_layers", most=MAX_LAYERS),
        hidden=hidden,
        inner=facts.size("intermediate_size"),
        heads=heads,
        kv_heads=facts.size("num_key_value_heads", heads, most=1 << 16),
        head_dim=facts.size("head_dim", hidden // heads or None, most=1 << 16),
        vocab=facts.size("vocab_size"),
        tied=facts.flag("tie_word_embeddings") if tied is None else tied,
        max_positions=positions(facts),
        rope_scaling=scaled(facts),
    )


def positions(facts: Facts, key: str = "max_position_embeddings") -> int | None:
    """The longest sequence stated; None where it is not, for a default would be a guess."""
    value = facts.data.get(key)
    return value if type(value) is int and 0 < value < 1 << 40 else None


def scaled(facts: Facts) -> bool:
    """Whether rotary positions are stretched (`rope_scaling`, or transformers 5's `rope_parameters`)."""
    for key in ("rope_scaling", "rope_parameters"):
        value = facts.data.get(key)
        if isinstance(value, dict):
            kind = value.get("rope_type", value.get("type"))
            if isinstance(kind, str) and kind not in _NO_SCALING and kind != "mrope":
                return True
    return False


class Layout:
    """The modules of one model, collected under a name prefix. `layers` and `part` hold until set anew."""

    __slots__ = ("modules", "prefix")

    def __init__(self, prefix: str = "model.") -> None:
        self.modules: list[Module] = []
        self.prefix = prefix

    def add(
        self,
        name: str,
        kind: Kind,
        shape: tuple[int, ...],
        *,
        bias: bool = False,
        part: Part = "other",
        role: Role = "",
        layers: tuple[int, ...] | None = None,
        experts: int = 0,
    ) -> None:
        if layers is None or layers:
            self.modules.append(Module(self.prefix + name, kind, shape, bias, part, role, layers, experts))

    def linear(
        self,
        name: str,
        rows: int,
        columns: int,
        role: Role = "",
        part: Part = "attention",
        layers: tuple[int, ...] | None = None,
        bias: bool = False,
    ) -> None:
        """A linear layer from `rows` input to `columns` output features."""
        self.add(name, "Linear", (rows, columns), bias=bias, part=part, role=role, layers=layers)

    def norm(self, name: str, width: int, layers: tuple[int, ...] | None = None, bias: bool = False) -> None:
        self.add(name, "Norm", (width,), bias=bias, part="norm", layers=layers)

    def norms(self, names: Iterable[str], width: int, layers: tuple[int, ...], bias: bool = False) -> None:
        """Norms of a block, e.g. `input_layernorm`."""
        for name in names:
            self.norm(name, width, layers, bias)

    def parameter(
        self, name: str, shape: tuple[int, ...], part: Part, layers: tuple[int, ...] | None = None, role: Role = ""
    ) -> None:
        self.add(name, "Parameter", shape, part=part, role=role, layers=layers)

    def embedding(self, name: str, rows: int, width: int, part: Part = "embedding", role: Role = "embed") -> None:
        self.add(name, "Embedding", (rows, width), part=part, role=role)

    def router(
        self, name: str, hidden: int, experts: int, layers: tuple[int, ...], bias: bool = False, kind: Kind = "Router"
    ) -> None:
        """The layer that assigns tokens to experts; its class is one that PEFT cannot adapt unless `kind` says so."""
        self.add(name, kind, (hidden, experts), bias=bias, part="router", role="router", layers=layers)

    def attention(
        self,
        block: str,
        s: Sizes,
        layers: tuple[int, ...],
        *,
        qkv_bias: bool = False,
        out_bias: bool = False,
        out: str = "o_proj",
        part: Part = "attention",
    ) -> None:
        """Separate query, key, value and output projections with grouped key-value heads."""
        self.linear(f"{block}q_proj", s.hidden, s.heads * s.head_dim, "q", part, layers, qkv_bias)
        self.linear(f"{block}k_proj", s.hidden, s.kv_heads * s.head_dim, "k", part, layers, qkv_bias)
        self.linear(f"{block}v_proj", s.hidden, s.kv_heads * s.head_dim, "v", part, layers, qkv_bias)
        self.linear(f"{block}{out}", s.heads * s.head_dim, s.hidden, "o", part, layers, out_bias)

    def gated_mlp(
        self, block: str, hidden: int, inner: int, layers: tuple[int, ...], bias: bool = False, part: Part = "mlp"
    ) -> None:
        """A gated feed-forward layer of three projections."""
        self.linear(f"{block}gate_proj", hidden, inner, "gate", part, layers, bias)
        self.linear(f"{block}up_proj", hidden, inner, "up", part, layers, bias)
        self.linear(f"{block}down_proj", inner, hidden, "down", part, layers, bias)

    def experts(
        self, block: str, experts: int, hidden: int, inner: int, layers: tuple[int, ...], transposed: bool = False
    ) -> None:
        """Fused experts: one three-dimensional parameter each, (experts, out, in) unless `transposed`."""
        up, down = (2 * inner, hidden), (hidden, inner)
        if transposed:
            up, down = (hidden, 2 * inner), (inner, hidden)
        self.parameter(f"{block}gate_up_proj", (experts, *up), "expert", layers, "gate_up")
        self.parameter(f"{block}down_proj", (experts, *down), "expert", layers, "down")

    def head(self, s: Sizes, name: str = "lm_head", bias: bool = False) -> None:
        """The output layer, outside the prefix; tied, it shares the embedding's weight but is a module of its own."""
        self.modules.append(Module(name, "Linear", (s.hidden, s.vocab), bias, "head", "head"))

    def spec(self, model_type: str, s: Sizes, **facts: Any) -> ArchSpec:
        """The finished description; `name`, `source` and `dtype` are filled in by the caller of the family."""
        total = sum(module.elements * module.copies for module in self.modules)
        if s.tied:
            total -= sum(m.shape[0] * m.shape[1] for m in self.modules if m.part == "head" and m.kind == "Linear")
        return ArchSpec(
            name="",
            model_type=model_type,
            modules=tuple(self.modules),
            num_layers=s.layers,
            hidden_size=s.hidden,
            intermediate_size=s.inner,
            num_heads=s.heads,
            num_kv_heads=s.kv_heads,
            head_dim=s.head_dim,
            vocab_size=s.vocab,
            tied_embeddings=s.tied,
            max_positions=s.max_positions,
            rope_scaling=s.rope_scaling,
            parameters=total,
            **facts,
        )
