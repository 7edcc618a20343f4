import { cpSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { cliResult, inFixtures } from '../support/cliResults';
import { tempFolder } from '../support/commandLine';
import { readJson } from '../support/models';
import { Served } from '../support/served';

interface Continued {
  readonly prompt: string;
  /** The greedy continuation of the prompt with PEFT. */
  readonly text: string;
}

const { tied, odd, texts, tokens } = readJson('generated', 'expected.json') as {
  readonly tied: Readonly<Record<string, Continued & { readonly loss: number }>>;
  readonly odd: Readonly<Record<string, Continued>>;
  readonly texts: readonly string[];
  readonly tokens: number;
};

/** The tied base with a tokenizer of a token per letter. */
function tiedBase(): string {
  const folder = path.join(tempFolder(), 'base');
  cpSync(inFixtures('tied/base'), folder, { recursive: true });
  cpSync(inFixtures('generated/tokenizer'), folder, { recursive: true });
  return folder;
}

const generated = async (base: string, adapter: string, prompt: string): Promise<string> =>
  (
    await cliResult<{ text: string }>('generate', {
      base,
      adapter,
      prompt,
      'max-new-tokens': tokens,
    })
  ).text;

describe("an adapter of a tied base's embedding or output layer", () => {
  let served: Served | undefined;
  afterEach(() => served?.end());

  it.each([
    ...Object.keys(tied).map((name) => [name, name] as const),
    ['tied-save-embed-without-head', 'tied-save-embed'] as const,
  ])('has the tokens and the loss of PEFT in generate, serve and evaluate: %s', async (own, as) => {
    const [base, adapter] = [tiedBase(), inFixtures('tied', own, 'adapter')];
    const { prompt, text, loss } = tied[as]!;
    expect(await generated(base, adapter, prompt)).toBe(text);
    served = new Served('--base', base, '--adapter', adapter);
    const asked = { prompt, max_new_tokens: tokens };
    const plain = await served.ask(null, 1, asked);
    expect(await served.ask(0, 1, asked)).toBe(text);
    expect(await served.ask(null, 1, asked)).toBe(plain);
    const dataset = path.join(tempFolder(), 'data.jsonl');
    writeFileSync(dataset, texts.map((row) => `${JSON.stringify({ text: row })}\n`).join(''));
    const measured = await cliResult<{ loss: number }>('evaluate', { base, adapter, dataset });
    expect(Math.abs(measured.loss - loss)).toBeLessThanOrEqual(1e-5 * loss);
  });
});

describe('an adapter as other versions of PEFT write it', () => {
  it.each(Object.entries(odd))('has the tokens of PEFT: %s', async (name, { prompt, text }) => {
    const adapter = inFixtures('generated/adapters', name);
    expect(await generated(inFixtures('llama/base'), adapter, prompt)).toBe(text);
  });
});
