"""Batch normalisation whose scale and shift follow a description of the sample.

    y = γ(d) · (x − mean) / deviation + β(d),        (γ, β) linear in the description d

A grey picture and a coloured one leave different maps behind a shared convolution, and one scale and shift for
all are a compromise between them. Here each sample gets its own. It starts as plain batch normalisation, all
weights of the description being zero, and costs no convolution.

Sources: conditional batch normalisation (de Vries et al., NeurIPS 2017, section 3), feature-wise linear
modulation (FiLM, Perez et al., AAAI 2018). Their descriptions are questions about the picture; in
``AdaptiveVGG19`` it is which channels there are.
"""

import torch
from torch import Tensor, nn

from models.precision import full_precision


class ConditionalBatchNorm2d(nn.BatchNorm2d):
    """Maps (B, C, H, W) and descriptions (B, D) → (B, C, H, W)."""

    def __init__(self, num_features: int, *, description_size: int):
        super().__init__(num_features, affine=False)
        self.modulation = nn.Linear(description_size, 2 * num_features)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Plain batch normalisation: a scale of 1 and a shift of 0, whatever the description."""
        super().reset_parameters()
        if hasattr(self, "modulation"):  # the base class calls this before there is one
            nn.init.zeros_(self.modulation.weight)
            with torch.no_grad():
                self.modulation.bias.copy_(torch.arange(2 * self.num_features) < self.num_features)

    def forward(self, x: Tensor, description: Tensor) -> Tensor:
        with full_precision(x):
            description = description.to(self.modulation.weight.dtype)
            scale, shift = self.modulation(description).chunk(2, dim=1)  # (B, C) each
            if not self.training:  # normalising is linear then, so that one pass over the maps does both
                scale = scale * (self.running_var + self.eps).rsqrt()
                shift = shift - scale * self.running_mean
            scale, shift = (part.to(x.dtype)[..., None, None] for part in (scale, shift))
        return torch.addcmul(shift, super().forward(x) if self.training else x, scale)
