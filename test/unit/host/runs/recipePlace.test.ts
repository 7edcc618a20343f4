import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { recipePlace } from '../../../../src/host/runs/recipePlace';
import { temp } from '../../../support/temp';

function project(): { readonly folder: string; readonly runDir: string } {
  const folder = temp();
  const runDir = path.join(folder, '.lora/runs/run');
  mkdirSync(runDir, { recursive: true });
  return { folder, runDir };
}

it('a run is repeated by its recipe in the project or the workspace', async () => {
  const [{ folder, runDir }, workspace] = [project(), temp()];
  for (const file of [path.join(folder, 'lora.json'), path.join(workspace, 'a/lora.json')])
    expect(await recipePlace(runDir, file, [workspace])).toEqual({
      file,
      folder: path.dirname(file),
    });
});

it('a run is repeated in its project where its recipe is elsewhere or not known', async () => {
  const [{ folder, runDir }, elsewhere, workspace] = [project(), temp(), temp()];
  const paths = [
    null,
    path.join(elsewhere, 'lora.json'),
    path.join(folder, '../lora.json'),
    'lora.json',
    '//server/share/lora.json',
    '\\\\server\\share\\lora.json',
    folder,
  ];
  for (const file of paths)
    expect(await recipePlace(runDir, file, [workspace])).toEqual({ file: null, folder });
});

it('a run is repeated in its project where its recipe is reached through a link', async () => {
  const [{ folder, runDir }, elsewhere] = [project(), temp()];
  writeFileSync(path.join(elsewhere, 'lora.json'), '{}');
  symlinkSync(elsewhere, path.join(folder, 'linked'));
  symlinkSync(path.join(elsewhere, 'lora.json'), path.join(folder, 'lora.json'));
  for (const file of ['linked/lora.json', 'lora.json'])
    expect(await recipePlace(runDir, path.join(folder, file), [])).toEqual({ file: null, folder });
});
