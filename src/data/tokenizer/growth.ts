import { isObject } from '../../shared/values';

/** `n` characters may become `FREE + PER_CHARACTER * n`; NFKD makes 18 of one. */
const FREE = 1 << 20;
const PER_CHARACTER = 32;

/** Thrown when the steps of a tokenizer make a text too long. */
export class TextTooLong extends Error {
  constructor(readonly key: string) {
    super(`"${key}" makes the text too long.`);
  }
}

/** Limits what the steps of a tokenizer make of a text. */
export class Growth {
  private limit = FREE;

  /** Starts with a text of so many characters. */
  start(characters: number): void {
    this.limit = FREE + PER_CHARACTER * characters;
  }

  /** @throws TextTooLong */
  check(result: unknown, key: string): void {
    if (charactersOf(result) > this.limit) throw new TextTooLong(key);
  }
}

function charactersOf(result: unknown): number {
  if (typeof result === 'string') return result.length;
  if (!Array.isArray(result)) return 0;
  return result.reduce<number>(
    (sum, item) => sum + (typeof item === 'string' ? item.length : 0),
    result.length,
  );
}

/** What the library calls the function of a step, and where a sequence keeps its steps. */
const STEPS = [
  { part: 'normalizer', method: 'normalize', list: 'normalizers' },
  { part: 'pre_tokenizer', method: 'pre_tokenize', list: 'tokenizers' },
  { part: 'decoder', method: 'decode_chain', list: 'decoders' },
] as const;

/** Makes each step of a tokenizer of the library check its result. */
export function limitGrowth(tokenizer: object, growth: Growth): void {
  for (const { part, method, list } of STEPS) {
    const wrap = (step: unknown, key: string) => {
      if (typeof step !== 'function' && !isObject(step)) return;
      const own = step as unknown as Record<string, unknown>;
      const inner = own[list];
      if (Array.isArray(inner)) inner.forEach((one, i) => wrap(one, `${key}.${list}.${i}`));
      const run = own[method];
      if (typeof run !== 'function') return;
      own[method] = function checked(this: unknown, ...args: unknown[]): unknown {
        const result: unknown = run.apply(step, args);
        growth.check(result, key);
        return result;
      };
    };
    wrap((tokenizer as Record<string, unknown>)[part], part);
  }
}
