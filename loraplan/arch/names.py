"""What linear layers are called across model families: `q_proj` in Llama is part of `qkv_proj` in Phi-3."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loraplan.arch.spec import ArchSpec

_ROLES: dict[str, tuple[str, ...]] = {
    role: tuple(names.split())
    for role, names in {
        "q": "q_proj wq q query Wq",
        "k": "k_proj wk k key Wk",
        "v": "v_proj wv v value Wv",
        "o": "o_proj wo out_proj output_proj o",
        "qkv": "qkv_proj query_key_value c_attn Wqkv W_pack wqkv qkv",
        "gate": "gate_proj w1",
        "up": "up_proj w3",
        "down": "down_proj w2 dense_4h_to_h fc2 fc_out",
        "gate_up": "gate_up_proj",
        "fc1": "fc1 fc_in c_fc dense_h_to_4h",
    }.items()
}
_ROLE = {name: role for role, names in _ROLES.items() for name in names}
# role wanted -> roles that hold it, in order of preference
_HOLDERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "q": (("q",), ("qkv",)),
    "k": (("k",), ("qkv",)),
    "v": (("v",), ("qkv",)),
    "o": (("o",),),
    "qkv": (("qkv",), ("q", "k", "v")),
    "gate": (("gate",), ("gate_up",), ("fc1",)),
    "up": (("up",), ("gate_up",), ("fc1",)),
    "down": (("down",), ("fc2",)),
    "gate_up": (("gate_up",), ("gate", "up"), ("fc1",)),
    "fc1": (("fc1",), ("gate_up",), ("gate", "up")),
}


def role(name: str) -> str | None:
    """The part a module's last name plays in the families that use that name, or None."""
    return _ROLE.get(name.rpartition(".")[2])


def leaves(arch: ArchSpec) -> dict[str, str]:
    """Role of every linear layer of the text model that LoRA can adapt, by last name, in the model's order."""
    found: dict[str, str] = {}
    for module in arch.modules:
        if module.kind in ("Linear", "Conv1D") and module.part in ("attention", "mlp", "expert", "shared_expert"):
            found.setdefault(module.name.rpartition(".")[2], module.role)
    return found


def equivalents(name: str, arch: ArchSpec) -> tuple[str, ...]:
    """The layers of `arch` that do what `name` does in the family it comes from; empty where there is no exact map."""
    wanted = role(name)
    if wanted is None:
        return ()
    roles: dict[str, list[str]] = {}
    for module in arch.modules:
        if module.kind in ("Linear", "Conv1D") and module.part in ("attention", "mlp", "expert", "shared_expert"):
            names = roles.setdefault(module.role, [])
            leaf = module.name.rpartition(".")[2]
            if leaf not in names:
                names.append(leaf)
    for holders in _HOLDERS[wanted]:
        if all(holder in roles for holder in holders):
            return tuple(leaf for holder in holders for leaf in roles[holder])
    return ()
