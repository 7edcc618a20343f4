import { expect, it } from 'vitest';
import { mergedStem, modelStem } from '../../../../src/host/adapters/mergedName';
import type { RunStore } from '../../../../src/host/runs/runStore';

const run = {
  dir: '/w/.lora/runs/1',
  name: 'git-commands on SmolLM2',
  adapter: '/w/.lora/runs/1/adapter',
  notes: { name: '' },
};
const store = { runs: [run] } as unknown as RunStore;

it('calls a model by its file or by its name on the Hub, without the type of its weights', () => {
  expect(modelStem('/models/SmolLM2-135M-Instruct.Q4_1.gguf')).toBe('SmolLM2-135M-Instruct');
  expect(modelStem('/models/tiny-llama-IQ4_XS.gguf')).toBe('tiny-llama');
  expect(modelStem('/models/tiny')).toBe('tiny');
  expect(modelStem('/hub/models--Qwen--Qwen3-0.6B/snapshots/0123abc')).toBe('Qwen3-0.6B');
});

it('calls a merged model by base, adapter and type', () => {
  const base = '/models/SmolLM2.Q4_1.gguf';
  expect(mergedStem(store, { base, adapter: run.adapter }, 'F16')).toBe('SmolLM2-git-commands.F16');
  expect(mergedStem(store, { base, adapter: `${run.dir}/checkpoints/step-20` }, null)).toBe(
    'SmolLM2-git-commands-step-20',
  );
  expect(mergedStem(store, { base, adapter: '/a/plain.gguf' }, null)).toBe('SmolLM2-plain');
});
