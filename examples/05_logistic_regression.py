# needs: demo
# %% [markdown]
# # Logistic regression from HDF5
#
# Nets need not be deep, nor see images. Here the data are vectors in HDF5 files, and one InnerProduct with a softmax
# loss is a logistic regression. scikit-learn's says whether it is a good one; a hidden layer makes it better.

# %%
import tempfile
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

import caffe
from caffe import layers as L

plt.rcParams.update({"figure.dpi": 70})
caffe.set_mode_cpu()
caffe.set_random_seed(5)
work = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Data
#
# Ten thousand points of two classes in four dimensions, two of which tell something.

# %%
points, classes = make_classification(
    10000,
    n_features=4,
    n_informative=2,
    n_redundant=0,
    n_clusters_per_class=2,
    hypercube=False,
    random_state=0,
)
points, classes = points.astype(np.float32), classes.astype(np.float32)
train, test = slice(0, 7500), slice(7500, None)
figure, axes = plt.subplots(1, 3, figsize=(9, 3))
for axis, (i, j) in zip(axes, ((0, 1), (1, 2), (2, 3))):
    axis.scatter(points[:800, i], points[:800, j], c=classes[:800], s=4, cmap="coolwarm")
    axis.set(xlabel=f"feature {i}", ylabel=f"feature {j}")
plt.tight_layout()
plt.show()

# %% [markdown]
# ## scikit-learn's answer

# %%
peer = LogisticRegression(C=1e4).fit(points[train], classes[train])
peer_accuracy = peer.score(points[test], classes[test])
print(f"scikit-learn: {peer_accuracy:.3f}")

# %% [markdown]
# ## Files
#
# The layer HDF5Data reads a text file that lists .h5 files; in each is a dataset for each top, by the top's name.
# The points are spread over two files, one of them compressed.

# %%
with h5py.File(work / "train_a.h5", "w") as file:
    file["data"], file["label"] = points[:3000], classes[:3000]
with h5py.File(work / "train_b.h5", "w") as file:
    file.create_dataset("data", data=points[3000:7500], compression="gzip")
    file.create_dataset("label", data=classes[3000:7500], compression="gzip")
with h5py.File(work / "test.h5", "w") as file:
    file["data"], file["label"] = points[test], classes[test]
(work / "train.txt").write_text(f"{work}/train_a.h5\n{work}/train_b.h5\n")
(work / "test.txt").write_text(f"{work}/test.h5\n")


# %%
def regression(files, batch_size, hidden=None):
    n = caffe.NetSpec()
    n.data, n.label = L.HDF5Data(source=str(files), batch_size=batch_size, shuffle=True, ntop=2)
    values = n.data
    if hidden:
        n.fc1 = L.InnerProduct(values, num_output=hidden, weight_filler=dict(type="gaussian", std=0.3))
        n.relu1 = values = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(values, num_output=2, weight_filler=dict(type="xavier"))
    n.accuracy = L.Accuracy(n.score, n.label)
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n


def learn(name, hidden=None):
    """Train; returns the accuracy over the 2,500 test points."""
    for part, batch_size in (("train", 50), ("test", 100)):
        (work / f"{name}_{part}.prototxt").write_text(
            str(regression(work / f"{part}.txt", batch_size, hidden))
        )
    (work / f"{name}_solver.prototxt").write_text(f"""
        train_net: "{work}/{name}_train.prototxt"
        test_net: "{work}/{name}_test.prototxt"
        test_iter: 25  test_interval: 100000  test_initialization: false
        base_lr: 0.05  momentum: 0.9  weight_decay: 0.0005
        lr_policy: "step"  gamma: 0.2  stepsize: 400
        snapshot_prefix: "{work}/{name}"
        """)
    solver = caffe.get_solver(str(work / f"{name}_solver.prototxt"))
    solver.step(900)
    net = solver.test_nets[0]
    net.share_with(solver.net)
    return solver, np.mean([net.forward()["accuracy"] for _ in range(25)])


linear, linear_accuracy = learn("linear")
deep, deep_accuracy = learn("deep", hidden=40)
print(
    f"scikit-learn {peer_accuracy:.3f}, our regression {linear_accuracy:.3f}, a hidden layer {deep_accuracy:.3f}"
)
assert abs(linear_accuracy - peer_accuracy) < 0.01
assert deep_accuracy > peer_accuracy + 0.02

# %% [markdown]
# The line that each draws, over the two features that tell most: the difference of the two rows of weights is what
# scikit-learn calls `coef_`.

# %%
ours = np.diff(linear.net.params["score"][0].data, axis=0)[0]
print("ours        ", ours.round(2))
print("scikit-learn", peer.coef_[0].round(2))
cosine = ours @ peer.coef_[0] / np.linalg.norm(ours) / np.linalg.norm(peer.coef_)
assert cosine > 0.99
