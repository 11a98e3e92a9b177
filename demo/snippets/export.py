import json

import numpy as np
import onnxruntime  # pip install onnx onnxscript onnxruntime

from models import load_model
from models.export import export_onnx

export_onnx(load_model("adaptive_vgg19"), "adaptive_vgg19.onnx")

session = onnxruntime.InferenceSession("adaptive_vgg19.onnx")  # needs neither PyTorch nor this code
about = session.get_modelmeta().custom_metadata_map
config = json.loads(about["config"])
print(about["usage"])  # how to resize pictures, and how logits become probabilities

size = config["input_size"]
for wavelengths_um in ([0.665, 0.842], [0.49, 0.56, 0.665, 0.74, 0.842]):  # any number of channels, in µm
    images = np.random.rand(1, len(wavelengths_um), size, size).astype(np.float32)  # values in 0..1
    (logits,) = session.run(None, {"images": images, "wavelengths_um": np.float32(wavelengths_um)})
    print(config["class_names"][logits[0].argmax()])
