"""Write docs/layers, a page for every layer type and an index, and the tables in docs/forks.md.

What a layer computes comes from its class's docstring, its parameters from its ``reads`` and the schema, the fork
from its ``origin``, the example from its first case in tests/layers/cases. With ``--check`` nothing is written;
the exit status says whether the pages are current.
"""

from __future__ import annotations

import inspect
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import text_format

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BEGIN, END = "<!-- made by scripts/make_layer_docs.py -->\n", "<!-- end -->\n"
sys.path[:0] = [str(ROOT / "tests" / "layers"), str(ROOT / "tests" / "support")]

from harness import Case, layer_parameter, load_cases  # noqa: E402

from caffe.layer import Count, Layer, bounds, describe  # noqa: E402
from caffe.layer_factory import layer_class, layer_type_list  # noqa: E402
from caffe.proto import caffe_pb2, field_use, forks  # noqa: E402

PURPOSES = {
    "data": "Where nets begin: databases, files, memory, inputs, made-up data",
    "vision": "Images: convolution, pooling, patches, crops, resizing",
    "recurrent": "Sequences",
    "common": "Learned matrices, biases and scales; layers of one's own",
    "normalization": "Normalization",
    "activation": "Activations: value by value",
    "utility": "Rearranging, combining and inspecting blobs",
    "loss": "Losses",
    "detection": "Finding things: boxes, regions, proposals",
}
_PART = re.compile(r"(?:^|(?<=[.;)] ))(bottom(?:, top)?|top|blobs|Differs from Caffe|Source): ", re.MULTILINE)


def pages() -> dict[str, str]:
    """The text of every page, by file name."""
    examples: dict[str, Case] = {}
    with tempfile.TemporaryDirectory() as work:
        texts = {}
        for case in load_cases():
            text = case.layer if isinstance(case.layer, str) else case.layer(_folder(work, case))
            text = text.replace(str(_folder(work, case)), "data")
            kind = layer_parameter(text).type
            if kind not in examples:
                examples[kind], texts[kind] = case, text
        found = {}
        classes = {name: layer_class(name) for name in layer_type_list()}
        builtin = {n: c for n, c in classes.items() if c.__module__.startswith("caffe.layers.")}
        for name, cls in builtin.items():
            example = _example(texts[name], examples[name]) if name in examples else ""
            found[f"{name}.md"] = _page(name, cls, example)
    found["README.md"] = _index(builtin)
    pages = {f"layers/{name}": text for name, text in found.items()}
    return pages | {"forks.md": _forks((DOCS / "forks.md").read_text(encoding="utf-8"), builtin)}


def _folder(work: str, case: Case) -> Path:
    path = Path(work, re.sub(r"\W", "_", case.name))
    path.mkdir(exist_ok=True)
    return path


def _index(classes: dict[str, type[Layer]]) -> str:
    lines = [
        "# Layers",
        "",
        "Every layer type, by what it is for. Written by `scripts/make_layer_docs.py`, from the layers.",
        "",
    ]
    for folder, purpose in PURPOSES.items():
        of_folder = sorted((n for n, c in classes.items() if _folder_of(c) == folder), key=str.lower)
        lines += [f"## {purpose}", "", "| type | what it does | from |", "|---|---|---|"]
        for name in of_folder:
            cls = classes[name]
            summary = _first_sentence(_sections(cls)[""])
            lines.append(f"| [{name}]({name}.md) | {_cell(summary)} | {_cell(cls.origin)} |")
        lines.append("")
    return "\n".join(lines)


def _forks(text: str, classes: dict[str, type[Layer]]) -> str:
    """The page of forks, with its table between the marks made anew."""
    types: dict[str, list[str]] = {}
    for name, cls in classes.items():
        for fork in cls.origin.split(", "):
            types.setdefault(fork, []).append(f"[{name}](layers/{name}.md)")
    del types["BVLC"]
    absent: dict[str, list[str]] = {}
    for name, fork in forks.ABSENT_TYPES.items():
        absent.setdefault(fork, []).append(name)
    lines = ["| fork | layer types that are here | that are not |", "|---|---|---|"]
    for fork in sorted({*types, *absent}, key=str.lower):
        here, not_here = ", ".join(types.get(fork, [])), ", ".join(sorted(absent.get(fork, [])))
        lines.append(f"| {fork} | {here} | {not_here} |")
    lines += ["", "Fields of forks in BVLC's messages, and the types that compute by them:", ""]
    lines += ["| message | fields | layer types |", "|---|---|---|"]
    rows: dict[tuple[str, str], list[str]] = {}
    for name, cls in classes.items():
        for message in cls.reads:
            inner = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[message].message_type
            paths = [f"{message}.{field.name}" for field in inner.fields]
            theirs = [p for p in paths if field_use.of_a_fork(p) and field_use.computes(cls.reads, p)]
            if theirs:
                listed = ", ".join(f"`{path.split('.')[1]}`" for path in theirs)
                rows.setdefault((message, listed), []).append(f"[{name}](layers/{name}.md)")
    lines += [f"| `{m}` | {f} | {', '.join(names)} |" for (m, f), names in sorted(rows.items())]
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n".join(lines) + "\n" + END + rest.split(END)[1]


def _folder_of(cls: type[Layer]) -> str:
    return cls.__module__.split(".")[2]


def _page(name: str, cls: type[Layer], example: str) -> str:
    sections = _sections(cls)
    source = f"src/caffe/layers/{_folder_of(cls)}/{cls.__module__.rsplit('.', 1)[1]}.py"
    lines = [
        f"# {name}",
        "",
        f"From {cls.origin}, in [{source}](../../{source}). [All layers](README.md)",
        "",
        sections[""],
        "",
        "## Shapes",
        "",
        f"Takes {_number(cls.num_bottoms, 'bottom')}"
        + f", gives {_number(cls.num_tops, 'top')}"
        + (", as many as bottoms" if cls.equal_counts else "")
        + (", not in place" if not cls.in_place else "")
        + ".",
        "",
    ]
    lines += [
        f"- **{part}**: {sections[part]}"
        for part in ("bottom, top", "bottom", "top", "blobs")
        if part in sections
    ]
    if cls.is_loss:
        lines += ["", "A loss: top 0 has `loss_weight: 1` unless the prototxt says otherwise."]
    if not getattr(cls, "differentiable", True):
        lines += ["", "It has no gradient."]
    lines += ["", *_parameters(cls)]
    if example:
        lines += ["## Example", "", "```protobuf", example.rstrip(), "```", ""]
    lines += ["## Differs from Caffe", "", _capital(sections.get("Differs from Caffe", "Nothing known.")), ""]
    if "Source" in sections:
        lines += ["## Source", "", sections["Source"], ""]
    return "\n".join(lines).replace("\n\n\n", "\n\n")


def _number(count: Count, noun: str) -> str:
    """A count of blobs in words: ``no bottoms``, ``1 top``, ``1 to 3 tops``."""
    least, most = bounds(count)
    if (least, most) in ((0, 0), (0, None)):
        return ("any number of" if most is None else "no") + f" {noun}s"
    words = describe(count).removeprefix("exactly ")
    return f"{words} {noun}" + ("" if words.endswith("1") else "s")


def _sections(cls: type[Layer]) -> dict[str, str]:
    """The docstring's parts by name, the description under an empty one; an alias has its original's."""
    text = inspect.cleandoc(cls.__doc__ or "")
    if "Source:" not in text:
        for base in cls.__mro__[1:]:
            if base.__module__.startswith("caffe.layers.") and "Source:" in (base.__doc__ or ""):
                text = (text + "\n\n" if text else "") + inspect.cleandoc(base.__doc__ or "")
                break
    pieces = _PART.split(re.sub(r":\w+:`([^`]*)`", r"`\1`", text.replace("``", "`")))
    found = {"": pieces[0].strip()}
    for part, content in zip(pieces[1::2], pieces[2::2]):
        found[part] = " ".join(content.split())
    return found


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=\w[.:])\s", paragraph + " ")[0].rstrip(":. ")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _parameters(cls: type[Layer]) -> Iterator[str]:
    """Tables of the parameter messages that the layer reads."""
    if cls.reads:
        yield "## Parameters"
        yield ""
    for name in cls.reads:
        message = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name[name].message_type
        rows = [f for f in message.fields if field_use.computes(cls.reads, f"{name}.{f.name}")]
        yield f"`{name}` ({message.name})"
        yield ""
        if rows:
            yield "| field | type | default | |"
            yield "|---|---|---|---|"
            comments = _comments(message.name)
            for row in rows:
                comment = _cell(comments.get(row.name, ""))
                yield f"| `{row.name}` | {_type(row)} | {_default(row)} | {comment} |"
            yield ""
        others: dict[str, list[str]] = {}
        for f in message.fields:
            if f not in rows:
                others.setdefault(field_use.fate(f"{name}.{f.name}"), []).append(f"`{f.name}`")
        for fate, names in sorted(others.items(), reverse=True):
            yield f"Known, but {fate} for this layer: {', '.join(names)}."
            yield ""


def _repeated(field: Any) -> bool:
    found = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if found is None else found)


_TYPES = {
    1: "double",
    2: "float",
    3: "int64",
    4: "uint64",
    5: "int32",
    8: "bool",
    9: "string",
    12: "bytes",
    13: "uint32",
}


def _type(field: Any) -> str:
    if field.enum_type is not None:
        name = " / ".join(v.name for v in field.enum_type.values)
    elif field.message_type is not None:
        name = field.message_type.name
    else:
        name = _TYPES.get(field.type, "number")
    return f"{name}, repeated" if _repeated(field) else name


def _default(field: Any) -> str:
    if _repeated(field) or field.message_type is not None or not field.has_default_value:
        return ""
    value = field.default_value
    if field.enum_type is not None:
        return f"`{field.enum_type.values_by_number[value].name}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:.7g}`" if isinstance(value, float) else f"`{value!r}`".replace("'", '"')


def _comments(message: str) -> dict[str, str]:
    """The comments behind the fields of a message in caffe.proto."""
    schema = (ROOT / "src" / "caffe" / "proto" / "caffe.proto").read_text(encoding="utf-8")
    body = re.search(rf"^message {message} \{{$(.*?)^\}}$", schema, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^ +\w+ [\w.]+ (\w+) = .*?; *// *(.*)$", body.group(1), re.MULTILINE) if body else []
    return dict(lines)


def _example(text: str, case: Case) -> str:
    """A case as a layer of a prototxt."""
    param = layer_parameter(text, len(case.bottoms), case.tops)
    param.ClearField("phase")
    param.name = param.type.lower()
    for names, word in ((param.bottom, "bottom"), (param.top, "top")):
        count = len(names)
        del names[:]
        names.extend([word] if count == 1 else [f"{word}{i}" for i in range(count)])
    inside = text_format.MessageToString(param, use_short_repeated_primitives=True)
    return "layer {\n" + "".join(f"  {line}\n" for line in inside.splitlines()) + "}\n"


def main() -> int:
    """Write the pages, or with ``--check`` compare them; returns the exit status."""
    wanted = pages()
    paths = [DOCS / "forks.md", *(DOCS / "layers").glob("*.md")]
    present = {p.relative_to(DOCS).as_posix(): p.read_text(encoding="utf-8") for p in paths}
    if "--check" in sys.argv[1:]:
        for name in sorted(set(wanted) | set(present)):
            if wanted.get(name) != present.get(name):
                print(f"docs/{name} is out of date: run scripts/make_layer_docs.py")
        return int(wanted != present)
    (DOCS / "layers").mkdir(parents=True, exist_ok=True)
    for name in set(present) - set(wanted):
        (DOCS / name).unlink()
    for name, text in wanted.items():
        (DOCS / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
