"""The front end for PyTorch: torch.export's graph as the small graph."""

from __future__ import annotations

import contextlib
import operator
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from caffe.errors import InputError
from caffe.importing.graph import Graph, Value, operator_name, swapped
from caffe.torch_private import OpOverload, same_overload, schema

_IDENTITIES = {
    "clone",
    "contiguous",
    "detach",
    "alias",
    "lift_fresh_copy",
    "lift_fresh",
    "_to_copy",
    "to",
    "dropout",
    "feature_dropout",
    "native_dropout",
    "alpha_dropout",
    "type_as",
    "_assert_tensor_metadata",
}
_LIBRARY = re.compile(r"[/\\](torch|torchvision|timm)[/\\]|<eval_with_key>|<frozen")


def exported(module: torch.nn.Module, inputs: Sequence[Any]) -> Any:
    """The module's ExportedProgram for example inputs, in evaluation mode. Raises InputError."""
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"What to convert must be a torch.nn.Module; got {type(module).__name__}",
            fix="Wrap a function in a module whose forward calls it",
        )
    try:
        with warnings.catch_warnings(), torch.no_grad(), evaluating(module):
            warnings.simplefilter("ignore")
            return torch.export.export(module, tuple(inputs))
    except Exception as error:
        raise InputError(
            f"torch.export cannot follow {type(module).__name__}: {_first_lines(error)}",
            fix="Branches and loops over values have no form in Caffe: take the branch beforehand,"
            " or convert the parts of the module one by one",
        ) from error


@contextlib.contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """The module in evaluation mode; afterwards each of its parts is in the mode it was in."""
    training = [part for part in module.modules() if part.training]
    if training:
        with contextlib.suppress(NotImplementedError):  # exported programs have one mode only
            module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def attached(module: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """A program's module that can be exported again: constants are detached in it, which torch.export refuses."""
    for node in list(module.graph.nodes):
        if isinstance(node.target, OpOverload) and operator_name(node.target) in (
            "detach",
            "detach_",
        ):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.recompile()
    return module


def inputs_of(program: Any) -> dict[str, torch.Tensor]:
    """The inputs of an ExportedProgram without values, by name; sizes that are free are symbols."""
    names = set(program.graph_signature.user_inputs)
    inputs = {
        n.name: n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder" and n.name in names
    }
    return {name: x for name, x in inputs.items() if isinstance(x, torch.Tensor)}


def graph_of(program: Any, input_names: Sequence[str] = (), output_names: Sequence[str] = ()) -> Graph:
    """The graph of an ExportedProgram. Raises InputError for shapes that are not fixed and control flow."""
    if not _without_writes(program):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = program.run_decompositions({})
    constants = _constants(program)
    graph = Graph()
    known: dict[Any, Any] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            known[node] = _placeholder(node, constants, graph)
        elif node.op == "get_attr":
            known[node] = _attribute(program.graph_module, node.target)
        elif node.op == "call_function":
            known[node] = _call(graph, node, known)
        elif node.op == "output":
            _outputs(graph, node, program, known, output_names)
    _name_inputs(graph, input_names)
    graph.drop_unused()
    return graph


def _without_writes(program: Any) -> bool:
    """Whether no operator of the graph writes over a value that another, later one could see.

    Operators that do (``relu_``) are then read as those that do not (``relu``). PyTorch's own pass takes as long as the
    export; it is needed where views are written to.
    """
    order = {node: i for i, node in enumerate(program.graph.nodes)}
    for node in program.graph.nodes:
        if not isinstance(node.target, OpOverload) or not schema(node.target).is_mutable:
            continue
        written = node.args[0]
        if _pure(node.target) is node.target or written.op != "call_function" or _is_view(written):
            return False
        others = [user for user in written.users if user is not node]
        if any(order[user] > order[node] or _is_view(user) for user in others):
            return False
    return True


def _is_view(node: Any) -> bool:
    """Whether a call's result may be its input's memory."""
    target = node.target
    if not isinstance(target, OpOverload):
        return True
    if operator_name(target) in _IDENTITIES | {"reshape", "flatten", "contiguous"}:
        return True
    return any(r.alias_info is not None for r in schema(target).returns) and not schema(target).is_mutable


def _pure(target: Any) -> Any:
    """The operator that gives what this one writes; the same where it writes nothing, or has no such form."""
    name = operator_name(target)
    packet = getattr(torch.ops.aten, name[:-1], None) if name.endswith("_") else None
    if packet is None or not schema(target).is_mutable:
        return target
    return same_overload(packet, target)


def _constants(program: Any) -> dict[str, torch.Tensor]:
    signature = program.graph_signature
    state: Mapping[str, Any] = {**program.constants, **program.state_dict}
    named: dict[str, str] = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    return {name: state[target].detach() for name, target in named.items() if target in state}


def _placeholder(node: Any, constants: Mapping[str, torch.Tensor], graph: Graph) -> Any:
    if node.name in constants:
        return constants[node.name]
    example = node.meta.get("val")
    if not isinstance(example, torch.Tensor):
        return example
    value = Value(node.name, _fixed(node, example), example.dtype)
    graph.inputs.append(value)
    return value


def _fixed(node: Any, example: torch.Tensor) -> tuple[int, ...]:
    if all(isinstance(n, int) for n in example.shape):
        return tuple(example.shape)
    raise InputError(
        f"The shape of '{node.name}' is not fixed: {[str(n) for n in example.shape]}; a prototxt holds numbers",
        fix="Export with example inputs of the size to deploy and without dynamic_shapes; the net can be"
        " reshaped later",
    )


def _attribute(module: Any, target: str) -> Any:
    for part in target.split("."):
        module = getattr(module, part)
    return module


def _call(graph: Graph, node: Any, known: dict[Any, Any]) -> Any:
    args = swapped(_plain(node.args), lambda leaf: known.get(leaf, leaf) if _hashable(leaf) else leaf)
    kwargs = swapped(_plain(node.kwargs), lambda leaf: known.get(leaf, leaf) if _hashable(leaf) else leaf)
    if node.target is operator.getitem:
        return args[0][args[1]]
    if not isinstance(node.target, OpOverload):
        if str(node.target) in ("sym_size", "sym_numel") or "sym" in str(node.target):
            raise InputError(
                f"{_where(node)}: a size that is not fixed ({node.target})",
                fix="Export without dynamic_shapes",
            )
        raise InputError(
            f"{_where(node)}: {node.target} is control flow, which a Caffe net does not have",
            fix="Take the branch beforehand, or unroll the loop in the module",
        )
    target = _pure(node.target)
    name = operator_name(target)
    if name in _IDENTITIES and args and isinstance(args[0], Value):
        like = node.meta.get("val")
        if not isinstance(like, torch.Tensor) or tuple(like.shape) == args[0].shape:
            return args[0]
    return graph.call(
        target, *args, name=_name(node, name), where=_where(node), like=node.meta.get("val"), **kwargs
    )


def _plain(tree: Any) -> Any:
    """fx's immutable lists and dicts as plain ones."""
    if isinstance(tree, dict):
        return {k: _plain(v) for k, v in tree.items()}
    if isinstance(tree, tuple):
        return tuple(_plain(v) for v in tree)
    return [_plain(v) for v in tree] if isinstance(tree, list) else tree


def _hashable(leaf: Any) -> bool:
    return isinstance(leaf, torch.fx.Node)


def _name(node: Any, op: str) -> str:
    """The path of the module that made the call; with the operator where the module is no leaf."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = (stack[-1][0], str(stack[-1][1])) if stack else ("", "")
    path = re.sub(r"^L\['self'\]\.?|@\d+$", "", path)
    op = op.lstrip("_")
    if not path:
        return op
    own = path.rpartition(".")[2]
    leaf = (
        kind.startswith(("torch.nn.modules.", "timm.layers", "torchvision.ops")) and "container" not in kind
    )
    return path if leaf or own == op else f"{path}.{op}"


def _where(node: Any) -> str:
    """File and line of the call in the user's source: the innermost frame outside of PyTorch."""
    frames = re.findall(
        r'File "([^"]+)", line (\d+), in (\S+)(?:\n\s+(.*))?', node.meta.get("stack_trace") or ""
    )
    if not frames:
        return f"node {node.name}"
    own = [f for f in frames if not _LIBRARY.search(f[0])] or frames
    file, line, function, source = own[-1]
    return f"{file}:{line} (in {function}{': ' + source.strip() if source else ''})"


def _outputs(graph: Graph, node: Any, program: Any, known: Mapping[Any, Any], names: Sequence[str]) -> None:
    wanted = set(program.graph_signature.user_outputs)
    given = list(names)
    outputs = [n for n in node.args[0] if isinstance(n, torch.fx.Node) and n.name in wanted]
    keys = _keys(program, len(outputs))
    for i, out in enumerate(outputs):
        value = known[out]
        if isinstance(value, (Value, torch.Tensor)):
            graph.outputs[given[i] if i < len(given) else keys[i]] = value


def _keys(program: Any, count: int) -> list[str]:
    """Names of the outputs: a dict's keys, or their numbers."""
    spec = program.call_spec.out_spec
    if (
        spec is not None
        and spec.type is not tuple
        and spec.context
        and isinstance(spec.context, (list, tuple))
    ):
        keys = [
            str(k)
            for k in (
                spec.context[1]
                if len(spec.context) == 2 and isinstance(spec.context[1], list)
                else spec.context
            )
        ]
        if len(keys) == count:
            return keys
    return [f"output{i}" if i else "output" for i in range(count)]


def _name_inputs(graph: Graph, names: Sequence[str]) -> None:
    if len(names) > len(graph.inputs):
        raise InputError(f"The module has {len(graph.inputs)} inputs; got {len(names)} names: {list(names)}")
    if not names and len(graph.inputs) == 1:
        names = ["data"]
    for value, name in zip(graph.inputs, names):
        value.name = name


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])[:600] or type(error).__name__
