"""Second derivatives of the convolutions that have a backward pass of their own.

Their backward passes are written for speed and are no graph. Where a graph of the gradients is asked for
(``create_graph=True``: gradient penalties, Hessians), the convolution is repeated by the ``grouped`` method, of which
PyTorch can make one.
"""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor


def twice_differentiable(backward: Callable) -> Callable:
    """A ``backward(ctx, grad)`` for ``x``, ``attention``, ``weight`` and ``ctx.geometry`` that also gives a graph."""

    @wraps(backward)
    def either(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        return graph_of_gradients(ctx, grad) if torch.is_grad_enabled() else backward(ctx, grad)

    return either


def graph_of_gradients(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients of ``x``, ``attention`` and ``weight``, None where none is needed, and None for the geometry."""
    from models.mixture import grouped  # it needs this module for its own methods

    # Views, since the attention itself comes from x: only the convolution's own share of the gradients is wanted.
    x, attention, weight = (tensor.view_as(tensor) for tensor in ctx.saved_tensors)
    y = grouped(x.to(weight.dtype), attention, weight, ctx.geometry)
    needed = [tensor for tensor, asked in zip((x, attention, weight), ctx.needs_input_grad, strict=False) if asked]
    found = iter(torch.autograd.grad(y, needed, grad.to(y.dtype), create_graph=True))
    return (*[next(found) if asked else None for asked in ctx.needs_input_grad[:3]], None)
