"""Accelerate's own config of a run: processes, machines, mixed precision, FSDP or DeepSpeed."""

from __future__ import annotations

import re
from typing import Any

import yaml

from loraplan.plan import Plan
from loraplan.training import TrainingError
from loraplan.training.launch import Nodes
from loraplan_trainer.fields.outcomes import quantized_bits
from loraplan_trainer.situation import Situation


def config(plan: Plan, situation: Situation, nodes: Nodes) -> str:
    """What `accelerate launch --config_file` reads (accelerate/commands/config@1.15.0). Raises TrainingError."""
    values: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": _kind(situation),
        "num_machines": nodes.machines,
        "machine_rank": nodes.rank,
        "num_processes": situation.processes,
        # The trainer's own settings decide: accelerate's would cast the model a second time.
        "mixed_precision": "no",
        "use_cpu": situation.device == "cpu",
        "main_training_function": "main",
        "rdzv_backend": "static",
        "same_network": True,
    }
    if nodes.machines > 1 and nodes.rendezvous:
        host, _, port = nodes.rendezvous.rpartition(":")
        values |= {"main_process_ip": host, "main_process_port": int(port)}
    if situation.sharding == "fsdp":
        values["fsdp_config"] = _fsdp(plan)
    if situation.sharding == "deepspeed":
        values["deepspeed_config"] = _deepspeed(plan)
        if "deepspeed_config_file" in values["deepspeed_config"]:
            del values["mixed_precision"]  # accelerate raises where both are given (utils/dataclasses.py@1.15.0)
    return yaml.safe_dump(values, sort_keys=False)


def _kind(situation: Situation) -> str:
    if situation.sharding != "none":
        return situation.sharding.upper()
    if situation.device == "cpu":
        return "MULTI_CPU" if situation.processes > 1 else "NO"
    return "MULTI_GPU" if situation.processes > 1 else "NO"


def _fsdp(plan: Plan) -> dict[str, Any]:
    """Full sharding by transformer block, version 2 where the plan says so.

    A quantized base shards only where its packed weights have the other weights' dtype (`quant_storage`; PEFT's guide
    to FSDP, docs/source/accelerate/fsdp.md@0.21.2).
    """
    second = plan.distributed.strategy == "fsdp2"
    if quantized_bits(plan) == 4 and plan.quantization.quant_storage in (None, "uint8"):
        raise TrainingError(
            "FSDP cannot shard 4-bit weights stored as uint8; set quantization.quant_storage "
            "(bnb_4bit_quant_storage) to the compute dtype, e.g. bfloat16"
        )
    values: dict[str, Any] = {
        "fsdp_version": 2 if second else 1,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_cpu_ram_efficient_loading": True,
        "fsdp_offload_params": bool(plan.distributed.offload),
        "fsdp_state_dict_type": "SHARDED_STATE_DICT",
        "fsdp_activation_checkpointing": False,
    }
    if second:
        values["fsdp_reshard_after_forward"] = "shard_grad_op" not in (plan.distributed.fsdp or "")
    else:
        grad_op = "shard_grad_op" in (plan.distributed.fsdp or "").lower()
        values["fsdp_sharding_strategy"] = "SHARD_GRAD_OP" if grad_op else "FULL_SHARD"
        values["fsdp_use_orig_params"] = True  # frozen and trained weights in one block
        values["fsdp_sync_module_states"] = True
    return values


def _deepspeed(plan: Plan) -> dict[str, Any]:
    """The plan's own DeepSpeed file where it names one, else ZeRO of its stage. Raises TrainingError."""
    named = plan.distributed.deepspeed
    if named and named.endswith(".json"):
        return {"deepspeed_config_file": named, "zero3_init_flag": False}
    found = re.fullmatch(r"zero([123])", plan.distributed.strategy or "")
    if found is None:
        raise TrainingError("the config asks for DeepSpeed without a stage; set distributed.strategy to zero1, 2 or 3")
    offload = "cpu" if plan.distributed.offload else "none"
    stage = int(found[1])
    values: dict[str, Any] = {"zero_stage": stage, "offload_optimizer_device": offload, "zero3_init_flag": False}
    if stage == 3:
        values |= {"offload_param_device": offload, "zero3_save_16bit_model": True}
    return values
