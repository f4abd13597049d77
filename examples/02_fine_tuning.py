# needs: demo
# %% [markdown]
# # Fine-tuning: from digits 0–4 to digits 5–9
#
# A net that has learned one task knows much that another task needs. Here a net learns the digits 0 to 4, wherever
# they are in a larger field, from many images. Then it shall tell 5 to 9 apart, having seen ten of each. Three ways
# are compared: from scratch, fine-tuned, and with all but the last layer frozen.

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
caffe.set_random_seed(1)
work = Path(tempfile.mkdtemp())


def scatter(images, random):
    """Digits of 20×20 at random places of a field of 36×36."""
    field = np.zeros((len(images), 1, 36, 36), np.float32)
    for place, image in zip(field, images):
        top, left = random.randint(17, size=2)
        place[0, top : top + 20, left : left + 20] = image[0, 4:24, 4:24]
    return field


images, labels = digits()
fields = scatter(images, np.random.RandomState(0))
low, high = labels < 5, labels >= 5
few = np.concatenate([np.flatnonzero(labels == d)[:10] for d in range(5, 10)])  # ten of each
rest = np.setdiff1d(np.flatnonzero(high), few)
print(f"{low.sum()} images of 0–4; of 5–9 {len(few)} to learn from, {len(rest)} to test with")
figure, axes = plt.subplots(1, 6, figsize=(8, 1.5))
for axis, field in zip(axes, fields):
    axis.imshow(field[0], cmap="gray")
    axis.axis("off")
plt.show()

# %% [markdown]
# ## The net
#
# Two things in it serve fine-tuning:
#
# - **The last layer's name.** Weights are copied to layers of the same name. The last layer must not be copied (its
#   outputs mean other classes), so it gets another name in the new task, and starts anew.
# - **`lr_mult`**, how fast a parameter learns relative to the solver's rate. The copied layers learn slower than the
#   new one; with 0 they stay as they are.


# %%
def net(batch_size, last="score", speed=1.0, last_speed=1.0):
    """A small net over arrays; ``speed`` is the lr_mult of all layers but the last."""

    def learn(rate):
        return [dict(lr_mult=rate), dict(lr_mult=2 * rate)]

    xavier = dict(type="xavier")
    n = caffe.NetSpec("digits")
    n.data, n.label = L.MemoryData(batch_size=batch_size, channels=1, height=36, width=36, ntop=2)
    n.conv1 = L.Convolution(n.data, num_output=16, kernel_size=5, weight_filler=xavier, param=learn(speed))
    n.pool1 = L.Pooling(n.conv1, kernel_size=3, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, num_output=32, kernel_size=5, weight_filler=xavier, param=learn(speed))
    n.pool2 = L.Pooling(n.conv2, kernel_size=3, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool2, num_output=100, weight_filler=xavier, param=learn(speed))
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n[last] = L.InnerProduct(n.relu1, num_output=5, weight_filler=xavier, param=learn(last_speed))
    n.accuracy = L.Accuracy(n[last], n.label)
    n.loss = L.SoftmaxWithLoss(n[last], n.label)
    return n


def make_solver(name, spec, test_spec):
    (work / f"{name}_train.prototxt").write_text(str(spec))
    (work / f"{name}_test.prototxt").write_text(str(test_spec))
    (work / f"{name}_solver.prototxt").write_text(
        f"""
        train_net: "{work}/{name}_train.prototxt"
        test_net: "{work}/{name}_test.prototxt"
        test_iter: 1  test_interval: 100000  test_initialization: false
        base_lr: 0.01  momentum: 0.9  lr_policy: "fixed"
        snapshot_prefix: "{work}/{name}"
        """
    )
    return caffe.SGDSolver(str(work / f"{name}_solver.prototxt"))


# %% [markdown]
# ## First task: 0 to 4
#
# The digits are scattered anew in every round. (`MemoryData` takes its batches from arrays, see the example about it.
# The number of images must be a multiple of the batch.)

# %%
count = low.sum() // 50 * 50
solver = make_solver("low", net(50), net(100))
random = np.random.RandomState(1)
low_images, low_labels = images[low][:count], labels[low][:count].copy()
for _ in range(16):
    solver.net.set_input_arrays(scatter(low_images, random), low_labels)
    solver.step(count // 50)
print(
    f"loss {float(solver.net.blobs['loss'].data):.3f}, accuracy {float(solver.net.blobs['accuracy'].data):.2f}"
)
weights = work / "low.caffemodel"
solver.net.save(str(weights))
low_filters = solver.net.params["conv1"][0].data.copy()

# %% [markdown]
# ## Second task: 5 to 9, from fifty images

# %%
test_count = 400
test_images, test_labels = fields[rest][:test_count], labels[rest][:test_count] - 5
train_images, train_labels = fields[few], labels[few] - 5


def learn_high(name, weights=None, **how):
    """Train 120 steps on the few images; returns the solver and the test accuracy every 10 steps."""
    caffe.set_random_seed(2)
    spec, test_spec = net(50, "score_high", **how), net(test_count, "score_high", **how)
    solver = make_solver(name, spec, test_spec)
    if weights is not None:
        report = solver.net.copy_from(str(weights))
        print(f"{name}: {report}")
    solver.net.set_input_arrays(train_images, train_labels)
    solver.test_nets[0].set_input_arrays(test_images, test_labels)
    curve = []
    for _ in range(12):
        curve.append(float(solver.test_nets[0].forward()["accuracy"]))
        solver.step(10)
    curve.append(float(solver.test_nets[0].forward()["accuracy"]))
    return solver, curve


scratch, scratch_curve = learn_high("scratch")
tuned, tuned_curve = learn_high("tuned", weights, speed=0.1, last_speed=1.0)
frozen, frozen_curve = learn_high("frozen", weights, speed=0.0, last_speed=1.0)

# %%
plt.figure(figsize=(6, 3.5))
for name, curve in (("from scratch", scratch_curve), ("fine-tuned", tuned_curve), ("frozen", frozen_curve)):
    plt.plot(np.arange(13) * 10, curve, label=f"{name}: {curve[-1]:.1%}")
plt.xlabel("step")
plt.ylabel("test accuracy")
plt.legend()
plt.grid(alpha=0.3)
plt.show()

# %% [markdown]
# What was copied learns slowly, what is frozen stays as it was:

# %%
for name, one in (("fine-tuned", tuned), ("frozen", frozen)):
    print(f"{name:10} conv1 has moved by", np.abs(one.net.params["conv1"][0].data - low_filters).max())
assert (frozen.net.params["conv1"][0].data == low_filters).all()
assert 0 < np.abs(tuned.net.params["conv1"][0].data - low_filters).max() < 0.2
assert min(tuned_curve[-1], frozen_curve[-1]) > scratch_curve[-1] + 0.05
