import { describe, expect, it } from 'vitest';
import {
  BatchScheduler,
  TooManyRequests,
  type GenerationRequest,
  type MixedModels,
  type TokenChances,
} from '../../../../src/engine/serve/batchScheduler';
import { availableMemory } from '../../../../src/common/system';
import type { AdapterMix } from '../../../../src/engine/serve/servedModels';
import type {
  Decoder,
  Model,
  NextLogits,
  ReadOptions,
  Sequence,
} from '../../../../src/models/model';

const VOCAB = 50;

/** Counts up from the last token; notes what was done in one pass. */
class CountingDecoder implements Decoder {
  readonly copiesParts = true;
  readonly drafts = null;
  bytesOf = (length: number) => 10 * length;
  readonly passes: string[] = [];
  open_sequences = 0;
  failing: number | null = null;
  private readonly lasts = new Map<Sequence, number>();

  remainingPositions(): number {
    return 1000;
  }

  open(): Sequence {
    this.open_sequences++;
    return { caches: [], length: 0, capacity: 0 };
  }

  read(sequence: Sequence, ids: Int32Array, { isLast, all = false }: ReadOptions) {
    this.passes.push(`read ${ids.length}`);
    sequence.length += ids.length;
    if (all) {
      const rows = [...ids].map((id) => this.after(sequence, id));
      return Promise.resolve(Float32Array.from(rows.flatMap((row) => [...row])));
    }
    return Promise.resolve(isLast ? this.after(sequence, ids.at(-1)!) : null);
  }

  step(sequences: readonly Sequence[], ids: readonly number[]): Promise<NextLogits[]> {
    this.passes.push(`step ${ids.join()}`);
    if (this.failing !== null && ids.includes(this.failing)) {
      for (const own of sequences) this.close(own);
      return Promise.reject(new Error('no memory'));
    }
    return Promise.resolve(
      sequences.map((own, i) => {
        own.length++;
        return { logits: this.after(own, ids[i]!), blocks: null };
      }),
    );
  }

  copy(_: Sequence, length: number): Sequence {
    this.open_sequences++;
    return { caches: [], length, capacity: 0 };
  }

  close(sequence: Sequence): void {
    if (sequence.length >= 0) this.open_sequences--;
    sequence.length = -1;
  }

  private after(sequence: Sequence, id: number): Float32Array {
    this.lasts.set(sequence, id);
    const logits = new Float32Array(VOCAB);
    logits[(id + 1) % VOCAB] = 1;
    return logits;
  }
}

function scheduling(limits: Partial<ConstructorParameters<typeof BatchScheduler>[1]> = {}) {
  const decoder = new CountingDecoder();
  const mixes: AdapterMix[] = [];
  const model = { decoder: () => decoder } as unknown as Model;
  const models: MixedModels = {
    mixed: (mix) => {
      mixes.push(mix);
      return Promise.resolve({ model });
    },
  };
  const bounds = { sequences: 4, waiting: 2, kept_bytes: 1000, ...limits };
  return { scheduler: new BatchScheduler(models, bounds), decoder, mixes };
}

interface Asked {
  readonly ids: number[];
  readonly request: GenerationRequest;
}

function asking(prompt: readonly number[], further: Partial<GenerationRequest> = {}): Asked {
  const ids: number[] = [];
  return {
    ids,
    request: {
      mix: [],
      input_ids: prompt,
      stop_ids: [],
      max_new_tokens: 4,
      sampling: { temperature: 0, seed: 0 },
      constraint: null,
      top_logprobs: null,
      signal: new AbortController().signal,
      onToken: (id) => {
        ids.push(id);
        return true;
      },
      ...further,
    },
  };
}

it('prompts that begin as one that is being written read only what is their own', async () => {
  const { scheduler, decoder } = scheduling();
  const prompt = Array.from({ length: 100 }, (_, i) => i % VOCAB);
  const all = [asking(prompt), asking(prompt), asking([...prompt.slice(0, 90), 3, 3])];
  const ends = await Promise.all(all.map(({ request }) => scheduler.generate(request)));
  expect(ends.map(({ cached_tokens }) => cached_tokens)).toEqual([0, 99, 90]);
  expect(decoder.passes.filter((pass) => pass.startsWith('read'))).toEqual([
    'read 100',
    'read 1',
    'read 2',
  ]);
  expect(all.map(({ ids }) => ids[0])).toEqual([0, 0, 4]);
  await scheduler.close();
  expect(decoder.open_sequences).toBe(0);
});

it('steps without drafts copy no prompt', async () => {
  const copiesOf = async (max_new_tokens: number) => {
    const { scheduler } = scheduling();
    const prompt = Array.from({ length: 40 }, (_, i) => i);
    let copies = 0;
    const iterator = prompt[Symbol.iterator].bind(prompt);
    prompt[Symbol.iterator] = () => {
      copies++;
      return iterator();
    };
    await scheduler.generate(asking(prompt, { max_new_tokens }).request);
    await scheduler.close();
    return copies;
  };
  expect(await copiesOf(40)).toBe(await copiesOf(2));
});

it('of what is kept nothing is there twice, nor without bound', async () => {
  const { scheduler, decoder } = scheduling({ kept_bytes: 1e9 });
  const prompt = Array.from({ length: 40 }, (_, i) => i);
  for (let i = 0; i < 5; i++) await scheduler.generate(asking(prompt).request);
  expect(decoder.open_sequences).toBe(1);
  await scheduler.generate(asking([...prompt, 40, 41, 42, 43, 44]).request);
  expect(decoder.open_sequences).toBe(1);
  for (let i = 0; i < 300; i++) {
    const other = [i % VOCAB, Math.floor(i / VOCAB), ...prompt];
    await scheduler.generate(asking(other).request);
  }
  expect(decoder.open_sequences).toBe(256);
  await scheduler.close();
  expect(decoder.open_sequences).toBe(0);
});

describe('log-probabilities of a prompt', () => {
  it('are told of all tokens but the first, in parts, and not taken from kept prefixes', async () => {
    const { scheduler, decoder } = scheduling({ kept_bytes: 1e6 });
    const prompt = Array.from({ length: 300 }, (_, i) => (i === 200 ? 7 : i % VOCAB));
    const told: TokenChances[] = [];
    const onPrompt = (chances: readonly TokenChances[]) => told.push(...chances);
    for (const max_new_tokens of [2, 0]) {
      const { ids, request } = asking(prompt, { max_new_tokens, top_logprobs: 1, onPrompt });
      told.length = 0;
      const end = await scheduler.generate(request);
      expect(end).toEqual({ reason: 'length', cached_tokens: 0 });
      expect(ids).toEqual([0, 1].slice(0, max_new_tokens));
      expect(told.map(({ chosen }) => chosen.id)).toEqual(prompt.slice(1));
      const total = Math.log(Math.E + VOCAB - 1);
      told.forEach(({ chosen, top: [best] }, i) => {
        const isNext = chosen.id === (prompt[i]! + 1) % VOCAB;
        expect(chosen.logprob).toBeCloseTo((isNext ? 1 : 0) - total, 5);
        expect(best!.id).toBe((prompt[i]! + 1) % VOCAB);
      });
      await scheduler.generate(asking(prompt).request); // is kept
    }
    expect(decoder.passes.slice(0, 3)).toEqual(['read 128', 'read 128', 'read 44']);
  });
});

describe('requests', () => {
  it('are written in one pass per token, and join and leave at any token', async () => {
    const { scheduler, decoder } = scheduling();
    const all = [asking([1]), asking([11], { max_new_tokens: 2 }), asking([21])];
    const ends = await Promise.all(all.map(({ request }) => scheduler.generate(request)));
    expect(all.map(({ ids }) => ids)).toEqual([
      [2, 3, 4, 5],
      [12, 13],
      [22, 23, 24, 25],
    ]);
    expect(ends.map(({ reason }) => reason)).toEqual(['length', 'length', 'length']);
    expect(decoder.passes).toEqual([
      ...['read 1', 'read 1', 'read 1'],
      ...['step 2,12,22', 'step 3,23', 'step 4,24'],
    ]);
    expect(decoder.open_sequences).toBe(0);
    expect(scheduler.size).toBe(0);
  });

  it('read long prompts in chunks between the tokens of others', async () => {
    const { scheduler, decoder } = scheduling({ kept_bytes: 0 });
    const long = asking(Array.from({ length: 1100 }, () => 30));
    await Promise.all(
      [asking([1], { max_new_tokens: 6 }), long].map(({ request }) => scheduler.generate(request)),
    );
    expect(decoder.passes.slice(0, 8)).toEqual([
      'read 1',
      'step 2',
      'read 512',
      'step 3',
      'read 512',
      'step 4',
      'read 76',
      'step 5,31',
    ]);
    expect(decoder.open_sequences).toBe(0);
  });

  it('that come together are read before the next step up to the tokens of a chunk', async () => {
    const { scheduler, decoder } = scheduling({ kept_bytes: 0 });
    const prompt = (first: number, length: number) =>
      asking([first, ...Array.from({ length: length - 1 }, () => 30)], { max_new_tokens: 3 });
    const all = [prompt(1, 300), prompt(2, 212), prompt(3, 1), prompt(4, 600)];
    await Promise.all(all.map(({ request }) => scheduler.generate(request)));
    expect(decoder.passes).toEqual([
      ...['read 300', 'read 212', 'step 31,31'],
      ...['read 1', 'step 32,32,4'],
      ...['read 512', 'step 5', 'read 88', 'step 31', 'step 32'],
    ]);
    expect(decoder.open_sequences).toBe(0);
  });

  it('end at a stop id, and where onToken says so', async () => {
    const { scheduler } = scheduling();
    const stopped = asking([1], { stop_ids: [4] });
    const ended = asking([1], { onToken: (id) => id < 3 });
    expect((await scheduler.generate(stopped.request)).reason).toBe('stop');
    expect(stopped.ids).toEqual([2, 3]);
    expect((await scheduler.generate(ended.request)).reason).toBe('ended');
  });

  it('with other adapters take turns', async () => {
    const { scheduler, mixes } = scheduling();
    const other = [{ adapter: 0, scale: 1 }];
    const all = [
      asking([1], { max_new_tokens: 70 }),
      asking([1], { max_new_tokens: 70, mix: other }),
    ];
    await Promise.all(all.map(({ request }) => scheduler.generate(request)));
    expect(mixes.map(({ length }) => length)).toEqual([0, 1, 0, 1, 0, 1]);
    expect(all[0]!.ids).toEqual(all[1]!.ids);
  });

  it('are refused where too many wait', async () => {
    const { scheduler } = scheduling({ sequences: 1, waiting: 1 });
    const running = [asking([1]), asking([2])].map(({ request }) => scheduler.generate(request));
    await expect(scheduler.generate(asking([3]).request)).rejects.toThrow(TooManyRequests);
    await Promise.all(running);
    expect((await scheduler.generate(asking([3]).request)).reason).toBe('length');
  });

  it('free their place when the client is gone, also while they wait', async () => {
    const { scheduler, decoder } = scheduling({ sequences: 1 });
    const gone = new AbortController();
    const first = asking([1], {
      max_new_tokens: 1000,
      signal: gone.signal,
      onToken: (id) => {
        if (id === 5) gone.abort();
        return true;
      },
    });
    const waiting = asking([1], { signal: AbortSignal.abort() });
    const last = asking([7]);
    const ends = await Promise.all(
      [first, waiting, last].map(({ request }) => scheduler.generate(request)),
    );
    expect(ends.map(({ reason }) => reason)).toEqual(['ended', 'ended', 'length']);
    expect(waiting.ids).toEqual([]);
    expect(decoder.open_sequences).toBe(0);
  });

  it('that fail do not end the later ones', async () => {
    const { scheduler, decoder } = scheduling();
    decoder.failing = 3;
    await expect(scheduler.generate(asking([1]).request)).rejects.toThrow('no memory');
    await expect(scheduler.generate(asking([]).request)).rejects.toThrow('no token');
    decoder.failing = null;
    expect((await scheduler.generate(asking([1]).request)).reason).toBe('length');
    expect(decoder.open_sequences).toBe(0);
  });

  it('end with the scheduler, which frees all', async () => {
    const { scheduler, decoder } = scheduling();
    const prompt = Array.from({ length: 40 }, (_, i) => i);
    await scheduler.generate(asking(prompt).request);
    expect(decoder.open_sequences).toBe(1);
    const running = scheduler.generate(asking([1], { max_new_tokens: 1000 }).request);
    const ended = expect(running).rejects.toThrow('The server is ending.');
    await scheduler.close();
    await ended;
    expect(decoder.open_sequences).toBe(0);
    await expect(scheduler.generate(asking([1]).request)).rejects.toThrow('ending');
  });
});

describe('keys and values', () => {
  const prompt = Array.from({ length: 30 }, (_, i) => i);

  it('of a finished chat are continued, and those of its beginning copied', async () => {
    const { scheduler, decoder } = scheduling();
    const first = asking(prompt);
    await scheduler.generate(first.request);
    decoder.passes.length = 0;
    const next = [...prompt, ...first.ids, 40, 41];
    expect((await scheduler.generate(asking(next).request)).cached_tokens).toBe(33);
    expect(decoder.passes[0]).toBe('read 3');
    const other = [...prompt.slice(0, 20), 45];
    expect((await scheduler.generate(asking(other).request)).cached_tokens).toBe(20);
    const same = await scheduler.generate(asking(next).request);
    expect(same.cached_tokens).toBe(next.length - 1);
  });

  it('that are kept need no further memory', async () => {
    const { scheduler, decoder } = scheduling({ kept_bytes: Infinity });
    const unit = availableMemory() / 30; // 60 tokens in bf16 are all that fit
    decoder.bytesOf = (length) => unit * length;
    let next = prompt;
    for (const known of [0, 33, 63]) {
      const { ids, request } = asking(next);
      expect((await scheduler.generate(request)).cached_tokens).toBe(known);
      next = [...next, ...ids, ...prompt.slice(4)];
    }
    await expect(scheduler.generate(asking([9, ...next]).request)).rejects.toThrow('of memory');
    await scheduler.close();
    expect(decoder.open_sequences).toBe(0);
  });

  it('belong to their adapters, and are dropped beyond their bytes, the oldest first', async () => {
    const { scheduler, decoder } = scheduling({ kept_bytes: 700 });
    await scheduler.generate(asking(prompt).request);
    const adapted = asking(prompt, { mix: [{ adapter: 0, scale: 1 }] });
    expect((await scheduler.generate(adapted.request)).cached_tokens).toBe(0);
    expect(decoder.open_sequences).toBe(2);
    await scheduler.generate(asking(prompt.map((id) => id + 5)).request);
    expect(decoder.open_sequences).toBe(2);
    expect((await scheduler.generate(asking(prompt).request)).cached_tokens).toBe(0);
  });
});
