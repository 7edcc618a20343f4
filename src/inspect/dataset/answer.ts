import { LoraError } from '../../shared/errors';
import type { DataQuestion } from '../questions';
import type { DataQuestions } from './questions';
import { faultOf, jsonOf, readOne, textsOf } from './rowReader';
import { DatasetSession } from './session';
import { appendRow, planEdit, writeRow } from './writeRow';

/** The dataset that the page of this process shows. */
let open: { readonly file: string; readonly session: DatasetSession } | undefined;

/**
 * Answers a question on the dataset that is open in this process, or opens it.
 *
 * @throws LoraError as the question's own code does
 */
export async function answerData(
  question: DataQuestion,
): Promise<DataQuestions[keyof DataQuestions]['answer']> {
  if (question.kind === 'dataOpen') {
    await open?.session.close();
    const session = await DatasetSession.open(question.asked);
    open = { file: question.asked.file, session };
    return session.describe();
  }
  const { file } = question.asked;
  if (open?.file !== file)
    throw new LoraError('dataset', 'The dataset is not open any more.', { place: { file } });
  return answerOpen(question, open.session);
}

type OpenQuestion = Exclude<DataQuestion, { kind: 'dataOpen' }>;

async function answerOpen({ kind, asked }: OpenQuestion, session: DatasetSession) {
  switch (kind) {
    case 'dataBase':
      return session.useBase(asked);
    case 'dataRows':
      return session.rows(asked);
    case 'dataRow':
      return session.detail(asked.row);
    case 'dataThumbnail':
      return session.thumbnail(asked.row, asked.image);
    case 'dataProgress':
      return session.progress();
    case 'dataStatistics':
      return session.statistics();
    case 'dataStart':
      session.start(asked.work);
      return null;
    case 'dataStop':
      session.jobs.stop(asked.job);
      return null;
    case 'dataExclude':
      return session.exclude(asked.rows, asked.isExcluded);
    case 'dataPlanEdit':
      return planEdit(session, asked);
    case 'dataWrite':
      await writeRow(session, asked);
      return null;
    case 'dataSamples':
      return samples(session, asked.count);
    case 'dataRead':
      return readText(session, asked.text);
    case 'dataAppend':
      await appendRow(session, asked.text);
      return null;
  }
}

/** Rows that are as far from each other as they can be. */
async function samples(session: DatasetSession, count: number): Promise<readonly string[]> {
  const length = session.facts.length;
  const rows = Array.from({ length: Math.min(count, length) }, (_, i) =>
    Math.floor((i * length) / Math.min(count, length)),
  );
  const found: string[] = [];
  for (const row of new Set(rows)) {
    const read = await session.readRow(row);
    if (read.row && !session.facts.isExcluded(row)) found.push(jsonOf(read.raw));
  }
  return found;
}

function readText(session: DatasetSession, text: string) {
  const raw = { kind: 'json', number: 1, offset: 0, bytes: Buffer.from(text) } as const;
  const read = readOne(raw, session.reading);
  const turns = textsOf(read).map(({ role, text: own }) => ({ role, text: own }));
  return { turns, fault: faultOf(read.problems.problems()) };
}
