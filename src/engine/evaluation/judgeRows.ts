import { throwIfCancelled } from '../../common/cancellation';
import { LoraError } from '../../shared/errors';
import { judgePrompt, judgeVerdict, pairVerdict } from '../../shared/evaluation/judge';
import type { EvaluatedCell, EvaluatedRow, JudgeReport } from '../../shared/evaluation/result';
import { askEndpoint, EndpointError, type EndpointClient } from './endpoint';

/** The judge and its prompt. */
export interface Judge {
  readonly client: EndpointClient;
  readonly prompt: string;
}

const PARALLEL = 4;
const MOST_TOKENS = 1024;

interface Pair {
  readonly row: EvaluatedRow;
  readonly column: number;
}

type Outcome =
  | { readonly replies: readonly [string, string] }
  /** The judge could not be asked. */
  | { readonly error: string };

/** Rows with the scores of a judge, and what is to say about it. */
export interface JudgedRows {
  readonly rows: readonly EvaluatedRow[];
  readonly report: JudgeReport;
}

/**
 * Judges the answers of each column against those of the first one, in both orders.
 *
 * @throws LoraError('usage') where the judge cannot be asked at all, or names no winner mostly;
 *   'cancelled'
 */
export async function judgeRows(
  rows: readonly EvaluatedRow[],
  judge: Judge,
  { onProgress, signal }: JudgeHooks,
): Promise<JudgedRows> {
  const pairs = rows.flatMap((row) =>
    row.row.check.kind !== 'judge' || row.cells[0]?.error !== null
      ? []
      : row.cells.flatMap((cell, column) =>
          column > 0 && cell.error === null ? [{ row, column }] : [],
        ),
  );
  const outcomes = new Map<EvaluatedRow, Map<number, Outcome>>();
  const left = [...pairs];
  let done = 0;
  const work = async () => {
    for (let next = left.shift(); next && !signal.aborted; next = left.shift()) {
      const outcome = await judged(next, judge, signal);
      const own = outcomes.get(next.row) ?? new Map<number, Outcome>();
      outcomes.set(next.row, own.set(next.column, outcome));
      onProgress(++done / pairs.length);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  throwIfCancelled(signal, 'The evaluation was stopped.');
  const all = [...outcomes.values()].flatMap((own) => [...own.values()]);
  const report = reportOf(all, judge.client.model);
  return { rows: rows.map((row) => withVerdicts(row, outcomes.get(row))), report };
}

export interface JudgeHooks {
  /** From 0 to 1. */
  readonly onProgress: (fraction: number) => void;
  readonly signal: AbortSignal;
}

async function judged({ row, column }: Pair, judge: Judge, signal: AbortSignal): Promise<Outcome> {
  const [first, second] = [row.cells[0]!, row.cells[column]!];
  const ask = async (a: EvaluatedCell, b: EvaluatedCell) => {
    const content = judgePrompt(judge.prompt, { row: row.row, a: a.answer, b: b.answer });
    const request = {
      prompt: [{ role: 'user', content }],
      tools: null,
      max_new_tokens: MOST_TOKENS,
      temperature: 0,
      seed: 0,
    };
    return (await askEndpoint(judge.client, request, signal)).content;
  };
  try {
    return { replies: [await ask(first, second), await ask(second, first)] };
  } catch (error) {
    if (error instanceof EndpointError) return { error: error.message };
    throw error;
  }
}

function reportOf(outcomes: readonly Outcome[], model: string): JudgeReport {
  const asked = outcomes.flatMap((own) => ('replies' in own ? [own.replies] : []));
  const failed = outcomes.flatMap((own) => ('error' in own ? [own.error] : []));
  if (asked.length === 0 && failed.length > 0)
    throw new LoraError('usage', `The judge cannot be asked: ${failed[0]!}`);
  const nonsense = asked.flat().filter((reply) => judgeVerdict(reply) === null).length;
  if (nonsense > asked.length)
    throw new LoraError(
      'usage',
      `The judge has named no winner in ${nonsense} of ${2 * asked.length} answers.`,
      { fix: 'Choose a larger model, or a prompt that says to end with [[A]], [[B]] or [[C]].' },
    );
  const flipped = asked.filter(([a, b]) => pairVerdict(a, b).flipped).length;
  return { model, pairs: asked.length, flipped, nonsense, agreement: null };
}

/** The first column is as good as itself. */
function withVerdicts(
  row: EvaluatedRow,
  outcomes: ReadonlyMap<number, Outcome> | undefined,
): EvaluatedRow {
  if (!outcomes) return row;
  const cells = row.cells.map((cell, column): EvaluatedCell => {
    if (column === 0) return { ...cell, scores: { judge: 0.5 } };
    const outcome = outcomes.get(column);
    if (!outcome) return cell;
    if ('error' in outcome) return { ...cell, error: `The judge: ${outcome.error}` };
    const { score, flipped } = pairVerdict(...outcome.replies);
    if (score === null) return { ...cell, error: 'The judge has named no winner.' };
    const reason = flipped ? 'the verdict of the judge changed with the order' : '';
    return { ...cell, scores: { judge: score }, reason };
  });
  return { ...row, cells };
}
