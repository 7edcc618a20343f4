"""Images as cameras and programs for print write them, and the pixels that Pillow makes of them:
turned by EXIF or XMP, thinned colours, inks (CMYK, YCCK), RGB inside JPEG, PNG of 16 bits.

    python make_photos.py FOLDER        (pillow, numpy, safetensors)
"""
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file

OUT = Path(sys.argv[1])
OUT.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(11)
ORIENTATION = 0x0112


def noisy(height, width, channels):
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 4 + c) * 70 + np.cos(y / 6 - 2 * c) * 55 + 128 for c in range(channels)]
    return np.clip(np.stack(waves, -1) + rng.normal(0, 12, (height, width, channels)), 0, 255).astype(np.uint8)


def exif_of(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def adobe_transform(file, transform):
    """Changes what the Adobe marker says of the colours."""
    data = bytearray(file.read_bytes())
    data[data.index(b"Adobe") + 11] = transform
    file.write_bytes(data)


def without_marker(file, marker):
    data = file.read_bytes()
    at = data.index(bytes([0xFF, marker]))
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    file.write_bytes(data[:at] + data[at + 2 + length :])


rgb = Image.fromarray(noisy(21, 37, 3))
for orientation in range(1, 9):
    rgb.save(OUT / f"turned{orientation}.jpg", quality=90, exif=exif_of(orientation))
rgb.save(OUT / "turned6.png", exif=exif_of(6))
xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
rgb.save(OUT / "xmp8.jpg", quality=90, xmp=xmp)
entries = b"\x00\x01" + (0x0112).to_bytes(2, "big") + b"\x00\x03\x00\x00\x00\x01\x00\x03\x00\x00" + bytes(4)
rgb.save(OUT / "motorola3.jpg", quality=90, exif=b"Exif\0\0MM\x00\x2a\x00\x00\x00\x08" + entries)

for name, subsampling in (("444", "4:4:4"), ("422", "4:2:2"), ("420", "4:2:0")):
    rgb.save(OUT / f"thinned{name}.jpg", quality=85, subsampling=subsampling)
Image.fromarray(noisy(35, 3, 3)).save(OUT / "narrow.jpg", quality=85, subsampling="4:2:0")
rgb.save(OUT / "progressive420.jpg", quality=85, subsampling="4:2:0", progressive=True)
rgb.save(OUT / "restarts.jpg", quality=85, subsampling="4:2:0", restart_marker_blocks=2)
rgb.save(OUT / "plain_rgb.jpg", quality=90, keep_rgb=True)

inks = Image.fromarray(noisy(21, 37, 4), "CMYK")
inks.save(OUT / "cmyk.jpg", quality=92, subsampling="4:4:4")
inks.save(OUT / "ycck.jpg", quality=92, subsampling="4:4:4")
adobe_transform(OUT / "ycck.jpg", 2)
inks.save(OUT / "cmyk_unmarked.jpg", quality=92, subsampling="4:4:4")
without_marker(OUT / "cmyk_unmarked.jpg", 0xEE)
inks.save(OUT / "cmyk_turned.jpg", quality=92, subsampling="4:4:4", exif=exif_of(5))

grey16 = (noisy(9, 11, 1)[..., 0].astype(np.uint16) * 5) + rng.integers(0, 60, (9, 11), dtype=np.uint16)
Image.fromarray(grey16).save(OUT / "grey16.png")
Image.fromarray(noisy(9, 11, 2), "LA").save(OUT / "grey_alpha.png")
palette = Image.fromarray(noisy(9, 11, 3)).quantize(9)
palette.save(OUT / "palette_transparent.png", transparency=3)
palette.save(OUT / "palette2.png", bits=4)

expected = {}
for file in sorted(OUT.glob("*.png")) + sorted(OUT.glob("*.jpg")):
    image = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    expected[file.name] = np.ascontiguousarray(np.asarray(image))
save_file(expected, OUT / "expected.safetensors")
