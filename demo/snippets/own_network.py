import torch
from torchvision.models import resnet18

from models import AnyChannels, set_temperature, to_dynamic

network = AnyChannels(resnet18(num_classes=10), bands="B,G,R,0.74,NIR")  # torchvision's, timm's or yours
logits, attention = network(torch.randn(4, 2, 64, 64), "R+NIR", return_attention=True)
print(attention.shape)  # (4, 2, K): what each of the K kernels takes from each channel

dynamic = to_dynamic(resnet18(num_classes=10), num_kernels=4)  # each convolution: attention over four kernels
set_temperature(dynamic, 30)  # lower it to 1 over the first epochs of your training loop
print(logits.shape, dynamic(torch.randn(4, 3, 64, 64)).shape)
