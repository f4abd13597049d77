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
]
