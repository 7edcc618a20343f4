import type { TargetableModule } from '../../lora/adapter';
import { LoraError, type Problem } from '../../shared/errors';
import type { TensorInfo } from '../baseModel';
import type {
  EmbeddingSpec,
  HeadSpec,
  LayerSpec,
  LinearSpec,
  NormSpec,
  Spec,
  TableSpec,
} from './spec';

type Wanted = Pick<TensorInfo, 'name' | 'shape'>;

/** The linear layers of a layer, in the model's order. */
export function linearsOf({ attention, mlp }: LayerSpec): LinearSpec[] {
  const inner =
    mlp.kind === 'gated'
      ? [mlp.gate, mlp.up]
      : mlp.kind === 'gated_fused'
        ? [mlp.gate_up]
        : [mlp.up];
  return [...attention.qkv, attention.o, ...inner, mlp.down];
}

const headLinears = (head: HeadSpec): LinearSpec[] =>
  head.kind === 'lm'
    ? [head.output]
    : head.kind === 'labels'
      ? [...(head.dense ? [head.dense.linear] : []), head.output]
      : [];

/**
 * The layers that LoRA can adapt, in the model's order, under PEFT's names. An output layer counts
 * where it is tied, too.
 */
export function modulesOf(spec: Spec): TargetableModule[] {
  const { embedding, layers, head, hidden_size } = spec;
  const linear = (
    { path, in_features, out_features }: LinearSpec,
    is_output = false,
  ): TargetableModule => ({ path, kind: 'linear', in_features, out_features, is_output });
  const outputs = headLinears(head);
  return [
    ...embeddingModules(embedding, hidden_size),
    ...layers.flatMap(linearsOf).map((own) => linear(own)),
    ...outputs.map((own, i) => linear(own, i === outputs.length - 1)),
  ];
}

function embeddingModules(embedding: EmbeddingSpec, hidden_size: number): TargetableModule[] {
  if (embedding.kind === 'patches') {
    const { path, channels, patch_size: kernel } = embedding;
    return [
      {
        path,
        kind: 'conv2d',
        in_features: channels * kernel[0] * kernel[1],
        out_features: hidden_size,
        is_output: false,
        kernel,
      },
    ];
  }
  const { path, rows } = embedding.tokens;
  return [
    { path, kind: 'embedding', in_features: rows, out_features: hidden_size, is_output: false },
  ];
}

/**
 * The tensors that a checkpoint must hold, under current names. A head for labels may be missing:
 * it is new then.
 */
export function tensorsOf(spec: Spec): { readonly body: Wanted[]; readonly head: Wanted[] } {
  const { embedding, layers, final_norm, head, hidden_size } = spec;
  const output =
    head.kind === 'lm'
      ? head.tied
        ? []
        : linearTensors(head.output)
      : headLinears(head).flatMap(linearTensors);
  return {
    body: [
      ...embeddingTensors(embedding, hidden_size),
      ...layers.flatMap(layerTensors),
      ...(final_norm ? normTensors(final_norm) : []),
      ...(head.kind === 'lm' ? output : []),
    ],
    head: head.kind === 'lm' ? [] : output,
  };
}

/** Where a tied output layer's weight stands: under the embedding's name. */
export function tiedWeight({
  head,
  embedding,
}: Spec): { readonly name: string; readonly storedAs: string } | null {
  if (head.kind !== 'lm' || !head.tied || embedding.kind !== 'tokens') return null;
  return { name: `${head.output.path}.weight`, storedAs: `${embedding.tokens.path}.weight` };
}

/**
 * Every tensor of the model under its module's name, a tied output layer's too: what biases and
 * modules_to_save can mean.
 */
export function namedTensors(spec: Spec): Wanted[] {
  const { body, head } = tensorsOf(spec);
  return [
    ...body,
    ...head,
    ...(spec.head.kind === 'lm' && spec.head.tied ? linearTensors(spec.head.output) : []),
  ];
}

function linearTensors({
  path,
  in_features,
  out_features,
  bias,
  transposed,
}: LinearSpec): Wanted[] {
  const weight = {
    name: `${path}.weight`,
    shape: transposed ? [in_features, out_features] : [out_features, in_features],
  };
  return bias ? [weight, { name: `${path}.bias`, shape: [out_features] }] : [weight];
}

function normTensors({ path, kind, size }: NormSpec): Wanted[] {
  const weight = { name: `${path}.weight`, shape: [size] };
  return kind === 'layer' ? [weight, { name: `${path}.bias`, shape: [size] }] : [weight];
}

function layerTensors(layer: LayerSpec): Wanted[] {
  const {
    attention: { qk_norm },
    norms: n,
  } = layer;
  const all = [
    n.attention_in,
    n.mlp_in,
    n.attention_out,
    n.mlp_out,
    n.after_attention,
    n.after_mlp,
    qk_norm && qk_norm.q,
    qk_norm && qk_norm.k,
  ];
  const norms = all.filter((norm) => norm !== null);
  return [...linearsOf(layer).flatMap(linearTensors), ...norms.flatMap(normTensors)];
}

function embeddingTensors(embedding: EmbeddingSpec, d: number): Wanted[] {
  if (embedding.kind === 'tokens') {
    const tables = [embedding.tokens, embedding.positions, embedding.types].filter(
      (table): table is TableSpec => table !== null,
    );
    return [
      ...tables.map(({ path, rows }) => ({ name: `${path}.weight`, shape: [rows, d] })),
      ...(embedding.norm ? normTensors(embedding.norm) : []),
    ];
  }
  const { path, channels, image_size, patch_size, bias, cls_token, positions } = embedding;
  const patches =
    Math.floor(image_size[0] / patch_size[0]) * Math.floor(image_size[1] / patch_size[1]);
  return [
    { name: `${path}.weight`, shape: [d, channels, patch_size[0], patch_size[1]] },
    ...(bias ? [{ name: `${path}.bias`, shape: [d] }] : []),
    { name: cls_token, shape: [1, 1, d] },
    { name: positions, shape: [1, patches + 1, d] },
  ];
}

const MAX_PROBLEMS = 20;

/**
 * Holds a checkpoint's tensors against its spec. Errors: LoraError('base') with each tensor that is
 * missing or has another shape (the first 20). Gives the head's tensors that the checkpoint lacks,
 * or has for other labels (`new_head`, another number): they are new.
 */
export function checkTensors(
  tensors: ReadonlyMap<string, TensorInfo>,
  spec: Spec,
  file: string,
  new_head = false,
): readonly string[] {
  const { body, head } = tensorsOf(spec);
  const fits = ({ name, shape }: Wanted) => tensors.get(name)?.shape.join() === shape.join();
  const problems = body
    .filter((wanted) => !fits(wanted))
    .map(({ name, shape }): Problem => {
      const found = tensors.get(name);
      const message = found
        ? `Its shape is [${found.shape.join(', ')}], the config asks for [${shape.join(', ')}].`
        : 'It is missing.';
      return { severity: 'error', message, place: { file, tensor: name } };
    });
  if (problems.length > 0) {
    throw new LoraError(
      'base',
      `The weights do not fit the config: ${problems.length} of ${body.length} tensors are missing or have another shape.`,
      {
        place: { file },
        problems: problems.slice(0, MAX_PROBLEMS),
        fix: 'Download the model again, all of its files, and check that they belong together.',
      },
    );
  }
  const isNew = ({ name }: Wanted) =>
    new_head && spec.head.kind === 'labels' && name.startsWith(`${spec.head.output.path}.`);
  return head.filter((wanted) => isNew(wanted) || !fits(wanted)).map(({ name }) => name);
}
