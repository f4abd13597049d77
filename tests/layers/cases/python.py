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
    Case(
        "python_pad",
        'type: "Python" python_param { module: "pad" layer: "PadTensor"'
        """ param_str: "{'pad_t': 0, 'pad_b': 1, 'pad_l': 2, 'pad_r': 1, 'pad_mode': 'constant'}" }""",
        [(2, 2, 3, 4)],
    ),
    Case(
        "python_eltwise",
        'type: "Python" python_param { module: "eltwise" layer: "Eltwise"'
        """ param_str: "{'operation': 1, 'coeff': [1, -2]}" }""",
        [(2, 3, 4), (2, 3, 1)],
    ),
    Case(
        "python_shape",
        'type: "Python" python_param { module: "shape" layer: "TensorShape" }',
        [(2, 3, 4, 5)],
        gradcheck=False,
    ),
    Case(
        "python_reorg",
        'type: "Python" python_param { module: "yolov2" layer: "darknet_reorg" }',
        [(2, 8, 4, 6)],
    ),
]
