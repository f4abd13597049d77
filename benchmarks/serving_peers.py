"""The same model served as people do it without caffe serve: onnxruntime behind a plain FastAPI handler, or LitServe.

    python -m benchmarks.serving_peers fastapi|litserve|litserve-caffe PORT MODEL

MODEL is an .onnx file, or for litserve-caffe a prototxt and a caffemodel with a comma between.
"""

import sys
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

MEAN = np.array([104, 117, 123], np.float32)[:, None, None]
BATCH = 8
SIDE = 227


def prepare(content: bytes, side: int) -> npt.NDArray[np.float32]:
    """A JPEG as the net's input (3 × side × side)."""
    photo = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    small = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small.transpose(2, 0, 1).astype(np.float32) - MEAN)


def best(scores: npt.NDArray[Any]) -> dict[str, Any]:
    """The five most likely classes."""
    flat = scores.ravel()
    return {"top": [{"index": int(i), "score": float(flat[i])} for i in np.argsort(-flat)[:5]]}


def fastapi(port: int, model: str) -> None:
    """One handler, one session, no batches: what a tutorial shows."""
    import onnxruntime
    import uvicorn
    from fastapi import FastAPI, Request
    from starlette.concurrency import run_in_threadpool

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    app = FastAPI()

    def predict(content: bytes) -> dict[str, Any]:
        found = session.run(None, {given.name: prepare(content, given.shape[2])[None]})
        return best(found[0])

    @app.post("/classify")
    async def classify(request: Request) -> dict[str, Any]:
        return await run_in_threadpool(predict, await request.body())

    uvicorn.run(app, port=port, log_level="warning")


def litserve(port: int, model: str) -> None:
    """LitServe with batches of up to 8, onnxruntime or a net of ours inside."""
    import litserve as ls

    api = lit_api(model)(max_batch_size=BATCH, batch_timeout=0.005, api_path="/classify")
    ls.LitServer(api, accelerator="cpu").run(
        port=port, log_level="warning", generate_client_file=False, num_api_servers=1
    )


def lit_api(model: str) -> type[Any]:
    """The class that LitServe runs in its worker; a global one, for LitServe pickles it."""
    import litserve as ls
    from fastapi import Request

    class LitApi(ls.LitAPI):  # type: ignore[misc]
        def setup(self, device: str) -> None:
            if model.endswith(".onnx"):
                import onnxruntime

                session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
                name = session.get_inputs()[0].name
                self.answer = lambda x: session.run(None, {name: x})[0]
            else:
                import caffe

                definition, weights = model.split(",")
                net = caffe.Net(definition, caffe.TEST, weights=weights)

                def answer(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
                    net.blobs[net.inputs[0]].reshape(*x.shape)
                    return np.array(next(iter(net.forward(**{net.inputs[0]: x}).values())))

                self.answer = answer

        async def decode_request(self, request: Request) -> Any:
            return prepare(await request.body(), SIDE)

        def batch(self, inputs: list[Any]) -> Any:
            return np.stack(inputs)

        def predict(self, x: Any) -> Any:
            return self.answer(x if x.ndim == 4 else x[None])

        def unbatch(self, output: Any) -> list[Any]:
            return list(output)

        def encode_response(self, output: Any) -> Any:
            return best(output)

    LitApi.__qualname__ = "LitApi"
    globals()["LitApi"] = LitApi
    return LitApi


if len(sys.argv) > 3 and sys.argv[1].startswith("litserve"):
    lit_api(sys.argv[3])  # its worker imports this module anew, with the same arguments

if __name__ == "__main__":
    way, port, model = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if way == "fastapi":
        fastapi(port, model)
    else:
        litserve(port, model)
