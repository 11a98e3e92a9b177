import torch
from PIL import Image

from models import load_model, select_channels

model = load_model("dynamic_vgg19")  # or vgg19, adaptive_vgg19, compact, resnet34, a folder, "user/repo"
picture = Image.open("demo/examples/lion.jpg")
x = model.config.preprocess(picture).unsqueeze(0)  # (1, 3, S, S)
x = x.to(next(model.parameters()).device)

with torch.inference_mode():
    logits, attention = model(select_channels(x, "RG"), channels="RG", return_attention=True)

best = model.config.probabilities(logits, len("RG"))[0].topk(5)
for share, index in zip(best.values, best.indices, strict=True):
    print(f"{share:6.1%}  {model.config.class_names[index]}")
print(attention.shape)  # (1, 16, K): kernel weights of each layer, rows sum to 1
