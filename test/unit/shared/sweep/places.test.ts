import { describe, expect, it } from 'vitest';
import { isTune, newTuneFolder, runsOfSweep, sweepOf } from '../../../../src/shared/sweep/places';

describe('the folder of a tune', () => {
  const folder = newTuneFolder('/w/git.lora.json', 'ID').replaceAll('\\', '/');

  it('is one of a sweep beside the recipe, with the runs of the recipe', () => {
    expect(folder).toMatch(/\/w\/\.lora\/tunes\/ID-git$/);
    expect(runsOfSweep(folder).replaceAll('\\', '/')).toMatch(/\/w\/\.lora\/runs$/);
    expect(sweepOf(`${folder}/r1.lora.json`)).toBe(folder);
    expect([isTune(folder), isTune('/w/.lora/sweeps/ID-git')]).toEqual([true, false]);
  });
});
