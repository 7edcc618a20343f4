import { modulesOf } from '../formats/architecture/modules';
import type { HeadSpec, Spec } from '../formats/architecture/spec';
import type { BaseModel } from '../formats/baseModel';
import type { Adapter, TargetableModule } from '../lora/adapter';
import { LoraError, type Problem as Fault } from '../shared/errors';
import { Adapters } from './adapters';
import { AdapterOptimizer } from './training/adapterOptimizer';
import type { EmbeddingLayer } from './embeddings/embeddingLayer';
import { generateTokens } from './generate';
import { LabelsHead, NextTokenHead, PooledHead, type Head } from './heads/heads';
import type { Ops } from './ops/ops';
import { PatchEmbedding } from './embeddings/patchEmbedding';
import { TokenEmbedding } from './embeddings/tokenEmbedding';
import type { Optimizer } from './training/optimizer';
import { Transformer, type Body } from './transformer';
import type {
  GenerateOptions,
  Evaluation,
  LabelledInput,
  LossSum,
  Model,
  ModelInput,
  NamedTensor,
  OptimizerSettings,
  OptimizerState,
  LossKind,
  ReadTensor,
} from './model';
import { WeightLoader } from './weightLoader';

export interface LoadOptions {
  readonly ops: Ops;
  /** Share of the inputs of A that `accumulate` drops; 0 without. */
  readonly lora_dropout?: number;
  /**
   * In what the frozen matrices are held, and products with them are taken; f32 without, and where
   * the backing has no bf16.
   */
  readonly base_dtype?: 'float32' | 'bfloat16';
  /**
   * Layers, from the lowest, whose forward pass is taken again in the backward pass instead of
   * being kept; 0 without.
   */
  readonly recomputed_layers?: number;
  /** full: all weights of the base train, in f32, and no adapter; lora without. */
  readonly method?: 'lora' | 'full';
  /** Frozen adapters below the one that trains. */
  readonly below?: readonly Adapter[];
  /** What the loss compares, where the head leaves a choice; single_label without. */
  readonly loss?: Exclude<LossKind, 'next_token' | 'token' | 'pairs'>;
  /** From 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

/**
 * Reads a base into memory, frozen unless all of it trains, and puts the adapter on it (one without
 * modules: the base alone). Errors: LoraError('base') for a missing tensor or a wrong shape;
 * LoraError('adapter') where an adapter does not fit the base.
 */
export async function loadModel(
  base: BaseModel,
  start: Adapter,
  options: LoadOptions,
): Promise<Model> {
  const { ops, lora_dropout = 0, below = [] } = options;
  const modules = modulesOf(base.spec);
  for (const adapter of [...below, start]) checkAdapter(adapter, modules, base.name);
  const adapters = new Adapters(start, below);
  const loader = new WeightLoader(ops, base, adapters, {
    half: options.base_dtype === 'bfloat16' && ops.supportsBF16,
    whole: options.method === 'full',
  });
  try {
    const parts = await loadParts(loader, base.spec, ops, adapters, options);
    return new AdaptedModel(parts, adapters, loader, modules, lora_dropout);
  } catch (error) {
    loader.dispose();
    throw error;
  }
}

interface Parts {
  readonly transformer: Transformer;
  readonly head: Head;
}

async function loadParts(
  loader: WeightLoader,
  spec: Spec,
  ops: Ops,
  adapters: Adapters,
  options: LoadOptions,
): Promise<Parts> {
  const onProgress = options.onProgress ?? (() => undefined);
  const { embedding, tokens } = await loadEmbedding(loader, spec, ops, adapters);
  const layers: Body['layers'][number][] = [];
  for (const [i, layer] of spec.layers.entries()) {
    layers.push(await loader.layer(layer));
    onProgress((i + 1) / (spec.num_layers + 1));
    await ops.yieldPoint();
  }
  const norm = await loader.normOrNull(spec.final_norm);
  const transformer = new Transformer(
    ops,
    spec,
    { embedding, layers, norm },
    options.recomputed_layers,
  );
  const head = await loadHead(loader, spec, spec.head, transformer, tokens, options);
  onProgress(1);
  return { transformer, head };
}

async function loadEmbedding(loader: WeightLoader, spec: Spec, ops: Ops, adapters: Adapters) {
  const { embedding: own, hidden_size: d } = spec;
  if (own.kind === 'patches') {
    const projection = await loader.linear([
      {
        order: null,
        spec: {
          path: own.path,
          in_features: own.channels * own.patch_size[0] * own.patch_size[1],
          out_features: d,
          bias: own.bias,
          transposed: false,
        },
      },
    ]);
    const [cls_token, positions] = [
      await loader.parameter(own.cls_token),
      await loader.parameter(own.positions),
    ];
    return {
      embedding: new PatchEmbedding(
        ops,
        own,
        projection,
        cls_token,
        positions,
      ) as EmbeddingLayer<unknown>,
      tokens: null,
    };
  }
  const tokens = await loader.table(own.tokens, d);
  const tables = {
    tokens,
    positions: own.positions && (await loader.table(own.positions, d)),
    types: own.types && (await loader.table(own.types, d)),
    norm: await loader.normOrNull(own.norm),
  };
  return {
    embedding: loader.keep(
      await TokenEmbedding.of(ops, own, tables, adapters),
    ) as EmbeddingLayer<unknown>,
    tokens,
  };
}

async function loadHead(
  loader: WeightLoader,
  spec: Spec,
  head: HeadSpec,
  body: Transformer,
  tokens: Awaited<ReturnType<WeightLoader['table']>> | null,
  { loss: problem = 'single_label' }: LoadOptions,
): Promise<Head> {
  switch (head.kind) {
    case 'lm': {
      if (!tokens || spec.embedding.kind !== 'tokens')
        throw new LoraError('base', 'A language model needs tokens.');
      return new NextTokenHead(body, {
        output: await loader.lmOutput(head.output, head.tied, tokens, spec.embedding.tokens.path),
        softcap: head.softcap,
      });
    }
    case 'labels': {
      const dense = head.dense && {
        linear: await loader.linear([{ spec: head.dense.linear, order: null }]),
        activation: head.dense.activation,
      };
      const output = await loader.linear([{ spec: head.output, order: null }]);
      return new LabelsHead(
        body,
        { dense, output },
        head.pool,
        head.pool === 'none' ? 'token' : problem,
      );
    }
    case 'pooled':
      return new PooledHead(body, head.normalise);
  }
}

class AdaptedModel implements Model {
  readonly architecture: string;
  readonly trainable_parameters: number;
  private readonly training: Optimizer;

  constructor(
    private readonly parts: Parts,
    private readonly adapters: Adapters,
    private readonly loader: WeightLoader,
    readonly modules: readonly TargetableModule[],
    private readonly lora_dropout: number,
  ) {
    this.architecture = parts.transformer.spec.family;
    this.training = loader.fullOptimizer ?? new AdapterOptimizer(adapters);
    this.trainable_parameters = this.training.size;
  }

  readonly liveTensors = (): number => this.parts.transformer.ops.live();

  logits(input: ModelInput): Promise<Float32Array> {
    return this.whole(() => this.parts.head.logits(input));
  }

  async accumulate(input: LabelledInput, dropout_seed: number): Promise<LossSum> {
    return this.whole(
      () =>
        this.parts.head.loss(
          input,
          true,
          this.lora_dropout > 0 ? { rate: this.lora_dropout, seed: dropout_seed } : null,
        ),
      () => this.training.discardGradients(),
    );
  }

  evaluate(input: LabelledInput): Promise<Evaluation> {
    return this.whole(() => this.parts.head.loss(input, false, null));
  }

  async step(
    labelled: number,
    settings: OptimizerSettings,
  ): Promise<{ readonly grad_norm: number }> {
    return { grad_norm: await this.training.step(labelled, settings) };
  }

  gradients(labelled: number): Promise<ReadonlyMap<string, NamedTensor>> {
    return this.training.gradients(labelled);
  }

  adapter(): Promise<Adapter> {
    return Promise.resolve(this.adapters.current());
  }

  baseTensor(name: string): Promise<Float32Array> {
    return this.loader.read(name);
  }

  optimizerState(): OptimizerState {
    return this.training.optimizerState();
  }

  restoreOptimizer(step: number, read: ReadTensor): Promise<void> {
    return this.training.restore(step, read);
  }

  rescale(scales: readonly number[]): Promise<void> {
    return this.adapters.rescale(scales);
  }

  generate(input_ids: readonly number[], options: GenerateOptions): Promise<number[]> {
    const { transformer, head } = this.parts;
    if (head instanceof NextTokenHead)
      return this.whole(() => generateTokens(transformer, head.head, input_ids, options));
    return Promise.reject(
      new LoraError('base', `A model for the task ${transformer.spec.task} writes no text.`),
    );
  }

  /** Work that is broken off leaves no tensor behind. */
  private async whole<T>(
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

  dispose(): void {
    this.loader.dispose();
  }
}

/** Every module of the adapter must be one of the base's, of the same shape. */
function checkAdapter(
  { modules: adapted }: Adapter,
  modules: readonly TargetableModule[],
  base: string,
): void {
  const known = new Map(modules.map((m) => [m.path, m]));
  const problems = adapted.flatMap((m): Fault[] => {
    const target = known.get(m.path);
    if (target?.kind !== m.kind)
      return [{ severity: 'error', message: `${m.path}: the base has no such ${m.kind} layer` }];
    const fits =
      target.in_features === m.in_features &&
      target.out_features === m.out_features &&
      m.A.length === m.r * m.in_features &&
      m.B.length === m.r * m.out_features;
    if (fits) return [];
    return [
      {
        severity: 'error',
        message: `${m.path}: the adapter is for ${m.in_features} -> ${m.out_features}, the base has ${target.in_features} -> ${target.out_features}`,
      },
    ];
  });
  if (problems.length > 0) {
    throw new LoraError('adapter', `The adapter does not fit the base ${base}.`, {
      problems,
      fix: 'Choose the base that the adapter was trained on.',
    });
  }
}
