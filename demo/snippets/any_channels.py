import torch
from PIL import Image

from models import load_model, select_channels

model = load_model("adaptive_vgg19")
device = next(model.parameters()).device
picture = Image.open("demo/examples/lion.jpg")
x = model.config.preprocess(picture).unsqueeze(0).to(device)  # (1, 3, S, S)
bands = model.config.open_bands("demo/examples/lion_bands.npy").values  # in 0..1; or a .tif, .tiff
y = model.config.preprocess(bands).unsqueeze(0).to(device)  # (1, 5, S, S)

with torch.inference_mode():
    by_name = model(select_channels(x, "RB"), "RB")
    by_wavelength = model(select_channels(x, "RB"), wavelengths_um=[0.665, 0.490])  # in µm, None for unknown
    of_a_file = model(y, "R,G,B,0.6125,0.525")
    attention = model.kernel_attention(select_channels(x, "RB"), "RB")

print(model.config.class_names[by_name.argmax()], torch.allclose(by_name, by_wavelength))
print(model.config.class_names[of_a_file.argmax()])
print(attention.shape)  # (1, 2, K): the share each kernel takes from each channel; sums to 1 over the channels
