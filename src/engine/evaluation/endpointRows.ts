import { needsProbabilities } from '../../shared/evaluation/metrics';
import { imagesOfSuiteRow } from '../../shared/evaluation/suite';
import { LoraError } from '../../shared/errors';
import { cellOf, chatOf, failedCell, type AnswerRows, type AnswerSettings } from './cells';
import { askEndpoint, EndpointError, type EndpointClient } from './endpoint';
import type { SuiteCase } from './suiteFile';

/** Requests at the same time. */
const PARALLEL = 4;

/** @throws LoraError('dataset') for rows that endpoints cannot answer */
export function checkEndpointRows(cases: readonly SuiteCase[]): void {
  const pictured = cases.find(({ row }) => imagesOfSuiteRow(row).length > 0);
  if (pictured)
    throw new LoraError('dataset', 'An endpoint is not asked about images.', {
      place: { file: pictured.file, line: pictured.line },
      fix: 'Leave out its column, or put such rows into another suite.',
    });
  const wrong = cases.find(
    ({ row }) => needsProbabilities(row.check.kind) || row.check.kind === 'label',
  );
  if (!wrong) return;
  const { file, line, row } = wrong;
  throw new LoraError(
    'dataset',
    `An endpoint cannot answer a row of the kind ${row.check.kind}: it gives no probabilities.`,
    { place: { file, line }, fix: 'Leave out its column, or put such rows into another suite.' },
  );
}

/** Answers rows by an endpoint, several at the same time. */
export function endpointRows(
  client: EndpointClient,
  settings: AnswerSettings,
  signal: AbortSignal,
): AnswerRows {
  return async (cases, onCell) => {
    const left = [...cases];
    const work = async () => {
      for (let next = left.shift(); next && !signal.aborted; next = left.shift())
        onCell(next, await answered(client, next, { settings, signal }));
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
  };
}

interface Asking {
  readonly settings: AnswerSettings;
  readonly signal: AbortSignal;
}

async function answered(client: EndpointClient, row: SuiteCase, { settings, signal }: Asking) {
  const started = performance.now();
  try {
    const answer = await askEndpoint(
      client,
      {
        ...settings,
        prompt: chatOf(row)?.messages ?? row.row.prompt ?? '',
        tools: row.row.tools ?? null,
        max_new_tokens: row.row.max_new_tokens ?? settings.max_new_tokens,
      },
      signal,
    );
    return cellOf(row, answer, (performance.now() - started) / 1000);
  } catch (error) {
    if (!(error instanceof EndpointError)) throw error;
    return failedCell(error.message);
  }
}
