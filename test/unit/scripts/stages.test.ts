import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { filesOf, GPU, STAGES, stageOf, testFiles } from '../../../scripts/stages.mjs';

/** The kind of file that each runner finds. */
const SUFFIX = { check: 'none', vitest: '.test.ts', node: '.test.mjs', script: '.test.ts' };

describe('the stages of npm test', () => {
  it('run every test file below test/, each by the runner of its kind', () => {
    const lost = testFiles().filter((file) => {
      const stage = stageOf(file);
      return !stage || !file.endsWith(SUFFIX[STAGES[stage]!.run]);
    });
    expect(lost).toEqual([]);
  });

  it('each have files, in one stage only', () => {
    const stages = Object.keys(STAGES).filter((name) => STAGES[name]!.folder);
    for (const stage of stages) expect(filesOf(stage), stage).not.toEqual([]);
    expect(stages.flatMap(filesOf).sort()).toEqual(testFiles());
  });

  it('of a GPU are files of its stages', () => {
    const files = GPU.files();
    expect(files.filter((file) => !existsSync(file))).toEqual([]);
    expect(new Set(files.map(stageOf))).toEqual(new Set(GPU.stages));
  });
});
