"""snnTorch -> NIR file + recording: a digits classifier whose weights keep to espike's grid of few bits.

    pip install torch snntorch nir
    python digits.py 4          # bits of a weight; 32: floats

Not part of espike's tests: torch is too large for them. docs/snntorch.md has what it printed.
"""

import sys
from pathlib import Path

import nir
import numpy as np
import snntorch
import torch
from snntorch.export_nir import export_to_nir
from torch import nn

BITS, BURSTS, EPOCHS = int(sys.argv[1]), 25, 30
DATA = Path(__file__).resolve().parents[1] / "digits" / "digits.npz"


class Grid(torch.autograd.Function):
    """Weights to the nearest level: per row a step of max |w| / (2^(bits - 1) - 1). The gradient passes through."""

    @staticmethod
    def forward(context, weight, bits):
        most = 2 ** (bits - 1) - 1
        step = weight.abs().amax(1, keepdim=True) / most
        return torch.clamp(torch.round(weight / step), -most, most) * step

    @staticmethod
    def backward(context, gradient):
        return gradient, None


class GridLinear(nn.Linear):
    """A linear layer on the grid; `settled` is the plain layer that it is at the end."""

    def on_grid(self):
        return Grid.apply(self.weight, BITS) if BITS < 32 else self.weight

    def forward(self, x):
        return nn.functional.linear(x, self.on_grid())

    def settled(self):
        layer = nn.Linear(self.in_features, self.out_features, bias=False)
        layer.weight = nn.Parameter(self.on_grid().detach())
        return layer


def coded(pixels):
    """float32 (bursts, images, 64): espike's rate encoder, low 0, high 16 (docs/senses.md)."""
    total, bursts = np.zeros(pixels.shape), []
    for _ in range(BURSTS):
        total += pixels
        bursts.append(total >= 16)
        total -= 16 * bursts[-1]
    return torch.tensor(np.array(bursts), dtype=torch.float32)


def leaky(neurons):
    """LIF neurons; thresholds and betas per neuron, which NIR's files need."""
    return snntorch.Leaky(
        beta=torch.full((neurons,), 0.9),
        threshold=torch.ones(neurons),
        reset_mechanism="zero",
        reset_delay=False,
        init_hidden=True,
    )


def run(layers, x):
    for layer in layers[1::2]:
        layer.reset_mem()
    return torch.stack([layers(burst) for burst in x])


torch.manual_seed(0)
data = np.load(DATA)
x, x_test = coded(data["x"]), coded(data["x_test"])
y, y_test = (torch.tensor(data[name].astype(int)) for name in ("y", "y_test"))
net = nn.Sequential(GridLinear(64, 32, bias=False), leaky(32), GridLinear(32, 10, bias=False), leaky(10))
optimizer = torch.optim.Adam([net[0].weight, net[2].weight], lr=1e-2)
for _ in range(EPOCHS):
    for some in torch.randperm(len(y)).split(64):
        loss = nn.functional.cross_entropy(run(net, x[:, some]).sum(0), y[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

settled = nn.Sequential(net[0].settled(), net[1], net[2].settled(), net[3])
with torch.no_grad():
    spikes = run(settled, x_test)
print(f"{int((spikes.sum(0).argmax(1) == y_test).sum())} of {len(y_test)} right")
for layer in settled[1::2]:
    layer.reset_mem()
nir.write("digits.nir", export_to_nir(settled, x_test[0][0]))
np.savez("digits.expect.npz", input=x_test.numpy().swapaxes(0, 1), out=spikes.numpy().swapaxes(0, 1))
