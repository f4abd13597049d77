# needs: demo
# %% [markdown]
# # Learning LeNet
#
# Solving in Python: define a net, look inside it, train it step by step, and watch it learn. The net is a variant
# of LeNet (LeCun et al. 1998), the data MNIST's handwritten digits.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from example_data import mnist_lmdbs

import caffe
from caffe import layers as L
from caffe import params as P

plt.rcParams.update({"figure.dpi": 70, "image.cmap": "gray"})
work = Path(tempfile.mkdtemp())
train_lmdb, test_lmdb = mnist_lmdbs(work)  # written by `caffe convert_mnist_data`

# %% [markdown]
# ## The net
#
# Nets are written in Google's protobuf text form, and NetSpec writes that from Python. Every assignment names a blob
# and the layer that makes it.


# %%
def lenet(lmdb, batch_size):
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        batch_size=batch_size, backend=P.Data.LMDB, source=lmdb, transform_param=dict(scale=1.0 / 255), ntop=2
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50, weight_filler=dict(type="xavier"))
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool2, num_output=500, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n.to_proto()


(work / "train.prototxt").write_text(str(lenet(train_lmdb, 64)))
(work / "test.prototxt").write_text(str(lenet(test_lmdb, 100)))
print((work / "train.prototxt").read_text()[:640], "…")

# %% [markdown]
# How to learn is in a file of its own: which nets, which rule, which rate.

# %%
(work / "solver.prototxt").write_text(f"""
train_net: "{work}/train.prototxt"
test_net: "{work}/test.prototxt"
test_iter: 100
test_interval: 500
type: "SGD"
base_lr: 0.01
momentum: 0.9
weight_decay: 5e-4
lr_policy: "inv"
gamma: 0.0001
power: 0.75
max_iter: 10000
snapshot_prefix: "{work}/lenet"
solver_mode: CPU
random_seed: 831486
""")

caffe.set_mode_cpu()
solver = caffe.SGDSolver(str(work / "solver.prototxt"))

# %% [markdown]
# ## Looking inside
#
# Blobs hold what flows through the net, batch first; params what it learns, weights and biases.

# %%
for name, blob in solver.net.blobs.items():
    print(f"{name:8} {blob.data.shape}")
for name, param in solver.net.params.items():
    print(f"{name:8} {param[0].data.shape} {param[1].data.shape}")

# %% [markdown]
# One forward through the training net and one through the test net (they share their parameters) load a batch each.

# %%
solver.net.forward()
solver.test_nets[0].forward()


def show_digits(net):
    plt.figure(figsize=(8, 1.2))
    plt.imshow(net.blobs["data"].data[:8, 0].transpose(1, 0, 2).reshape(28, 8 * 28))
    plt.axis("off")
    plt.show()
    print("labels:", net.blobs["label"].data[:8].astype(int))


show_digits(solver.net)
show_digits(solver.test_nets[0])

# %% [markdown]
# ## One step
#
# After a step of the solver the parameters have moved; their diffs hold by how much. These are the first layer's
# twenty kernels of 5×5.

# %%
solver.step(1)
plt.figure(figsize=(5, 4))
plt.imshow(
    solver.net.params["conv1"][0].diff[:, 0].reshape(4, 5, 5, 5).transpose(0, 2, 1, 3).reshape(4 * 5, 5 * 5)
)
plt.axis("off")
plt.show()

# %% [markdown]
# ## A training loop of our own
#
# Anything can happen between steps. Here the scores of eight test digits are kept after each one (`start="conv1"`
# leaves out the data layer, so that the batch stays the same), and the whole test set is tried every 25.

# %%
niter, test_interval = 200, 25
train_loss = np.zeros(niter)
test_acc = np.zeros(niter // test_interval)
output = np.zeros((niter, 8, 10))

for it in range(niter):
    solver.step(1)
    train_loss[it] = solver.net.blobs["loss"].data
    solver.test_nets[0].forward(start="conv1")
    output[it] = solver.test_nets[0].blobs["score"].data[:8]
    if it % test_interval == 0:
        correct = 0
        for _ in range(100):
            solver.test_nets[0].forward()
            correct += sum(
                solver.test_nets[0].blobs["score"].data.argmax(1) == solver.test_nets[0].blobs["label"].data
            )
        test_acc[it // test_interval] = correct / 1e4
        print(f"iteration {it:3}: test accuracy {test_acc[it // test_interval]:.4f}")

# %%
_, ax1 = plt.subplots(figsize=(7, 4))
ax2 = ax1.twinx()
ax1.plot(np.arange(niter), train_loss, linewidth=0.8)
ax2.plot(test_interval * np.arange(len(test_acc)), test_acc, "r")
ax1.set_xlabel("iteration")
ax1.set_ylabel("train loss")
ax2.set_ylabel("test accuracy")
plt.show()

# %% [markdown]
# How the scores of the first test digits grew: one row a class, one column an iteration, and beside it the same
# through a softmax.

# %%
for i in range(4):
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 1.8), gridspec_kw={"width_ratios": [1, 4, 4]})
    left.imshow(solver.test_nets[0].blobs["data"].data[i, 0])
    left.axis("off")
    scores = output[:50, i]
    shares = np.exp(scores - scores.max(1, keepdims=True))
    middle.imshow(scores.T, interpolation="nearest", aspect="auto")
    right.imshow((shares / shares.sum(1, keepdims=True)).T, interpolation="nearest", aspect="auto")
    for ax in (middle, right):
        ax.set_xlabel("iteration")
        ax.set_ylabel("class")
    plt.show()

# %% [markdown]
# ## Saved
#
# A snapshot is two files that the original Caffe reads as well: the parameters, and what the solver remembers.

# %%
state = solver.snapshot()
print(sorted(path.name for path in work.glob("lenet_iter_*")))
final = test_acc[-1]
print(f"test accuracy after {niter} iterations: {final:.3f}")
