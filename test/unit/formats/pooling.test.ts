import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { openBase } from '../../../src/formats/openBase';
import { fixtures } from '../../support/models';
import { temp } from '../../support/temp';

function folderPooledBy(mode: string): string {
  const folder = path.join(temp(), 'base');
  cpSync(path.join(fixtures, 'bert', 'base'), folder, { recursive: true });
  mkdirSync(path.join(folder, '1_Pooling'));
  const config = {
    word_embedding_dimension: 32,
    pooling_mode_cls_token: false,
    pooling_mode_mean_tokens: false,
    [mode]: true,
  };
  writeFileSync(path.join(folder, '1_Pooling', 'config.json'), JSON.stringify(config));
  return folder;
}

it('sentence embeddings that are not the mean of all tokens are refused', async () => {
  const folder = folderPooledBy('pooling_mode_cls_token');
  await expect(openBase(folder, { task: 'embedding' })).rejects.toMatchObject({
    message: expect.stringContaining('pooled by pooling_mode_cls_token') as string,
    place: {
      file: path.join(folder, '1_Pooling', 'config.json'),
      key: 'pooling_mode_cls_token',
    },
  });
});

it.each([
  ['pooling_mode_mean_tokens', 'embedding'],
  ['pooling_mode_cls_token', 'seq_cls'],
] as const)('a folder with %s is opened for %s', async (mode, task) => {
  const base = await openBase(folderPooledBy(mode), { task, new_head: true });
  expect(base.spec.task).toBe(task);
  await base.close();
});
