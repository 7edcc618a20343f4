import { crossEntropy, type Loss } from './loss';
import { unitRows, unitRowsBackward } from './unitRows';

/** The vectors of a batch of pairs: of all images, then of all texts, row-major. */
export interface PairedVectors {
  readonly images: Float32Array; // [n, width]
  readonly texts: Float32Array; // [m, width]
  readonly width: number;
}

/** How cosines become logits: factor · cosine + bias. */
export interface LogitScale {
  readonly factor: number;
  readonly bias: number;
}

export interface ContrastiveSettings extends LogitScale {
  readonly loss: 'cross_entropy' | 'sigmoid';
}

/** The logit of each image with each text [n, m]. */
export function contrastiveLogits(
  { images, texts, width }: PairedVectors,
  { factor, bias }: LogitScale,
): Float32Array {
  return logitsOfUnits(
    unitRows(images, width).rows,
    unitRows(texts, width).rows,
    width,
    (cosine) => factor * cosine + bias,
  );
}

function logitsOfUnits(
  images: Float64Array,
  texts: Float64Array,
  width: number,
  logitOf: (cosine: number) => number,
): Float32Array {
  const [n, m] = [images.length / width, texts.length / width];
  const logits = new Float32Array(n * m);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < m; j++) {
      let cosine = 0;
      for (let k = 0; k < width; k++) cosine += images[i * width + k]! * texts[j * width + k]!;
      logits[i * m + j] = logitOf(cosine);
    }
  return logits;
}

export interface ContrastiveLoss extends Omit<Loss, 'gradient'> {
  readonly dImages: Float32Array; // [n, width]
  readonly dTexts: Float32Array; // [n, width]
}

/**
 * The loss of a batch in which image i belongs to text i, summed over its pairs. cross_entropy: the
 * mean of that of each image over the texts and that of each text over the images (Radford et al.
 * 2021). sigmoid: -log σ(±logit) of each image with each text, + where they belong together (Zhai
 * et al. 2023); the weights are those of the images.
 */
export function contrastiveLoss(
  { images, texts, width }: PairedVectors,
  { loss, factor, bias }: ContrastiveSettings,
  weights?: Float32Array,
): ContrastiveLoss {
  const [imageUnits, textUnits] = [unitRows(images, width), unitRows(texts, width)];
  const logits = logitsOfUnits(
    imageUnits.rows,
    textUnits.rows,
    width,
    (cosine) => factor * cosine + bias,
  );
  const n = images.length / width;
  const { gradient, ...sums } =
    loss === 'sigmoid' ? sigmoidLoss(logits, n, weights) : symmetricLoss(logits, n, weights);
  const dImageUnits = new Float64Array(imageUnits.rows.length);
  const dTextUnits = new Float64Array(textUnits.rows.length);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      const d = factor * gradient[i * n + j]!;
      for (let k = 0; k < width; k++) {
        dImageUnits[i * width + k]! += d * textUnits.rows[j * width + k]!;
        dTextUnits[j * width + k]! += d * imageUnits.rows[i * width + k]!;
      }
    }
  return {
    ...sums,
    dImages: unitRowsBackward(imageUnits, dImageUnits),
    dTexts: unitRowsBackward(textUnits, dTextUnits),
  };
}

function symmetricLoss(logits: Float32Array, n: number, weights?: Float32Array): Loss {
  const labels = Int32Array.from({ length: n }, (_, i) => i);
  const byImage = crossEntropy(logits, n, { labels, weights });
  const byText = crossEntropy(transposed(logits, n), n, { labels, weights });
  const back = transposed(byText.gradient, n);
  return {
    ...byImage,
    loss_sum: (byImage.loss_sum + byText.loss_sum) / 2,
    gradient: byImage.gradient.map((own, i) => (own + back[i]!) / 2),
  };
}

const transposed = (x: Float32Array, n: number): Float32Array =>
  x.map((_, at) => x[(at % n) * n + Math.floor(at / n)]!);

function sigmoidLoss(logits: Float32Array, n: number, weights?: Float32Array): Loss {
  let loss_sum = 0;
  const gradient = logits.map((logit, at) => {
    const image = Math.floor(at / n);
    const sign = at % n === image ? 1 : -1;
    const own = weights?.[image] ?? 1;
    const z = -sign * logit; // the loss is log(1 + exp(z))
    loss_sum += own * (Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))));
    return (-sign * own) / (1 + Math.exp(-z));
  });
  const weight = weights ? weights.reduce((sum, own) => sum + own, 0) : n;
  return { loss_sum, labelled: n, weight, gradient };
}
