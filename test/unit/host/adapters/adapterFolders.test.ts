import { readFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';

vi.mock('vscode', async () => (await import('../../../support/fakeVscode')).fakeVscode());
const { isAdapterHead } = await import('../../../../src/host/adapters/adapterFolders');

const headOf = (file: string) =>
  readFileSync(`test/fixtures/${file}`)
    .subarray(0, 2 ** 16)
    .toString('latin1');

it.each([
  'llama/formats/gguf/adapter.gguf',
  'llama/lora-qv/adapter/adapter_model.safetensors',
  'real/smollm2/train/final/adapter_model.safetensors',
])('%s is an adapter', (file) => {
  expect(isAdapterHead(headOf(file))).toBe(true);
});

it.each(['llama/base/model.safetensors', 'bert/base/model.safetensors'])('%s is none', (file) => {
  expect(isAdapterHead(headOf(file))).toBe(false);
});
