"""The end of the model: final norm, logits, loss; what stays alive while the loss is computed and differentiated."""

from __future__ import annotations

from typing import NamedTuple

from loraplan.memory.layers import Numerics, Projection, normalize, project
from loraplan.memory.tape import Profile, Size, Tape

LOSSES = {
    "shift": "logits upcast to fp32, then copied without the last position (transformers 4.46 to 4.49 loss_utils.py)",
    "replace": "fp32 logits replace the bf16 ones, then are copied without the last position (transformers <= 4.45)",
    "pad": "logits upcast to fp32; the labels are shifted instead of the logits (transformers >= 4.50 loss_utils.py)",
    "own": "cross-entropy inside the model's class, on logits of the model's own type (GPTBigCode, transformers 4.48)",
    "own_fused": "as `own`, with the fused cross-entropy",
    "fused": "as `shift`, with a fused cross-entropy that writes the gradient over the logits (unsloth's kernel)",
    "fused_replace": "as `replace`, with the fused cross-entropy",
    "linear": "head and cross-entropy in one operation, chunk by chunk: no logits (Liger, cut cross-entropy)",
    "chunked": "head and cross-entropy over chunks of positions, each recomputed in the backward",
    "tiled": "head and cross-entropy in tiles of 4096 positions and 32768 entries (trl >= 1.15 trainer/utils.py)",
    "unsloth": "head and cross-entropy for some rows at a time, in fp32 (unsloth_zoo fused_losses/fused_linear.py)",
    "chunked_logits": "logits made in chunks and all kept; the compiled cross-entropy of a chunk keeps them only"
    " (torchtune 0.6 modules/loss/ce_chunked_output_loss.py)",
    "chunked_fp32": "logits made in chunks, all converted to fp32 and kept, with the logarithms of each chunk (litgpt"
    " 0.5 utils.py `chunked_cross_entropy`; lightning fabric converts outputs)",
}
"""The ways of computing the loss, and where each is written."""
PIECES = ("linear", "chunked", "tiled", "unsloth")
"""Those that never have all logits at once."""


def profile(
    hidden: int,
    vocabulary: int,
    norm: str,
    numerics: Numerics,
    loss: str,
    head: Projection,
    *,
    chunk: int = 0,
    softcapped: bool = False,
) -> Profile:
    """Liveness from the last block's output to the loss and back, without the pieces of a chunked loss.

    `chunk`: positions per piece. `softcapped`: the logits go through a tanh (gemma2).
    """
    tape = Tape(Size(numerics.stream * hidden))
    x, width = normalize(tape, 0, numerics.stream, hidden, norm, numerics)
    if loss == "tiled":
        # The positions that carry labels are copied; the norm's own output dies.
        chosen = tape.op("labelled positions", (x,), Size(numerics.compute * hidden))
        tape.op("loss in tiles", (chosen,), Size(4), saves=(chosen,), backward=Size(4 * hidden))
        return tape.profile(owns_input=True, apart="loss in tiles")
    tape.hold(x)
    if loss in PIECES:
        ahead, back = _WORKSPACE.get(loss, (0, 0))
        # Liger and unsloth compute the gradient in the forward and keep it; the others keep the hidden states.
        saves = (x,) if loss == "chunked" else (tape.aside(Size(numerics.compute * hidden)),)
        tape.op(
            "loss in pieces", (x,), Size(4), saves=saves, forward=Size(ahead * hidden), backward=Size(back * hidden)
        )
        return tape.profile(owns_input=True, apart="loss in pieces")
    logits, size = project(tape, "head", x, width, head, numerics)
    if softcapped:
        logits = tape.op("softcap", (logits,), Size(size * vocabulary), saves=(-1,))
        logits = tape.op("softcap scaled", (logits,), Size(size * vocabulary))
    if loss == "chunked_logits":
        piece = Size(0, 0, chunk * vocabulary * 4)
        tape.op("cross-entropy", (logits,), Size(4), saves=(logits,), forward=piece, backward=piece, reuses=True)
        return tape.profile(owns_input=True)
    whole = Size(4 * vocabulary)
    if loss == "chunked_fp32":
        converted = tape.op("logits upcast", (logits,), whole)
        logarithms = tape.aside(whole)
        piece = Size(0, 0, chunk * vocabulary * 4)
        kept = (converted, logarithms)  # the list of logits outlives the backward, which writes over the logarithms
        tape.op("cross-entropy", (converted,), Size(4), saves=kept, forward=piece, backward=piece, reuses=True)
        return tape.profile(owns_input=True)
    if loss in ("shift", "pad", "fused", "own", "own_fused"):
        tape.hold(logits)
    current = logits
    if size != 4 and (loss != "own" and (loss != "own_fused" or numerics.autocast)):
        current = tape.op("logits upcast", (logits,), whole)
        tape.hold(current)
        size = 4
    if loss in ("shift", "replace", "fused", "fused_replace", "own", "own_fused"):
        current = tape.op("logits shifted", (current,), Size(size * vocabulary))
    if loss in ("fused", "fused_replace", "own_fused"):
        tape.op("cross-entropy", (current,), Size(4), saves=(current,), reuses=True)
        return tape.profile(owns_input=True)
    if size != 4 and numerics.autocast:
        current, size = tape.op("logits upcast", (current,), whole), 4
    log = tape.op("log_softmax", (current,), Size(size * vocabulary), saves=(-1,))
    tape.op("nll", (log,), Size(4), saves=(log,))
    return tape.profile(owns_input=True)


# Bytes a token and hidden element that a loss in pieces needs besides: (in the forward, in the backward).
_WORKSPACE = {
    "linear": (4, 0),  # a power of two of rows whose logits are at most twice the hidden states (Liger 0.8.5)
}
_TILE_ROWS, _TILE_COLUMNS = 4096, 32768


class Pieces(NamedTuple):
    """The workspace of a loss in pieces: so many rows at a time, and what does not depend on them. Bytes."""

    rows: int
    row: int
    fixed: int

    def at(self, tokens: int) -> int:
        """Bytes of a batch."""
        return min(tokens, self.rows) * self.row + self.fixed


def pieces(loss: str, hidden: int, vocabulary: int, numerics: Numerics, chunk: int) -> Pieces:
    """The workspace of a loss that never has all logits at once."""
    if loss == "tiled":
        copied = numerics.weight == 4 and numerics.compute == 2  # an fp32 head: each tile's weights are cast
        # In the backward the copy before is still bound while the next one is made.
        tiles = 2 if vocabulary > _TILE_COLUMNS else 1
        weights = tiles * min(vocabulary, _TILE_COLUMNS) * hidden * numerics.compute if copied else 0
        return Pieces(_TILE_ROWS, _TILE_COLUMNS * numerics.compute, weights)
    if loss == "chunked":  # the head in fp32, and its autocast copy (trl 1.14.0 trainer/sft_trainer.py)
        return Pieces(chunk, 12 * vocabulary, vocabulary * hidden * (4 + (2 if numerics.autocast else 0)))
    if loss == "unsloth":
        rows = min(4096, max(512, 1 << max(0, (512 * 151936 // vocabulary).bit_length() - 1)))
        return Pieces(rows, 4 * vocabulary, 0)
    return Pieces(0, 0, 0)


class HeadGradient(NamedTuple):
    """Bytes an element of a trained head's weight that a loss in pieces has at its fullest, ahead and on the way back.

    A loss over whole logits makes that gradient when its largest tensors are gone.
    """

    ahead: int
    back: int


def head_gradient(loss: str, weight: int) -> HeadGradient:
    """`weight`: bytes of an element of the head's weight."""
    copied = weight if weight != 4 else 0
    if loss == "tiled":  # summed in fp32, then converted (trl 1.16 kernels/chunked_logprob.py)
        return HeadGradient(0, 4 + copied)
    if loss == "linear":  # in the weight's type, in the forward (Liger 0.8.5 ops/fused_linear_cross_entropy.py)
        return HeadGradient(weight, weight)
    if loss == "chunked":  # of the fp32 copy: the sum, the piece's own, then converted (trl 1.14.0 sft_trainer.py)
        return HeadGradient(0, 8 + copied)
    if loss == "unsloth":  # the sum and the piece's own (unsloth_zoo fused_losses/cross_entropy_loss.py)
        return HeadGradient(2 * weight, weight)
    return HeadGradient(0, 0)
