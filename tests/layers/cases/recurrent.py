"""LSTM, LSTMUnit, RNN."""

from harness import Case


def cont(steps, streams):
    """Sequences that start anywhere."""
    return lambda rng: (rng.random((steps, streams)) > 0.3).astype("float32")


def recurrent(type, name, text, *bottoms, **kwargs):
    layer = f'type: "{type}" recurrent_param {{ num_output: 4 {text} }}'
    return Case(name, layer, list(bottoms), **kwargs)


EXPOSED = "expose_hidden: true"
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
    Case("lstm_unit", 'type: "LSTMUnit"', [(1, 3, 4), (1, 3, 16), cont(1, 3)], tops=2),
]
