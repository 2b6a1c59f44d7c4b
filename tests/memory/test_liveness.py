"""The liveness of blocks against tensors traced and slopes measured; figures are bytes for each token."""

import pytest

from loraplan.memory import block, head
from loraplan.memory.block import Block
from loraplan.memory.layers import Numerics, Projection
from loraplan.memory.tape import Size, Tape

TOKENS, LENGTH = 16384, 4096


def llama(rank=0, on="qkvo", *, quantized="", trained=False, repeats=False):
    """An 8B block: hidden 4096, 32 heads, 8 key-value heads, MLP 14336."""

    def made(name, inputs, outputs):
        return Projection(inputs, outputs, rank if name in on else 0, quantized=quantized, trained=trained)

    return Block(
        4096, 32, 8, 128,
        (made("q", 4096, 4096), made("k", 4096, 1024), made("v", 4096, 1024)),
        made("o", 4096, 4096),
        (made("g", 4096, 14336), made("u", 4096, 14336), made("d", 14336, 4096)),
        repeats_kv=repeats,
    )  # fmt: skip


def saved(shape, numerics):
    return block.profile(shape, numerics, recomputed=False).saved.at(1, LENGTH)


def worst(shape, numerics):
    profile = block.profile(shape, numerics, recomputed=True)
    return profile.peak(profile.backward, TOKENS, LENGTH) / TOKENS


class TestSavedTensors:
    """Sums of the storages that a traced step of transformers 5.23, peft 0.21.2 and torch 2.13 keeps for one block.

    The block's input is left out where only a norm's upcast copy is kept.
    """

    def test_fp32_adapters_on_all_linear_layers(self):
        assert saved(llama(16, "qkvogud"), Numerics()) == 295_496

    def test_adapters_in_the_weights_type_share_their_input(self):
        assert saved(llama(16, "qkvogud"), Numerics(adapter=2)) == 184_680

    def test_adapters_on_queries_and_values_only(self):
        assert saved(llama(16, "qv"), Numerics()) == 172_296

    def test_dropout_adds_a_mask_of_one_byte_and_a_dropped_copy(self):
        plain, dropped = saved(llama(16, "q"), Numerics()), saved(llama(16, "q"), Numerics(dropout=True))
        assert dropped - plain == 4096  # the fp32 copy that was kept is replaced by the dropped one

    def test_eager_attention_keeps_the_softmax_in_two_types(self):
        flash, eager = llama(), llama()._replace(attention="eager", repeats_kv=True)
        heads = 32
        square = block.profile(eager, Numerics(), recomputed=False).saved.pair
        assert square == heads * (4 + 2)
        assert block.profile(flash, Numerics(), recomputed=False).saved.pair == 0


class TestMeasuredSlopes:
    """Peaks of a benchmark of packed 4096-token sequences are affine in tokens: these are its slopes, less the
    checkpointed inputs (262144) and the batch (24). Source: foundation-model-stack/fms-acceleration @ 876e2ed refs.
    """

    numerics = Numerics(adapter=4, autocast=True, dropout=True, fused_norm=True, fused_rope=True)

    @pytest.mark.parametrize(
        ("shape", "changes", "slope"),
        [
            (llama(16), {}, 528_672 - 262_144 - 24),
            (llama(16, repeats=True), {}, 540_960 - 262_144 - 24),
            (llama(16, quantized="bnb4"), {"fused_adapter": True}, 520_352 - 262_144 - 24),
            (llama(trained=True, repeats=True), {}, 508_064 - 262_144 - 24),
        ],
        ids=["lora", "lora, keys repeated", "qlora, fused", "full"],
    )
    def test_of_the_worst_block(self, shape, changes, slope):
        assert worst(shape, self.numerics._replace(**changes)) == slope

    @pytest.mark.parametrize(
        ("changes", "slope"),
        [({"autocast": False, "fused_norm": False}, 831_904), ({"autocast": False}, 807_328)],
        ids=["plain", "fused norm"],
    )
    def test_sharded_frozen_blocks_hold_inputs_and_their_gradients(self, changes, slope):
        retained = 30 * 8192  # layers - 2, each a hidden state in bf16
        assert worst(llama(16), self.numerics._replace(**changes)) == slope - 262_144 - 24 - retained

    @pytest.mark.parametrize(
        ("loss", "vocabulary", "changes", "slope"),
        [
            ("shift", 32000, {}, 734_762),
            ("fused", 32000, {"fused_norm": True}, 598_578),
            ("fused_replace", 128256, {"fused_norm": True}, 1_304_531),
        ],
    )
    def test_of_the_loss(self, loss, vocabulary, changes, slope):
        numerics = Numerics(adapter=4)._replace(**changes)
        profile = head.profile(4096, vocabulary, "rms", numerics, loss, Projection(4096, vocabulary))
        found = profile.peak(profile.forward, TOKENS, LENGTH) / TOKENS
        # 18 bytes of shifted labels and masks are not modelled; a shifted copy has 4095 of 4096 positions.
        assert found == pytest.approx(slope - 262_144 - 24, rel=1e-4)


class TestTape:
    def test_a_tensor_dies_after_its_last_use(self):
        tape = Tape(Size(1))
        first = tape.op("first", (0,), Size(10))
        second = tape.op("second", (first,), Size(20))
        tape.op("third", (second,), Size(30))
        profile = tape.profile()
        assert profile.saved == Size()
        assert profile.peak(profile.forward, 1, 1) == 50

    def test_a_saved_tensor_lives_until_its_operation_is_differentiated(self):
        tape = Tape(Size(1))
        first = tape.op("first", (0,), Size(10), saves=(-1,))
        tape.op("second", (first,), Size(20))
        profile = tape.profile()
        assert profile.saved == Size(10)
        # Entering: the saved tensor and the output's gradient; then the gradient of the first output besides.
        assert profile.peak(profile.backward, 1, 1) == 10 + 20 + 10
        assert profile.worst(1, 1) == "second"

    def test_an_addition_passes_its_gradient_on(self):
        tape = Tape(Size(8))
        branch = tape.op("branch", (0,), Size(8))
        tape.op("sum", (branch, 0), Size(8), views=(branch, 0))
        profile = tape.profile()
        # The gradient of the sum serves both; the branch's own joins it for a moment.
        assert profile.peak(profile.backward, 1, 1) == 16

    def test_nothing_is_saved_for_what_needs_no_gradient(self):
        tape = Tape(Size(1))
        constant = tape.op("mask", (0,), Size(5), gradient=False)
        tape.op("use", (constant,), Size(7), saves=(constant,))
        assert tape.profile().saved == Size()

    def test_a_reusing_operation_writes_over_what_it_saved(self):
        tape = Tape(Size(1))
        logits = tape.op("logits", (0,), Size(100))
        tape.op("loss", (logits,), Size(), saves=(logits,), reuses=True)
        profile = tape.profile()
        assert profile.peak(profile.backward, 1, 1) == 101


def test_a_layers_input_lives_to_its_end_under_autocast():
    """PEFT casts the input to fp32 and autocast casts it back: caller and layer hold both until the sum is made."""
    shape = llama(16, "d")
    plain, cast = (worst(shape, Numerics(autocast=autocast)) for autocast in (False, True))
    forward = block.profile(shape, Numerics(autocast=True), recomputed=False)
    assert forward.peak(forward.transient, 1, LENGTH) >= 14336 * (2 + 4 + 2)
    assert cast > plain - 14336 * 4


def test_an_operation_apart_is_in_no_other_instant():
    tape = Tape(Size(2))
    x = tape.op("norm", (0,), Size(2), saves=(0,))
    tape.op("loss", (x,), Size(4), saves=(x,), forward=Size(100), backward=Size(200))
    together, apart = tape.profile(owns_input=True), tape.profile(owns_input=True, apart="loss")
    assert together.peak(together.forward, 1, 1) == apart.apart[0].at(1, 1) > 100
    assert together.peak(together.backward, 1, 1) == apart.apart[1].at(1, 1) > 200
    assert apart.peak(apart.forward, 1, 1) < 100
    assert apart.peak(apart.backward, 1, 1) < 200


def test_gelu_written_out_is_in_fp32_under_autocast():
    """phi's and gpt2's activation cubes in fp32 there: the input's copy, the tanh and the sum are kept in it."""
    shape = Block(
        2560, 32, 32, 80, (Projection(2560, 2560),) * 3, Projection(2560, 2560),
        (Projection(2560, 10240), Projection(10240, 2560)), gated=False, norm="layer", python_gelu=True,
    )  # fmt: skip
    plain, cast = (saved(shape, Numerics(autocast=autocast)) for autocast in (False, True))
    assert cast - plain >= 10240 * (2 + 2 + 4 + 4 - (2 + 2 + 2 + 2))


def test_dora_with_dropout_keeps_a_copy_of_each_weight():
    """The base product is made once more of the dropped input, whose gradient needs the weight in the input's type."""
    shape = llama()
    shape = shape._replace(query=tuple(p._replace(rank=8, variant="dora") for p in shape.query))
    weights = 4096 * (4096 + 1024 + 1024)
    for numerics, size in ((Numerics(dropout=True), 4), (Numerics(dropout=True, autocast=True), 2)):
        without = numerics._replace(dropout=False)
        kept = [block.profile(shape, item, recomputed=False).saved.fixed for item in (without, numerics)]
        assert kept[1] - kept[0] == weights * size
