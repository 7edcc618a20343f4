import {
  attentionBackward,
  attentionForward,
  attentionStep,
  freeAttention,
  isAttentionTrained,
  type AttentionCache,
  type AttentionSaved,
  type AttentionWeights,
  type BranchGradient,
  type DecodeStep,
} from '../attention/attentionBranch';
import {
  cacheOfDelta,
  deltaBranchBackward,
  deltaBranchForward,
  deltaBranchStep,
  freeDelta,
  isDeltaTrained,
  type DeltaSaved,
  type DeltaWeights,
} from '../attention/deltaBranch';
import type { PassContext, SelectedRows } from '../attention/passContext';
import type { Ops, Tensor } from '../ops/ops';

/** How a layer mixes tokens: by attention or the gated delta rule. */
export type MixerWeights = AttentionWeights | DeltaWeights;

/** What the backward pass needs, with the weights that the forward pass used. */
export type MixerSaved =
  | { readonly kind: 'attention'; readonly w: AttentionWeights; readonly saved: AttentionSaved }
  | { readonly kind: 'delta'; readonly w: DeltaWeights; readonly saved: DeltaSaved };

export const isMixerTrained = (w: MixerWeights): boolean =>
  w.kind === 'delta' ? isDeltaTrained(w) : isAttentionTrained(w);

/** As `attentionForward`. */
export function mixerForward(
  pass: PassContext,
  w: MixerWeights,
  x: Tensor,
  options: { readonly rows: SelectedRows | null; readonly keep: boolean },
): { readonly y: Tensor; readonly saved: MixerSaved } {
  if (w.kind === 'delta') {
    const { y, saved } = deltaBranchForward(pass, w, x, options);
    return { y, saved: { kind: 'delta', w, saved } };
  }
  const { y, saved } = attentionForward(pass, w, x, options);
  return { y, saved: { kind: 'attention', w, saved } };
}

/** As `attentionStep`. */
export const mixerStep = (
  step: DecodeStep,
  w: MixerWeights,
  x: Tensor,
  caches: AttentionCache[],
): Tensor =>
  w.kind === 'delta' ? deltaBranchStep(step, w, x, caches) : attentionStep(step, w, x, caches);

/** What later tokens need of those of a prompt; null: another layer's keys and values. */
export function cacheOf(own: MixerSaved): AttentionCache | null {
  if (own.kind === 'delta') return cacheOfDelta(own.saved);
  if (own.w.keysOf !== null) return null;
  const { k, v } = own.saved.heads;
  return { k, v };
}

/** Frees what was saved, but not the layer's input, and the cache only if `includeCache`. */
export function freeMixer(ops: Ops, own: MixerSaved, includeCache = true): void {
  if (own.kind === 'delta') freeDelta(ops, own.saved, includeCache);
  else freeAttention(ops, own.saved, includeCache);
}

/** As `attentionBackward`. */
export const mixerBackward = (
  pass: PassContext,
  own: MixerSaved,
  gradient: BranchGradient,
): Promise<Tensor | null> =>
  own.kind === 'delta'
    ? deltaBranchBackward(pass, own.w, own.saved, gradient)
    : attentionBackward(pass, own.w, own.saved, gradient);
