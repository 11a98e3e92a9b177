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


class Modulation(nn.Linear):
    """Scales and shifts of a description, at first 1 and 0 for all, in whatever order a network's layers are reset."""

    def reset_parameters(self) -> None:
        super().reset_parameters()  # so that the random numbers of the layers after it are those after any linear layer
        nn.init.zeros_(self.weight)
        with torch.no_grad():
            self.bias.copy_(torch.arange(self.out_features) < self.out_features // 2)


class ConditionalBatchNorm2d(nn.BatchNorm2d):
    """Maps (B, C, H, W) and descriptions (B, D) → (B, C, H, W)."""

    def __init__(self, num_features: int, *, description_size: int):
        super().__init__(num_features, affine=False)
        self.modulation = Modulation(description_size, 2 * num_features)  # at first plain batch normalisation

    def forward(self, x: Tensor, description: Tensor) -> Tensor:
        """Raises ``ValueError`` for other numbers of dimensions or features, or of samples and descriptions."""
        self._check_input_dim(x)
        fits = description.ndim == 2 and description.shape[1] == self.modulation.in_features
        if x.shape[1] != self.num_features or not fits or description.shape[0] != x.shape[0]:
            raise ValueError(
                f"expected (B, {self.num_features}, H, W) and descriptions (B, {self.modulation.in_features}), got "
                f"{tuple(x.shape)} and {tuple(description.shape)}"
            )
        with full_precision(x):
            description = description.to(self.modulation.weight.dtype)
            scale, shift = self.modulation(description).chunk(2, dim=1)  # (B, C) each
            linear = not self.training and self.running_mean is not None  # then one pass over the maps does both
            if linear:
                scale = scale * (self.running_var + self.eps).rsqrt()
                shift = shift - scale * self.running_mean
            scale, shift = (part.to(x.dtype)[..., None, None] for part in (scale, shift))
        return torch.addcmul(shift, x if linear else super().forward(x), scale)
