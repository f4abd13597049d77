# needs: demo, SqueezeNet
# %% [markdown]
# # Instant recognition
#
# A trained net, a photo, and what the net sees in it. On the way: how images become blobs, how to look at the
# shapes of blobs and parameters, how a live net moves between processor and accelerator, and what its filters and
# activations look like.
#
# The net is SqueezeNet (Iandola et al. 2016), trained on ImageNet's thousand classes.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from example_data import imagenet_labels, photo, squeezenet

import caffe

plt.rcParams.update({"figure.dpi": 50, "image.interpolation": "nearest"})

# %% [markdown]
# ## Load the net
#
# Two files make a trained net: the prototxt says which layers there are, the caffemodel holds what they learned.
# `caffe.TEST` builds it as it is used (Dropout passes everything, for example).

# %%
caffe.set_mode_cpu()
model, weights = squeezenet()
net = caffe.Net(model, caffe.TEST, weights=weights)
net

# %% [markdown]
# ## From a photo to a blob
#
# `caffe.io.load_image` gives H×W×3 in RGB with values in [0, 1]. This net was trained on 3×H×W in BGR, with values
# from 0 to 255 and the mean colour subtracted. A Transformer does these steps, in this order, for one input of the
# net; it also resizes.

# %%
transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
transformer.set_transpose("data", (2, 0, 1))  # H×W×C to C×H×W
transformer.set_channel_swap("data", (2, 1, 0))  # RGB to BGR
transformer.set_raw_scale("data", 255)  # [0, 1] to [0, 255]
transformer.set_mean("data", np.array([104.0, 117.0, 123.0]))  # the mean colour, blue first

# %% [markdown]
# A batch of ten images rather than one: reshape the input; the other blobs follow with the next forward.

# %%
net.blobs["data"].reshape(10, 3, 227, 227)
image = photo("china.jpg")  # or: caffe.io.load_image("my_photo.jpg")
net.blobs["data"].data[...] = transformer.preprocess("data", image)
plt.figure(figsize=(4, 3))
plt.imshow(image)
plt.axis("off")
plt.show()

# %% [markdown]
# ## Classify

# %%
output = net.forward()
scores = output[net.outputs[0]][0].ravel()  # of the first image of the batch
labels = imagenet_labels()
likely = np.exp(scores - scores.max())
likely /= likely.sum()
for i in np.argsort(-scores)[:5]:
    print(f"{likely[i]:6.1%}  {labels[i]}")
assert output[net.outputs[0]].shape[:2] == (10, 1000)

# %% [markdown]
# ## Processor and accelerator
#
# The mode can change at any time, and a live net moves along with its weights. Where there is no accelerator
# `set_mode_gpu` warns once and computes on the processor.

# %%
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    caffe.set_mode_gpu()
    on_accelerator = net.forward()[net.outputs[0]].copy()
caffe.set_mode_cpu()
started = time.perf_counter()
on_processor = net.forward()[net.outputs[0]]
print(f"{(time.perf_counter() - started) * 1e3 / 10:.0f} ms an image on the processor")
print("largest difference:", np.abs(on_accelerator - on_processor).max())
assert np.allclose(on_accelerator, on_processor, atol=1e-3)

# %% [markdown]
# ## What is in the net
#
# `net.blobs` holds the values between layers, N×C×H×W; `net.params` the weights (index 0) and biases (index 1).

# %%
for name in ["data", "conv1", "pool1", "fire2/concat", "fire9/concat", "conv_final"]:
    print(f"{name:14}", net.blobs[name].data.shape)
print()
for name in ["conv1", "fire2/conv1x1_1", "conv_final"]:
    print(f"{name:18}", [blob.data.shape for blob in net.params[name]])

# %% [markdown]
# In a notebook blobs show themselves; the first layer's filters, with their range:

# %%
net.params["conv1"][0]

# %% [markdown]
# The same filters by hand, and what conv1 made of the photo: edges, blobs of colour.


# %%
def tiles(data, title):
    """N×H×W(×3) pictures, side by side in a square."""
    data = (data - data.min()) / (data.max() - data.min())
    side = int(np.ceil(np.sqrt(len(data))))
    padding = ((0, side**2 - len(data)), (0, 1), (0, 1)) + ((0, 0),) * (data.ndim - 3)
    data = np.pad(data, padding, constant_values=1)
    data = data.reshape(side, side, *data.shape[1:]).swapaxes(1, 2)
    data = data.reshape(side * data.shape[1], side * data.shape[3], *data.shape[4:])
    plt.figure(figsize=(4.5, 4.5))
    plt.imshow(data, cmap="gray")
    plt.title(title)
    plt.axis("off")
    plt.show()


filters = net.params["conv1"][0].data
tiles(filters.transpose(0, 2, 3, 1)[..., ::-1], "filters of conv1")
tiles(net.blobs["conv1"].data[0, :36], "the first 36 maps of conv1")

# %% [markdown]
# Deep in the net a map answers to a thing, wherever it is: those for the likeliest class, over the photo.

# %%
best = int(scores.argmax())
where = net.blobs["conv_final"].data[0, best]
plt.figure(figsize=(4, 4))
plt.imshow(transformer.deprocess("data", net.blobs["data"].data[0]).clip(0, 1))
plt.imshow(where, cmap="magma", alpha=0.6, extent=(0, 227, 227, 0), interpolation="bilinear")
plt.title(f"where conv_final sees “{labels[best]}”")
plt.axis("off")
plt.show()

# %% [markdown]
# ## Another photo, and a shorter way
#
# `caffe.Classifier` wraps all of this; it also averages over ten crops. On a command line:
# `caffe classify photo.jpg --model=deploy.prototxt --weights=weights.caffemodel`.

# %%
classifier = caffe.Classifier(
    model,
    weights,
    image_dims=(256, 256),
    mean=np.array([104.0, 117.0, 123.0]),
    raw_scale=255,
    channel_swap=(2, 1, 0),
)
found = classifier.predict([photo("flower.jpg")])[0]
print(", ".join(labels[i] for i in np.argsort(-found)[:5]))
