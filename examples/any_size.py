"""Uses model.anysize.onnx with onnxruntime and Pillow alone: nothing of this project is imported.

    python examples/any_size.py runs/NAME/export/model.anysize.onnx image.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model, image = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
card = json.loads(session.get_modelmeta().custom_metadata_map["covid"])

grey = np.asarray(ImageOps.exif_transpose(Image.open(image)).convert("L"))
(probabilities,) = session.run(["probability"], {"image": grey[np.newaxis]})[0]

thresholds = card["thresholds"] or [max(probabilities)] * len(probabilities)
decided = {
    name
    for name, probability, threshold in zip(card["classes"], probabilities, thresholds, strict=True)
    if probability >= threshold
}
for name in card["classes"]:  # what a label implies is true as well
    decided |= set(card["implies"].get(name, [])) if name in decided else set()
for name, probability in zip(card["classes"], probabilities, strict=True):
    print(f"{name} {probability:.4f}", "yes" if name in decided else "no")
print(card["intended_use"])
