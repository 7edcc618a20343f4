"""Small images of every kind that people have, and the pixels that Pillow and a ViT preprocessor make of them.

    python make_images.py FOLDER        (pillow, numpy, safetensors)
"""
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

OUT = Path(sys.argv[1])
OUT.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(7)


def smooth(height, width, channels, noise=6, slow=1):
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 5 / slow + c) * 60 + np.cos(y / 7 / slow - c) * 50 + 128 for c in range(channels)]
    return np.clip(np.stack(waves, -1) + rng.normal(0, noise, (height, width, channels)), 0, 255).astype(np.uint8)


rgb = Image.fromarray(smooth(37, 53, 3))
rgb.save(OUT / "rgb.png")
Image.fromarray(smooth(29, 31, 1)[..., 0]).save(OUT / "grey.png")
Image.fromarray(smooth(29, 31, 4), "RGBA").save(OUT / "alpha.png")
rgb.quantize(37).save(OUT / "palette.png")
rgb.quantize(7).save(OUT / "palette4.png", bits=4)
Image.fromarray(smooth(19, 21, 1)[..., 0] > 128).save(OUT / "bits.png")
large = Image.fromarray(smooth(90, 70, 3))
large.save(OUT / "photo.jpg", quality=92, subsampling=0)
large.convert("L").save(OUT / "grey.jpg", quality=92)
# Without steep colours: decoders spread thinned ones in different ways (libjpeg smooths them).
Image.fromarray(smooth(90, 70, 3, noise=0, slow=4)).save(OUT / "subsampled.jpg", quality=92, subsampling=2)
large.save(OUT / "progressive.jpg", quality=92, subsampling=0, progressive=True)

PREPROCESSORS = {
    "bilinear": dict(size=dict(height=24, width=24), resample=2, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5]),
    "bicubic": dict(size=dict(height=24, width=32), resample=3, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]),
    "lanczos": dict(size=dict(height=24, width=24), resample=1, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5]),
    "nearest": dict(size=24, resample=0, do_normalize=False),
    "box": dict(size=24, resample=4, do_rescale=False, do_normalize=False),
    "hamming": dict(size=24, resample=5, do_normalize=False),
    "crop": dict(size=dict(shortest_edge=28), crop_size=dict(height=24, width=24), do_center_crop=True, resample=3, do_normalize=False),
    "enlarged": dict(size=dict(height=112, width=112), resample=2, do_normalize=False),
}


def pixels(image, how):
    image = image.convert("RGB")
    size = how["size"]
    if isinstance(size, int):
        size = dict(height=size, width=size)
    if "shortest_edge" in size:
        edge = size["shortest_edge"]
        w, h = image.size
        image = image.resize((edge, int(edge * h / w)) if w <= h else (int(edge * w / h), edge), how["resample"])
        crop = how["crop_size"]
        left, top = (image.width - crop["width"]) // 2, (image.height - crop["height"]) // 2
        image = image.crop((left, top, left + crop["width"], top + crop["height"]))
    else:
        image = image.resize((size["width"], size["height"]), how["resample"])
    x = np.asarray(image).astype(np.float32)
    if how.get("do_rescale", True):
        x = (x * (1 / 255)).astype(np.float32)
    if how.get("do_normalize", True):
        x = (x - np.array(how["image_mean"], np.float32)) / np.array(how["image_std"], np.float32)
    return np.ascontiguousarray(x.transpose(2, 0, 1)).astype(np.float32)


expected = {}
for file in sorted(OUT.glob("*.png")) + sorted(OUT.glob("*.jpg")):
    expected[f"rgb.{file.name}"] = np.asarray(Image.open(file).convert("RGB"))
for name, how in PREPROCESSORS.items():
    expected[f"pixels.{name}"] = pixels(Image.open(OUT / "rgb.png"), how)
save_file(expected, OUT / "expected.safetensors")
(OUT / "preprocessors.json").write_text(json.dumps(PREPROCESSORS, indent=1))
