"""The usual server, for comparison: FastAPI, one pipeline, one lock.

``python -m bench.lock_server MODEL PORT THREADS [DEVICE]``; written the way such servers are. MODEL
is a folder or a built-in pipeline. With port 0 it takes a free one, and prints it.
"""

from __future__ import annotations

import base64
import io
import socket
import sys
import threading
from typing import Any

import torch
import uvicorn
from diffusers import ZImagePipeline
from fastapi import FastAPI

from inference import tinymodel


def create_app(model: str, device: str) -> FastAPI:
    """Load the pipeline and serve one request after the other."""
    app = FastAPI()
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    if model in tinymodel.MADE:
        pipe = tinymodel.make(model, torch.device(device), kind)
    else:
        pipe = ZImagePipeline.from_pretrained(model, dtype=kind, local_files_only=True).to(device)
    pipe.set_progress_bar_config(disable=True)
    lock = threading.Lock()

    @app.post("/v1/images/generations")
    def generate(body: dict[str, Any]) -> dict[str, Any]:
        width, height = map(int, body["size"].split("x"))
        generator = torch.Generator("cpu").manual_seed(body["seed"])
        with lock:
            image = pipe(
                prompt=body["prompt"],
                width=width,
                height=height,
                num_inference_steps=body.get("num_inference_steps", 8),
                guidance_scale=0.0,
                generator=generator,
            ).images[0]
        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        return {"data": [{"b64_json": base64.b64encode(buffer.getvalue()).decode()}]}

    return app


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    listening = socket.create_server(("127.0.0.1", int(sys.argv[2])), backlog=2048)
    app = create_app(sys.argv[1], sys.argv[4] if len(sys.argv) > 4 else "cpu")
    print(listening.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    server.run(sockets=[listening])
