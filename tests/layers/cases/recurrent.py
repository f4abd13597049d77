"""LSTM, LSTMUnit, RNN."""

from harness import Case


def cont(steps, streams):
    """Sequences that start anywhere."""
    return lambda rng: (rng.random((steps, streams)) > 0.3).astype("float32")


def recurrent(type, name, text, *bottoms, **kwargs):
    layer = f'type: "{type}" recurrent_param {{ num_output: 4 {text} }}'
    return Case(name, layer, list(bottoms), **kwargs)


EXPOSED = "expose_hidden: true"


def conv_lstm(name, text, *bottoms, **kwargs):
    layer = f'type: "ConvLSTM" lstm_conv_param {{ num_output: 2 kernel_size: 3 pad: 1 }} {text}'
    return Case(name, layer, list(bottoms), **kwargs)


MAPS, HIDDEN = (3, 2, 3, 4, 5), (1, 2, 2, 4, 5)
TWO = (
    'type: "ConvLSTM" lstm_conv_param { num_output: 2 kernel_size: 3 pad: 2 dilation: 2 type: "hidden"'
    " bias_term: false }"
    ' lstm_conv_param { num_output: 2 kernel_size: 1 type: "input" }'
)
CASES = [
    recurrent("LSTM", "lstm", "", (5, 3, 6), cont(5, 3)),
    recurrent("LSTM", "lstm_3d_input", "", (2, 3, 1, 5), cont(2, 3)),
    recurrent("LSTM", "lstm_static", "", (5, 3, 6), cont(5, 3), (3, 2)),
    recurrent(
        "LSTM", "lstm_exposed", EXPOSED, (5, 3, 6), cont(5, 3), (1, 3, 4), (1, 3, 4), tops=3, grad_bottoms=[0]
    ),
    recurrent(
        "LSTM",
        "lstm_exposed_static",
        EXPOSED,
        (5, 3, 6),
        cont(5, 3),
        (3, 2, 2),
        (1, 3, 4),
        (1, 3, 4),
        tops=3,
        grad_bottoms=[0, 2],
    ),
    recurrent("RNN", "rnn", "", (5, 3, 6), cont(5, 3)),
    recurrent("RNN", "rnn_static", "", (5, 3, 6), cont(5, 3), (3, 2)),
    recurrent("RNN", "rnn_exposed", EXPOSED, (5, 3, 6), cont(5, 3), (1, 3, 4), tops=2, grad_bottoms=[0]),
    conv_lstm("conv_lstm", "", MAPS, cont(3, 2)),
    conv_lstm("conv_lstm_static", "", MAPS, cont(3, 2), (1, 2, 1, 4, 5)),
    conv_lstm(
        "conv_lstm_exposed",
        'recurrent_param { expose_hidden: true } lstm_debug_param { expose: "c_t=2" expose: "h_t=1" }',
        MAPS,
        cont(3, 2),
        HIDDEN,
        HIDDEN,
        tops=5,
    ),
    conv_lstm(
        "conv_lstm_channels", "lstm_debug_param { axis_hadamard: 2 num_axes_hadamard: 1 }", MAPS, cont(3, 2)
    ),
    conv_lstm(
        "conv_lstm_plain", "lstm_debug_param { disable_hadamard: true ignore_x: true }", MAPS, cont(3, 2)
    ),
    Case("conv_lstm_two", TWO, [MAPS, cont(3, 2)]),
    Case("lstm_unit", 'type: "LSTMUnit"', [(1, 3, 4), (1, 3, 16), cont(1, 3)], tops=2),
]
