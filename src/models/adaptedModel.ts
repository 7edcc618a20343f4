import type { Products } from '../shared/products';
import type { Adapter, TargetableModule } from '../lora/adapter';
import { LoraError } from '../shared/errors';
import type { Adapters } from './adapters';
import { CachingDecoder } from './decoder';
import { generateTokens } from './generate';
import { NextTokenHead, type Head } from './heads/heads';
import type { TeacherSettings, TopTokens } from './heads/teacher';
import type {
  Decoder,
  Evaluation,
  GenerateOptions,
  LabelledInput,
  Model,
  ModelInput,
  NamedTensor,
  OptimizerSettings,
  OptimizerState,
  ReadTensor,
} from './model';
import { AdapterOptimizer } from './training/adapterOptimizer';
import type { Optimizer } from './training/optimizer';
import type { Transformer } from './transformer';
import { loadVision } from './vision/loadVision';
import type { WeightLoader } from './weightLoader';
import { countOf } from '../shared/values';

interface ModelParts {
  readonly transformer: Transformer;
  readonly head: Head;
  readonly adapters: Adapters;
  /** Owns all weights. */
  readonly loader: WeightLoader;
}

/** The random changes of `accumulate`, which depend on the seed of a batch. */
interface TrainingNoise {
  readonly lora_dropout: number;
  /** NEFTune; null: none. */
  readonly neftune_noise_alpha: number | null;
}

/** The model that `loadModel` returns. */
export class AdaptedModel implements Model {
  readonly architecture: string;
  readonly trainable_parameters: number;
  private readonly optimizer: Optimizer;

  constructor(
    private readonly parts: ModelParts,
    readonly modules: readonly TargetableModule[],
    private readonly noise: TrainingNoise,
  ) {
    this.architecture = parts.transformer.spec.family;
    this.optimizer =
      parts.loader.fullOptimizer ?? new AdapterOptimizer(parts.adapters, parts.adapters.inPlace);
    this.trainable_parameters = this.optimizer.size;
  }

  get joinsRows(): boolean {
    const { ops, spec } = this.parts.transformer;
    // the noise of NEFTune depends on the length of a row
    if (!ops.fused || !spec.causal || this.noise.neftune_noise_alpha !== null) return false;
    return spec.layers.every(
      ({ attention: { score_bias, distances, delta, convolution } }) =>
        !score_bias && !distances && !delta && !convolution,
    );
  }

  readonly liveTensors = (): number => this.parts.transformer.ops.live();

  logits(input: ModelInput): Promise<Float32Array> {
    return this.freeingOnError(() => {
      this.checkInput(input);
      return this.parts.head.logits(input);
    });
  }

  hiddenStates(input: ModelInput): Promise<Float32Array> {
    const { transformer } = this.parts;
    return this.freeingOnError(async () => {
      this.checkInput(input);
      const pass = await transformer.forward(input, null, false, null);
      const vectors = (await transformer.ops.download(pass.h)).slice();
      transformer.release(pass);
      return vectors;
    });
  }

  async accumulate(input: LabelledInput, dropout_seed: number): Promise<Evaluation> {
    const { lora_dropout: rate, neftune_noise_alpha: alpha } = this.noise;
    const dropout = rate > 0 ? { rate, seed: dropout_seed } : null;
    const { transformer, head } = this.parts;
    transformer.takeExpertCounts(); // of a pass that failed
    return this.freeingOnError(
      async () => {
        this.checkInput(input);
        const noise = alpha === null ? null : { noise: { alpha, seed: dropout_seed } };
        const evaluation = await head.loss({ ...input, ...noise }, true, dropout);
        const expert_counts = transformer.takeExpertCounts();
        return expert_counts.length === 0 ? evaluation : { ...evaluation, expert_counts };
      },
      () => this.optimizer.discardGradients(),
    );
  }

  evaluate(input: LabelledInput): Promise<Evaluation> {
    return this.freeingOnError(() => {
      this.checkInput(input);
      return this.parts.head.loss(input, false, null);
    });
  }

  logProbabilities(input: LabelledInput): Promise<Float64Array> {
    const { head } = this.parts;
    if (!(head instanceof NextTokenHead)) return Promise.reject(this.writesNoText());
    return this.freeingOnError(() => {
      this.checkInput(input);
      return head.logProbabilities(input);
    });
  }

  topTokens(
    input: LabelledInput,
    settings: Pick<TeacherSettings, 'temperature' | 'top_k'>,
  ): Promise<TopTokens> {
    const { head } = this.parts;
    if (!(head instanceof NextTokenHead)) return Promise.reject(this.writesNoText());
    return this.freeingOnError(() => {
      this.checkInput(input);
      return head.topTokens(input, settings);
    });
  }

  async step(weight: number, settings: OptimizerSettings): Promise<{ readonly grad_norm: number }> {
    return { grad_norm: await this.optimizer.step(weight, settings) };
  }

  gradients(weight: number): Promise<ReadonlyMap<string, NamedTensor>> {
    return this.optimizer.gradients(weight);
  }

  adapter(): Promise<Adapter> {
    return Promise.resolve(this.parts.adapters.current());
  }

  baseTensor(name: string): Promise<Float32Array> {
    return this.parts.loader.read(name);
  }

  optimizerState(): OptimizerState {
    return this.optimizer.optimizerState();
  }

  restoreOptimizer(step: number, read: ReadTensor): Promise<void> {
    return this.optimizer.restore(step, read);
  }

  rescale(scales: readonly number[]): Promise<void> {
    return this.parts.adapters.rescale(scales);
  }

  decoder(products: Products = 'exact'): Decoder {
    const { transformer, head } = this.parts;
    const checkIds = (ids: ArrayLike<number>) => this.checkIds(ids);
    if (head instanceof NextTokenHead)
      return new CachingDecoder(transformer, head.head, { checkIds, products });
    throw this.writesNoText();
  }

  async generate(input_ids: readonly number[], options: GenerateOptions): Promise<number[]> {
    const { ops } = this.parts.transformer;
    return generateTokens(this.decoder(options.products), input_ids, {
      ...options,
      yieldPoint: () => ops.yieldPoint(),
    });
  }

  async loadImages(): Promise<void> {
    const { transformer, loader } = this.parts;
    const { vision, family } = transformer.spec;
    if (!vision) throw new LoraError('base', `A ${family} model reads no images in texts.`);
    transformer.vision ??= await loadVision(loader, vision, transformer.recomputed > 0);
  }

  dispose(): void {
    this.parts.loader.dispose();
  }

  private writesNoText(): LoraError {
    const { task } = this.parts.transformer.spec;
    return new LoraError('base', `A model for the task ${task} writes no text.`);
  }

  /** Those of what the encoder reads, too. */
  private checkInput({ input_ids, source }: ModelInput): void {
    this.checkIds(input_ids);
    if (source) this.checkIds(source.input_ids);
  }

  /** A lookup beyond the embedding ends in an error of the runtime that names no token. */
  private checkIds(ids: ArrayLike<number>): void {
    const { vocab_size } = this.parts.transformer.spec;
    const outside = Array.from(ids).find((id) => id < 0 || id >= vocab_size);
    if (outside === undefined) return;
    throw new LoraError(
      'base',
      `The input has the token id ${outside}, but the model's embedding has ${countOf(vocab_size, 'row')} (0 to ${vocab_size - 1}).`,
      { fix: 'Use the tokenizer that belongs to the model, or leave the token out of the text.' },
    );
  }

  /** Tensors of interrupted work are freed. */
  private async freeingOnError<T>(
    work: () => Promise<T>,
    onError: () => void = () => undefined,
  ): Promise<T> {
    const { ops } = this.parts.transformer;
    const mark = ops.mark();
    try {
      return await work();
    } catch (error) {
      onError();
      ops.freeSince(mark);
      throw error;
    }
  }
}
