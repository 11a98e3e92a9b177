import torch

# in a clone of this project; on GitHub: torch.hub.load("OWNER/REPO", "compact", pretrained=True)
model = torch.hub.load(".", "compact", pretrained=True, source="local")
print(f"{sum(p.numel() for p in model.parameters()):,} parameters, γ = {model.gamma:+.3f}")
