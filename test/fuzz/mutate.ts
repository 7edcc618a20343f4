import type { Random } from '../../src/shared/random';

/** One of the items. */
export const pick = <T>(items: readonly T[], random: Random): T =>
  items[Math.floor(random() * items.length)]!;
const below = (limit: number, random: Random) => Math.floor(random() * limit);

const EXTREMES = [
  0n,
  1n,
  0x7fn,
  0xffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  1n << 53n,
  (1n << 63n) - 1n,
  (1n << 64n) - 1n,
];

/**
 * Changes the bytes one to four times: flips bits, truncates, inserts, removes or repeats bytes,
 * writes extreme numbers, or inserts bytes of another file.
 */
export function mutateBytes(
  original: Uint8Array,
  others: readonly Uint8Array[],
  random: Random,
): Uint8Array {
  let bytes = Buffer.from(original);
  for (let n = 1 + below(4, random); n > 0; n--) bytes = changed(bytes, others, random);
  return bytes;
}

/** A random offset, more often near the start, where the headers are. */
const place = (length: number, random: Random) =>
  below(Math.max(1, random() < 0.7 ? Math.min(length, 600) : length), random);

function changed(
  bytes: Buffer<ArrayBuffer>,
  others: readonly Uint8Array[],
  random: Random,
): Buffer<ArrayBuffer> {
  const at = place(bytes.length, random);
  const end = Math.min(bytes.length, at + 1 + below(64, random));
  const without = (from: number, to: number, between: Uint8Array = new Uint8Array(0)) =>
    Buffer.concat([bytes.subarray(0, from), between, bytes.subarray(to)]);
  switch (below(8, random)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return without(at, end);
    case 2:
      return without(at, at, bytes.subarray(at, end));
    case 3:
      return without(
        at,
        at,
        Buffer.from(Array.from({ length: 1 + below(32, random) }, () => below(256, random))),
      );
    case 4: {
      const other = pick(others, random);
      const from = place(other.length, random);
      return without(at, end, other.subarray(from, from + 1 + below(256, random)));
    }
    case 5:
    case 6: {
      const wide = Buffer.alloc(8);
      wide.writeBigUInt64LE(pick(EXTREMES, random));
      return without(at, Math.min(bytes.length, at + 8), wide.subarray(0, pick([4, 8], random)));
    }
    default: {
      const turned = Buffer.from(bytes);
      if (turned.length > 0) turned[at]! ^= 1 << below(8, random);
      return turned;
    }
  }
}

/** Numbers at the limits of f32 and beyond. */
export const ODD_NUMBERS = [NaN, Infinity, -Infinity, 3.4e38, -3.4e38, 1e20, 1e-20, 1e-45, 0, -0];

const ODD: readonly unknown[] = [
  null,
  true,
  false,
  '',
  'x',
  '__proto__',
  -1,
  0,
  0.5,
  1e308,
  -1e308,
  2 ** 31,
  2 ** 53,
  1e-320,
  [],
  {},
  [[]],
  ['x'],
  [null],
  { x: 1 },
  'a'.repeat(5000),
  '\ud800',
  '(',
  '.*(a+)+$',
];

/** Changes one to three values, keys or characters of a JSON text. */
export function mutateJson(original: string, random: Random): string {
  if (random() < 0.2)
    return Buffer.from(
      mutateBytes(Buffer.from(original), [Buffer.from('{"a":[1e999,NaN,{}]}')], random),
    ).toString('latin1');
  let value = JSON.parse(original) as unknown;
  for (let n = 1 + below(3, random); n > 0; n--) value = withChange(value, random);
  const text = (JSON.stringify(value) as string | undefined) ?? 'null';
  if (random() < 0.05) return text.replace(/^\{/, `{"__proto__":{"r":1},"constructor":1,`);
  return random() < 0.03 ? `${'['.repeat(20_000)}${text}` : text;
}

function withChange(value: unknown, random: Random): unknown {
  if (typeof value !== 'object' || value === null || random() < 0.15) return odd(value, random);
  if (Array.isArray(value)) {
    if (value.length === 0) return odd(value, random);
    const items = [...(value as unknown[])];
    const at = below(items.length, random);
    if (random() < 0.1) items.splice(at, 1);
    else items[at] = withChange(items[at], random);
    return items;
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return odd(value, random);
  const at = below(entries.length, random);
  const [key, own] = entries[at] as [string, unknown];
  if (random() < 0.15) entries.splice(at, 1);
  else if (random() < 0.1)
    entries[at] = [pick(['__proto__', 'constructor', '', 'x', `${key} `], random), own];
  else entries[at] = [key, withChange(own, random)];
  return Object.fromEntries(entries);
}

function odd(value: unknown, random: Random): unknown {
  if (typeof value === 'number' && random() < 0.6)
    return pick(
      [-value, value + 1, value - 1, value * 1e6, value / 3, Number(pick(EXTREMES, random))],
      random,
    );
  return pick(ODD, random);
}
