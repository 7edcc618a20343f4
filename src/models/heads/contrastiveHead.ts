import type { Dropout } from '../layers/dropout';
import type { Evaluation, LabelledInput, ModelInput } from '../model';
import { contrastiveLogits, contrastiveLoss, type ContrastiveSettings } from './contrastiveLoss';
import type { Head } from './heads';
import type { VectorTower } from './vectorTower';

/** Pairs of an image and a text, by the cosines of their vectors. */
export class ContrastiveHead implements Head {
  constructor(
    private readonly texts: VectorTower,
    private readonly images: VectorTower,
    private readonly settings: ContrastiveSettings,
  ) {}

  /** The logit of each image with each text, row-major [images, texts]. */
  async logits(input: ModelInput): Promise<Float32Array> {
    const vectors = {
      images: await this.vectors(this.images, imagesOf(input)),
      texts: await this.vectors(this.texts, input),
    };
    const width = vectors.texts.length / input.batch;
    return contrastiveLogits({ ...vectors, width }, this.settings);
  }

  /** The outputs are the vectors of all images, then those of all texts. */
  async loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<Evaluation> {
    const { ops } = this.texts.body;
    const ofImages = await this.images.forward(imagesOf(input), train, dropout);
    const ofTexts = await this.texts.forward(input, train, dropout);
    const images = (await ops.download(ofImages.y)).slice();
    const texts = (await ops.download(ofTexts.y)).slice();
    const width = texts.length / input.batch;
    const { dImages, dTexts, ...sums } = contrastiveLoss(
      { images, texts, width },
      this.settings,
      input.weights,
    );
    for (const [tower, pass, gradient] of [
      [this.images, ofImages, dImages],
      [this.texts, ofTexts, dTexts],
    ] as const) {
      if (train && tower.trains)
        await tower.backward(pass, ops.upload(gradient, [input.batch, width]), dropout);
      else tower.release(pass);
    }
    return { ...sums, outputs: Float32Array.from([...images, ...texts]) };
  }

  private async vectors(tower: VectorTower, input: ModelInput): Promise<Float32Array> {
    const pass = await tower.forward(input, false, null);
    const vectors = (await tower.body.ops.download(pass.y)).slice();
    tower.release(pass);
    return vectors;
  }
}

/** The input of the vision encoder. */
function imagesOf({ images }: ModelInput): ModelInput {
  const { batch, length, pixel_values } = images!;
  return {
    batch,
    length,
    pixel_values,
    input_ids: new Int32Array(0),
    attention_mask: new Int32Array(batch * length).fill(1),
  };
}
