# needs: demo
# %% [markdown]
# # Net surgery
#
# The parameters of a net are arrays, to be read and written. Two operations: filters set by hand, and a classifier
# turned into a net that looks at images of any size.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from example_data import digits, photo

import caffe
from caffe import layers as L
from caffe import params as P

plt.rcParams.update({"figure.dpi": 70})
caffe.set_mode_cpu()
caffe.set_random_seed(4)
work = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Filters by hand
#
# A convolution with three filters over a gray photo. They start at random.

# %%
gray = photo("china.jpg")[::2, ::2].mean(axis=2)
n = caffe.NetSpec()
n.data = L.Input(shape=[1, 1, *gray.shape])
n.conv = L.Convolution(
    n.data, num_output=3, kernel_size=5, pad=2, weight_filler=dict(type="gaussian", std=0.1)
)
net = caffe.Net(n, caffe.TEST)
net.blobs["data"].data[0, 0] = gray
print({name: [blob.data.shape for blob in blobs] for name, blobs in net.params.items()})


def show(title):
    net.forward()
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.4))
    for axis, picture in zip(axes, net.blobs["conv"].data[0]):
        axis.imshow(picture, cmap="gray")
        axis.axis("off")
    figure.suptitle(title)
    plt.tight_layout()
    plt.show()


show("at random")

# %% [markdown]
# `net.params['conv'][0].data` is a view of the weights, outputs × inputs × height × width: what is written into it
# holds from the next forward. A blur, and edges in both directions (Sobel):

# %%
weights, biases = net.params["conv"][0].data, net.params["conv"][1].data
bell = np.exp(-(np.arange(-2, 3) ** 2) / 2)
weights[0, 0] = np.outer(bell, bell) / bell.sum() ** 2
sobel = np.zeros((5, 5))
sobel[1:4, 1:4] = [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
weights[1, 0], weights[2, 0] = sobel, sobel.T
show("blur, vertical edges, horizontal edges")
blurred = net.blobs["conv"].data[0, 0].copy()
assert abs(blurred[10:-10, 10:-10].mean() - gray[10:-10, 10:-10].mean()) < 0.01

# %% [markdown]
# A bias is added to all of a map:

# %%
biases[0] = 1
net.forward()
assert np.allclose(net.blobs["conv"].data[0, 0], blurred + 1, atol=1e-5)

# %% [markdown]
# ## From a classifier to a map of classes
#
# A fully connected layer sees a fixed size. But it *is* a convolution, with a kernel as large as its input: the same
# weights in another shape. A net made of convolutions alone takes images of any size, and gives an answer at each
# place. First a classifier of digits, trained for some seconds:


# %%
def lenet(batch_size):
    xavier = dict(type="xavier")
    n = caffe.NetSpec()
    n.data, n.label = L.MemoryData(batch_size=batch_size, channels=1, height=28, width=28, ntop=2)
    n.conv1 = L.Convolution(n.data, num_output=20, kernel_size=5, weight_filler=xavier)
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, num_output=50, kernel_size=5, weight_filler=xavier)
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool2, num_output=100, weight_filler=xavier)
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=xavier)
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n


images, labels = digits()
(work / "train.prototxt").write_text(str(lenet(64)))
(work / "solver.prototxt").write_text(
    f'train_net: "{work}/train.prototxt" base_lr: 0.02 momentum: 0.9 lr_policy: "fixed" '
    f'snapshot_prefix: "{work}/lenet"'
)
solver = caffe.SGDSolver(str(work / "solver.prototxt"))
solver.net.set_input_arrays(images[:1408], labels[:1408])
solver.step(150)
print("loss", float(solver.net.blobs["loss"].data))

# %% [markdown]
# The same net over an input of free size, its two fully connected layers as convolutions. They have other names, so
# that `copy_from` leaves them alone: their shapes differ.

# %%
n = caffe.NetSpec()
n.data = L.Input(shape=[1, 1, 28, 28])
n.conv1 = L.Convolution(n.data, num_output=20, kernel_size=5)
n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
n.conv2 = L.Convolution(n.pool1, num_output=50, kernel_size=5)
n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
n["fc1-conv"] = L.Convolution(n.pool2, num_output=100, kernel_size=4)
n.relu1 = L.ReLU(n["fc1-conv"], in_place=True)
n["score-conv"] = L.Convolution(n.relu1, num_output=10, kernel_size=1)
n.prob = L.Softmax(n["score-conv"])
solver.net.save(str(work / "lenet.caffemodel"))
full = caffe.Net(n, caffe.TEST, weights=str(work / "lenet.caffemodel"))

for name in ("fc1", "score"):
    dense, sliding = solver.net.params[name], full.params[f"{name}-conv"]
    print(f"{name}: {dense[0].data.shape} → {sliding[0].data.shape}")
    sliding[0].data.flat = dense[0].data.flat  # unrolled in the same order
    sliding[1].data[...] = dense[1].data

# %% [markdown]
# Over one digit both say the same:

# %%
full.blobs["data"].data[...] = images[1500]
one = full.forward(blobs=["score-conv"])["score-conv"]
solver.net.blobs["data"].data[...] = images[1500]
dense = solver.net.forward(start="conv1", end="score")["score"]
assert one.shape == (1, 10, 1, 1) and np.allclose(one[0, :, 0, 0], dense[0], atol=1e-4)

# %% [markdown]
# Over a strip of digits the map says what is where, at steps of four pixels (both poolings halve):

# %%
chosen = 1500 + np.array([0, 3, 4, 9, 13, 17])
strip = np.concatenate([images[i, 0] for i in chosen], axis=1)
full.blobs["data"].reshape(1, 1, *strip.shape)
full.blobs["data"].data[0, 0] = strip
maps = full.forward()["prob"][0]
print("strip", strip.shape, "→ map", maps.shape)
figure, axes = plt.subplots(2, 1, figsize=(9, 4), height_ratios=[1, 1.6])
axes[0].imshow(strip, cmap="gray")
axes[0].axis("off")
axes[1].imshow(maps[:, 0], aspect="auto", cmap="magma", extent=(14, strip.shape[1] - 14, 9.5, -0.5))
axes[1].set(xlim=(0, strip.shape[1]), yticks=range(10), ylabel="class", xlabel="centre of the window")
plt.tight_layout()
plt.show()
centres = maps[:, 0, ::7].argmax(axis=0)  # a digit every 28 pixels, a place every 4
print("read:", centres, "written:", labels[chosen].astype(int))
assert (centres == labels[chosen]).mean() > 0.8
