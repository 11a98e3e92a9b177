"""Checkpoint folders of a few classes, as ``train.run`` leaves them."""

import torch

from models import ChannelAdaptiveConv2d, ModelConfig, build_model, save_checkpoint


def make_checkpoint(name, folder, *, bands=(), arguments=None, **options):
    """A checkpoint of ``name`` whose batch statistics are not the initial ones, maybe for a sensor's bands."""
    torch.manual_seed(0)
    model = build_model(name, num_classes=5, **arguments or {})
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    for layer in model.modules():
        if isinstance(layer, ChannelAdaptiveConv2d) and layer.own_kernels:
            torch.nn.init.normal_(layer.weight, std=0.2)  # half of it is zero at first
    gamma = dict(model.named_parameters()).get("branches.attention.gamma")
    if gamma is not None:
        gamma.data.fill_(0.3)
    training = {"data_root": "/home/someone/data/pictures", "run_dir": "/home/someone/runs/tiny", "images": 1234}
    training |= {"image_size": "32", "epochs": 3, "lr": 0.1, "optimizer": "sgd", "init_from": None}
    model.config = ModelConfig(
        model=name,
        arguments=model.arguments,
        class_names=("ant", "bee", "cat", "dog", "elk"),
        input_size=32,
        training=training,
        metrics={"val_accuracy": 0.4321, "epoch": 3},
    )
    if bands:
        model.config = model.config.for_bands(bands)
    save_checkpoint(model, folder, **options)
    return folder
