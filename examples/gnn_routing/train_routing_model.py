#!/usr/bin/env python3
"""Trains a model that scores the links of a search, from the trajectories that `redknot trajectories` wrote.

    redknot features     photos.redknot --compute
    redknot trajectories photos.redknot --queries log.npy --out paths
    python train_routing_model.py paths --out routing.onnx
    python train_routing_model.py paths --model linear --out routing.json
    python train_routing_model.py paths --model projection --out router.onnx

`--model gat` and `--model mlp` write an ONNX file with the inputs node_features [1, node_dim], edge_features [E, edge_dim]
and query [1, dim] and the output edge_scores [E], shares from 0 to 1; `--model linear` writes the weights of
`redknot::online::LinearScorer` as JSON; `--model projection` writes the projections of a key router, for
`redknot router photos.redknot --import router.onnx`. docs/TRAJECTORIES.md describes the input, docs/ONNX.md the files.

Needs torch and numpy; for ONNX also onnx and onnxscript, and onnxruntime to check the file that was written.
"""

import argparse
import json
import pathlib
import time
import typing

import numpy
import torch
from torch import nn
from torch.nn import functional

FORMAT = 1
NUMBERS = 4  # of a node beside its vector, and of an edge
STEPS = [0.2, 0.25, 0.3, 0.37, 0.45, 0.55, 0.7, 0.85, 1.0, 1.1]  # tried for a slot of a key, in standard deviations
FAR = 20.0  # a target so many times as far from the query as the node is as bad as any that is farther


class Trajectories:
    """The files of one export, mapped."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        if not (folder / "meta.json").exists():
            raise SystemExit(f"{folder} has no meta.json: the export is missing or was not finished")
        self.meta = json.loads((folder / "meta.json").read_text())
        if self.meta["format"] != FORMAT:
            raise SystemExit(f"{folder} has format {self.meta['format']}, expected {FORMAT}")
        load = lambda name: numpy.load(folder / f"{name}.npy", mmap_mode="r")
        dim = self.meta["dim"]
        self.queries = load("queries").reshape(-1, dim)
        self.vectors = load("vectors").reshape(-1, dim)
        self.step_query = load("step_query")
        self.step_numbers = load("step_numbers").reshape(-1, NUMBERS)
        self.step_start = load("step_start").astype(numpy.int64)
        self.edge_numbers = load("edge_numbers").reshape(-1, NUMBERS)
        self.edge_distance = load("edge_distance")
        self.edge_label = load("edge_label")
        nodes = load("nodes")
        # Rows of `vectors`.
        self.step_node = numpy.searchsorted(nodes, load("step_node"))
        self.edge_target = numpy.searchsorted(nodes, load("edge_target"))

    def steps(self, queries):
        """The steps of these queries that have links both to follow and to leave."""
        count = numpy.diff(self.step_start)
        right = numpy.diff(numpy.concatenate([[0], numpy.cumsum(self.edge_label, dtype=numpy.int64)])[self.step_start])
        worth_it = (count > 1) & (right > 0) & (right < count) & numpy.isin(self.step_query, queries)
        return numpy.flatnonzero(worth_it)

    def batch(self, steps, device):
        """Tensors of some steps, their links padded to the same number."""
        start, end = self.step_start[steps], self.step_start[steps + 1]
        width = int((end - start).max())
        places = start[:, None] + numpy.arange(width)
        mask = places < end[:, None]
        places = numpy.where(mask, places, start[:, None])
        node = numpy.concatenate([self.vectors[self.step_node[steps]], self.step_numbers[steps]], axis=1)
        edges = numpy.concatenate([self.edge_numbers[places], self.vectors[self.edge_target[places]]], axis=2)
        arrays = (node, edges, self.queries[self.step_query[steps]], self.edge_label[places].astype(numpy.float32),
                  self.edge_distance[places], mask)
        return tuple(torch.from_numpy(numpy.ascontiguousarray(array)).to(device) for array in arrays)


def scales(trajectories, steps):
    """What models need not learn: mean and standard deviation of the numbers of nodes and edges, the mean vector, and
    the standard deviation of coordinates."""
    sample = steps[:: max(1, len(steps) // 20000)]
    start = trajectories.step_start[sample]
    parts = (trajectories.step_numbers[sample], trajectories.edge_numbers[start])
    numbers = [torch.tensor(numpy.stack([part.mean(0), part.std(0) + 1e-6])) for part in parts]
    vectors = trajectories.vectors[:: max(1, len(trajectories.vectors) // 10000)]
    center = vectors.mean(0)
    return *numbers, torch.tensor(center), torch.tensor((vectors - center).std() + 1e-12)


class Inputs(nn.Module):
    """What the models are shown: numbers in units of their spread, and vectors through learned projections, in which
    the target and the node are compared with the query."""

    def __init__(self, dim, hidden, scales):
        super().__init__()
        self.dim = dim
        node_scale, edge_scale, center, spread = scales
        self.register_buffer("node_scale", node_scale)
        self.register_buffer("edge_scale", edge_scale)
        self.register_buffer("center", center)
        self.register_buffer("spread", spread)
        self.project = nn.Linear(dim, hidden, bias=False)
        self.combine = nn.Linear(4 * hidden + 2 + 2 * NUMBERS, hidden)

    def forward(self, node, edges, query):
        vector, numbers = node[:, : self.dim], node[:, self.dim :]
        numbers = (numbers - self.node_scale[0]) / self.node_scale[1]
        lengths = (edges[:, :, :NUMBERS] - self.edge_scale[0]) / self.edge_scale[1]
        project = lambda vectors: self.project((vectors - self.center) / self.spread)
        target, here, goal = project(edges[:, :, NUMBERS:]), project(vector)[:, None], project(query)[:, None]
        off, off_here = target - goal, here - goal
        far_here = (off_here * off_here).sum(2, keepdim=True) + 1e-6
        # How much nearer a link leads, in all directions and each. Beside the query everything is far, and equally bad.
        nearer = off * off / far_here
        quotient = nearer.sum(2, keepdim=True).clamp(max=FAR)
        nearer = nearer.clamp(max=FAR)
        same = torch.ones_like(quotient)
        shown = [nearer, target * goal, off_here * same, goal * same,
                 quotient, torch.log(quotient + 1e-6), lengths, numbers[:, None] * same]
        return self.combine(torch.cat(shown, dim=2)), quotient


class Attention(nn.Module):
    """One layer of attention (Veličković et al. 2018; scaled dot products as in Vaswani et al. 2017) over the links of a
    node, followed by a small network; both added to their input."""

    def __init__(self, hidden, heads):
        super().__init__()
        self.heads, self.width = heads, hidden // heads
        self.mix = nn.Linear(hidden, 3 * hidden)
        self.join = nn.Linear(hidden, hidden)
        self.before, self.between = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.network = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, hidden))

    def forward(self, x, mask):
        batch, edges, hidden = x.shape
        parts = self.mix(self.before(x)).reshape(batch, edges, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        logits = parts[0] @ parts[1].transpose(2, 3) / self.width**0.5
        if mask is not None:
            logits = logits.masked_fill(~mask[:, None, None, :], -1e9)
        x = x + self.join((logits.softmax(3) @ parts[2]).transpose(1, 2).reshape(batch, edges, hidden))
        return x + self.network(self.between(x))


class Scorer(nn.Module):
    """Logits of the links of a node: `layers` of attention over them, or of a network that sees one at a time."""

    def __init__(self, options, dim, scales):
        super().__init__()
        self.inputs = Inputs(dim, options.hidden, scales)
        if options.model == "gat":
            layers = [Attention(options.hidden, options.heads) for _ in range(options.layers)]
        else:
            layers = [nn.Sequential(nn.GELU(), nn.Linear(options.hidden, options.hidden)) for _ in range(options.layers)]
        self.layers, self.attends = nn.ModuleList(layers), options.model == "gat"
        self.output = nn.Linear(options.hidden, 1)
        self.pull = nn.Parameter(torch.tensor(1.0))

    def forward(self, node, edges, query, mask=None):
        x, quotient = self.inputs(node, edges, query)
        for layer in self.layers:
            x = layer(x, mask) if self.attends else x + layer(x)
        return (self.output(x) - self.pull * quotient).squeeze(2)


class Linear(nn.Module):
    """`LinearScorer` of redknot: linear in the numbers, and in the quotient of weighted squared gaps."""

    def __init__(self, options, dim, scales, vectors):
        super().__init__()
        self.dim = dim
        node_scale, edge_scale, *_ = scales
        self.register_buffer("node_scale", node_scale)
        self.register_buffer("edge_scale", edge_scale)
        variance = torch.tensor(numpy.asarray(vectors[:: max(1, len(vectors) // 10000)]).var(0))
        self.register_buffer("coordinates", variance.argsort(descending=True)[: min(options.gaps, dim)].sort().values)
        self.node, self.edge = nn.Linear(NUMBERS, 1), nn.Linear(NUMBERS, 1, bias=False)
        self.weights, self.pull = nn.Parameter(torch.zeros(len(self.coordinates))), nn.Parameter(torch.tensor(2.0))

    def forward(self, node, edges, query, mask=None):
        weights = functional.softplus(self.weights)
        gap = lambda x, q: (weights * (x[..., self.coordinates] - q[..., self.coordinates]) ** 2).sum(-1)
        quotient = gap(edges[:, :, NUMBERS:], query[:, None]) / (gap(node, query)[:, None] + 1e-30)
        numbers = (node[:, self.dim :] - self.node_scale[0]) / self.node_scale[1]
        lengths = (edges[:, :, :NUMBERS] - self.edge_scale[0]) / self.edge_scale[1]
        logits = self.node(numbers) + self.edge(lengths).squeeze(2)
        return logits - functional.softplus(self.pull) * quotient

    def weights_as_json(self):
        """The weights with the scales multiplied in."""
        node, edge = self.node.weight[0] / self.node_scale[1], self.edge.weight[0] / self.edge_scale[1]
        bias = self.node.bias[0] - (node * self.node_scale[0]).sum() - (edge * self.edge_scale[0]).sum()
        weights = functional.softplus(self.weights).tolist()
        gaps = [{"coordinate": j, "weight": w} for j, w in zip(self.coordinates.tolist(), weights)]
        return {"dim": self.dim, "bias": bias.item(), "node": [0.0] * self.dim + node.tolist(), "edge": edge.tolist(),
                "pull": functional.softplus(self.pull).item(), "gaps": gaps}


def kept_of(x, step):
    """What a slot keeps of coordinates: the nearest of four levels. A step of 0 keeps nothing."""
    return ((x / step.clamp(min=1e-30)).floor().clamp(-2, 1) + 0.5) * step


class Projection(nn.Module):
    """The projections of a key router, and the estimates of squared distances that its keys yield (`KeyModel` of redknot;
    lambda is 0, since the trajectories have no means of neighbours).

    All principal axes together would keep every distance: what loses the order are the slots of a key, of two bits each.
    So the projections learn through the slots, which pass gradients on unchanged (Bengio et al. 2013). What a file of
    projections does not hold, slots and kappa, an import fits to the collection in much the same way."""

    def __init__(self, vectors):
        super().__init__()
        vectors = torch.tensor(vectors[:: max(1, len(vectors) // 20000)])
        dim = vectors.shape[1]
        self.register_buffer("mean", vectors.mean(0))
        self.register_buffer("sample", vectors - self.mean, persistent=False)
        # Of a key as redknot makes it by default; two of its bytes are the bias, each other one holds four slots.
        self.slots = ((32 if dim <= 128 else 64) - 2) * 4
        axes = torch.linalg.eigh(self.sample.T @ self.sample).eigenvectors.flip(1).T
        axes = axes[self.fill_slots(axes)[0] > 0]
        self.nodes, self.queries = nn.Parameter(axes), nn.Parameter(axes.clone())
        self.kappa = nn.Parameter(torch.tensor(0.3))
        self.eval()

    def train(self, mode=True):
        """Judging fills the slots anew, since an import will; they stay while projections learn."""
        if not mode:
            self.steps = self.fill_slots(self.nodes)
        return super().train(mode)

    @torch.no_grad()
    def fill_slots(self, nodes):
        """Steps of the first slots of all coordinates, of the second ones, and so on; 0 where there is none. Each slot goes
        to the coordinate with the largest variance left, with the step that leaves the least of it."""
        left = (self.sample @ nodes.T).T.contiguous()
        variances = left.square().mean(1)
        steps = [[] for _ in left]
        for _ in range(self.slots):
            at = int(variances.argmax())
            tried = torch.tensor(STEPS, device=left.device)[:, None] * variances[at].sqrt()
            rest = left[at] - kept_of(left[at], tried)
            best = int(rest.square().mean(1).argmin())
            steps[at].append(tried[best].item())
            left[at] = rest[best]
            # A slot that helps no further must not be chosen for ever.
            variances[at] = min(rest[best].square().mean(), 0.9999 * variances[at])
        depth = max(map(len, steps))
        return torch.tensor([row + [0.0] * (depth - len(row)) for row in steps], device=left.device).T

    def forward(self, node, edges, query, mask=None):
        """Estimates of the squared distances of the links' targets from the query, less what all links share."""
        x, q = edges[:, :, NUMBERS:] - self.mean, query - self.mean
        coordinates = x @ self.nodes.T
        kept = torch.zeros_like(coordinates)
        for step in self.steps:
            kept = kept + kept_of(coordinates.detach() - kept, step)
        kept = coordinates + (kept - coordinates).detach()
        length = kept.square().sum(2)
        bias = length + self.kappa * (x.square().sum(2) - length)
        return bias - 2 * (kept @ (q @ self.queries.T)[:, :, None]).squeeze(2)

    def distances(self, edges, query):
        """What is estimated, less the same: the scale of a key's bias, which edge_distance has under l2 only."""
        x, q = edges[:, :, NUMBERS:] - self.mean, query - self.mean
        return x.square().sum(2) - 2 * (x @ q[:, :, None]).squeeze(2)


def loss_of_scores(model, batch, options):
    """Binary cross-entropy with the labels, and how far scores are from falling with the distance of the target: both
    centred per step, since only the order within a step matters, and weighted to the near targets."""
    node, edges, query, labels, distances, mask = batch
    logits = model(node, edges, query, mask)
    weight = mask.float()
    bce = functional.binary_cross_entropy_with_logits(logits, labels, weight, reduction="sum") / weight.sum()
    count = weight.sum(1, keepdim=True)
    nearest = distances.masked_fill(~mask, torch.inf).amin(1, keepdim=True)
    spread = ((distances - nearest) * weight).sum(1, keepdim=True) / count
    nearness = 1 / (1 + (distances - nearest) / (spread + 1e-9))
    center = lambda x: x - (x * weight).sum(1, keepdim=True) / count
    off = (center(logits.sigmoid()) - center(nearness)) ** 2 * nearness * weight
    return bce + options.consistency * off.sum() / (nearness * weight).sum(), logits


def right_links(logits, batch, options):
    """How many right links are among the --top-k with the highest scores, and how many could be there."""
    labels, mask = batch[3], batch[5]
    best = logits.masked_fill(~mask, -torch.inf).topk(min(options.top_k, logits.shape[1]), dim=1).indices
    right = labels * mask
    return right.gather(1, best).sum().item(), right.sum(1).clamp(max=options.top_k).sum().item()


def loss_of_estimates(model, batch, options):
    """How far the links that estimates choose are from those that distances do (listwise, Cao et al. 2007): the divergence
    of softmax(-estimate / t) from softmax(-distance / t). The same t on both sides keeps estimates in the unit of
    distances, which the bias of a key is in."""
    node, edges, query, _, _, mask = batch
    estimates = model(node, edges, query, mask)
    distances = model.distances(edges, query)
    nearest = distances.masked_fill(~mask, torch.inf).amin(1, keepdim=True)
    spread = ((distances - nearest) * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    chances = lambda x: (-x / (options.temperature * spread + 1e-9)).masked_fill(~mask, -1e9).log_softmax(1)
    return functional.kl_div(chances(estimates), chances(distances), reduction="batchmean", log_target=True), estimates


def ordered_pairs(estimates, batch, options):
    """How many pairs of links of a step the estimates put in the order of the distances, and how many there are."""
    distances, mask = batch[4], batch[5]
    nearer = (distances[:, :, None] < distances[:, None]) & mask[:, :, None] & mask[:, None]
    return (nearer & (estimates[:, :, None] < estimates[:, None])).sum().item(), nearer.sum().item()


class Goal(typing.NamedTuple):
    """What a model learns from and is judged by."""

    loss: typing.Callable
    count: typing.Callable
    counted: str


def evaluate(model, goal, trajectories, steps, options):
    """Loss, and the share of what is right of what could be."""
    model.eval()
    total, right, possible, batches = 0.0, 0, 0, 0
    with torch.no_grad():
        for start in range(0, len(steps), options.batch):
            batch = trajectories.batch(steps[start : start + options.batch], options.device)
            loss, outputs = goal.loss(model, batch, options)
            counts = goal.count(outputs, batch, options)
            right, possible = right + counts[0], possible + counts[1]
            total, batches = total + loss.item(), batches + 1
    model.train()
    return total / max(batches, 1), right / max(possible, 1)


def train(model, goal, trajectories, training, held_out, options):
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    random = numpy.random.default_rng(options.seed)
    state_of = lambda: {name: value.clone() for name, value in model.state_dict().items()}
    best, state, since = evaluate(model, goal, trajectories, held_out, options), state_of(), 0
    print(f"untrained: held-out loss {best[0]:.4f}, {best[1]:.1%} {goal.counted}", flush=True)
    for epoch in range(options.epochs):
        start, order = time.time(), random.permutation(training)
        for first in range(0, len(order), options.batch):
            batch = trajectories.batch(numpy.sort(order[first : first + options.batch]), options.device)
            loss, _ = goal.loss(model, batch, options)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        loss, right = evaluate(model, goal, trajectories, held_out, options)
        print(f"epoch {epoch}: held-out loss {loss:.4f}, {right:.1%} {goal.counted}, {time.time() - start:.1f} s", flush=True)
        since += 1
        if loss < best[0]:
            best, state, since = (loss, right), state_of(), 0
        if since >= options.patience:
            break
    model.load_state_dict(state)
    return best


class Exported(nn.Module):
    """The model as the contract wants it: one node, E links, shares."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, node_features, edge_features, query):
        return self.model(node_features, edge_features[None], query)[0].sigmoid()


def export_onnx(model, trajectories, figures, options):
    import onnx

    dim, model = trajectories.meta["dim"], Exported(model).cpu().eval()
    example = (torch.zeros(1, dim + NUMBERS), torch.zeros(10, dim + NUMBERS), torch.zeros(1, dim))
    names = ["node_features", "edge_features", "query"]
    edges = torch.export.Dim("num_edges", min=1, max=65536)
    program = torch.onnx.export(model, example, input_names=names, output_names=["edge_scores"], dynamo=True,
                                dynamic_shapes=({}, {0: edges}, {}), opset_version=options.opset, external_data=False)
    program.save(options.out)
    written = onnx.load(options.out)
    meta = {"redknot_format": str(FORMAT), "dim": str(dim), "redknot.metric": trajectories.meta["metric"],
            "graph_epoch": str(trajectories.meta["epoch"]), "training": json.dumps(figures)}
    onnx.helper.set_model_props(written, meta)
    onnx.checker.check_model(written)
    onnx.save(written, options.out)
    check_onnx(model, dim, options.out)


def check_onnx(model, dim, path):
    """The file gives what the model does, for several numbers of links."""
    try:
        import onnxruntime
    except ImportError:
        print("onnxruntime is not installed: the file was not run")
        return
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for edges in (1, 7, 64):
        inputs = (torch.randn(1, dim + NUMBERS), torch.randn(edges, dim + NUMBERS), torch.randn(1, dim))
        with torch.no_grad():
            expected = model(*inputs).numpy()
        named = {name: tensor.numpy() for name, tensor in zip(("node_features", "edge_features", "query"), inputs)}
        (scores,) = session.run(["edge_scores"], named)
        off = numpy.abs(scores - expected).max()
        if scores.shape != (edges,) or not off < 1e-4:
            raise SystemExit(f"{path} gives other scores than the model for {edges} links: {scores.shape}, off by {off}")
    print(f"{path}: same scores as the model")


def export_projection(model, trajectories, figures, options):
    """Writes what docs/ONNX.md asks for: the weights by name. The graph shows anybody else what they are for."""
    import onnx
    from onnx import helper, numpy_helper

    model.cpu()
    weights = {"redknot.mean": model.mean, "redknot.nodes": model.nodes, "redknot.queries": model.queries}
    weights = [numpy_helper.from_array(tensor.detach().numpy(), name) for name, tensor in weights.items()]
    coordinates, dim = model.nodes.shape
    nodes, inputs, outputs = [], [], []
    for of, output, weight in [("vectors", "coordinates", "nodes"), ("queries", "query_coordinates", "queries")]:
        nodes.append(helper.make_node("Sub", [of, "redknot.mean"], [f"centred_{of}"]))
        nodes.append(helper.make_node("Gemm", [f"centred_{of}", f"redknot.{weight}"], [output], transB=1))
        inputs.append(helper.make_tensor_value_info(of, onnx.TensorProto.FLOAT, [None, dim]))
        outputs.append(helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, [None, coordinates]))
    graph = helper.make_graph(nodes, "projection", inputs, outputs, weights)
    written = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=7)
    helper.set_model_props(written, {"redknot.kind": "projection", "redknot.lambda": "0",
                                     "redknot.metric": trajectories.meta["metric"], "training": json.dumps(figures)})
    onnx.checker.check_model(written)
    onnx.save(written, options.out)


def options_of():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trajectories", help="folder that `redknot trajectories` wrote")
    parser.add_argument("--out", required=True, help="ONNX file, or JSON with --model linear")
    parser.add_argument("--model", choices=["gat", "mlp", "linear", "projection"], default="gat")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--heads", type=int, default=4, help="of attention, which divide --hidden")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--gaps", type=int, default=32, help="coordinates that --model linear compares")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=256, help="steps of a batch")
    parser.add_argument("--max-steps", type=int, default=200000, help="steps to learn from, at most")
    parser.add_argument("--learning-rate", type=float, help="1e-3; 3e-5 for --model projection, which starts near its end")
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--consistency", type=float, default=0.1, help="weight of the distance-consistency term")
    parser.add_argument("--temperature", type=float, default=0.5,
                        help="of --model projection: the lower, the more the nearest links count")
    parser.add_argument("--held-out", type=float, default=0.1, help="share of the queries to judge by")
    parser.add_argument("--patience", type=int, default=3, help="epochs without progress before training stops")
    parser.add_argument("--top-k", type=int, default=5, help="links that the policy will follow, for the figures")
    parser.add_argument("--opset", type=int, default=18)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if options.learning_rate is None:
        options.learning_rate = 3e-5 if options.model == "projection" else 1e-3
    if options.hidden % options.heads:
        parser.error(f"--hidden {options.hidden} is no multiple of --heads {options.heads}")
    if options.opset < 18:  # LayerNormalization, which torch exports as it is
        parser.error(f"--opset {options.opset}: at least 18 is needed")
    return options


def main():
    options = options_of()
    torch.manual_seed(options.seed)
    trajectories = Trajectories(options.trajectories)
    queries = numpy.random.default_rng(options.seed).permutation(len(trajectories.queries))
    apart = max(1, round(len(queries) * options.held_out))
    held_out, training = trajectories.steps(queries[:apart]), trajectories.steps(queries[apart:])
    if len(training) == 0 or len(held_out) == 0:
        raise SystemExit("too few queries: no step is left to learn from or to judge by")
    if len(training) > options.max_steps:
        training = numpy.random.default_rng(options.seed).choice(training, options.max_steps, replace=False)
    dim = trajectories.meta["dim"]
    goal = Goal(loss_of_scores, right_links, f"of the right links among the best {options.top_k}")
    if options.model == "projection":
        model = Projection(trajectories.vectors)
        goal = Goal(loss_of_estimates, ordered_pairs, "of the pairs of links in the right order")
    elif options.model == "linear":
        model = Linear(options, dim, scales(trajectories, training), trajectories.vectors)
    else:
        model = Scorer(options, dim, scales(trajectories, training))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{options.model} of {parameters:,} weights; {len(training):,} steps to learn from, {len(held_out):,} held out")
    loss, right = train(model.to(options.device), goal, trajectories, training, held_out, options)
    figures = {"model": options.model, "steps": len(training), "held_out_steps": len(held_out), "held_out_loss": loss,
               "right": right, "right_is": f"share {goal.counted}", "seed": options.seed}
    if options.model == "linear":
        pathlib.Path(options.out).write_text(json.dumps(model.weights_as_json()) + "\n")
    elif options.model == "projection":
        export_projection(model, trajectories, figures, options)
    else:
        export_onnx(model, trajectories, figures, options)
    print(f"{options.out}: held-out loss {loss:.4f}, {right:.1%} {goal.counted}")


if __name__ == "__main__":
    main()
