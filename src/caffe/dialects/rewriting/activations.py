"""Activation functions from simpler ones."""

from __future__ import annotations

from caffe.dialects.rewriting.draft import Draft, Layer, Piece, layer, renamed, rewrites, step, without_values


def power(of: Layer, bottom: str, top: str, scale: float = 1, shift: float = 0, to: float = 1) -> Layer:
    """(shift + scale · x) to a power, with the fields that are needed."""
    made = step(of, "Power", bottom, top)
    for field, value, usual in (("scale", scale, 1), ("shift", shift, 0), ("power", to, 1)):
        if value != usual:
            setattr(made.power_param, field, value)
    return made


def eltwise(of: Layer, bottoms: list[str], top: str, operation: str = "SUM", *coefficients: float) -> Layer:
    made = layer(of, "Eltwise", of.name if top == of.top[0] else top, bottoms, [top])
    made.eltwise_param.operation = made.eltwise_param.EltwiseOp.Value(operation)  # type: ignore[assignment]
    made.eltwise_param.coeff.extend(coefficients)
    return made


@rewrites("ReLU6", says="as Clip between 0 and 6")
def relu6_as_clip(piece: Piece, draft: Draft) -> list[Piece] | None:
    if piece.layer.relu6_param.negative_slope:
        return None
    return without_values(_clip(piece.layer, piece.layer.bottom[0], piece.layer.top[0], 0, 6))


@rewrites("ReLU", says="as ReLU6, or as Clip between its bounds")
def bounded_relu(piece: Piece, draft: Draft) -> list[Piece] | None:
    p = piece.layer.relu_param
    if p.negative_slope or len(piece.layer.bottom) > 1 or p.minimum or not (p.relu6 or p.maximum > 0):
        return None
    most = p.maximum if p.maximum > 0 else 6
    if p.relu6:
        most = min(most, 6)
    return without_values(_clip(piece.layer, piece.layer.bottom[0], piece.layer.top[0], 0, most))


@rewrites("Clip", says="as ReLU6")
def clip_as_relu6(piece: Piece, draft: Draft) -> list[Piece] | None:
    p = piece.layer.clip_param
    if (p.min, p.max) != (0, 6) or not draft.dialect.has("ReLU6"):
        return None
    return without_values(step(piece.layer, "ReLU6", piece.layer.bottom[0], piece.layer.top[0]))


@rewrites("Clip", says="as two ReLUs: max - relu(max - min - relu(x - min))")
def clip_as_relus(piece: Piece, draft: Draft) -> list[Piece]:
    of, p = piece.layer, piece.layer.clip_param
    shape = draft.shape(of.bottom[0])
    above, room, below = (draft.between(of, word, shape) for word in ("above", "room", "below"))
    first, made = of.bottom[0], []
    if p.min:
        first = draft.between(of, "from", shape)
        made.append(power(of, of.bottom[0], first, shift=-p.min))
    return without_values(
        *made,
        step(of, "ReLU", first, above),
        power(of, above, room, scale=-1, shift=p.max - p.min),
        step(of, "ReLU", room, below),
        power(of, below, of.top[0], scale=-1, shift=p.max),
    )


def _clip(of: Layer, bottom: str, top: str, least: float, most: float) -> Layer:
    made = step(of, "Clip", bottom, top)
    made.clip_param.min, made.clip_param.max = least, most
    return made


@rewrites("Swish", says="as its bottom times a Sigmoid")
def swish(piece: Piece, draft: Draft) -> list[Piece]:
    of, beta = piece.layer, piece.layer.swish_param.beta
    shape = draft.shape(of.bottom[0])
    gate, made, source = draft.between(of, "gate", shape), [], of.bottom[0]
    if beta != 1:
        source = draft.between(of, "scaled", shape)
        made.append(power(of, of.bottom[0], source, scale=beta))
    made.append(step(of, "Sigmoid", source, gate))
    return without_values(*made, eltwise(of, [of.bottom[0], gate], of.top[0], "PROD"))


@rewrites("Mish", says="as its bottom times TanH of BNLL")
def mish(piece: Piece, draft: Draft) -> list[Piece]:
    of, shape = piece.layer, draft.shape(piece.layer.bottom[0])
    soft, gate = draft.between(of, "soft", shape), draft.between(of, "gate", shape)
    return without_values(
        step(of, "BNLL", of.bottom[0], soft),
        step(of, "TanH", soft, gate),
        eltwise(of, [of.bottom[0], gate], of.top[0], "PROD"),
    )


@rewrites("Softplus", says="as BNLL")
def softplus(piece: Piece, draft: Draft) -> list[Piece]:
    return without_values(step(piece.layer, "BNLL", piece.layer.bottom[0], piece.layer.top[0]))


@rewrites("HardSigmoid", says="as Power and Clip")
def hard_sigmoid(piece: Piece, draft: Draft) -> list[Piece]:
    of, p = piece.layer, piece.layer.hard_sigmoid_param
    line = draft.between(of, "line", draft.shape(of.bottom[0]))
    return without_values(
        power(of, of.bottom[0], line, scale=p.alpha, shift=p.beta), _clip(of, line, of.top[0], 0, 1)
    )


@rewrites("HardSwish", says="as its bottom times a clipped Power")
def hard_swish(piece: Piece, draft: Draft) -> list[Piece]:
    of, shape = piece.layer, draft.shape(piece.layer.bottom[0])
    line, gate = draft.between(of, "line", shape), draft.between(of, "gate", shape)
    return without_values(
        power(of, of.bottom[0], line, scale=1 / 6, shift=0.5),
        _clip(of, line, gate, 0, 1),
        eltwise(of, [of.bottom[0], gate], of.top[0], "PROD"),
    )


@rewrites("HardTanH", says="as Clip between -1 and 1")
def hard_tanh(piece: Piece, draft: Draft) -> list[Piece]:
    return without_values(_clip(piece.layer, piece.layer.bottom[0], piece.layer.top[0], -1, 1))


@rewrites("SeLU", says="as ELU and Power")
def selu(piece: Piece, draft: Draft) -> list[Piece]:
    of, p = piece.layer, piece.layer.selu_param
    unit = draft.between(of, "unit", draft.shape(of.bottom[0]))
    first = step(of, "ELU", of.bottom[0], unit)
    first.elu_param.alpha = p.alpha
    return without_values(first, power(of, unit, of.top[0], scale=getattr(p, "lambda")))


@rewrites("PReLU", says="as ReLU with negative_slope")
def prelu_shared(piece: Piece, draft: Draft) -> list[Piece] | None:
    if not piece.arrays or len(set(piece.arrays[0].ravel().tolist())) != 1:
        return None
    made = renamed(piece.layer, "ReLU")
    made.ClearField("prelu_param")
    made.ClearField("param")
    made.relu_param.negative_slope = float(piece.arrays[0].flat[0])
    return [Piece(made, [])]
