"""Records as the measurements write them, made up."""

STUDY = {
    "kind": "study",
    "data": "other data",
    "task1": {name: {"RGB": [0.3] * 4} for name in ("vgg19", "dynamic_vgg19")},
    "task2": {name: {"RGB": [value] * 4} for name, value in (("compact", 0.4311), ("resnet34", 0.4778))},
    "ablation_num_kernels": {"3": 0.5632, "4": 0.5644},
}


def ablation(variant: str, seed: int, accuracy: float, *, name: str = "kernels", **more) -> dict:
    dynamic = name != "blocks"
    record = {
        "kind": "ablation",
        "ablation": name,
        "variant": variant,
        "model": "dynamic_vgg19" if dynamic else "compact",
        "seed": seed,
        "settings": {"image_size": "32", "init_from": "vgg19" if dynamic else None},
        "epochs": 2,
        "data": "pictures",
        "images": 23998,
        "val_accuracy": accuracy,
        "val_images": 2000,
    }
    entropy = {"attention_entropy": {"layers": [0.9] * 16, "mean": 0.9 + seed / 100}} if dynamic else {}
    return record | entropy | more
