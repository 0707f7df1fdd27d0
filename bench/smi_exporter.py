"""The simplest exporter there is: each scrape forks nvidia-smi. ``smi_exporter.py PORT NVIDIA_SMI``."""

from __future__ import annotations

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


NAMES = ("utilization_gpu", "memory_used_mib", "memory_total_mib", "power_watts", "temperature_celsius", "sm_clock_mhz")  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Answers every request with what nvidia-smi says."""

    def do_GET(self) -> None:
        """Fork it and turn its lines into samples."""
        run = subprocess.run(sys.argv[2], capture_output=True, check=False, text=True)
        lines = []
        for row in run.stdout.splitlines():
            index, uuid, *values = row.split(", ")
            for name, value in zip(NAMES, values, strict=True):
                lines.append(f'nvidia_smi_{name}{{gpu="{index}",uuid="{uuid}"}} {value}\n')
        body = "".join(lines).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
