import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { inFixtures, lastLine } from '../support/cliResults';
import { cli, tempFolder } from '../support/commandLine';

/** Writes the clipboard of the terminal, clears its screen, reorders the text and forges a line. */
const NAME = 'x\u001b]52;c;eA==\u0007\u001b[2J\u009b1m\u202e\nlora: all is well';
const CONTROLS = /(?!\n)[\p{Cc}\u202a-\u202e\u2066-\u2069]/u;

function expectHarmless(text: string): void {
  expect(text).toContain('\\u001b');
  expect(text).not.toMatch(CONTROLS);
  expect(text).not.toMatch(/^lora: all is well/m);
}

describe('names in files of strangers', () => {
  it('do not control the terminal, and are untouched with --json', async () => {
    const adapter = path.join(tempFolder(), 'adapter');
    cpSync(inFixtures('llama/formats/adapter'), adapter, { recursive: true });
    const file = path.join(adapter, 'adapter_config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...config, base_model_name_or_path: NAME }));
    const { code, stdout } = await cli('inspect', adapter);
    expect(code).toBe(0);
    expectHarmless(stdout);
    const json = await cli('inspect', adapter, '--json');
    expect(lastLine(json.stdout)).toMatchObject({ base: NAME });
  });

  it('do not control the terminal in errors', async () => {
    const folder = path.join(tempFolder(), NAME);
    mkdirSync(folder);
    const recipe = path.join(folder, 'lora.json');
    writeFileSync(recipe, JSON.stringify({ [NAME]: 1, base: NAME, dataset: NAME }));
    const { code, stdout, stderr } = await cli('check', recipe);
    expect([code, stdout]).toEqual([1, '']);
    expectHarmless(stderr);
  });
});
