import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, expect, it, vi } from 'vitest';
import { openSetting } from '../../../../src/host/dashboard/openSetting';
import { openPlace } from '../../../../src/host/editor/openPlace';
import { temp } from '../../../support/temp';

vi.mock('vscode', async () => (await import('../../../support/fakeVscode')).fakeVscode());
vi.mock('../../../../src/host/editor/openPlace', () => ({ openPlace: vi.fn() }));
beforeEach(() => vi.clearAllMocks());

const KEY = 'training.learning_rate';

it('opens a recipe at a key, or where the key belongs', async () => {
  const file = path.join(temp(), 'lora.json');
  const orElse = vi.fn();
  const lineWith = async (text: string) => {
    writeFileSync(file, text);
    await openSetting(file, KEY, orElse);
    return vi.mocked(openPlace).mock.lastCall![0];
  };
  const recipe = '{\n  "base": "m",\n  "training": {\n    "learning_rate": 1e-4\n  }\n}';
  expect(await lineWith(recipe)).toMatchObject({ file, line: 4 });
  expect(await lineWith(recipe.replace('learning_rate', 'max_steps'))).toMatchObject({ line: 3 });
  expect(orElse).not.toHaveBeenCalled();
});

it('leaves it to others to say that the recipe is gone', async () => {
  for (const recipe of [null, path.join(temp(), 'lora.json')]) {
    const orElse = vi.fn();
    await openSetting(recipe, KEY, orElse);
    expect(orElse).toHaveBeenCalledOnce();
  }
  expect(openPlace).not.toHaveBeenCalled();
});
