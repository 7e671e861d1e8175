"""Runs PyTorch Geometric for the benchmark of layers: one JSON command a line on stdin, one JSON reply a line on stdout.

"load" reads weights, graph and features and makes the layer; "run" times a forward pass, after some that warm up, in
each form in which PyTorch Geometric takes a graph (edges, and compressed sparse rows where the layer has a fused product
for them), and writes the rows to a file if one is named.
"""

import json
import sys
import time
import warnings

import torch
from safetensors.torch import load_file, save_file
from torch_geometric.nn import GATConv, GCNConv, GINConv, SAGEConv
from torch_geometric.utils import softmax, to_torch_csr_tensor

warnings.simplefilter("ignore")


class RuVector(torch.nn.Module):
    """`RuVectorDescription` with one hop, over all edges at once. The graph has no loops here."""

    def __init__(self, width, output, heads):
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(width, heads, batch_first=True)
        self.lin = torch.nn.Linear(width, output)
        self.heads = heads

    def forward(self, x, edges):
        nodes = torch.arange(len(x))
        sources, targets = torch.cat([edges[0], nodes]), torch.cat([edges[1], nodes])
        projected = torch.nn.functional.linear(x, self.attention.in_proj_weight, self.attention.in_proj_bias)
        query, key, value = projected.view(len(x), 3, self.heads, -1).unbind(1)
        logits = (query[targets] * key[sources]).sum(-1) / query.shape[-1] ** 0.5
        shares = softmax(logits, targets, num_nodes=len(x))
        messages = value[sources] * shares[..., None]
        found = torch.zeros_like(query).index_add_(0, targets, messages)
        return self.lin(x + self.attention.out_proj(found.flatten(1)))


def layer_of(name, width):
    linear = torch.nn.Linear
    return {
        "gcn": lambda: GCNConv(width, width),
        "graphsage": lambda: SAGEConv(width, width),
        "gat": lambda: GATConv(width, width // 4, heads=4),
        "gin": lambda: GINConv(torch.nn.Sequential(linear(width, width), torch.nn.ReLU(), linear(width, width))),
        "ruvector": lambda: RuVector(width, width, 1),
        "ruvector4": lambda: RuVector(width, width, 4),
    }[name]()


class Loaded:
    def __init__(self, name, file):
        tensors = load_file(file)
        self.x, edges = tensors["x"], tensors["edges"].long()
        self.layer = layer_of(name, self.x.shape[1]).eval()
        prefix = "layers.0."
        parameters = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        missing, unexpected = self.layer.load_state_dict(parameters, strict=False)
        # GIN's epsilon is a buffer of its own, 0, where it is not trained.
        if unexpected or [name for name in missing if name != "eps"]:
            raise ValueError(f"parameters do not fit: missing {missing}, unexpected {unexpected}")
        self.graphs = {"edges": edges}
        if name in ("gcn", "graphsage", "gin"):
            # A sparse tensor is the matrix by target: its product with features is the sum over sources.
            size = (len(self.x), len(self.x))
            self.graphs["rows"] = to_torch_csr_tensor(edges.flip(0), size=size)

    @torch.inference_mode()
    def run(self, form, warm):
        graph = self.graphs[form]
        for _ in range(warm):
            self.layer(self.x, graph)
        start = time.perf_counter()
        out = self.layer(self.x, graph)
        return (time.perf_counter() - start) * 1e3, out


def main():
    torch.set_num_threads(int(sys.argv[1]))
    loaded = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["op"] == "load":
                loaded = Loaded(command["layer"], command["file"])
                reply = {"forms": list(loaded.graphs)}
            else:
                reply = {}
                for form in loaded.graphs:
                    reply[form], out = loaded.run(form, command.get("warm", 0))
                    if command.get("save"):
                        save_file({"out": out}, f"{command['save']}-{form}")
        except Exception as error:
            reply = {"error": repr(error)}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
