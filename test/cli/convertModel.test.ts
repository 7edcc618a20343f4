import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { cliError, cliLogits, cliResult, inFixtures, newPath } from '../support/cliResults';
import { filesIn } from '../support/commandLine';
import { asGguf } from '../support/ggufFixture';
import { ggufBytes } from '../support/ggufWriter';

it('a .gguf model becomes a Hugging Face folder with the same logits', async () => {
  const { metadata, tensors } = await asGguf(inFixtures('llama/base'), 'llama');
  const base = newPath('model.gguf');
  writeFileSync(base, ggufBytes(metadata, tensors));
  const output = newPath('folder');
  const options = { base, to: 'folder', output, 'max-shard-size': '100KB' };
  const { files } = await cliResult<{ files: string[] }>('convert', options);
  expect(files.length).toBeGreaterThan(1);
  expect(filesIn(output)).toEqual(
    expect.arrayContaining(['config.json', 'model.safetensors.index.json', ...files]),
  );
  expect(JSON.parse(readFileSync(path.join(output, 'config.json'), 'utf8'))).toMatchObject({
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    dtype: 'float32',
  });
  const inputs = { input_ids: [[5, 6, 7, 8]] };
  expect(await cliLogits(inputs, { base: output })).toEqual(await cliLogits(inputs, { base }));
  expect(await cliError('convert', { ...options, adapter: 'a' })).toMatch(/Use lora merge/);
  expect(await cliError('convert', options)).toMatch(/exists already/);
});
