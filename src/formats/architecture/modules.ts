import type { TargetableModule } from '../../lora/adapter';
import type {
  EmbeddingSpec,
  HeadSpec,
  LayerSpec,
  LinearSpec,
  MlpSpec,
  ScoreBiasSpec,
  Spec,
  TableSpec,
  TokenEmbeddingSpec,
  VectorSpec,
  VisionSpec,
} from './spec';
import { expertLinears, linearsOf } from './layerLinears';
import { layerTensors, linearTensors, normTensors, type WantedTensor } from './layerTensors';
import { nameInModel } from './modelName';
import { imageLengthOf } from './positions';

type Wanted = WantedTensor;

/** The layers of a mixture that an adapter may have modules on. */
const adaptedExperts = (mlp: MlpSpec): LinearSpec[] =>
  mlp.kind === 'mixture'
    ? [
        ...untargeted(mlp),
        ...mlp.experts.flatMap(({ halves, gate_up }) => (halves ? [gate_up] : [])),
      ]
    : [];

/** The layers of an MLP that target_modules cannot name: the experts, and mostly the router. */
const untargeted = (mlp: MlpSpec): LinearSpec[] =>
  mlp.kind === 'mixture'
    ? [...(mlp.router_is_layer ? [] : [mlp.router]), ...expertLinears(mlp)]
    : [];

/** Those that target_modules can name: not the experts, and mostly not the router. */
export function targetableLinears(layer: LayerSpec): LinearSpec[] {
  const { mlp } = layer;
  const others = new Set(untargeted(mlp));
  return linearsOf(layer).filter((own) => !others.has(own));
}

/** Whether some of a model's MLPs are mixtures of experts. */
export const hasExperts = ({ layers }: Spec): boolean =>
  layers.some(({ mlp }) => mlp.kind === 'mixture');

/** The experts of each mixture; 0: the model has none. */
export const expertCount = ({ layers }: Pick<Spec, 'layers'>): number =>
  layers.reduce((most, { mlp }) => (mlp.kind === 'mixture' ? mlp.experts.length : most), 0);

/** Values of an MLP per token between its products; of experts, with their inputs and outputs. */
export function innerSizeOf(mlp: MlpSpec): number {
  if (mlp.kind !== 'mixture') return mlp.down.in_features;
  const { in_features, out_features } = mlp.experts[0]!.down;
  const beside = mlp.beside ? innerSizeOf(mlp.beside.mlp) : 0;
  return beside + mlp.top_k * (in_features + out_features);
}

function headLinears(head: HeadSpec): LinearSpec[] {
  switch (head.kind) {
    case 'lm':
      return [head.output];
    case 'labels':
      return head.dense ? [head.dense.linear, head.output] : [head.output];
    case 'pooled':
    case 'none':
      return [];
    case 'vector':
      return vectorLinears(head);
    case 'contrastive':
      return vectorLinears(head.text);
  }
}

/** Those that adapters can have an effect on: torch computes attention's `o` without its module. */
const vectorLinears = ({ pool, projection }: VectorSpec): LinearSpec[] => [
  ...(pool.kind === 'attention' ? [pool.up, pool.down] : []),
  ...(projection ? [projection] : []),
];

/** The transformers of a model: for texts and for images, encoder and decoder, or just one. */
export function towersOf(spec: Spec): readonly Spec[] {
  if (spec.source) return [spec.source.encoder, spec];
  return spec.head.kind === 'contrastive' ? [spec, spec.head.images] : [spec];
}

const linearModule = (
  { path, in_features, out_features }: LinearSpec,
  is_output = false,
): TargetableModule => ({ path, kind: 'linear', in_features, out_features, is_output });

/** The names for target_parameters: the parameters of experts, one by one, and routers. */
export const parameterModules = ({ layers }: Spec): TargetableModule[] =>
  layers.flatMap(({ mlp }) => {
    if (mlp.kind !== 'mixture') return [];
    const ofExperts = mlp.experts.flatMap(({ gate_up, down }) => [gate_up, down]);
    const router = mlp.router_is_layer ? [] : [mlp.router];
    return [...router, ...ofExperts].map((own) => linearModule(own));
  });

/** `modulesOf`, and modules of adapters of PEFT on experts, or on a layer without an effect. */
export function adaptedModulesOf(spec: Spec): TargetableModule[] {
  const { layers } = spec;
  const pooler = layerWithoutEffect(spec);
  const experts = layers.flatMap(({ mlp }) => adaptedExperts(mlp));
  return [
    ...modulesOf(spec),
    ...[...experts, ...(pooler ? [pooler] : [])].map((own) => linearModule(own)),
  ];
}

/** A layer that PEFT adapts, too, though nothing that is trained depends on it. */
export function layerWithoutEffect({ head }: Spec): LinearSpec | null {
  if (head.kind === 'pooled') return head.pooler ?? null;
  if (head.kind !== 'contrastive' || head.images.head.kind !== 'vector') return null;
  const { pool } = head.images.head;
  return pool.kind === 'attention' ? pool.o : null;
}

/**
 * The layers that LoRA can adapt, in the model's order, under PEFT's names; an output layer even
 * when it is tied. Not of encoder-decoders: a table of both, and the output layer that is tied to
 * it.
 */
export function modulesOf(spec: Spec): TargetableModule[] {
  const all = [
    ...towersOf(spec).flatMap(modulesOfTower),
    ...(spec.vision ? visionModules(spec.vision) : []),
  ];
  if (!spec.source) return all.map((own) => withPathInModel(own, spec));
  const tied = tiedWeight(spec) !== null;
  return all.filter(({ kind, is_output }) => kind !== 'embedding' && !(tied && is_output));
}

function withPathInModel(module: TargetableModule, spec: Spec): TargetableModule {
  const path_in_model = nameInModel(module.path, spec);
  return path_in_model === module.path ? module : { ...module, path_in_model };
}

function modulesOfTower(spec: Spec): TargetableModule[] {
  const { embedding, layers, head, hidden_size } = spec;
  const outputs = headLinears(head);
  const hasOutput = head.kind === 'lm' || head.kind === 'labels';
  return [
    ...embeddingModules(embedding, hidden_size),
    ...distinct(layers)
      .flatMap(targetableLinears)
      .map((own) => linearModule(own)),
    ...perLayerModules(embedding),
    ...outputs.map((own, i) => linearModule(own, hasOutput && i === outputs.length - 1)),
  ];
}

/** The linear layers of a vision encoder, without its convolution of patches. */
export const visionLinears = ({ tower, merger, deepstack }: VisionSpec): LinearSpec[] => [
  ...tower.layers.flatMap(linearsOf),
  ...mergersOf({ merger, deepstack }).flatMap(({ up, down }) => [up, down]),
];

const mergersOf = ({ merger, deepstack }: Pick<VisionSpec, 'merger' | 'deepstack'>) => [
  merger,
  ...deepstack.map((own) => own.merger),
];

function visionModules(vision: VisionSpec): TargetableModule[] {
  const { frames, patch, patches } = vision;
  const convolution = linearModule(patches);
  return [
    { ...convolution, kind: 'conv3d', kernel: [frames, patch, patch] },
    ...visionLinears(vision).map((own) => linearModule(own)),
  ];
}

/** The tensors of a vision encoder, which a checkpoint of its language model lacks. */
export function visionTensors(vision: VisionSpec): Wanted[] {
  const { tower, patches, positions, channels, frames, patch } = vision;
  return [
    {
      name: `${patches.path}.weight`,
      shape: [patches.out_features, channels, frames, patch, patch],
    },
    { name: `${patches.path}.bias`, shape: [patches.out_features] },
    { name: `${positions.path}.weight`, shape: [positions.rows, tower.hidden_size] },
    ...tower.layers.flatMap(layerTensors),
    ...mergersOf(vision).flatMap(({ norm, up, down }) => [
      ...normTensors(norm),
      ...linearTensors(up),
      ...linearTensors(down),
    ]),
  ];
}

/** The tables of biases, each once. */
export function scoreBiases({ layers }: Spec): ScoreBiasSpec[] {
  const all = layers.flatMap(({ attention: { score_bias } }) => score_bias ?? []);
  return [...new Map(all.map((own) => [own.path, own])).values()];
}

/** All layers have one table. */
function distanceTensors({ layers, hidden_size }: Spec): Wanted[] {
  const { distances } = layers[0]!.attention;
  if (!distances) return [];
  const { table, norm } = distances;
  return [
    { name: `${table.path}.weight`, shape: [table.rows, hidden_size] },
    ...(norm ? normTensors(norm) : []),
  ];
}

/** The layers with weights of their own: ALBERT has one for several places. */
const distinct = (layers: readonly LayerSpec[]): LayerSpec[] => [...new Set(layers)];

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
  const { tokens, projection } = embedding;
  const { path, rows } = tokens;
  const width = tableWidth(embedding, hidden_size);
  return [
    { path, kind: 'embedding', in_features: rows, out_features: width, is_output: false },
    ...(projection ? [linearModule(projection)] : []),
  ];
}

function perLayerModules(embedding: EmbeddingSpec): TargetableModule[] {
  if (embedding.kind !== 'tokens' || !embedding.per_layer) return [];
  const { table, projection } = embedding.per_layer;
  const { path, rows } = table;
  const out_features = projection.out_features;
  return [
    { path, kind: 'embedding', in_features: rows, out_features, is_output: false },
    linearModule(projection),
  ];
}

function perLayerTensors(embedding: EmbeddingSpec): Wanted[] {
  if (embedding.kind !== 'tokens' || !embedding.per_layer) return [];
  const { table, projection, norm } = embedding.per_layer;
  return [
    { name: `${table.path}.weight`, shape: [table.rows, projection.out_features] },
    ...linearTensors(projection),
    ...normTensors(norm),
  ];
}

/** The width of the embedding's tables. */
export const tableWidth = ({ projection }: TokenEmbeddingSpec, hidden_size: number): number =>
  projection?.in_features ?? hidden_size;

/**
 * The tensors of a checkpoint, under their names in current transformers. Those of `body` must
 * exist; `head` is that of a classifier, which is newly initialized when the checkpoint lacks it. A
 * tied output layer has no tensor.
 */
export function tensorsOf(spec: Spec): { readonly body: Wanted[]; readonly head: Wanted[] } {
  const { head } = spec;
  const body = byName(towersOf(spec).flatMap(bodyTensors));
  if (head.kind === 'labels') return { body, head: headTensors(head) };
  if (head.kind !== 'lm') return { body, head: [] };
  return { body: head.tied ? body : [...body, ...linearTensors(head.output)], head: [] };
}

/** Each once: encoder and decoder have one embedding. */
const byName = (tensors: readonly Wanted[]): Wanted[] => [
  ...new Map(tensors.map((own) => [own.name, own])).values(),
];

/** Those below the head; those of vectors with the head, which is never newly initialized. */
function bodyTensors(spec: Spec): Wanted[] {
  const { embedding, layers, final_norm, head, hidden_size } = spec;
  return [
    ...embeddingTensors(embedding, hidden_size),
    ...distinct(layers).flatMap(layerTensors),
    ...scoreBiases(spec).map(({ path, rows, heads }) => ({
      name: `${path}.weight`,
      shape: [rows, heads],
    })),
    ...distanceTensors(spec),
    ...perLayerTensors(embedding),
    ...(final_norm ? normTensors(final_norm) : []),
    ...(head.kind === 'vector' ? vectorTensors(head, hidden_size) : []),
    ...(head.kind === 'contrastive'
      ? [...vectorTensors(head.text, hidden_size), head.scale, ...(head.bias ? [head.bias] : [])]
      : []),
  ];
}

function vectorTensors({ pool, projection }: VectorSpec, d: number): Wanted[] {
  const own = projection ? linearTensors(projection) : [];
  if (pool.kind !== 'attention') return own;
  return [
    { name: pool.probe, shape: [1, 1, d] },
    { name: `${pool.attention}.in_proj_weight`, shape: [3 * d, d] },
    { name: `${pool.attention}.in_proj_bias`, shape: [3 * d] },
    ...[pool.o, pool.up, pool.down].flatMap(linearTensors),
    ...normTensors(pool.norm),
    ...own,
  ];
}

function headTensors(head: Extract<HeadSpec, { kind: 'labels' }>): Wanted[] {
  const tensors = headLinears(head).flatMap(linearTensors);
  if (!head.dense?.norm) return tensors;
  return [...tensors, ...normTensors(head.dense.norm)];
}

/** A tied output layer's weight, and the checkpoint's name for it; null when none is tied. */
export function tiedWeight({
  head,
  embedding,
}: Spec): { readonly name: string; readonly storedAs: string } | null {
  if (head.kind !== 'lm' || !head.tied || embedding.kind !== 'tokens') return null;
  return { name: `${head.output.path}.weight`, storedAs: `${embedding.tokens.path}.weight` };
}

/**
 * All tensors of the model by their modules' names, with that of a tied output layer: those that
 * `bias` and `modules_to_save` can select.
 */
export function namedTensors(spec: Spec): Wanted[] {
  const { body, head } = tensorsOf(spec);
  return [
    ...body,
    ...head,
    ...(spec.head.kind === 'lm' && spec.head.tied ? linearTensors(spec.head.output) : []),
    ...(spec.vision ? visionTensors(spec.vision) : []),
  ];
}

/** PEFT's names of all modules of a model: what target_modules can select, and what contains it. */
export function moduleNames(spec: Spec): string[] {
  const inModules = namedTensors(spec).filter(({ name }) => name.includes('.'));
  const paths = [
    ...inModules.map(({ name }) => name.slice(0, name.lastIndexOf('.'))),
    ...adaptedModulesOf(spec).map((m) => m.path),
  ];
  const containing = (path: string) =>
    path.split('.').map((_, i, parts) => parts.slice(0, i + 1).join('.'));
  return [...new Set(paths.flatMap(containing))];
}

function embeddingTensors(embedding: EmbeddingSpec, d: number): Wanted[] {
  if (embedding.kind === 'tokens') {
    const tables = [embedding.tokens, embedding.positions, embedding.types].filter(
      (table): table is TableSpec => table !== null,
    );
    return [
      ...tables.map(({ path, rows }) => ({
        name: `${path}.weight`,
        shape: [rows, tableWidth(embedding, d)],
      })),
      ...(embedding.norm ? normTensors(embedding.norm) : []),
      ...(embedding.projection ? linearTensors(embedding.projection) : []),
    ];
  }
  const { path, channels, patch_size, bias, cls_token, positions, flat, norm } = embedding;
  const leading = flat ? [] : [1];
  return [
    { name: `${path}.weight`, shape: [d, channels, patch_size[0], patch_size[1]] },
    ...(bias ? [{ name: `${path}.bias`, shape: [d] }] : []),
    ...(cls_token === null ? [] : [{ name: cls_token, shape: [...leading, ...leading, d] }]),
    { name: positions, shape: [...leading, imageLengthOf(embedding), d] },
    ...(norm ? normTensors(norm) : []),
  ];
}
