# needs: nothing
# %% [markdown]
# # Looking at nets
#
# A prototxt says everything about a net, but not at a glance. A drawing shows how it is wired, a table how large it
# is and what it costs.

# %%
import shutil
import tempfile
from pathlib import Path

import caffe
from caffe import layers as L
from caffe import params as P

work = Path(tempfile.mkdtemp())
n = caffe.NetSpec("inception")
n.data, n.label = L.DummyData(shape=[dict(dim=[8, 3, 32, 40]), dict(dim=[8])], ntop=2)
n.conv1 = L.Convolution(n.data, num_output=24, kernel_size=3, stride=2, weight_filler=dict(type="msra"))
n.relu1 = L.ReLU(n.conv1, in_place=True)
n.one = L.Convolution(n.relu1, num_output=8, kernel_size=1, weight_filler=dict(type="msra"))
n.three = L.Convolution(n.relu1, num_output=16, kernel_size=3, pad=1, weight_filler=dict(type="msra"))
n.pool = L.Pooling(n.relu1, kernel_size=3, stride=1, pad=1, pool=P.Pooling.MAX)
n.all = L.Concat(n.one, n.three, n.pool)
n.score = L.InnerProduct(n.all, num_output=10, weight_filler=dict(type="xavier"))
n.accuracy = L.Accuracy(n.score, n.label, include=dict(phase=caffe.TEST))
n.loss = L.SoftmaxWithLoss(n.score, n.label)

# %% [markdown]
# ## A drawing
#
# Layers are boxes: red convolutions, orange poolings, purple fully connected ones, green what works in place.
# Blobs are octagons. Pictures need the program Graphviz; a `.dot` file needs nothing. On the command line:
# `caffe draw_net net.prototxt net.png --rankdir=TB`.

# %%
caffe.draw.draw_net_to_file(n.to_proto(), work / "net.dot")
print("\n".join((work / "net.dot").read_text().splitlines()[:6]), "\n  …")
caffe.draw.draw_net(n.to_proto(), "LR", "svg" if shutil.which("dot") else "dot")

# %% [markdown]
# Only the layers of one phase, or with the multipliers of the learning rate:

# %%
trained = caffe.draw.graph_of(n.to_proto(), phase=caffe.TRAIN)
used = caffe.draw.graph_of(n.to_proto(), phase=caffe.TEST)
print("only in TEST:", sorted(set(used.nodes) - set(trained.nodes)))

# %% [markdown]
# ## A table
#
# Shapes, parameters, multiply-adds of one forward, and the memory of the values between layers:

# %%
net = caffe.Net(n, caffe.TEST)
print(net.summary())

# %% [markdown]
# In a notebook the net itself is such a table, and a blob shows its shape, range and picture.

# %%
net

# %%
net.forward()
net.blobs["three"]
