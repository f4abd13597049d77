# needs: demo
# %% [markdown]
# # A siamese net
#
# Two nets with the same weights look at two digits; the loss draws their outputs together where the digits are the
# same, and pushes them apart where they differ (Hadsell, Chopra & LeCun 2006). What comes out is a map on which
# like lies by like, learned from pairs alone.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from example_data import digits

import caffe
from caffe import layers as L
from caffe import params as P

plt.rcParams.update({"figure.dpi": 70})
caffe.set_mode_cpu()
caffe.set_random_seed(7)
work = Path(tempfile.mkdtemp())
images, labels = digits()
train, test = slice(0, 1400), slice(1400, None)

# %% [markdown]
# ## The net
#
# A pair comes as an image of two channels; Slice parts it. Weights are shared by **name**: parameters of the same
# name are one blob, with one gradient.


# %%
def tower(n, bottom, suffix=""):
    """One of the two nets; all of its parameters have names."""

    def named(name):
        return [dict(name=f"{name}_w", lr_mult=1), dict(name=f"{name}_b", lr_mult=2)]

    xavier = dict(type="xavier")

    def layer(name, top):
        n[name + suffix] = top
        return top

    x = bottom
    x = layer(
        "conv1", L.Convolution(x, num_output=16, kernel_size=5, weight_filler=xavier, param=named("conv1"))
    )
    x = layer("pool1", L.Pooling(x, kernel_size=2, stride=2, pool=P.Pooling.MAX))
    x = layer(
        "conv2", L.Convolution(x, num_output=32, kernel_size=5, weight_filler=xavier, param=named("conv2"))
    )
    x = layer("pool2", L.Pooling(x, kernel_size=2, stride=2, pool=P.Pooling.MAX))
    x = layer("fc1", L.InnerProduct(x, num_output=100, weight_filler=xavier, param=named("fc1")))
    x = layer("relu1", L.ReLU(x, in_place=True))
    return layer("feat", L.InnerProduct(x, num_output=2, weight_filler=xavier, param=named("feat")))


n = caffe.NetSpec("siamese")
n.pair, n.same = L.MemoryData(batch_size=64, channels=2, height=28, width=28, ntop=2)
n.data, n.data_p = L.Slice(n.pair, ntop=2, slice_point=1)
feat, feat_p = tower(n, n.data), tower(n, n.data_p, "_p")
n.loss = L.ContrastiveLoss(feat, feat_p, n.same, margin=1)
(work / "train.prototxt").write_text(str(n))
(work / "solver.prototxt").write_text(f"""
train_net: "{work}/train.prototxt"
base_lr: 0.01  momentum: 0.9  weight_decay: 0.0001  lr_policy: "inv"  gamma: 0.0001  power: 0.75
snapshot_prefix: "{work}/siamese"
""")
solver = caffe.SGDSolver(str(work / "solver.prototxt"))
first, second = solver.net.params["conv1"][0].data, solver.net.params["conv1_p"][0].data
assert np.shares_memory(first, second)
print("both towers read the same", first.shape, "weights")

# %% [markdown]
# ## Pairs
#
# Half of them of the same digit. Fresh ones every round.

# %%
random = np.random.RandomState(0)


def pairs(count):
    left = random.randint(1400, size=count)
    right = random.randint(1400, size=count)
    for i in np.flatnonzero(random.rand(count) < 0.45):
        right[i] = random.choice(np.flatnonzero(labels[train] == labels[left[i]]))
    data = np.concatenate([images[left], images[right]], axis=1)
    return np.ascontiguousarray(data), (labels[left] == labels[right]).astype(np.float32)


losses = []
for _ in range(12):
    solver.net.set_input_arrays(*pairs(64 * 25))
    for _ in range(25):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
print(f"loss {np.mean(losses[:25]):.3f} → {np.mean(losses[-25:]):.4f}")

# %% [markdown]
# ## The map
#
# For use one tower is enough. Each test digit becomes a point:

# %%
deploy = caffe.NetSpec()
deploy.data = L.Input(shape=[397, 1, 28, 28])
tower(deploy, deploy.data)
solver.net.save(str(work / "siamese.caffemodel"))
net = caffe.Net(deploy, caffe.TEST, weights=str(work / "siamese.caffemodel"))
places = net.forward(data=images[test])["feat"].copy()

plt.figure(figsize=(5.5, 5))
for digit in range(10):
    here = places[labels[test] == digit]
    plt.scatter(*here.T, s=10, color=plt.cm.tab10(digit), label=str(digit))
plt.legend(title="digit", fontsize=8)
plt.axis("equal")
plt.show()

# %% [markdown]
# How often is a digit's nearest neighbour the same digit?

# %%
distance = np.linalg.norm(places[:, None] - places[None], axis=2)
np.fill_diagonal(distance, np.inf)
right = (labels[test][distance.argmin(axis=1)] == labels[test]).mean()
print(f"{right:.1%}")
assert right > 0.75
