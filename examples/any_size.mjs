// Uses model.anysize.onnx from Node: npm install onnxruntime-node sharp
//
//     node examples/any_size.mjs runs/NAME/export/model.anysize.onnx image.png

import { readFileSync } from "node:fs";
import { InferenceSession, Tensor } from "onnxruntime-node";
import sharp from "sharp";

const [model, image] = process.argv.slice(2);
const bytes = readFileSync(model);
const session = await InferenceSession.create(bytes);
// The card is the last field of the file, so its JSON runs to the file's end.
const card = JSON.parse(bytes.subarray(bytes.lastIndexOf('{"format"')).toString("utf8"));

const { data, info } = await sharp(image)
  .rotate() // as EXIF has it
  .flatten({ background: "black" })
  .toColourspace("srgb")
  .raw()
  .toBuffer({ resolveWithObject: true });
const grey = new Uint8Array(info.width * info.height);
for (let pixel = 0; pixel < grey.length; pixel++) {
  const [red, green, blue] = data.subarray(pixel * info.channels, pixel * info.channels + 3);
  grey[pixel] = info.channels < 3 ? red : Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
}

const pixels = new Tensor("uint8", grey, [1, info.height, info.width]);
const { probability } = await session.run({ image: pixels }, ["probability"]);
const probabilities = Array.from(probability.data);
const highest = Math.max(...probabilities);
const thresholds = card.thresholds ?? card.classes.map(() => highest);
const decided = new Set(card.classes.filter((_, place) => probabilities[place] >= thresholds[place]));
for (const name of card.classes) {
  // What a label implies is true as well.
  if (decided.has(name)) (card.implies[name] ?? []).forEach((other) => decided.add(other));
}
card.classes.forEach((name, place) => {
  console.log(`${name} ${probabilities[place].toFixed(4)} ${decided.has(name) ? "yes" : "no"}`);
});
console.log(card.intended_use);
