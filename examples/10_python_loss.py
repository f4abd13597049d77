# needs: demo
# %% [markdown]
# # A loss of your own
#
# Layers can be written in Python: as in pycaffe, with setup, reshape, forward and backward over blobs; or as a
# TensorLayer, whose one method computes on torch tensors and whose gradient is found by itself.

# %%
import inspect
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import python_layers
from sklearn.datasets import load_diabetes

import caffe
from caffe import layers as L

plt.rcParams.update({"figure.dpi": 70})
caffe.set_mode_cpu()
caffe.set_random_seed(8)
work = Path(tempfile.mkdtemp())
print(inspect.getsource(python_layers.EuclideanLoss))

# %% [markdown]
# ## As in pycaffe
#
# A net names module and class. A Python layer counts as a loss by its `loss_weight`.


# %%
def compare(loss):
    n = caffe.NetSpec()
    n.x, n.y = L.Input(shape=[[7, 3, 5], [7, 3, 5]], ntop=2)
    n.loss = loss(n.x, n.y)
    proto = n.to_proto()
    proto.force_backward = True  # gradients for the inputs too
    return caffe.Net(proto, caffe.TRAIN)


mine = compare(lambda x, y: L.Python(x, y, module="python_layers", layer="EuclideanLoss", loss_weight=1))
builtin = compare(L.EuclideanLoss)
random = np.random.RandomState(0)
x, y = random.randn(2, 7, 3, 5).astype(np.float32)
results = []
for net in (mine, builtin):
    loss = net.forward(x=x, y=y)["loss"].item()
    gradient = net.backward()["x"].copy()
    results.append((loss, gradient))
    print(f"loss {loss:.6f}, gradient from {gradient.min():.4f} to {gradient.max():.4f}")
assert np.isclose(results[0][0], results[1][0], rtol=1e-5)
assert np.allclose(results[0][1], results[1][1], atol=1e-6)

# %% [markdown]
# ### Is the gradient right?
#
# One that is written by hand is best compared with differences of the loss itself.

# %%
step, place = 0.01, (2, 1, 3)
there, back = x.copy(), x.copy()
there[place] += step
back[place] -= step
slope = (mine.forward(x=there, y=y)["loss"].item() - mine.forward(x=back, y=y)["loss"].item()) / (2 * step)
print(f"by differences {slope:.5f}, by backward {results[0][1][place]:.5f}")
assert abs(slope - results[0][1][place]) < 1e-3

# %% [markdown]
# ## As a TensorLayer
#
# `compute` says what comes out; shapes and gradients follow. Registered under a type, it is used like any other
# layer. The Huber loss grows only linearly with the distance, so outliers pull less.

# %%
print(inspect.getsource(python_layers.HuberLoss))
huber = compare(L.HuberLoss)
print("loss", huber.forward(x=x, y=y)["loss"].item())
assert np.abs(huber.backward()["x"]).max() <= 1 / 7 + 1e-6

# %% [markdown]
# ## Both at work
#
# A linear regression of real measurements (a disease's progress in 442 patients), some of whose targets were
# spoiled. The squared loss gives in to them.

# %%
found = load_diabetes(scaled=True)
data = (found.data / found.data.std(axis=0)).astype(np.float32)
target = ((found.target - found.target.mean()) / found.target.std()).astype(np.float32).reshape(-1, 1)
spoiled = target.copy()
spoiled[random.choice(442, 40, replace=False)] += 12


def fit(name, loss):
    n = caffe.NetSpec()
    n.data, n.target = L.Input(shape=[[442, 10], [442, 1]], ntop=2)
    n.fc = L.InnerProduct(n.data, num_output=1, weight_filler=dict(type="gaussian", std=0.01))
    n.loss = loss(n.fc, n.target)
    (work / f"{name}.prototxt").write_text(str(n))
    (work / f"{name}_solver.prototxt").write_text(
        f'train_net: "{work}/{name}.prototxt" base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" '
        f'snapshot_prefix: "{work}/{name}"'
    )
    solver = caffe.SGDSolver(str(work / f"{name}_solver.prototxt"))
    solver.net.blobs["data"].data[...] = data
    solver.net.blobs["target"].data[...] = spoiled
    solver.step(200)
    return solver.net.blobs["fc"].data.copy()


squared = fit(
    "squared", lambda a, b: L.Python(a, b, module="python_layers", layer="EuclideanLoss", loss_weight=1)
)
robust = fit("robust", L.HuberLoss)
errors = [np.abs(fitted - target).mean() for fitted in (squared, robust)]
print("mean distance from the true targets: squared %.3f, Huber %.3f" % tuple(errors))
assert errors[1] < errors[0]

plt.figure(figsize=(4.5, 4))
plt.plot(target, squared, ".", ms=3, label="squared")
plt.plot(target, robust, ".", ms=3, label="Huber")
plt.plot([-2, 2], [-2, 2], "k", lw=0.8)
plt.xlabel("true")
plt.ylabel("fitted to spoiled targets")
plt.legend()
plt.show()
