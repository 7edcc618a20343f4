import { adaptedModulesOf, layerWithoutEffect, modulesOf } from '../formats/architecture/modules';
import type { HeadSpec, Spec } from '../formats/architecture/spec';
import type { BaseModel } from '../formats/baseModel';
import type { Adapter, TargetableModule } from '../lora/adapter';
import { DEFAULT_EMBEDDING, type EmbeddingSettings } from '../shared/embeddingSettings';
import type { RerankerSettings } from '../shared/rerankerSettings';
import { LoraError, type Problem } from '../shared/errors';
import { AdaptedModel } from './adaptedModel';
import { Adapters } from './adapters';
import { loadContrastiveHead } from './heads/loadContrastiveHead';
import { LabelsHead, NextTokenHead, PooledHead, type Head } from './heads/heads';
import type { LmHead } from './heads/lmHead';
import type { LossKind, Model } from './model';
import type { Ops } from './ops/ops';
import { loadTransformer } from './loadTransformer';
import type { Transformer } from './transformer';
import type { Reach } from './training/parameters';
import { WeightLoader } from './weightLoader';
import type { WeightTensor } from './weightTensor';

export interface LoadOptions {
  readonly ops: Ops;
  /** Share of the inputs of A that `accumulate` drops. Default: 0. */
  readonly lora_dropout?: number;
  /**
   * Precision of the frozen matrices and of products with them. Default, and always if the backend
   * does not support bf16: float32.
   */
  readonly base_dtype?: 'float32' | 'bfloat16';
  /** Keep quantized matrices of the base in the blocks of its file. Default: false. */
  readonly quantized?: boolean;
  /** Gradient checkpointing: layers, from the lowest, that are recomputed. Default: 0. */
  readonly recomputed_layers?: number;
  /** full: all weights of the base train, in f32, and there is no adapter. Default: lora. */
  readonly method?: 'lora' | 'full';
  /** Frozen adapters below the trainable one, from the lowest on. */
  readonly below?: readonly Adapter[];
  /** The loss of a head for rows. Default: single_label. */
  readonly loss?: Exclude<LossKind, 'next_token' | 'token' | 'pairs'>;
  /** The loss of embeddings. Default: the recipe's defaults. */
  readonly embedding?: EmbeddingSettings;
  /** The loss of rated documents. Default: that which fits them. */
  readonly reranker?: RerankerSettings;
  /** Label smoothing of `accumulate`, from 0 to 1. Default: 0. */
  readonly label_smoothing?: number;
  /** NEFTune: alpha of the noise that `accumulate` adds to the token embeddings. Default: none. */
  readonly neftune_noise_alpha?: number | null;
  /** Called with the fraction that has been loaded, from 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

/**
 * Loads a base into the memory of the backend and puts an adapter on it (one without modules: the
 * base alone). The caller disposes of the model.
 *
 * @throws LoraError('base') for a missing tensor or a wrong shape.
 * @throws LoraError('adapter') if an adapter does not fit the base.
 */
export async function loadModel(
  base: BaseModel,
  adapter: Adapter,
  options: LoadOptions,
): Promise<Model> {
  const { ops, lora_dropout = 0, neftune_noise_alpha = null, below = [] } = options;
  const modules = modulesOf(base.spec);
  const adapted = adaptedModulesOf(base.spec);
  for (const each of [...below, adapter]) checkAdapter(each, adapted, base.name);
  const reach = (name: string) => reachOf(base.spec, name);
  const adapters = new Adapters(adapter, below, reach, ops);
  const bf16 = options.base_dtype === 'bfloat16' && ops.supportsBF16;
  const full = options.method === 'full';
  const { quantized = false } = options;
  const loader = new WeightLoader({ ops, adapters }, base, { bf16, quantized, full });
  try {
    const parts = await loadParts(loader, base.spec, options);
    const noise = { lora_dropout, neftune_noise_alpha };
    return new AdaptedModel({ ...parts, adapters, loader }, modules, noise);
  } catch (error) {
    loader.dispose();
    throw error;
  }
}

/** Which steps have a gradient of a module or a tensor. */
function reachOf(spec: Spec, name: string): Reach {
  if (name === layerWithoutEffect(spec)?.path) return 'never';
  return spec.vision && name.startsWith(`${spec.vision.path}.`) ? 'images' : 'always';
}

interface LoadedParts {
  readonly transformer: Transformer;
  readonly head: Head;
}

async function loadParts(
  loader: WeightLoader,
  spec: Spec,
  options: LoadOptions,
): Promise<LoadedParts> {
  const { onProgress } = options;
  const { transformer, tokens } = await loadTransformer(loader, spec, options);
  const head = await loadHead(loader, transformer, tokens, options);
  onProgress?.(1);
  return { transformer, head };
}

async function loadHead(
  loader: WeightLoader,
  transformer: Transformer,
  tokens: WeightTensor | null,
  options: LoadOptions,
): Promise<Head> {
  const { loss = 'single_label', label_smoothing = 0, embedding = DEFAULT_EMBEDDING } = options;
  const { head } = transformer.spec;
  switch (head.kind) {
    case 'lm':
      return new NextTokenHead(
        transformer,
        await loadLmHead(loader, transformer, head, tokens),
        label_smoothing,
      );
    case 'labels': {
      const dense = head.dense && {
        linear: await loader.linear([{ spec: head.dense.linear, order: null }]),
        activation: head.dense.activation,
        norm: await loader.normOrNull(head.dense.norm ?? null),
      };
      const output = await loader.linear([{ spec: head.output, order: null }]);
      return new LabelsHead(
        transformer,
        { dense, output },
        {
          pool: head.pool,
          kind: head.pool === 'none' ? 'token' : loss,
          smoothing: label_smoothing,
          ranking: options.reranker?.loss ?? null,
        },
      );
    }
    case 'pooled':
      return new PooledHead(transformer, head.normalise, embedding);
    case 'contrastive':
      return loadContrastiveHead(loader, transformer, head, options);
    case 'vector':
    case 'none':
      throw new Error('A vision encoder or an encoder alone is not a complete model.');
  }
}

async function loadLmHead(
  loader: WeightLoader,
  transformer: Transformer,
  { output, tied, softcap, scale = 1 }: Extract<HeadSpec, { kind: 'lm' }>,
  tokens: WeightTensor | null,
): Promise<LmHead> {
  const { embedding } = transformer.spec;
  if (!tokens || embedding.kind !== 'tokens') {
    throw new LoraError('base', 'A language model needs tokens.');
  }
  const linear = await loader.lmOutput(output, tied, tokens, embedding.tokens.path);
  return { output: linear, softcap, scale };
}

/** @throws LoraError('adapter') unless every module is one of the base's, of the same shape. */
function checkAdapter(adapter: Adapter, modules: readonly TargetableModule[], base: string): void {
  const byPath = new Map(modules.map((m) => [m.path, m]));
  const problems = adapter.modules.flatMap((m): Problem[] => {
    const target = byPath.get(m.path);
    if (target?.kind !== m.kind) {
      return [{ severity: 'error', message: `${m.path}: the base has no such ${m.kind} layer` }];
    }
    const fits =
      target.in_features === m.in_features &&
      target.out_features === m.out_features &&
      m.A.length === m.r * m.in_features &&
      m.B.length === m.r * m.out_features;
    if (fits) return [];
    const message = `${m.path}: the adapter is for ${m.in_features} -> ${m.out_features}, the base has ${target.in_features} -> ${target.out_features}`;
    return [{ severity: 'error', message }];
  });
  if (problems.length > 0) {
    throw new LoraError('adapter', `The adapter does not fit the base ${base}.`, {
      problems,
      fix: 'Choose the base that the adapter was trained on.',
    });
  }
}
