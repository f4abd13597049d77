"""Layers that bring data into a net, and one that writes it."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from harness import Case
from support_data import jpeg, noise, raw_records, write_records


def database(folder: Path) -> str:
    path = write_records(folder / "db", raw_records(noise(5, 3, 6, 7)))
    return (
        f'type: "Data" data_param {{ source: "{path}" backend: LMDB batch_size: 2 }} '
        "transform_param { crop_size: 4 mirror: true scale: 0.5 }"
    )


def images(folder: Path) -> str:
    for i in range(3):
        (folder / f"{i}.png").write_bytes(jpeg(noise(6, 7, 3, seed=i), ".png"))
    (folder / "list.txt").write_text("0.png 4\n1.png 5\n2.png 6\n")
    return (
        f'type: "ImageData" image_data_param {{ source: "{folder}/list.txt" root_folder: "{folder}/" '
        "batch_size: 2 shuffle: true new_height: 8 new_width: 9 } transform_param { crop_size: 5 }"
    )


def rows(folder: Path) -> str:
    with h5py.File(folder / "rows.h5", "w") as file:
        file["t0"] = np.arange(30.0).reshape(5, 2, 3)
        file["t1"] = np.arange(5)
    (folder / "files.txt").write_text(f"{folder}/rows.h5\n")
    return f'type: "HDF5Data" hdf5_data_param {{ source: "{folder}/files.txt" batch_size: 3 shuffle: true }}'


def windows(folder: Path) -> str:
    (folder / "0.png").write_bytes(jpeg(noise(30, 40, 3), ".png"))
    lines = ["# 0", "0.png", "3", "30", "40", "2", "5 0.9 10 8 25 20", "0 0.1 0 0 9 14"]
    (folder / "windows.txt").write_text("\n".join(lines))
    return (
        f'type: "WindowData" window_data_param {{ source: "{folder}/windows.txt" root_folder: "{folder}/" '
        "batch_size: 4 context_pad: 2 } transform_param { crop_size: 11 mirror: true mean_value: 100 }"
    )


def scenes(folder: Path, of: str) -> str:
    (folder / "0.png").write_bytes(jpeg(noise(30, 40, 3), ".png"))
    lines = ["# 0", "0.png", "3", "30", "40", "1", "5 0 0 10 8 25 20", "1", "0 0 9 14"]
    (folder / "scenes.txt").write_text("\n".join(lines))
    return f'source: "{folder}/scenes.txt" root_folder: "{folder}/" batch_size: {of}'


def detection(folder: Path) -> str:
    maps = "2 stride: 4 field_w: 12 field_h: 9 output_gt_boxes: true crop_width: 24 crop_height: 20"
    return f'type: "DetectionData" detection_data_param {{ {scenes(folder, maps)} }}'


def evaluation(folder: Path) -> str:
    sizes = "1 short_size: 32 long_size: 64"
    return f'type: "EvalData" eval_data_param {{ {scenes(folder, sizes)} }} transform_param {{ mean_value: 100 }}'


def output(folder: Path) -> str:
    return f'type: "HDF5Output" hdf5_output_param {{ file_name: "{folder}/out.h5" }}'


FOLDERS: list[Path] = []


def text_files(folder: Path) -> str:
    FOLDERS[:] = [folder]
    return 'type: "ImageOutput"'


MEMORY = 'type: "MemoryData" memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 }'

CASES = [
    Case("detection_data", detection, tops=3, gradcheck=False),
    Case("eval_data", evaluation, tops=3, gradcheck=False),
    Case("data", database, tops=2, random=True),
    Case("data_without_labels", database, tops=1, phase="TEST"),
    Case("image_data", images, tops=2, random=True),
    Case("hdf5_data", rows, tops=2, random=True),
    Case("window_data", windows, tops=2, random=True),
    Case("hdf5_output", output, bottoms=[(4, 2, 3), (4,)], tops=0),
    Case(
        "memory_data",
        MEMORY,
        tops=2,
        prepare=lambda layer: layer.set_arrays(noise(4, 3, 4, 5).astype(np.float32), np.zeros(4, np.float32)),
    ),
    Case(
        "image_output",
        text_files,
        bottoms=[(2, 3, 4, 5), (2,)],
        tops=0,
        prepare=lambda layer: setattr(layer, "folder", FOLDERS[0]),
    ),
]
