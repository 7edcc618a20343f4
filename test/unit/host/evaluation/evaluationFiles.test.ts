import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  readEvaluation,
  readRows,
  readVotes,
  writeVotes,
} from '../../../../src/host/evaluation/evaluationFiles';
import type { Vote } from '../../../../src/shared/evaluation/votes';
import { exampleEvaluation } from '../../../support/evaluation.mjs';
import { temp } from '../../../support/temp';

const { evaluation, rows } = exampleEvaluation();

function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = temp();
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  return folder;
}
const lines = (values: readonly object[]) => values.map((own) => JSON.stringify(own)).join('\n');

describe('the files of an evaluation', () => {
  it('are read, without damaged rows and rows of other columns', async () => {
    const short = { ...rows[3]!, cells: rows[3]!.cells.slice(1) };
    const folder = folderWith({
      'evaluation.json': JSON.stringify(evaluation),
      'rows.jsonl': `${lines([rows[1]!, rows[0]!, short])}\n{"index":`,
    });
    expect(await readEvaluation(folder)).toEqual(evaluation);
    expect((await readRows(folder, evaluation)).map(({ index }) => index)).toEqual([0, 1]);
  });

  it('are refused where they are missing, no result, or links', async () => {
    await expect(readEvaluation(folderWith({}))).rejects.toThrow('There is no result');
    const other = folderWith({ 'evaluation.json': '{"version": 2}' });
    await expect(readEvaluation(other)).rejects.toThrow('not the result of an evaluation');
    await expect(readRows(other, evaluation)).rejects.toThrow('cannot be read');
    const linked = folderWith({});
    const target = path.join(folderWith({ x: JSON.stringify(evaluation) }), 'x');
    symlinkSync(target, path.join(linked, 'evaluation.json'));
    await expect(readEvaluation(linked)).rejects.toThrow('There is no result');
  });

  it('have votes, which are written and read', async () => {
    const folder = folderWith({});
    expect(await readVotes(folder)).toEqual([]);
    const vote: Vote = { row: 1, left: 'a', right: 'b', winner: 'tie', time: 'now' };
    await writeVotes(folder, [vote, { ...vote, row: 2 }]);
    expect(await readVotes(folder)).toEqual([vote, { ...vote, row: 2 }]);
    await writeVotes(folder, []);
    expect(await readVotes(folder)).toEqual([]);
  });

  it('keep votes that cannot be read', async () => {
    const folder = folderWith({});
    const file = path.join(folder, 'votes.jsonl');
    symlinkSync(path.join(folder, 'rows.jsonl'), file);
    await expect(readVotes(folder)).rejects.toThrow('The votes cannot be read.');
    rmSync(file);
    writeFileSync(file, '\n'.repeat(3 * 2 ** 20));
    await expect(readVotes(folder)).rejects.toThrow('The votes cannot be read.');
  });
});
