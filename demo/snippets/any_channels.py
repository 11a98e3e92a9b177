import torch
from PIL import Image

from models import load_model, select_channels

model = load_model("adaptive_vgg19")
picture = Image.open("demo/examples/lion.jpg")
x = model.config.preprocess(picture).unsqueeze(0)  # (1, 3, S, S)
x = x.to(next(model.parameters()).device)

with torch.inference_mode():
    by_name = model(select_channels(x, "RB"), "RB")
    by_wavelength = model(select_channels(x, "RB"), wavelengths_um=[0.665, 0.490])  # in µm, None for unknown
    attention = model.kernel_attention(select_channels(x, "RB"), "RB")

print(model.config.class_names[by_name.argmax()], torch.allclose(by_name, by_wavelength))
print(attention.shape)  # (1, 2, K): what each kernel takes from each channel, sums to 1
