"""What a page without a server must bring with it: everything that can be clicked, within a size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from caffe.web.documents import Document, NetDocument

Json = dict[str, Any]
MOST_BYTES = 1_300_000
"""Of pictures and values in a page that is one file; what is over is left out, and the page says so."""


def embedded(documents: Sequence[Document], comparison: Json | None = None) -> Json:
    """The state of a page of its own."""
    budget = MOST_BYTES
    tabs = []
    for document in documents:
        tab = document.json()
        if isinstance(document, NetDocument) and "layers" in tab:
            budget = _embed(document, tab, budget)
        tabs.append(tab)
    return {"documents": tabs, "live": False, "comparison": comparison}


def _embed(document: NetDocument, tab: Json, budget: int) -> int:
    """Add weights, activations and maps to a net's tab; returns what is left of the budget."""
    weights: dict[str, Any] = {}
    activations: dict[str, Any] = {}
    if "photo" in tab:
        top = [item["index"] for item in tab["photo"]["top"]]
        maps = {f"gradient/{i}": document.photo.map("gradient", i) for i in top}
        tab["maps"] = maps
        budget -= len(json.dumps(maps))
        for name in tab["photo"]["blobs"]:
            activation = document.photo.activations(name)
            budget -= len(json.dumps(activation))
            if budget < 0:
                activation.pop("picture", None)
            activations[name] = activation
    for layer in tab["layers"]:
        if layer["name"] in document.weights:
            found_weights = document.layer_weights(layer["name"], picture=budget > 0)
            budget -= len(json.dumps(found_weights))
            weights[layer["name"]] = found_weights
    tab |= {"weights": weights, "activations": activations}
    return budget
