import { decoderModules } from '../formats/decoder';
import type { BaseModel } from '../formats/types';
import type { Adapter, TargetableModule } from '../lora/types';
import { LoraError, type Problem } from '../shared/errors';
import { AdamW, normalizeGradients } from './adamw';
import { AdapterState } from './adapterState';
import { readArchitecture } from './architecture';
import { Decoder, type LossSum } from './decoder';
import { Embedding } from './embedding';
import { generate } from './generate';
import type { Ops } from './ops/types';
import type { CausalLM, GenerateOptions, LabelledInput, ModelInput, NamedTensor, OptimizerSettings, OptimizerState } from './types';
import { WeightLoader } from './weights';

export interface LoadOptions {
  readonly ops: Ops;
  /** Share of the inputs of A that `accumulate` drops; 0 without. */
  readonly lora_dropout?: number;
  /** From 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

/**
 * Reads a base into memory, frozen, and puts the adapter on it (one without modules: the base alone).
 * Errors: LoraError('base') for an unknown architecture, a missing tensor or a wrong shape; LoraError('adapter') where it does not fit the base.
 */
export async function loadCausalLM(base: BaseModel, start: Adapter, options: LoadOptions): Promise<CausalLM> {
  const { ops, lora_dropout = 0 } = options;
  const arch = readArchitecture(base.config, base.path);
  const modules = decoderModules(arch);
  checkAdapter(start, modules, base.name);
  const state = new AdapterState(ops, start);
  const loader = new WeightLoader(ops, base, arch, state);
  try {
    const weights = await loader.load(options.onProgress ?? (() => undefined));
    const embedding = new Embedding(ops, weights.embedding, state, 'model.embed_tokens');
    return new AdaptedDecoder(new Decoder(ops, arch, weights, embedding, state), state, loader, modules, lora_dropout);
  } catch (error) {
    state.dispose();
    loader.dispose();
    throw error;
  }
}

class AdaptedDecoder implements CausalLM {
  readonly architecture: string;
  readonly trainable_parameters: number;
  private readonly optimizer: AdamW;

  constructor(
    private readonly decoder: Decoder, private readonly state: AdapterState, private readonly loader: WeightLoader,
    readonly modules: readonly TargetableModule[], private readonly lora_dropout: number,
  ) {
    this.architecture = decoder.arch.family;
    this.trainable_parameters = state.theta.length;
    this.optimizer = new AdamW(state.theta.length);
  }

  readonly liveTensors = (): number => this.decoder.ops.live();

  logits(input: ModelInput): Promise<Float32Array> {
    return this.decoder.logits(input);
  }

  accumulate(input: LabelledInput, dropout_seed: number): Promise<LossSum> {
    return this.decoder.loss(input, true, this.lora_dropout > 0 ? { rate: this.lora_dropout, seed: dropout_seed } : null);
  }

  evaluate(input: LabelledInput): Promise<LossSum> {
    return this.decoder.loss(input, false, null);
  }

  step(labelled: number, settings: OptimizerSettings): Promise<{ readonly grad_norm: number }> {
    const { theta, gradients } = this.state;
    const grad_norm = normalizeGradients(gradients, labelled, settings.max_grad_norm);
    this.optimizer.step(theta, gradients, settings);
    gradients.fill(0);
    this.state.refresh();
    this.decoder.embedding.refresh();
    return Promise.resolve({ grad_norm });
  }

  gradients(labelled: number): Promise<ReadonlyMap<string, NamedTensor>> {
    return Promise.resolve(this.state.namedGradients(labelled));
  }

  adapter(): Promise<Adapter> {
    return Promise.resolve(this.state.current());
  }

  baseTensor(name: string): Promise<Float32Array> {
    return this.loader.read(name);
  }

  optimizerState(): Promise<OptimizerState> {
    return Promise.resolve(this.optimizer.state());
  }

  restoreOptimizer(state: OptimizerState): void {
    this.optimizer.restore(state);
  }

  generate(input_ids: readonly number[], options: GenerateOptions): Promise<number[]> {
    return generate(this.decoder, input_ids, options);
  }

  dispose(): void {
    this.decoder.embedding.dispose();
    this.state.dispose();
    this.loader.dispose();
  }
}

/** Every module of the adapter must be one of the base's, of the same shape. */
function checkAdapter({ modules: adapted }: Adapter, modules: readonly TargetableModule[], base: string): void {
  const known = new Map(modules.map((m) => [m.path, m]));
  const problems = adapted.flatMap((m): Problem[] => {
    const target = known.get(m.path);
    if (!target || target.kind !== m.kind) return [{ severity: 'error', message: `${m.path}: the base has no such ${m.kind} layer` }];
    const fits = target.in_features === m.in_features && target.out_features === m.out_features && m.A.length === m.r * m.in_features && m.B.length === m.r * m.out_features;
    if (fits) return [];
    return [{ severity: 'error', message: `${m.path}: the adapter is for ${m.in_features} -> ${m.out_features}, the base has ${target.in_features} -> ${target.out_features}` }];
  });
  if (problems.length > 0) {
    throw new LoraError('adapter', `The adapter does not fit the base ${base}.`, { problems, fix: 'Choose the base that the adapter was trained on.' });
  }
}
