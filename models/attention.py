"""Self-attention over the positions of a map.

Zhang et al., "Self-Attention Generative Adversarial Networks", ICML 2019, section 3, as the
study uses it (Task 2): softmax(Q Kᵀ) unscaled, out = γ · (attention · V) + x, γ learned and
starting at 0. Sizes: N = H·W positions, D = C/8 query channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention2d(nn.Module):
    """(B, C, H, W) → the same shape, for C of at least 8."""

    def __init__(self, channels: int):
        super().__init__()
        if channels < 8:
            raise ValueError(f"channels must be at least 8 (queries have channels // 8), got {channels}")
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (tokens(conv(x)) for conv in (self.query, self.key, self.value))
        # The kernels that never hold the N x N matrix want contiguous tokens and queries as wide
        # as values; zeros added to both queries and keys leave their products unchanged.
        pad = (0, v.shape[-1] - q.shape[-1])
        y = F.scaled_dot_product_attention(F.pad(q, pad), F.pad(k, pad), v, scale=1.0)  # (B, 1, N, C)
        return self.gamma * y.squeeze(1).transpose(1, 2).reshape_as(x) + x

    def attention_at(self, x: Tensor, positions: Tensor) -> Tensor:
        """Where the given positions look: (B, P, H, W), each map summing to 1.

        ``positions`` is (P, 2), integer (row, column) on the H x W map; ``IndexError`` outside it.
        """
        H, W = x.shape[2:]
        positions = torch.as_tensor(positions, device=x.device).reshape(-1, 2)
        rows, columns = positions.unbind(1)
        if ((positions < 0) | (positions >= positions.new_tensor([H, W]))).any():
            raise IndexError(f"positions must be (row, column) within {H} x {W}, got {positions.tolist()}")
        q = self.query(x)[:, :, rows, columns].transpose(1, 2)  # (B, P, D)
        scores = q @ self.key(x).flatten(2)  # (B, P, N)
        return scores.softmax(-1).unflatten(2, (H, W))


def tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B, 1 head, N, C), contiguous."""
    return x.flatten(2).transpose(1, 2).unsqueeze(1).contiguous()
