# needs: demo, SqueezeNet
# %% [markdown]
# # Features for retrieval
#
# The layers below a classifier's last describe images in general; two images are alike when those values are. Here
# SqueezeNet describes windows of two photos, and finds the windows most like a given one.

# %%
import tempfile
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
from example_data import photo, squeezenet

import caffe

plt.rcParams.update({"figure.dpi": 50})
caffe.set_mode_cpu()
work = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Windows
#
# Two photos, each cut into 4×6 windows that overlap by half.

# %%
windows, places = [], []
for which, name in enumerate(("china.jpg", "flower.jpg")):
    image = photo(name)
    for top in np.linspace(0, image.shape[0] - 170, 4).astype(int):
        for left in np.linspace(0, image.shape[1] - 170, 6).astype(int):
            windows.append(image[top : top + 170, left : left + 170])
            places.append((which, top, left))
places = np.array(places)
print(len(windows), "windows of", windows[0].shape)

# %% [markdown]
# ## Features
#
# `forward(blobs=[…])` returns further blobs than the outputs, `end=` stops early: the thousand classes are not
# computed at all. The maps of `fire9/concat` are averaged over their positions.

# %%
model, weights = squeezenet()
net = caffe.Net(model, caffe.TEST, weights=weights)
transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
transformer.set_transpose("data", (2, 0, 1))
transformer.set_channel_swap("data", (2, 1, 0))
transformer.set_raw_scale("data", 255)
transformer.set_mean("data", np.array([104.0, 117.0, 123.0]))

LAYER = "fire9/concat"
features = []
net.blobs["data"].reshape(8, *net.blobs["data"].data.shape[1:])
for start in range(0, len(windows), 8):
    batch = [transformer.preprocess("data", w) for w in windows[start : start + 8]]
    net.blobs["data"].data[...] = batch
    features.append(net.forward(end=LAYER)[LAYER].mean(axis=(2, 3)))
features = np.concatenate(features)
features /= np.linalg.norm(features, axis=1, keepdims=True)
print("features", features.shape)
assert features.shape == (len(windows), 512)

# %% [markdown]
# They can be kept in a file, to be searched another day:

# %%
with h5py.File(work / "features.h5", "w") as file:
    file["features"], file["places"] = features, places

# %% [markdown]
# ## Search
#
# The cosine between two features says how alike two windows are. Windows that overlap the query are left out.


# %%
def search(query, count=5):
    likeness = features @ features[query]
    far = (places[:, 0] != places[query, 0]) | (np.abs(places[:, 1:] - places[query, 1:]) >= 170).any(axis=1)
    order = np.argsort(-np.where(far, likeness, -1))
    return order[:count], likeness


queries = [1, 20, 33]
figure, axes = plt.subplots(len(queries), 6, figsize=(9, 4.8))
for row, query in zip(axes, queries):
    found, likeness = search(query)
    for axis, i in zip(row, [query, *found]):
        axis.imshow(windows[i])
        axis.set_title("query" if i == query else f"{likeness[i]:.2f}")
        axis.axis("off")
plt.tight_layout()
plt.show()

# %%
same = np.mean([places[search(q, 1)[0][0], 0] == places[q, 0] for q in range(len(windows))])
print(f"The most alike window is of the same photo for {same:.0%} of the windows.")
assert same > 0.9
