import { cpSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { inFixtures, newPath } from '../support/cliResults';
import {
  cli,
  makeRecipe,
  recordOf,
  resumedBefore,
  stepsOf,
  train,
  weightsOf,
} from '../support/commandLine';
import { expectParity, expectVerified, merge } from '../support/merges';
import { temp } from '../support/temp';

const LETTERS = ['<unk>', '<s>', '</s>', 'Ġ', ...Array.from('abcdefghijklmnopqrstuvwxyz')];
const TOKENIZER = {
  version: '1.0',
  added_tokens: LETTERS.slice(0, 3).map((content, id) => ({
    ...{ id, content, special: true, normalized: false },
    ...{ single_word: false, lstrip: false, rstrip: false },
  })),
  normalizer: null,
  pre_tokenizer: {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: true,
  },
  post_processor: null,
  decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  model: {
    ...{ type: 'BPE', dropout: null, unk_token: null, fuse_unk: false },
    vocab: Object.fromEntries(LETTERS.map((letter, id) => [letter, id])),
    merges: [],
  },
};

/** A fixture, which has no tokenizer, with one. */
function baseOf(name: string): string {
  const folder = path.join(temp(), 'base');
  cpSync(inFixtures('quantized', name), folder, { recursive: true });
  writeFileSync(path.join(folder, 'tokenizer.json'), JSON.stringify(TOKENIZER));
  writeFileSync(
    path.join(folder, 'tokenizer_config.json'),
    JSON.stringify({ tokenizer_class: 'PreTrainedTokenizerFast', eos_token: '</s>' }),
  );
  return folder;
}

function recipeOn(base: string, base_dtype: string): string {
  const dataset = path.join(temp(), 'rows.jsonl');
  const rows = ['the old mill', 'a new day', 'some more words', 'and the end'];
  writeFileSync(dataset, rows.map((text) => `${JSON.stringify({ text })}\n`).join(''));
  return makeRecipe({
    top: { base, dataset: { path: dataset }, validation_split: 0 },
    lora: { r: 4, target_modules: 'all-linear' },
    training: { max_steps: 4, save_steps: 1, learning_rate: 0.05, base_dtype },
  });
}

async function answerOf(...args: readonly string[]): Promise<string> {
  const prompt = ['--prompt', 'the old', '--max-new-tokens', '8', '--json'];
  const { code, stdout, stderr } = await cli('generate', ...args, ...prompt);
  expect([code, stderr]).toEqual([0, '']);
  return (JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { text: string }).text;
}

it.each(['bnb-nf4', 'bnb-int8', 'torchao-int8'])(
  'an adapter is trained on the stored numbers of %s, resumed, merged and used',
  async (name) => {
    const base = baseOf(name);
    const dir = await train(recipeOn(base, 'quantized'));
    expect(recordOf(dir).step_plan).toMatchObject({ quantized: true });
    const losses = stepsOf(dir).map(({ loss }) => loss);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    const resumed = await resumedBefore(dir, 3);
    expect(weightsOf(resumed).equals(weightsOf(dir))).toBe(true);

    const adapter = path.join(dir, 'adapter');
    const options = ['--base-dtype', 'float32', '--adapter', adapter];
    const answer = await answerOf('--base', base, ...options);
    expect(answer).not.toBe(await answerOf('--base', base, '--base-dtype', 'float32'));

    const merged = await merge(base, [adapter], { output: newPath('merged'), dtype: 'float32' });
    expectParity(merged);
    await expectVerified(merged.output);
    expect(await answerOf('--base', merged.output, '--base-dtype', 'float32')).toBe(answer);
  },
);
