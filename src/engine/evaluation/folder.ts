import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createFolder, replaceFolder } from '../../common/atomicWrite';
import { fileErrorReason, writeErrorReason } from '../../common/fileStatus';
import { makeFolder } from '../../common/makeFolder';
import { FileRefused, readTextFile } from '../../common/regularFile';
import { LoraError } from '../../shared/errors';
import {
  asEvaluatedRow,
  asEvaluation,
  EVALUATION_FILES,
  type EvaluatedRow,
} from '../../shared/evaluation/result';
import { asVote, type Vote } from '../../shared/evaluation/votes';
import type { EvaluationResult } from './run';

const MAX_BYTES = { record: 16 * 2 ** 20, rows: 2 ** 30, votes: 64 * 2 ** 20 };

/** Writes an evaluation into a new folder. @throws LoraError('disk'), LoraError('usage') */
export async function writeEvaluation(folder: string, result: EvaluationResult): Promise<void> {
  await makeFolder(path.dirname(folder)).catch((cause: unknown) => {
    const reason = cause instanceof FileRefused ? cause.message : writeErrorReason(cause);
    throw new LoraError('disk', `The folder cannot be made: ${reason}.`, {
      place: { file: folder },
      cause,
    });
  });
  await createFolder(folder, (temp) => fill(temp, result));
}

/** Writes an evaluation in place of the one that a run had before. @throws LoraError('disk') */
export const replaceEvaluation = (folder: string, result: EvaluationResult): Promise<void> =>
  replaceFolder(folder, (temp) => fill(temp, result));

async function fill(folder: string, { evaluation, rows }: EvaluationResult): Promise<void> {
  const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  await writeFile(path.join(folder, EVALUATION_FILES.rows), lines, { flush: true });
  const record = `${JSON.stringify(evaluation, null, 2)}\n`;
  await writeFile(path.join(folder, EVALUATION_FILES.record), record, { flush: true });
}

/** An evaluation, and the votes on its answers. */
export interface ReadEvaluation extends EvaluationResult {
  readonly votes: readonly Vote[];
}

/** Reads an evaluation. @throws LoraError('usage') */
export async function readEvaluation(folder: string): Promise<ReadEvaluation> {
  const { record, rows, votes } = EVALUATION_FILES;
  const evaluation = asEvaluation(jsonOf(await read(folder, record, MAX_BYTES.record)));
  if (!evaluation) throw notOne(folder, record);
  const lines = linesOf(await read(folder, rows, MAX_BYTES.rows)).map(asEvaluatedRow);
  const columns = evaluation.columns.length;
  const whole = lines.filter((row) => row?.cells.length === columns) as EvaluatedRow[];
  if (whole.length < lines.length || whole.length === 0) throw notOne(folder, rows);
  const voted = await read(folder, votes, MAX_BYTES.votes).catch(() => '');
  // a torn last line is no vote
  return {
    evaluation,
    rows: whole,
    votes: linesOf(voted)
      .map(asVote)
      .filter((vote) => vote !== undefined),
  };
}

const notOne = (folder: string, name: string): LoraError =>
  new LoraError('usage', 'The file does not belong to an evaluation.', {
    place: { file: path.join(folder, name) },
  });

const linesOf = (text: string): readonly unknown[] =>
  text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(jsonOf);

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function read(folder: string, name: string, maxBytes: number): Promise<string> {
  const file = path.join(folder, name);
  return readTextFile(file, { maxBytes, links: 'refused' }).catch((cause: unknown) => {
    const reason = cause instanceof FileRefused ? cause.message : fileErrorReason(cause);
    throw new LoraError('usage', `The evaluation cannot be read: ${reason}.`, {
      place: { file },
      cause,
    });
  });
}
