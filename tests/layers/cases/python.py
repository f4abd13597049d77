"""Python layers."""

from harness import Case

CASES = [
    Case(
        "python",
        'type: "Python" python_param { module: "python_layers" layer: "Scaled" param_str: "3" }',
        [(2, 3)],
    ),
    Case(
        "python_tensor_layer",
        'type: "Python" python_param { module: "python_layers" layer: "Cubed" }',
        [(2, 3)],
    ),
]
