import type { LoraFactors } from '../../lora/types';

export interface FactorRole {
  readonly role: 'factor';
  readonly factor: 'A' | 'B';
  readonly kind: LoraFactors['kind'];
  readonly path: string;
}

/** What a tensor of adapter_model.safetensors is. base: PEFT saves the frozen weight of an adapted embedding or output layer too. */
export type TensorRole = FactorRole | { readonly role: 'base' } | { readonly role: 'unknown' };

/** With the adapter's own name, as a model's state has it, or without, as PEFT saves it. */
const LINEAR = /^(.+)\.lora_([AB])(?:\.[^.]+)?\.weight$/;
const EMBEDDING = /^(.+)\.lora_embedding_([AB])(?:\.[^.]+)?$/;
const PREFIX = 'base_model.model.';

export function roleOf(name: string): TensorRole {
  if (name.endsWith('.base_layer.weight')) return { role: 'base' };
  for (const [kind, expression] of [['linear', LINEAR], ['embedding', EMBEDDING]] as const) {
    const [, path, factor] = expression.exec(name) ?? [];
    if (path !== undefined) return { role: 'factor', factor: factor as 'A' | 'B', kind, path: path.startsWith(PREFIX) ? path.slice(PREFIX.length) : path };
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
