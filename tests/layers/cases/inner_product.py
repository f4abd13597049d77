"""InnerProduct."""

from harness import Case

CASES = [
    Case("ip", 'type: "InnerProduct" inner_product_param { num_output: 5 }', [(2, 3, 4)]),
    Case("ip_axis", 'type: "InnerProduct" inner_product_param { num_output: 5 axis: -1 }', [(2, 3, 4)]),
    Case("ip_axis_0", 'type: "InnerProduct" inner_product_param { num_output: 5 axis: 0 }', [(2, 3)]),
    Case("ip_4d", 'type: "InnerProduct" inner_product_param { num_output: 6 }', [(2, 3, 4, 5)]),
    Case(
        "ip_transpose_nobias",
        'type: "InnerProduct" inner_product_param { num_output: 5 axis: 2 transpose: true bias_term: false }',
        [(2, 3, 4)],
    ),
    Case(
        "inner_product_float",
        'type: "InnerProductFloat" inner_product_param { num_output: 4 } qcodeconfig { il: 1 fl: 7 }'
        " qcodeconfig { il: 4 fl: 4 } qcodeconfig { il: 5 fl: 3 }",
        [(2, 3, 5)],
        gradcheck=False,  # steps
    ),
    Case(
        "inner_product_float_transposed",
        'type: "InnerProductFloat" inner_product_param { num_output: 4 transpose: true bias_term: false axis: 2 }',
        [(2, 3, 5)],
        gradcheck=False,
    ),
]
