import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { llamaOutputOf, llamaProgram, llamaServer } from '../../../../src/engine/use/llamaCommands';
import { useAdapter } from '../../../../src/engine/use/useAdapter';
import { openBase } from '../../../../src/formats/openBase';
import type { ModelTask } from '../../../../src/shared/task';
import { encoderGguf } from '../../../support/ggufEncoders';
import { ggufBytes } from '../../../support/ggufWriter';
import { fixtures } from '../../../support/models';
import { temp } from '../../../support/temp';

describe('what llama.cpp makes of a model', () => {
  it.each<[string, ModelTask, string | null]>([
    ['llama', 'causal_lm', 'text'],
    ['llama', 'seq_cls', null],
    ['t5', 'seq2seq_lm', 'text'],
    ['roberta', 'embedding', 'vectors'],
    ['roberta', 'seq_cls', 'scores'],
    ['roberta', 'token_cls', null],
  ])('of %s for %s: %s', async (name, task, made) => {
    const base = await openBase(path.join(fixtures, name, 'base'), { task });
    expect(llamaOutputOf(base)).toBe(made);
    await base.close();
  });

  it('is made by the program for it', () => {
    const files = { model: 'a.gguf', adapter: 'b.gguf' };
    expect(llamaProgram('text', files)?.[0]).toBe('llama-cli');
    expect(llamaProgram('vectors', { ...files, adapter: null })).toEqual([
      'llama-embedding',
      '-m',
      'a.gguf',
    ]);
    expect(llamaProgram('scores', files)).toBeNull();
    const server = ['llama-server', '-m', 'a.gguf', '--lora', 'b.gguf'];
    expect(llamaServer('text', files)).toEqual(server);
    expect(llamaServer('vectors', files)).toEqual([...server, '--embedding']);
    expect(llamaServer('scores', files)).toEqual([...server, '--reranking']);
  });
});

describe('a reranker in a GGUF file', () => {
  const use = async (merge: boolean) => {
    const folder = temp();
    const base = path.join(folder, 'base.gguf');
    const { metadata, tensors } = await encoderGguf(path.join(fixtures, 'xlm-roberta/base'), true);
    writeFileSync(base, ggufBytes(metadata, tensors));
    return useAdapter({
      ...{ in: 'llama.cpp', adapter: path.join(fixtures, 'xlm-roberta/seq-cls/adapter'), base },
      ...{ output: folder, name: 'own', merge, partial: false },
      signal: new AbortController().signal,
      warn: () => undefined,
      onProgress: () => undefined,
    });
  };

  it('is merged, and serves scores', async () => {
    const { commands, files } = await use(true);
    expect(commands).toEqual([['llama-server', '-m', files[0], '--reranking']]);
  });

  it('does not take an adapter with a classifier of its own', async () => {
    await expect(use(false)).rejects.toThrow(/cannot store trained tensors .*classifier/);
  });
});
