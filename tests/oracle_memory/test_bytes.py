"""Bytes of parameters, to the byte, against real models: transformers, PEFT and bitsandbytes build them."""

from __future__ import annotations

import json

import pytest

from loraplan.arch.match import match
from loraplan.arch.sources import resolve
from loraplan.memory.optimizer import find
from loraplan.memory.shape import shape
from loraplan.memory.weights import PLAIN, Storage, weights
from loraplan.plan import build

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]  # peft 0.21 asks the old name

CONFIGS = {
    "llama": {"num_key_value_heads": 2},
    "qwen2": {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 32},
    "gpt_neox": {},
    "phi3": {"num_key_value_heads": 2, "pad_token_id": 0},
}


@pytest.fixture(params=sorted(CONFIGS))
def built(request, tmp_path):
    """A tiny model and its architecture, read from its own config.json."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    common = {
        "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4,
        "vocab_size": 512, "max_position_embeddings": 128,
    }  # fmt: skip
    config = transformers.AutoConfig.for_model(request.param, **common, **CONFIGS[request.param])
    config.save_pretrained(tmp_path)
    loaded = json.loads((tmp_path / "config.json").read_text())
    loaded["architectures"] = [transformers.AutoModelForCausalLM.from_config(config).__class__.__name__]
    (tmp_path / "config.json").write_text(json.dumps(loaded))
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    arch = resolve(str(tmp_path), base_dir=".", online=False, problems=[])
    assert arch is not None
    return model, arch, tmp_path


def size(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_plain_weights(built):
    model, arch, _ = built
    assert weights(arch, PLAIN, 2, 2, 2).total == size(model.parameters())


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_adapters(built, dora):
    peft = pytest.importorskip("peft")
    model, arch, _ = built
    plan = build(
        {
            "adapter.method": "lora",
            "adapter.r": 4,
            "adapter.alpha": 8,
            "adapter.target_modules": "all-linear",
            "adapter.use_dora": dora,
        }
    )
    matched = match(plan.adapter, arch)
    made = shape(
        arch, plan.adapter, matched, PLAIN, full=False, attention="flash", repeats_kv=False, linear_experts=False
    )
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", use_dora=dora, task_type="CAUSAL_LM")
    )
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    assert made.adapter * 4 == size(trained)  # PEFT keeps them in fp32


@pytest.mark.parametrize("double", [False, True])
def test_nf4_as_bitsandbytes_stores_it(built, double):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    bnb = pytest.importorskip("bitsandbytes")
    model, arch, folder = built
    model.save_pretrained(folder)
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    loaded = transformers.AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=config, dtype=torch.bfloat16, device_map="cpu"
    )
    packed, statistics = 0, 0
    layers = [module for module in loaded.modules() if isinstance(module, bnb.nn.Linear4bit)]
    assert layers
    for layer in layers:
        packed += layer.weight.numel() * layer.weight.element_size()
        state = layer.weight.quant_state
        kept = [state.absmax, state.code]
        if state.state2 is not None:
            kept += [state.state2.absmax, state.state2.code, state.offset]
        statistics += size(kept)
    found = weights(arch, Storage("bnb4", double=double), 2, 2, 2)
    assert (found.quantized, found.statistics) == (packed, statistics)
    others = size(p for n, p in loaded.named_parameters() if p.dtype != torch.uint8)
    assert found.plain + found.ends + found.norms == others


def test_int8_as_bitsandbytes_stores_it():
    torch = pytest.importorskip("torch")
    bnb = pytest.importorskip("bitsandbytes")
    from loraplan.arch.spec import Module
    from loraplan.memory.weights import stored

    layer = bnb.nn.Linear8bitLt(256, 128, bias=False, has_fp16_weights=False)
    layer.weight = bnb.nn.Int8Params(
        torch.randn(128, 256, dtype=torch.float16), has_fp16_weights=False, requires_grad=False
    )
    layer = layer.to("cpu")
    found = stored(Module("m", "Linear", (256, 128)), Storage("bnb8", bits=8))
    if layer.weight.SCB is None:
        pytest.skip("this bitsandbytes quantizes on a GPU only")
    assert sum(found) == size([layer.weight.data, layer.weight.SCB])


@pytest.mark.parametrize(("name", "fused"), [("adamw_torch", False), ("adamw_torch_fused", True), ("sgd", False)])
def test_optimizer_state(name, fused):
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.zeros(300, 7))
    made = torch.optim.SGD([parameter], lr=1) if name == "sgd" else torch.optim.AdamW([parameter], foreach=not fused)
    parameter.grad = torch.ones_like(parameter)
    made.step()
    kept = [
        value
        for state in made.state.values()
        for key, value in state.items()
        if torch.is_tensor(value) and key != "step"
    ]
    optimizer, known = find(name, fused=fused)
    assert known
    assert optimizer.copies * 300 * 7 * 4 + optimizer.fixed == size(kept)
