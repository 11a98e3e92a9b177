"""Second derivatives of the convolutions that have a backward pass of their own.

Their backward passes are written for speed and are no graph. Where a graph of the gradients is asked for
(``create_graph=True``: gradient penalties, Hessians), and where many are asked for at once (``is_grads_batched=True``:
vectorised Jacobians), the convolution is repeated by the ``grouped`` method, of which PyTorch knows both.
"""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor


def twice_differentiable(backward: Callable) -> Callable:
    """A ``backward(ctx, grad)`` for ``x``, ``attention``, ``weight`` and ``ctx.geometry`` that also gives a graph, and
    takes a batch of ``grad``."""

    @wraps(backward)
    def either(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        graph_wanted = torch.is_grad_enabled()
        if not graph_wanted and not is_batched(grad):
            return backward(ctx, grad)
        with torch.enable_grad():
            return gradients_of_grouped(ctx, grad, create_graph=graph_wanted)

    return either


def is_batched(grad: Tensor) -> bool:
    """Whether it stands for several gradients, of which only PyTorch's own operations know."""
    return "Batched" in str(torch._C._dispatch_keys(grad))


def gradients_of_grouped(ctx, grad: Tensor, *, create_graph: bool) -> tuple[Tensor | None, ...]:
    """The gradients of ``x``, ``attention`` and ``weight``, None where none is needed, and None for the geometry."""
    from models.mixture import grouped  # it needs this module for its own methods

    # Views, since the attention itself comes from x: only the convolution's own share of the gradients is wanted.
    x, attention, weight = (tensor.view_as(tensor) for tensor in ctx.saved_tensors)
    y = grouped(x.to(weight.dtype), attention, weight, ctx.geometry)
    needed = [tensor for tensor, asked in zip((x, attention, weight), ctx.needs_input_grad, strict=False) if asked]
    found = iter(torch.autograd.grad(y, needed, grad.to(y.dtype), create_graph=create_graph))
    return (*[next(found) if asked else None for asked in ctx.needs_input_grad[:3]], None)
