"""Makes test/fixtures/npy: arrays as NumPy itself writes them, and their numbers (expected.json).

Needs numpy. Usage: python test/scripts/make_npy.py
"""

import json
import pathlib

import numpy as np

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "npy"


def main():
    OUT.mkdir(exist_ok=True)
    expected = {}

    def save(name, array):
        np.save(OUT / f"{name}.npy", array)
        expected[name] = {"shape": list(array.shape), "numbers": [float(x) for x in array.flatten("C")]}

    base = np.arange(24).reshape(2, 3, 4) - 5
    for code in ["f2", "f4", "f8", "i1", "i2", "i4", "i8"]:
        save(code, (base if code[0] == "i" else base / 4).astype(f"<{code}"))
    for code in ["u1", "u2", "u4", "u8"]:
        save(code, np.abs(base).astype(f"<{code}"))
    save("b1", base > 3)
    save("fortran", np.asfortranarray(base.astype("<f4")))
    save("fortran_matrix", np.asfortranarray(base.reshape(6, 4).astype("<f8")))
    save("fortran_wide", np.asfortranarray(base.reshape(2, 1, 12).astype("<i8")))
    save("row", np.arange(3.0))
    save("empty", np.zeros((0, 4)))
    save("scalar", np.array(2.5))
    with open(OUT / "version2.npy", "wb") as file:
        np.lib.format.write_array(file, base.astype("<f4"), version=(2, 0))
    expected["version2"] = {"shape": [2, 3, 4], "numbers": [float(x) for x in base.flatten()]}
    np.save(OUT / "big_endian.npy", base.astype(">f4"))
    np.save(OUT / "pickled.npy", np.array([{"a": 1}], dtype=object))
    np.save(OUT / "texts.npy", np.array(["cat", "dog"]))
    np.save(OUT / "bytes.npy", np.array([b"cat"]))
    np.save(OUT / "complex.npy", np.zeros(2, "<c8"))
    np.save(OUT / "times.npy", np.zeros(2, "<M8[s]"))
    np.save(OUT / "records.npy", np.zeros(2, [("a", "<f4"), ("b", "<i4")]))
    np.save(OUT / "long_double.npy", np.zeros(2, np.longdouble))
    features = np.asfortranarray(np.arange(12).reshape(4, 3) / 8)
    classes = np.array([0, 1, 1, 0])
    targets = (np.arange(8).reshape(4, 2) / 2).astype("<f4")
    np.savez(OUT / "classes.npz", features=features, labels=classes)
    np.savez_compressed(OUT / "targets.npz", features=features.astype("<f4"), labels=targets)
    np.savez(OUT / "only_features.npz", features=features)
    np.save(OUT / "train_features.npy", features)
    np.save(OUT / "train_labels.npy", classes)
    (OUT / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
