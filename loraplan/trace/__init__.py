"""A real training step watched on the meta device: live bytes by phase and by kind, without a GPU (extra `trace`).

`extrapolate.extrapolate(model.config_of(config_json), setting.Setting(...))` runs transformers, PEFT, bitsandbytes and
TRL themselves with two or three layers and no memory, and says what a step of the whole model keeps alive and when.
Nothing here is imported by the commands that check or estimate.
"""
