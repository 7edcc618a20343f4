import type { Spec } from '../../formats/architecture/spec';
import { isObject } from '../../shared/values';

/** A setting of the architecture that differs between two models. */
export interface DifferentSetting {
  /** Its path in the specification without the layers' numbers: attention.rope.theta. */
  readonly name: string;
  /** As JSON. */
  readonly base: string;
  readonly tuned: string;
}

/** GGUF files hold settings in f32, config.json in f64. */
const ROUNDING = 1e-6;

/** The row without a gradient: it matters for training, not for what a model computes. */
const TRAINING_ONLY = new Set(['padding']);

/** The settings that differ, such as theta of RoPE: no adapter can hold them. */
export function differentSettings(base: Spec, tuned: Spec): DifferentSetting[] {
  const found = new Map<string, DifferentSetting>();
  collect(base, tuned, { path: [], found });
  return [...found.values()];
}

interface Walk {
  readonly path: readonly string[];
  readonly found: Map<string, DifferentSetting>;
}

function collect(a: unknown, b: unknown, { path, found }: Walk): void {
  if (areAlike(a, b)) {
    return;
  }
  const [one, other] = [partsOf(a), partsOf(b)];
  if (one && other) {
    for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) {
      if (TRAINING_ONLY.has(key)) continue;
      collect(one[key], other[key], { path: [...path, key], found });
    }
    return;
  }
  const name = path.filter((key) => key !== 'layers' && !/^\d+$/.test(key)).join('.');
  if (!found.has(name)) {
    found.set(name, { name, base: textOf(a), tuned: textOf(b) });
  }
}

const areAlike = (a: unknown, b: unknown): boolean =>
  typeof a === 'number' && typeof b === 'number'
    ? Math.abs(a - b) <= ROUNDING * Math.max(Math.abs(a), Math.abs(b))
    : a === b;

function partsOf(value: unknown): Readonly<Record<string, unknown>> | null {
  if (Array.isArray(value)) {
    return Object.fromEntries((value as readonly unknown[]).entries());
  }
  return isObject(value) ? value : null;
}

const textOf = (value: unknown): string => (value === undefined ? 'none' : JSON.stringify(value));
