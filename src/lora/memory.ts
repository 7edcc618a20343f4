import { UNRECORDED_STEP_PLAN, type StepPlan } from '../shared/run';
import { KEPT_PICTURES, type ImageCounts } from '../shared/imageCounts';
import type { TargetableModule } from './adapter';
import {
  NO_BESIDES,
  rankIn,
  trainableOf,
  trainedNumbers,
  type AdaptedModules,
  type BesideCounts,
  type ModuleRanks,
} from './count';
import { isOnExpert } from './experts';
import type { MixtureSize, ModelSize, QuantizedSize, VisionSize } from './modelSize';

/** Bytes of each part at the peak of a training step. */
export interface MemoryEstimate {
  readonly weights: number;
  /** A and B and what is trained beside them, and the copy that their products use. */
  readonly adapter: number;
  readonly gradients: number;
  /** AdamW's two moments. */
  readonly optimizer: number;
  readonly activations: number;
  readonly working: number;
  readonly total: number;
}

/** Rows of a batch, and tokens of each. */
export interface BatchShape {
  readonly rows: number;
  readonly length: number;
  /** Those in texts. Not given: there are none. */
  readonly images?: ImageCounts | undefined;
}

const F32 = 4;
/** Bytes of a decoded pixel. */
const RGB = 3;
/** Bytes of images' vectors that are kept, at most (src/models/vision). */
export const KEPT_VECTORS = 256 * 2 ** 20;
/** libtensorflow, Node and the tokenizer before a model is loaded. */
export const PROCESS = 360e6;
/** Queries in a row block of attention (src/models/attention). */
const BLOCK_ROWS = 128;
/** Overhead of many arrays of similar sizes; measured. */
const GAPS = 1.4;
/** Tokens of a chunk of the gated delta rule (src/models/attention/chunks.ts). */
const CHUNK_TOKENS = 64;
/** What kernels, compiled code and gaps between arrays take in any step; measured. */
const OVERHEAD = 80 * 2 ** 20;
/** Gaps between the arrays that are kept for the backward pass, as a share of them; measured. */
const KEPT_GAPS = 0.05;
/** Logits that exist at once (src/models/heads/lmHead.ts), and their probabilities. */
const LOGITS = 2 * (32 << 20);
/** Further arrays of that size (src/models/heads/teacher.ts); measured. */
const TEACHER_LOGITS = 11 * (32 << 20);
/** Further copies of adapters on experts, which are many small arrays; measured. */
const EXPERT_COPIES = 3;
/** The numbers that whole tensors of the base start from, in the adapter and in the layer. */
const WHOLE_COPIES = 2;
/** Arrays of a product's outputs in the backward pass of DoRA; measured. */
const DORA_ARRAYS = 3;
/** Copies of a weight in f32 while its norms are computed for DoRA; measured. */
const NORM_ARRAYS = { float32: 2, bfloat16: 3 };
/** A loaded model takes this share of its f32 weights. */
const LOADED_SHARE = 1.2;

/** Bytes of a model that is loaded for inference, in f32 or bf16. */
export const estimateLoaded = (
  { parameters }: Pick<ModelSize, 'parameters'>,
  base_dtype: StepPlan['base_dtype'] = 'float32',
): number => LOADED_SHARE * parameters * weightBytes({ base_dtype }) + PROCESS;

/**
 * Memory of a training step as src/models runs it: the weights once; A and B with their gradient
 * and AdamW's two moments; what the backward pass of each layer needs, of recomputed layers only
 * their input; and the larger of two working sets, that of a layer and that of the output layer,
 * which do not exist at the same time.
 */
export function estimateMemory(
  size: ModelSize,
  adapted: AdaptedModules,
  batch: BatchShape,
  plan: StepPlan = UNRECORDED_STEP_PLAN,
): MemoryEstimate {
  const { modules, ranks, use_dora = false, besides = NO_BESIDES } = adapted;
  const trainable = trainedNumbers(adapted);
  const { vision } = size;
  const isInTower = (m: TargetableModule) => vision?.path && m.path.startsWith(`${vision.path}.`);
  const own = modules.filter((m) => !isInTower(m));
  const adaptation = adaptationOf(size, own, { ranks, use_dora });
  const inTower = modules.filter(isInTower);
  const kept = vision ? keptInTower(vision, inTower) : 0;
  const ofTower = vision
    ? adaptationOf({ ...vision.size, num_layers: Math.max(1, kept) }, inTower, {
        ranks,
        use_dora,
      })
    : adaptation;
  const ofImages = inTower.length > 0 ? towerBytes(size, { ...ofTower, kept }, batch, plan) : 0;
  const ofText = activationBytes(size, adaptation, batch, plan);
  // a pass that is computed again exists once the layers' backward passes have ended
  const isAgain = plan.recomputed_layers > 0;
  const beside = isAgain ? Math.max(0, ofImages - ofText) : 0;
  const activations = ofText + (isAgain ? 0 : ofImages);
  return withTotal({
    weights: storedBytes(size, plan),
    adapter:
      F32 *
      (2 * trainable +
        EXPERT_COPIES * trainableOnExperts(modules, ranks) +
        WHOLE_COPIES * besides.whole),
    ...trainingState(trainable),
    activations,
    working:
      Math.max(
        workingBytes(size, adaptation, batch, plan),
        beside + visionWorkingBytes(size, ofTower, batch, plan),
        normBytes(adapted, plan) - activations,
      ) +
      besideBytes(size, besides, plan) +
      visionBytes(size, batch),
  });
}

/**
 * Of numbers of the base that train: the next copy of the largest tensor beside the last one, of an
 * output layer also its gradient, which is computed whole before it is added; and a table with the
 * changed rows beside the one before, and logits that no kernel computes.
 */
function besideBytes(
  { outputs, hidden_size }: ModelSize,
  { largest, output, rows }: BesideCounts,
  plan: StepPlan,
): number {
  const ofTable = rows > 0 ? weightBytes(plan) * outputs * hidden_size + LOGITS / 2 : 0;
  return F32 * (2 + Number(output)) * largest + ofTable;
}

/** The norms of the largest weight with DoRA, which are computed between steps. */
function normBytes({ modules, use_dora }: AdaptedModules, { base_dtype }: StepPlan): number {
  if (!use_dora) return 0;
  const largest = Math.max(0, ...modules.map((m) => m.in_features * m.out_features));
  return NORM_ARRAYS[base_dtype] * F32 * largest;
}

const trainableOnExperts = (modules: readonly TargetableModule[], ranks: ModuleRanks): number =>
  modules.filter(isOnExpert).reduce((sum, m) => sum + trainableOf(m, rankIn(ranks, m)), 0);

const adaptationOf = (
  size: ModelSize,
  modules: readonly TargetableModule[],
  { ranks, use_dora }: { readonly ranks: ModuleRanks; readonly use_dora: boolean },
): Adaptation => {
  const { num_layers, inner_size, mixture } = size;
  const scaled = use_dora ? modules.filter((m) => !m.is_output) : [];
  return {
    scaledPerLayer:
      scaled.reduce((sum, m) => sum + shareOfTokens(mixture, m) * m.out_features, 0) / num_layers,
    scaledAtOnce: Math.max(0, ...scaled.map((m) => m.out_features)),
    ranksPerLayer:
      modules.reduce((sum, m) => sum + shareOfTokens(mixture, m) * rankIn(ranks, m), 0) /
      num_layers,
    inMlp: modules.some((m) => m.in_features === inner_size || m.out_features === inner_size),
    inHeads: modules.some((m) => makesHeads(size, m)),
  };
};

/** Whether its shape is that of queries (with a gate or without), keys or values. */
function makesHeads(
  { hidden_size, q_size, kv_size }: ModelSize,
  { in_features, out_features }: TargetableModule,
): boolean {
  const outputs = [q_size, 2 * q_size, kv_size, q_size + 2 * kv_size];
  return in_features === hidden_size && outputs.includes(out_features);
}

/** Layers of the tower from the lowest one that trains, below which nothing is kept. */
function keptInTower(
  { blocks, convolution, size }: VisionSize,
  modules: readonly TargetableModule[],
): number {
  if (modules.some(({ path }) => path === convolution)) return size.num_layers;
  const trained = modules
    .filter(({ path }) => path.startsWith(`${blocks}.`))
    .map(({ path }) => Number.parseInt(path.slice(blocks.length + 1), 10));
  return size.num_layers - Math.min(size.num_layers, ...trained);
}

/** The share of tokens that a module reads. */
const shareOfTokens = (mixture: MixtureSize | undefined, module: TargetableModule): number =>
  mixture && isOnExpert(module) ? mixture.top_k / mixture.experts : 1;

/**
 * What the backward pass of a tower that trains needs: of as many of the largest images as a batch
 * can have, or of one where passes are computed again.
 */
function towerBytes(
  { vision }: ModelSize,
  { kept, ...adaptation }: Adaptation & { readonly kept: number },
  { rows, length, images }: BatchShape,
  plan: StepPlan,
): number {
  if (!vision || !images) return 0;
  const ofRow = Math.max(1, Math.floor((length * vision.patches) / images.largest));
  const inData = Math.ceil((images.tokens * vision.patches) / images.largest);
  const count = plan.recomputed_layers > 0 ? 1 : Math.min(inData, rows * ofRow);
  const batch = { rows: count, length: images.largest };
  const own: ModelSize = { ...vision.size, num_layers: kept };
  const layers =
    kept > 0 ? activationBytes(own, adaptation, batch, { ...plan, recomputed_layers: 0 }) : 0;
  return layers + count * images.largest * mergerBytes(vision, plan);
}

/**
 * What is kept of a patch outside of the layers: the samples, what each merger norms, that in the
 * type of its weights, and its product with a bias.
 */
const mergerBytes = ({ samples, mergers, size }: VisionSize, plan: StepPlan): number =>
  F32 * samples + mergers * size.hidden_size * (2 * F32 + weightBytes(plan));

/** A pass of the tower over the largest image. */
function visionWorkingBytes(
  { vision }: ModelSize,
  adaptation: Adaptation,
  { images }: BatchShape,
  plan: StepPlan,
): number {
  if (!vision || !images) return 0;
  const batch = { rows: 1, length: images.largest };
  return towerWorkingBytes(vision.size, adaptation, batch, { ...plan, quantized: false });
}

/**
 * The image embeddings and the decoded images that are kept, and rotary tables of the batch's rows,
 * which differ.
 */
function visionBytes(
  { vision, q_size, kv_size }: ModelSize,
  { rows, length, images }: BatchShape,
): number {
  if (!vision || !images) return 0;
  const tables = 2 * F32 * (rows - 1) * length * (q_size + 2 * kv_size);
  const kept = Math.min(KEPT_VECTORS, F32 * images.tokens * vision.kept);
  const pixels = RGB * images.tokens * vision.patches * vision.pixels;
  return tables + kept + Math.min(KEPT_PICTURES, pixels);
}

/**
 * Memory of a step of full fine-tuning: gradients and moments as large as the model, and the output
 * layer's gradient of one block of logits beside the sum of the blocks before.
 */
export function estimateFullFineTuning(
  size: ModelSize,
  batch: BatchShape,
  plan: StepPlan = UNRECORDED_STEP_PLAN,
): MemoryEstimate {
  const adaptation = { ...WITHOUT_MODULES, inMlp: true, inHeads: true };
  const inF32: StepPlan = { ...plan, base_dtype: 'float32' };
  return withTotal({
    weights: size.parameters * F32,
    adapter: 0,
    ...trainingState(size.parameters),
    activations: activationBytes(size, adaptation, batch, inF32),
    working:
      workingBytes(size, adaptation, batch, inF32) + 2 * F32 * size.outputs * size.hidden_size,
  });
}

/** Rows that a teacher reads at one time. */
export const TEACHER_ROWS = 4;

/** How a model that is used but not trained is kept in memory. */
export type LoadedForm = Pick<StepPlan, 'base_dtype' | 'quantized'>;

/** Memory of a model that is run without training, such as a teacher. */
export function estimateMeasured(
  size: ModelSize,
  batch: BatchShape,
  form: LoadedForm,
): MemoryEstimate {
  const plan: StepPlan = { ...form, recomputed_layers: 0 };
  const adaptation = WITHOUT_MODULES;
  return withTotal({
    weights: storedBytes(size, plan),
    adapter: 0,
    gradients: 0,
    optimizer: 0,
    activations: 0,
    working:
      Math.max(
        workingBytes(size, adaptation, batch, plan),
        visionWorkingBytes(size, adaptation, batch, plan),
      ) + visionBytes(size, batch),
  });
}

/** An estimate with the further blocks of logits that learning from a teacher computes with. */
export const withTeacherLogits = (estimate: MemoryEstimate): MemoryEstimate => ({
  ...estimate,
  working: estimate.working + TEACHER_LOGITS,
  total: estimate.total + TEACHER_LOGITS,
});

const quantizedSizeOf = (size: ModelSize, { quantize }: StepPlan): QuantizedSize =>
  quantize ? (size.quantizable?.[quantize] ?? size) : size;

function storedBytes(size: ModelSize, plan: StepPlan): number {
  const { quantized_bytes, dense_numbers = 0 } = quantizedSizeOf(size, plan);
  if (plan.quantized && quantized_bytes !== null)
    return quantized_bytes + dense_numbers * weightBytes(plan);
  return size.parameters * weightBytes(plan) + passingBytes(size);
}

/** The blocks of the largest matrix, whose memory is used for each in turn while they are read. */
function passingBytes({ quantized_bytes, parameters, outputs, hidden_size }: ModelSize): number {
  const share = Math.min(1, (outputs * hidden_size) / parameters);
  return Math.round((quantized_bytes ?? 0) * share);
}

/**
 * The dequantized matrix of a product, which exists at the same time as that of the output layer.
 */
function dequantizedBytes(size: ModelSize, plan: StepPlan): number {
  if (!plan.quantized) return 0;
  const { hidden_size, inner_size, q_size, kv_size } = size;
  const largest = Math.max(inner_size, q_size + 2 * kv_size);
  return weightBytes(plan) * hidden_size * largest;
}

const weightBytes = ({ base_dtype }: Pick<StepPlan, 'base_dtype'>): number =>
  base_dtype === 'bfloat16' ? 2 : F32;

const trainingState = (trainable: number): Pick<MemoryEstimate, 'gradients' | 'optimizer'> => ({
  gradients: trainable * F32,
  optimizer: 2 * trainable * F32,
});

interface Adaptation {
  /** Ranks of all adapted modules of a layer, added up; the mean of the layers. */
  readonly ranksPerLayer: number;
  /** Outputs of a layer's modules with DoRA's magnitudes, which are kept before they are scaled. */
  readonly scaledPerLayer: number;
  /** The most of one module. */
  readonly scaledAtOnce: number;
  /** Whether a trained module reads or writes the inner values of the MLP, which are then f32. */
  readonly inMlp: boolean;
  /** Whether one makes queries, keys or values, which are then f32 before they are normed. */
  readonly inHeads: boolean;
}

const WITHOUT_MODULES: Adaptation = {
  ranksPerLayer: 0,
  scaledPerLayer: 0,
  scaledAtOnce: 0,
  inMlp: false,
  inHeads: false,
};

/** What is kept from the forward pass for the backward pass. */
function activationBytes(
  size: ModelSize,
  adaptation: Adaptation,
  { rows, length }: BatchShape,
  plan: StepPlan,
): number {
  const { ranksPerLayer, scaledPerLayer, inHeads } = adaptation;
  const { hidden_size, q_size, kv_size, num_layers } = size;
  const tokens = rows * length;
  const stats = size.scores_rows ? 0 : 2 * size.num_heads;
  const inF32 = F32 * (2 * hidden_size + 2 + stats + ranksPerLayer + scaledPerLayer);
  const inWeightType =
    weightBytes(plan) * (2 * q_size + 2 * kv_size + mlpInputs(size)) + 2 * routedBytes(size, plan);
  const ofHead = inHeads ? F32 : weightBytes(plan);
  const beforeNorms = size.norms_heads ? ofHead * (q_size + 2 * kv_size) : 0;
  const layer =
    tokens * (inF32 + inWeightType + beforeNorms) + probabilityBytes(size, { rows, length }, plan);
  const ofDelta =
    size.delta &&
    tokens *
      (inF32 +
        F32 * (size.delta.inputs + size.delta.values) +
        weightBytes(plan) * mlpInputs(size) +
        2 * routedBytes(size, plan));
  const deltas = size.delta?.layers ?? 0;
  const recomputed = Math.min(plan.recomputed_layers, num_layers - 1);
  const share = (num_layers - recomputed) / num_layers;
  const kept = share * ((num_layers - deltas) * layer + deltas * (ofDelta ?? 0));
  const own = kept + recomputed * tokens * F32 * hidden_size;
  const { images, encoder } = size;
  if (encoder)
    return (
      own +
      crossBytes(size, tokens, plan) +
      activationBytes(encoder, adaptation, { rows, length }, plan)
    );
  if (!images) return own;
  return own + activationBytes(images.size, adaptation, { rows, length: images.length }, plan);
}

/**
 * Bytes that a token's rows of all its experts take beyond their size in the weights' type: experts
 * read and write f32 (src/models/layers/mixture.ts).
 */
const routedBytes = ({ mixture }: ModelSize, plan: StepPlan): number =>
  (mixture?.routed ?? 0) * (F32 - weightBytes(plan));

/**
 * What attention to an encoder keeps in all layers: its input, queries, keys, values and output.
 * Sources are taken to be as long as what the decoder reads.
 */
function crossBytes(size: ModelSize, tokens: number, plan: StepPlan): number {
  const { hidden_size, q_size, kv_size, num_layers } = size;
  const recomputed = Math.min(plan.recomputed_layers, num_layers - 1);
  const ofToken = F32 * hidden_size + weightBytes(plan) * (2 * q_size + 2 * kv_size);
  return (num_layers - recomputed) * tokens * ofToken;
}

/**
 * Of the backward pass of the gated delta rule: the parts of the product, what the convolution
 * reads and writes, the arrays of keys and values and their gradients, those of pairs of tokens of
 * a chunk, and the states at the chunks' starts and ends.
 */
function deltaBytes({ delta }: ModelSize, { rows, length }: BatchShape): number {
  if (!delta) return 0;
  const chunk = Math.min(CHUNK_TOKENS, length);
  const { inputs, channels, keys, values, heads, state } = delta;
  const pairs = heads * chunk;
  const perToken =
    inputs + 4 * channels + 19 * keys + 12 * values + 12 * pairs + (2 * state) / chunk;
  return GAPS * F32 * rows * length * perToken;
}

/** Attention probabilities of a layer, which are kept only where they are small. */
function probabilityBytes(size: ModelSize, { rows, length }: BatchShape, plan: StepPlan): number {
  const scores = rows * attentionScores(size, length);
  const isKept = size.scores_rows && scores <= 2 * rows * length * size.inner_size;
  return isKept ? weightBytes(plan) * scores : 0;
}

/** The largest temporary values of a layer or of the output layer. */
function workingBytes(
  size: ModelSize,
  adaptation: Adaptation,
  batch: BatchShape,
  plan: StepPlan,
): number {
  const own = towerWorkingBytes(size, adaptation, batch, plan);
  const { images } = size;
  if (!images) return own;
  const { rows } = batch;
  const ofImages = { rows, length: images.length };
  return Math.max(own, towerWorkingBytes(images.size, adaptation, ofImages, plan));
}

function towerWorkingBytes(
  size: ModelSize,
  { inMlp, scaledAtOnce }: Adaptation,
  { rows, length }: BatchShape,
  plan: StepPlan,
): number {
  const { hidden_size, inner_size, q_size, kv_size } = size;
  const tokens = rows * length;
  const bytes = weightBytes(plan);
  const mlp =
    tokens * (F32 * 6 * hidden_size + bytes * (mlpInputs(size) + 2 * inner_size)) +
    4 * tokens * routedBytes(size, plan) +
    (inMlp ? tokens * F32 * inner_size : 0);
  const scaled = DORA_ARRAYS * F32 * tokens * scaledAtOnce;
  const attention =
    tokens * (F32 * 5 * hidden_size + bytes * 3 * (q_size + kv_size)) +
    scoreBytes(size, { rows, length }, plan);
  const layer = Math.max(mlp, attention, deltaBytes(size, { rows, length })) + scaled;
  const rotaryTables = 2 * F32 * length * (q_size + 2 * kv_size);
  return (
    Math.max(layer, headBytes(size, tokens, plan)) + rotaryTables + dequantizedBytes(size, plan)
  );
}

/**
 * Of the output layer: a block of logits and their gradient, its inputs and the gradients of these
 * in parts and as a whole, and its numbers where it is kept in blocks.
 */
function headBytes(size: ModelSize, tokens: number, plan: StepPlan): number {
  const { outputs, hidden_size } = size;
  const bytes = weightBytes(plan);
  const isInBlocks = plan.quantized && !quantizedSizeOf(size, plan).dense_head;
  return (
    Math.min(LOGITS, 2 * bytes * tokens * outputs) +
    (isInBlocks ? bytes * outputs * hidden_size : 0) +
    3 * F32 * tokens * hidden_size
  );
}

/**
 * Scores and what is computed of them for one block of queries; in blocks of queries and keys
 * instead the sums of the queries' gradients, and the keys and values in another order.
 */
function scoreBytes(size: ModelSize, { rows, length }: BatchShape, plan: StepPlan): number {
  const { num_heads, q_size, kv_size, scores_rows } = size;
  const bytes = weightBytes(plan);
  if (!scores_rows) return rows * length * (F32 * q_size + 2 * bytes * kv_size);
  return 4 * bytes * rows * num_heads * Math.min(BLOCK_ROWS, length) * length;
}

/** Values per token between the MLP's first products and its activation. */
const mlpInputs = ({ gated, inner_size }: ModelSize): number => (gated ? 2 : 1) * inner_size;

/**
 * Attention scores of one row of the batch, over all heads: causal attention leaves out the keys
 * after each block of queries.
 */
function attentionScores({ num_heads, causal }: ModelSize, length: number): number {
  let scores = 0;
  for (let start = 0; start < length; start += BLOCK_ROWS) {
    const end = Math.min(length, start + BLOCK_ROWS);
    scores += (end - start) * (causal ? end : length);
  }
  return num_heads * scores;
}

/** What kernels, compiled code and gaps between arrays take, and the process itself. */
export const overheadOf = (activations: number): number =>
  PROCESS + OVERHEAD + Math.round(KEPT_GAPS * activations);

function withTotal(parts: Omit<MemoryEstimate, 'total'>): MemoryEstimate {
  const working = parts.working + overheadOf(parts.activations);
  const { weights, adapter, gradients, optimizer, activations } = parts;
  const total = weights + adapter + gradients + optimizer + activations + working;
  return { ...parts, working, total };
}
