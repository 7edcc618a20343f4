import { describe, expect, test } from 'vitest';
import { Groups } from '../../../../src/data/quality/groups';
import { likeness, SIGNATURE_BYTES, writeSignature } from '../../../../src/data/quality/minHash';
import { NearDuplicates, type NearPair } from '../../../../src/data/quality/nearDuplicates';
import { scriptOf } from '../../../../src/data/quality/scripts';

/** Words without meaning, the same for the same seed. */
function words(seed: number, count: number): string[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 4).toString(36);
  });
}

const shingles = (text: string): Set<string> =>
  new Set(Array.from({ length: text.length - 4 }, (_, i) => text.slice(i, i + 5)));

function jaccard(a: string, b: string): number {
  const [first, second] = [shingles(a), shingles(b)];
  const both = [...first].filter((each) => second.has(each)).length;
  return both / (first.size + second.size - both);
}

function estimated(a: string, b: string): number {
  const signatures = new Uint8Array(2 * SIGNATURE_BYTES);
  writeSignature(a, signatures.subarray(0, SIGNATURE_BYTES));
  writeSignature(b, signatures.subarray(SIGNATURE_BYTES));
  return likeness(signatures, 0, 1);
}

async function pairsAmong(texts: readonly string[], boundary: number | null = null) {
  const near = new NearDuplicates();
  for (const text of texts) near.add(text);
  const pairs: NearPair[] = [];
  await near.search(
    (pair) => pairs.push(pair),
    () => Promise.resolve(),
    boundary,
  );
  return new Set(pairs.map(({ row, like }) => `${row}~${like}`));
}

describe('signatures', () => {
  test('estimate the share of common shingles without bias', () => {
    for (const changed of [0, 2, 5, 10, 20]) {
      let [sum, exact] = [0, 0];
      for (let seed = 1; seed <= 40; seed++) {
        const own = words(seed, 60);
        const other = own.map((word, i) => (i < changed ? words(seed + 1000 + i, 1)[0]! : word));
        sum += estimated(own.join(' '), other.join(' '));
        exact += jaccard(own.join(' '), other.join(' '));
      }
      expect(Math.abs(sum - exact) / 40).toBeLessThan(0.04);
    }
  });

  test('of unlike texts have nothing in common, also of short ones', () => {
    let sum = 0;
    for (let seed = 1; seed <= 100; seed++)
      sum += estimated(words(seed, 2).join(' '), words(seed + 500, 2).join(' '));
    expect(sum / 100).toBeLessThan(0.03);
  });

  test('leave out capitals and white space', () => {
    expect(estimated('What is  LoRA?\n', 'what is lora?')).toBe(1);
    expect(writeSignature(' \n', new Uint8Array(SIGNATURE_BYTES))).toBe(false);
    expect(estimated('ab', 'ab')).toBe(1);
  });
});

describe('near-duplicates', () => {
  const text = words(7, 80);
  const nearly = text.map((word, i) => (i === 40 ? 'other' : word)).join(' ');

  test('are found, and no others', async () => {
    const others = Array.from({ length: 500 }, (_, i) => words(i + 100, 60).join(' '));
    const texts = [...others.slice(0, 250), text.join(' '), ...others.slice(250), nearly];
    expect(await pairsAmong(texts)).toEqual(new Set(['501~250']));
  });

  test('texts that are empty are none', async () => {
    expect(await pairsAmong(['', ' ', ''])).toEqual(new Set());
  });

  test('a crowd of equal texts costs no more than its number', async () => {
    const pairs = await pairsAmong(Array.from({ length: 3000 }, () => text.join(' ')));
    expect(pairs.size).toBe(2999);
  });

  test('behind a boundary are compared with those before it only', async () => {
    const whole = text.join(' ');
    expect(await pairsAmong([whole, whole, 'something else entirely', nearly, whole], 3)).toEqual(
      new Set(['3~0', '4~0']),
    );
  });
});

test('groups are known by their first row', () => {
  const groups = new Groups(6);
  groups.join(5, 3);
  groups.join(3, 1);
  groups.join(4, 2);
  expect([0, 1, 2, 3, 4, 5].map((row) => groups.firstOf(row))).toEqual([0, 1, 2, 1, 2, 1]);
});

test('the script of most letters', () => {
  expect(scriptOf('Grüße, 123')).toBe('Latin');
  expect(scriptOf('你好 LoRA, 世界')).toBe('Han');
  expect(scriptOf('你好, LoRAs')).toBe('Latin');
  expect(scriptOf('世界の終わり')).toBe('Japanese');
  expect(scriptOf('Привет, world')).toBe('Cyrillic');
  expect(scriptOf('ⲁⲃⲅ')).toBe('other');
  expect(scriptOf('123 +')).toBe('none');
});
