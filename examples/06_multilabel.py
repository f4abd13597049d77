# needs: demo
# %% [markdown]
# # Several labels, from a data layer in Python
#
# Each image shows two digits; the net says, for each of the ten, whether it is there. Ten yes-or-no questions are ten
# logistic regressions over shared features: `SigmoidCrossEntropyLoss`. The images are made by a data layer written
# in Python, a class with four methods in a module of its own:

# %%
import inspect
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import python_layers

import caffe
from caffe import layers as L
from caffe import params as P

plt.rcParams.update({"figure.dpi": 70})
caffe.set_mode_cpu()
caffe.set_random_seed(6)
work = Path(tempfile.mkdtemp())
print(inspect.getsource(python_layers.PairsOfDigits))

# %% [markdown]
# ## The net
#
# The layer is named by module and class; its settings travel as text in `param_str`.


# %%
def net(batch_size, first, last, seed):
    settings = dict(batch_size=batch_size, first=first, last=last, seed=seed)
    xavier = dict(type="xavier")
    n = caffe.NetSpec()
    n.data, n.label = L.Python(
        module="python_layers", layer="PairsOfDigits", param_str=json.dumps(settings), ntop=2
    )
    n.conv1 = L.Convolution(n.data, num_output=16, kernel_size=5, weight_filler=xavier)
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.relu1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, num_output=32, kernel_size=5, weight_filler=xavier)
    n.relu2 = L.ReLU(n.conv2, in_place=True)
    n.pool2 = L.Pooling(n.relu2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool2, num_output=128, weight_filler=xavier)
    n.relu3 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu3, num_output=10, weight_filler=xavier)
    n.loss = L.SigmoidCrossEntropyLoss(n.score, n.label)
    return n


(work / "train.prototxt").write_text(str(net(32, 0, 1400, seed=0)))
(work / "test.prototxt").write_text(str(net(100, 1400, 1797, seed=1)))
(work / "solver.prototxt").write_text(f"""
train_net: "{work}/train.prototxt"
test_net: "{work}/test.prototxt"
test_iter: 1  test_interval: 100000  test_initialization: false
type: "Adam"  base_lr: 0.001  momentum: 0.9  lr_policy: "fixed"
snapshot_prefix: "{work}/pairs"
""")
solver = caffe.get_solver(str(work / "solver.prototxt"))


# %% [markdown]
# ## Learn
#
# Most answers are no: saying no to all ten is right four times in five, so that is the accuracy to beat. Stricter is
# to ask how often all ten answers are right.


# %%
def accuracy(net):
    """(Share of right answers, share of images with all ten right) over three batches."""
    right = []
    for _ in range(3):
        net.forward()
        right.append((net.blobs["score"].data > 0) == (net.blobs["label"].data > 0))
    right = np.concatenate(right)
    return right.mean(), right.all(axis=1).mean()


losses = []
for _ in range(4):
    answers, whole = accuracy(solver.test_nets[0])
    print(f"step {solver.iter}: {answers:.1%} of answers, {whole:.1%} of images")
    for _ in range(75):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
answers, whole = accuracy(solver.test_nets[0])
print(f"in the end: {answers:.1%} of answers, {whole:.1%} of images")
assert answers > 0.93 and whole > 0.5

# %%
plt.figure(figsize=(6, 3))
plt.plot(losses, lw=0.8)
plt.xlabel("step")
plt.ylabel("loss, summed over ten answers")
plt.show()

# %% [markdown]
# ## Look

# %%
test = solver.test_nets[0]
test.forward()
figure, axes = plt.subplots(2, 4, figsize=(9, 3.2))
for axis, image, score, label in zip(
    axes.flat, test.blobs["data"].data, test.blobs["score"].data, test.blobs["label"].data
):
    said, true = np.flatnonzero(score > 0), np.flatnonzero(label)
    axis.imshow(image[0], cmap="gray")
    axis.set_title(f"said {', '.join(map(str, said))}", color="black" if list(said) == list(true) else "red")
    axis.axis("off")
plt.tight_layout()
plt.show()
