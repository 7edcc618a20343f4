import { LoraError, type Problem } from '../../shared/errors';
import { countOf } from '../../shared/values';
import { canonicalNames, isBuffer, WRAPPED } from './names';
import { tensorsOf, tiedWeight } from './modules';
import { partsOf } from './stackedNames';
import type { Spec } from './spec';

/**
 * Names of tensors that quantised weights have beside them: scales of 8-bit floats (ModelOpt,
 * compressed-tensors, DeepSeek, Quanto), GPTQ, AWQ, bitsandbytes, compressed-tensors and MLX.
 */
const OF_QUANTISED =
  /(?:^|\.|_)(?:weight_scale(?:_inv|_2)?|(?:input|output|activation|q|k|v|prob)_scale|act_scale|scale_weight|scale_input|scaled_fp8|scale_inv|weight_zero_point|weight_packed|weight_shape|weight_g_idx|weight_global_scale|input_global_scale|qweight|qzeros|scales|biases|g_idx|SCB|weight_format|absmax|nested_absmax|quant_map|nested_quant_map|_data|_scale|_zero_point)$|\.quant_state\./;

/**
 * Tensors that have no part in what a model computes here: heads for other tasks, poolers, heads
 * that guess several tokens ahead, and masks of a training run.
 */
const HARMLESS: readonly RegExp[] = [
  /^(?:lm_head|embed_out|score|classifier|pre_classifier|qa_outputs|multiple_choice_head)\./,
  /^(?:cls|vocab_transform|vocab_layer_norm|vocab_projector|decoder)\./,
  /^(?:head\.(?:dense|norm)|(?:generator|discriminator)_(?:predictions|lm_head)|predictions|sop_classifier|(?:lm|mask)_predictions)\./,
  /^(?:v_head|value_head|regression_layer|mtp)\./,
  /^(?:\w+\.)?pooler\./,
  /^(?:(?:vit|dinov2)\.)?embeddings\.(?:mask_token|position_ids|token_type_ids)$/,
  /\.(?:position_ids|masked_bias|inv_freq)$/,
];

const MAX_PROBLEMS = 20;

/**
 * Refuses a checkpoint whose tensors belong to quantised weights: without their scales the weights
 * are other numbers.
 *
 * @throws LoraError('base') naming the first such tensor.
 */
export function refuseQuantisedTensors(names: Iterable<string>, folder: string): void {
  const tensor = [...names].find((name) => OF_QUANTISED.test(name));
  if (tensor === undefined) return;
  throw new LoraError(
    'base',
    'The weights are quantised: this tensor is a part of their storage. This is not supported in safetensors files.',
    {
      place: { file: folder, tensor },
      fix: 'Use the model in bf16, f16 or f32, or a .gguf file of it.',
    },
  );
}

/**
 * Refuses a checkpoint with tensors that the model, as its config describes it, does not use,
 * unless they are known not to matter: another layer, a bias or a norm changes what a model
 * computes.
 *
 * @throws LoraError('base') with the first 20 of them.
 */
export function refuseUnusedTensors(names: readonly string[], spec: Spec, folder: string): void {
  const unused = unusedTensors(names, spec);
  if (unused.length === 0) return;
  const counted = unused.length === 1 ? 'a tensor' : countOf(unused.length, 'tensor');
  throw new LoraError('base', `The weights have ${counted} that the config does not describe.`, {
    place: { file: folder },
    problems: unused.slice(0, MAX_PROBLEMS).map((tensor): Problem => ({
      severity: 'error',
      message: 'The model does not use this tensor.',
      place: { file: folder, tensor },
    })),
    fix: 'Check that config.json belongs to the weights (num_hidden_layers, attention_bias, …), or remove the tensors.',
  });
}

function unusedTensors(names: readonly string[], spec: Spec): string[] {
  const { body, head } = tensorsOf(spec);
  const used = new Set([...body, ...head].map((tensor) => tensor.name));
  const tied = tiedWeight(spec)?.name;
  const ownHeads = headPaths(spec);
  const { unused_modules = [] } = spec;
  const canonical = new Map([...canonicalNames(names, spec)].map(([own, stored]) => [stored, own]));
  const owns = new Set(canonical.values());
  return names.filter((stored) => {
    const own = canonical.get(stored);
    if (own === undefined) return !isBuffer(stored, spec); // a second tensor of the same name
    if (used.has(own) || own === tied) return false;
    if (unused_modules.some((path) => own.startsWith(`${path}.`))) return false;
    const parts = partsOf(own, spec);
    if (parts) return parts.some((part) => !used.has(part) || owns.has(part));
    if (ownHeads.some((path) => own.startsWith(`${path}.`))) return true;
    if (spec.language_model !== undefined && !WRAPPED.test(stored)) return false;
    if (spec.source) return true;
    return !HARMLESS.some((pattern) => pattern.test(own));
  });
}

/** The layers of the head that the model has: another tensor of theirs, a bias, is not harmless. */
function headPaths({ head }: Spec): string[] {
  switch (head.kind) {
    case 'lm':
      return [head.output.path];
    case 'labels':
      return head.dense ? [head.dense.linear.path] : [];
    case 'pooled':
    case 'none':
    case 'vector':
    case 'contrastive':
      return [];
  }
}
