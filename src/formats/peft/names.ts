import type { LoraFactors } from '../../lora/types';

/** What a tensor of adapter_model.safetensors is. */
export type TensorRole =
  | { readonly role: 'A' | 'B'; readonly kind: LoraFactors['kind']; readonly path: string }
  /** PEFT saves the frozen weight of an adapted embedding or output layer too. */
  | { readonly role: 'base' }
  | { readonly role: 'unknown' };

const LINEAR = /^(.+)\.lora_([AB])(?:\.default)?\.weight$/;
const EMBEDDING = /^(.+)\.lora_embedding_([AB])(?:\.default)?$/;
const PREFIX = 'base_model.model.';

export function roleOf(name: string): TensorRole {
  if (/\.base_layer\.weight$/.test(name)) return { role: 'base' };
  for (const [kind, expression] of [['linear', LINEAR], ['embedding', EMBEDDING]] as const) {
    const [, path, role] = expression.exec(name) ?? [];
    if (path !== undefined) return { role: role as 'A' | 'B', kind, path: path.startsWith(PREFIX) ? path.slice(PREFIX.length) : path };
  }
  return { role: 'unknown' };
}

/** The name of a factor in PEFT's file. */
export function tensorName(module: Pick<LoraFactors, 'path' | 'kind'>, factor: 'A' | 'B'): string {
  return module.kind === 'linear' ? `${PREFIX}${module.path}.lora_${factor}.weight` : `${PREFIX}${module.path}.lora_embedding_${factor}`;
}

/** An embedding has the same form: its input is the vocabulary. */
export function factorShape({ r, in_features, out_features }: LoraFactors, factor: 'A' | 'B'): readonly [number, number] {
  return factor === 'A' ? [r, in_features] : [out_features, r];
}
