"""The usual server, for comparison: FastAPI, one pipeline, one lock.

``python -m bench.lock_server MODEL_FOLDER PORT THREADS``; written the way such servers are.
"""

from __future__ import annotations

import base64
import io
import sys
import threading
from typing import Any

import torch
import uvicorn
from diffusers import ZImagePipeline
from fastapi import FastAPI


def create_app(folder: str) -> FastAPI:
    """Load the pipeline and serve one request after the other."""
    app = FastAPI()
    pipe = ZImagePipeline.from_pretrained(folder, local_files_only=True)
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
                num_inference_steps=8,
                guidance_scale=0.0,
                generator=generator,
            ).images[0]
        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        return {"data": [{"b64_json": base64.b64encode(buffer.getvalue()).decode()}]}

    return app


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    uvicorn.run(create_app(sys.argv[1]), port=int(sys.argv[2]), log_level="error")
