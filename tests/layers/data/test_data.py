"""The Data layer: order, shapes, chance, sharing out, resuming, faults."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from support_data import Fed, data_text, jpeg, noise, prefetching, raw_records, same, smooth, write_records

from caffe import logs, runtime
from caffe.data.sources.database import create
from caffe.errors import (
    CorruptDataError,
    DataError,
    LayerError,
    MissingFileError,
    StateError,
)
from caffe.formats.datum import Datum
from caffe.proto import caffe_pb2

IMAGES = noise(7, 3, 6, 5)


@pytest.fixture(autouse=True)
def seeded() -> None:
    runtime.set_random_seed(4)


@pytest.fixture
def database(tmp_path: Path) -> str:
    return write_records(tmp_path / "db", raw_records(IMAGES))


def test_order_and_wrap(database: str) -> None:
    with Fed(data_text(database, 4)) as fed:
        labels = [step[1].tolist() for step in fed.steps(4)]
    assert labels == [[0, 1, 2, 3], [4, 5, 6, 0], [1, 2, 3, 4], [5, 6, 0, 1]]


def test_values_are_exact_and_labels_optional(database: str) -> None:
    with Fed(data_text(database, 3, "scale: 0.5 mean_value: 1 mean_value: 2 mean_value: 3", tops=1)) as fed:
        [found] = fed.step()
    mean = np.array([1, 2, 3], np.float32).reshape(3, 1, 1)
    assert np.array_equal(found, (IMAGES[:3].astype(np.float32) - mean) * np.float32(0.5))


@pytest.mark.parametrize("label", [127, 128, 999, 20000, 2**31 - 1, -1])
def test_labels_of_any_size(tmp_path: Path, label: int) -> None:
    path = write_records(tmp_path / "db", raw_records(IMAGES[:3], [1, label, 2]))
    with Fed(data_text(path, 3)) as fed:
        assert fed.step()[1].tolist() == [1, np.float32(label), 2]


def test_float_data_and_vector_labels(tmp_path: Path) -> None:
    values = np.linspace(-2, 2, 2 * 3 * 4, dtype=np.float32)
    path = write_records(tmp_path / "floats", [Datum(2, 3, 4, floats=values, label=9)])
    with Fed(data_text(path, 1, "scale: 2")) as fed:
        data, label = fed.step()
    assert np.array_equal(data[0].ravel(), values * 2) and label.tolist() == [9]
    several = [
        Datum(1, 2, 2, noise(4, seed=i).tobytes(), floats=np.array([i, 0.5, -i], np.float32)) for i in (0, 1)
    ]
    path = write_records(tmp_path / "several", several)
    with Fed(data_text(path, 2)) as fed:
        assert fed.tops[1].shape == (2, 3)
        assert fed.step()[1].tolist() == [[0, 0.5, 0], [1, 0.5, -1]]


@pytest.mark.parametrize("phase", [caffe_pb2.TRAIN, caffe_pb2.TEST])
@pytest.mark.parametrize("kind", ["raw", "encoded", "augmented"])
def test_crops_and_mirrors_come_from_the_image(tmp_path: Path, phase: int, kind: str) -> None:
    images = noise(5, 8, 9, 3)
    if kind == "encoded":
        records = [Datum(data=jpeg(image, ".png"), label=i, encoded=True) for i, image in enumerate(images)]
    else:
        records = raw_records(images.transpose(0, 3, 1, 2).copy())
    path = write_records(tmp_path / "db", records)
    extra = 'augmentation { type: "ColorJitter" probability: 0 }' if kind == "augmented" else ""
    seen = set()
    with Fed(data_text(path, 5, f"crop_size: 5 mirror: true {extra}"), phase) as fed:
        for data, _ in fed.steps(12):
            for image, found in zip(images, data):
                place = _find(image.transpose(2, 0, 1), found)
                assert place is not None
                seen.add(place)
    if phase == caffe_pb2.TEST:
        assert seen == {(1, 2, False), (1, 2, True)}
    else:
        assert {place[:2] for place in seen} == {(y, x) for y in range(4) for x in range(5)}
        assert {place[2] for place in seen} == {False, True}


def _find(image: np.ndarray, crop: np.ndarray) -> tuple[int, int, bool] | None:
    for flipped in (False, True):
        for top in range(image.shape[1] - 4):
            for left in range(image.shape[2] - 4):
                part = image[:, top : top + 5, left : left + 5]
                if np.array_equal(part[:, :, ::-1] if flipped else part, crop):
                    return top, left, flipped
    return None


@pytest.mark.parametrize("raw", [True, False])
def test_mean_file_moves_with_the_crop(tmp_path: Path, raw: bool) -> None:
    images = noise(6, 7, 9, 3, seed=3)
    mean = noise(3, 7, 9, seed=5).astype(np.float32)
    blob = caffe_pb2.BlobProto(num=1, channels=3, height=7, width=9)
    blob.data.extend(mean.ravel().tolist())
    (tmp_path / "mean").write_bytes(blob.SerializeToString())
    if raw:
        records = raw_records(images.transpose(0, 3, 1, 2).copy())
    else:
        records = [Datum(data=jpeg(image, ".png"), label=0, encoded=True) for image in images]
    path = write_records(tmp_path / "db", records)
    text = data_text(path, 6, f'crop_size: 5 mirror: true mean_file: "{tmp_path / "mean"}"')
    with Fed(text, caffe_pb2.TRAIN) as fed:
        for data, _ in fed.steps(3):
            for image, found in zip(images, data):
                assert _find(image.transpose(2, 0, 1).astype(np.float32) - mean, found) is not None


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("means", [1, 0])
def test_mean_values_of_decoded_images_are_exact(tmp_path: Path, channels: int, means: int) -> None:
    images = noise(3, 8, 9, channels)
    path = write_records(
        tmp_path / "db", [Datum(data=jpeg(image, ".png"), label=0, encoded=True) for image in images]
    )
    values = np.array([104.0069, 116.66877, 122.67892, 99.9][: means or channels], np.float32)
    text = " ".join(f"mean_value: {v!s}" for v in values)
    with Fed(data_text(path, 3, f"scale: 0.017 {text}")) as fed:
        [found, _] = fed.step()
    wanted = (images.transpose(0, 3, 1, 2) - values.reshape(-1, 1, 1)) * np.float32(0.017)
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_same_whatever_the_threads(tmp_path: Path, threads: int) -> None:
    records = [Datum(data=jpeg(smooth(20, 24, i)), label=i, encoded=True) for i in range(11)]
    path = write_records(tmp_path / "db", records)
    jitter = 'augmentation { type: "ColorJitter" brightness: 0.5 contrast: 0.3 saturation: 0.4 }'
    runs = []
    for count in (1, threads):
        runtime.set_random_seed(7)
        with Fed(data_text(path, 3, f"crop_size: 12 mirror: true {jitter}", f"threads: {count}"), 0) as fed:
            runs.append(fed.steps(9))
    assert same(runs[0], runs[1])


def test_another_seed_crops_otherwise(database: str) -> None:
    runs = []
    for seed in (1, 2):
        runtime.set_random_seed(seed)
        with Fed(data_text(database, 5, "crop_size: 2"), caffe_pb2.TRAIN) as fed:
            runs.append(fed.steps(2))
    assert not same(runs[0], runs[1])


@pytest.mark.parametrize("taken", [0, 1, 5])
@pytest.mark.parametrize("workers", [1, 2])
def test_resumed_run_equals_the_uninterrupted(database: str, taken: int, workers: int) -> None:
    text = data_text(database, 3, "crop_size: 4 mirror: true")
    runtime.set_solver_count(workers)
    try:
        runtime.set_solver_rank(workers - 1)
        with Fed(text, caffe_pb2.TRAIN) as fed:
            fed.steps(taken)
            state = fed.layer.state()
            wanted = fed.steps(6)
        runtime.set_random_seed(99)
        with Fed(text, caffe_pb2.TRAIN) as fed:
            fed.steps(2)  # whatever was read ahead is dropped
            fed.layer.restore(state)
            assert fed.layer.state() == state
            assert same(fed.steps(6), wanted)
    finally:
        runtime.set_solver_count(1)
        runtime.set_solver_rank(0)


def test_workers_share_the_records(database: str) -> None:
    seen = []
    try:
        runtime.set_solver_count(3)
        for rank in range(3):
            runtime.set_solver_rank(rank)
            with Fed(data_text(database, 2), caffe_pb2.TRAIN) as fed:
                seen.append([int(v) for step in fed.steps(3) for v in step[1]])
        with Fed(data_text(database, 3), caffe_pb2.TEST) as fed:
            assert fed.step()[1].tolist() == [0, 1, 2]
    finally:
        runtime.set_solver_count(1)
        runtime.set_solver_rank(0)
    merged = [seen[i % 3][i // 3] for i in range(18)]
    assert merged == [i % 7 for i in range(18)]


def test_two_layers_read_one_database(database: str) -> None:
    with Fed(data_text(database, 2)) as one, Fed(data_text(database, 3)) as other:
        assert one.step()[1].tolist() == [0, 1]
        assert other.step()[1].tolist() == [0, 1, 2]
        one.close()
        assert other.step()[1].tolist() == [3, 4, 5]


def test_threads_start_with_forward_and_end_with_close(database: str) -> None:
    before = prefetching()
    fed = Fed(data_text(database, 2))
    assert prefetching() == before
    fed.step()
    assert prefetching() == before + 1
    fed.close()
    assert prefetching() == before
    with pytest.raises(StateError, match="closed"):
        fed.step()


def test_a_forgotten_layer_leaves_no_thread(database: str) -> None:
    before = prefetching()
    fed = Fed(data_text(database, 2))
    fed.step()
    del fed
    assert prefetching() == before


def test_a_batch_stays_what_it_was(database: str) -> None:
    with Fed(data_text(database, 2)) as fed:
        fed.layer.forward([], fed.tops)
        kept, copy = fed.tops[0].data, fed.tops[0].data.copy()
        for _ in range(20):
            fed.layer.forward([], fed.tops)
        assert np.array_equal(kept, copy)


def test_rand_skip_does_nothing_and_says_so(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(logs, "warning", said.append)
    for seed in range(5):
        runtime.set_random_seed(seed)
        with Fed(data_text(database, 1, more="rand_skip: 4"), caffe_pb2.TRAIN) as fed:
            assert fed.step()[1].tolist() == [0]
    assert len(said) == 5 and "rand_skip has no effect" in said[0]


def test_images_of_any_size_one_at_a_time(tmp_path: Path) -> None:
    sizes = [(8, 6), (5, 7), (9, 4)]
    path = write_records(
        tmp_path / "db", [Datum(3, h, w, noise(3, h, w).tobytes(), i) for i, (h, w) in enumerate(sizes)]
    )
    with Fed(data_text(path, 1)) as fed:
        assert [step[0].shape for step in fed.steps(4)] == [(1, 3, *s) for s in [*sizes, sizes[0]]]
    with (
        Fed(data_text(path, 3)) as fed,
        pytest.raises(DataError, match=r"Record '00000001'.*3×8×6.*got 3×5×7"),
    ):
        fed.step()
    with Fed(data_text(path, 3, "crop_size: 4")) as fed:
        assert fed.step()[0].shape == (3, 3, 4, 4)


# Faults


def test_a_damaged_image_is_an_error_with_its_key(tmp_path: Path) -> None:
    records = [Datum(data=jpeg(smooth(16, 16, i)), label=i, encoded=True) for i in range(6)]
    records[3].data = bytes(records[3].data)[: len(records[3].data) // 2]
    path = write_records(tmp_path / "db", records)
    with Fed(data_text(path, 2)) as fed:
        assert fed.step()[1].tolist() == [0, 1]
        with pytest.raises(CorruptDataError, match=r"layer 'd' \(Data\): Record '00000003'"):
            fed.step()
        assert fed.step()[1].tolist() == [4, 5]


def test_damaged_images_are_skipped_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOG_minloglevel", "0")
    records = [Datum(data=jpeg(smooth(16, 16, i)), label=i, encoded=True) for i in range(6)]
    records[0].data = b"\xff\xd8 nothing"
    records[3].data = bytes(records[3].data)[:-40]
    path = write_records(tmp_path / "db", records[::-1])
    with Fed(data_text(path, 3, more="skip_damaged: true")) as fed:
        assert [step[1].tolist() for step in fed.steps(2)] == [[5, 4, 4], [2, 1, 1]]
        assert fed.layer.skipped >= 2
    assert "00000002" in capsys.readouterr().err
    bad = write_records(tmp_path / "bad", [Datum(data=b"x", label=0, encoded=True)])
    with pytest.raises(CorruptDataError, match="Record '00000000'"):
        Fed(data_text(bad, 3, more="skip_damaged: true"))


@pytest.mark.parametrize("keep", [0.5, 0.97, 0.0])
def test_a_database_cut_off(tmp_path: Path, keep: float) -> None:
    path = write_records(tmp_path / "db", raw_records(noise(40, 3, 30, 30)))
    file = tmp_path / "db" / "data.mdb"
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * keep)])
    with pytest.raises(CorruptDataError, match=r"cut off|cannot be read|0 bytes"):
        Fed(data_text(path, 2))


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    with pytest.raises(DataError, match=r"data\.mdb"):
        Fed(data_text(tmp_path / "db", 2))
    (tmp_path / "db" / "data.mdb").write_bytes(b"x" * 100000)
    with pytest.raises(CorruptDataError, match="is damaged: its first page"):
        Fed(data_text(tmp_path / "db", 2))


def test_what_is_no_datum(tmp_path: Path) -> None:
    with create(tmp_path / "db", "lmdb") as writer:
        writer.put(b"key", b"\x22\xff\xff\x01abc")
    with pytest.raises(CorruptDataError, match="no Datum"):
        Fed(data_text(tmp_path / "db", 2))


def test_missing_and_empty(tmp_path: Path, database: str) -> None:
    with pytest.raises(
        MissingFileError, match=r"layer 'd' \(Data\): The .*train_lmbd' does .*Did you mean 'train_lmdb'"
    ):
        (tmp_path / "train_lmdb").mkdir()
        Fed(data_text(tmp_path / "train_lmbd", 2))
    with create(tmp_path / "empty", "lmdb"):
        pass
    with pytest.raises(DataError, match="empty"):
        Fed(data_text(tmp_path / "empty", 2))
    with pytest.raises(DataError, match="must be of the backend LEVELDB; it is of LMDB"):
        Fed(data_text(database, 2).replace("backend: LMDB", "backend: LEVELDB"))


@pytest.mark.parametrize(
    ("transform", "field"),
    [
        ("crop_size: 3 crop_h: 2", "crop_size"),
        ("crop_h: 2", "crop_h"),
        ("force_color: true force_gray: true", "force_color"),
        ('mean_file: "x" mean_value: 3', "mean_file"),
        ('augmentation { type: "ColourJitter" }', "augmentation"),
    ],
)
def test_contradicting_parameters(database: str, transform: str, field: str) -> None:
    with pytest.raises(LayerError, match=f"layer 'd'.*{field}"):
        Fed(data_text(database, 2, transform), caffe_pb2.TRAIN)


def test_what_does_not_fit_the_images(database: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"crop of 9×9.*image of 6×5"):
        Fed(data_text(database, 2, "crop_size: 9"))
    with pytest.raises(DataError, match="one for each of 3 channels; got 2"):
        Fed(data_text(database, 2, "mean_value: 1 mean_value: 2"))
    with pytest.raises(LayerError, match=r"batch_size.*must be positive"):
        Fed(data_text(database, 0))
    blob = caffe_pb2.BlobProto(num=1, channels=3, height=5, width=6)
    blob.data.extend([0.0] * 90)
    (tmp_path / "mean").write_bytes(blob.SerializeToString())
    with pytest.raises(DataError, match="3×6×5; got 3×5×6"):
        Fed(data_text(database, 2, f'mean_file: "{tmp_path / "mean"}"'))
    with pytest.raises(MissingFileError, match="nowhere"):
        Fed(data_text(database, 2, 'mean_file: "nowhere"'))


@pytest.mark.parametrize("first", ["net", "script"])
def test_opened_by_the_user_too(database: str, first: str) -> None:
    """py-lmdb refuses to open a database twice in a process; ours is not counted, before or after."""
    import lmdb

    with ExitStack() as stack:
        if first == "script":
            stack.enter_context(lmdb.open(database, readonly=True))
        fed = stack.enter_context(Fed(data_text(database, 2)))
        if first == "net":
            stack.enter_context(lmdb.open(database, readonly=True))
        assert [step[1].tolist() for step in fed.steps(2)] == [[0, 1], [2, 3]]
