# needs: demo
# %% [markdown]
# # Training without a database
#
# The layer `MemoryData` takes its batches from arrays that you give to the net. Nothing is copied: the net keeps the
# arrays and walks through them, batch by batch, over and over.

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
caffe.set_random_seed(3)
work = Path(tempfile.mkdtemp())
images, labels = digits()
print("images", images.shape, images.dtype, "labels", labels.shape, labels.dtype)


# %%
def net(batch_size):
    n = caffe.NetSpec()
    n.data, n.label = L.MemoryData(batch_size=batch_size, channels=1, height=28, width=28, ntop=2)
    n.conv1 = L.Convolution(n.data, num_output=16, kernel_size=5, stride=2, weight_filler=dict(type="msra"))
    n.relu1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = L.Pooling(n.relu1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.score = L.InnerProduct(n.pool1, num_output=10, weight_filler=dict(type="xavier"))
    n.accuracy = L.Accuracy(n.score, n.label, include=dict(phase=caffe.TEST))
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n


(work / "train.prototxt").write_text(str(net(64)))
(work / "test.prototxt").write_text(str(net(100)))
(work / "solver.prototxt").write_text(f"""
train_net: "{work}/train.prototxt"
test_net: "{work}/test.prototxt"
test_iter: 3  test_interval: 100000  test_initialization: false
base_lr: 0.05  momentum: 0.9  lr_policy: "fixed"
average_loss: 8
snapshot_prefix: "{work}/memory"
""")
solver = caffe.get_solver(str(work / "solver.prototxt"))

# %% [markdown]
# ## Random batches
#
# Each round draws eight batches' worth of images at random and gives them to the net; `step(8)` then takes one batch
# after the other. Give the arrays before the first step: a net without data says so.

# %%
random = np.random.RandomState(0)
train, test = np.arange(1400), np.arange(1400, 1700)
solver.test_nets[0].set_input_arrays(images[test], labels[test])
losses, accuracies = [], []
for _ in range(15):
    chosen = random.choice(train, 8 * 64)
    solver.net.set_input_arrays(images[chosen], labels[chosen])
    for _ in range(8):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    accuracy = [float(solver.test_nets[0].forward()["accuracy"]) for _ in range(3)]
    accuracies.append(np.mean(accuracy))
print(f"test accuracy {accuracies[-1]:.1%}")
assert accuracies[-1] > 0.93

# %%
figure, left = plt.subplots(figsize=(6, 3.5))
left.plot(losses, color="tab:blue", lw=1)
left.set(xlabel="step", ylabel="loss", yscale="log")
right = left.twinx()
right.plot(np.arange(1, 16) * 8, accuracies, "o-", color="tab:red")
right.set(ylabel="test accuracy", ylim=(0.5, 1))
plt.show()

# %% [markdown]
# ## What the arrays must be
#
# float32, in C order, N×C×H×W with the sizes of the layer, N a multiple of the batch; one label for each. What does
# not fit is told at once:

# %%
wrong = [
    (images[:64].astype(np.float64), labels[:64]),
    (images[:64].transpose(0, 1, 3, 2), labels[:64]),
    (images[:100], labels[:100]),
    (images[:64, :, :20], labels[:64]),
    (images[:64], labels[:63]),
]
for data, label in wrong:
    try:
        solver.net.set_input_arrays(data, label)
    except caffe.errors.InputError as error:
        print(f"{type(error).__name__}: {error}\n")

# %% [markdown]
# The arrays are not copied, so what is written into them reaches the net with the next batch.

# %%
mine, its_labels = images[:64].copy(), labels[:64].copy()
solver.net.set_input_arrays(mine, its_labels)
mine[...] = 0.5
solver.net.forward()
assert (solver.net.blobs["data"].data == 0.5).all()
