"""torch.matmul and torch.normal: the peer of the kernels suite. One JSON line on stdin per question:

  {"threads": N}
  {"matmul": [m, k, n], "repeats": R}    seconds of each x[m, k] @ w[n, k]^T into preallocated memory
  {"normal": count, "repeats": R}        seconds of each fill of `count` floats
"""

import json
import sys
import time

import torch


def timed(body, repeats):
    seconds = []
    for i in range(repeats + 1):
        began = time.perf_counter()
        body()
        if i > 0:
            seconds.append(time.perf_counter() - began)
    return seconds


@torch.inference_mode()
def main():
    for line in sys.stdin:
        asked, answer = json.loads(line), {}
        if "threads" in asked:
            torch.set_num_threads(asked["threads"])
            answer = {"torch": torch.__version__}
        elif "matmul" in asked:
            m, k, n = asked["matmul"]
            x, w, y = torch.randn(m, k), torch.randn(n, k), torch.empty(m, n)
            answer = {"seconds": timed(lambda: torch.matmul(x, w.t(), out=y), asked["repeats"])}
        elif "normal" in asked:
            z = torch.empty(asked["normal"])
            answer = {"seconds": timed(z.normal_, asked["repeats"])}
        print(json.dumps(answer), flush=True)


main()
