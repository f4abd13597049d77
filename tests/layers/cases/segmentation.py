"""Layers of the forks for segmentation."""

from __future__ import annotations

from pathlib import Path

from harness import Case
from support_data import jpeg, noise


def pairs(folder: Path) -> str:
    for i in range(3):
        (folder / f"{i}.png").write_bytes(jpeg(noise(6, 7, 3, seed=i), ".png"))
        (folder / f"{i}_label.png").write_bytes(jpeg(noise(6, 7, seed=i) % 5, ".png"))
    (folder / "list.txt").write_text("".join(f"{i}.png {i}_label.png\n" for i in range(3)))
    return (
        f'type: "DenseImageData" dense_image_data_param {{ source: "{folder}/list.txt" root_folder: "{folder}/" '
        "batch_size: 2 shuffle: true } transform_param { crop_size: 5 mirror: true }"
    )


CASES = [
    Case("dense_image_data", pairs, tops=2, random=True),
    Case(
        "seg_accuracy",
        'type: "SegAccuracy" seg_accuracy_param { ignore_label: 2 }',
        [(2, 4, 3, 5), lambda rng: rng.integers(0, 4, (2, 1, 3, 5))],
        gradcheck=False,
    ),
    Case(
        "segmentation_evaluate",
        'type: "SegmentationEvaluate" segmentation_evaluate_param { num_classes: 3 threshold: 0.3 }',
        [(2, 3, 4, 5), (2, 3, 8, 10)],
        gradcheck=False,
    ),
]
