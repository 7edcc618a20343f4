import { describeDataset } from '../../../shared/datasetSources';
import path from 'node:path';
import { readTail } from '../../../common/regularFile';
import type { MetricLine } from '../../../shared/metrics/lines';
import { parseMetrics } from '../../../shared/metrics/parse';
import type { ComparisonData } from '../../../shared/pages/compare/protocol';
import { oneLine } from '../../../shared/plainText';
import { methodOf, RUN_FILES, type RunRecord } from '../../../shared/run';
import type { RunSummary } from '../summary';

// Answers for language models, in English, with one fact per line: no name or note can add one.

/** Of a run.json of an older version or of a stranger, numbers may be missing or none. */
const number = (value: unknown) =>
  typeof value === 'number' ? String(Number(value.toPrecision(4))) : 'unknown';

/** One line for each run. */
export function runsAnswer(runs: readonly RunSummary[]): string {
  if (runs.length === 0) return 'There are no runs yet.';
  return runs.map(runLine).join('\n');
}

function runLine(run: RunSummary): string {
  const { tags } = run.notes;
  const totalSteps = run.totalSteps === null ? '' : ` of ${run.totalSteps}`;
  return [
    `${run.id} "${run.name}": ${run.state}`,
    ...remoteFacts(run),
    `step ${run.step}${totalSteps}`,
    run.method === 'full' ? 'full fine-tuning' : `r = ${number(run.r)}`,
    `loss ${number(run.lastLoss)}`,
    `best validation loss ${number(run.validationLoss)}`,
    ...(tags.length > 0 ? [`tags ${tags.join(', ')}`] : []),
  ]
    .map(oneLine)
    .join(', ');
}

/** The outcome of starting a recipe; busy: another run is active. */
export type StartResult = 'started' | 'queued' | 'declined' | 'busy';

/** The outcome of starting a recipe. `newest`: the newest run. */
export function startAnswer(outcome: StartResult, newest: RunSummary | undefined): string {
  switch (outcome) {
    case 'started':
      return `Started. ${runsAnswer(newest ? [newest] : [])}`;
    case 'queued':
      return 'Queued: the run starts by itself when no other run is active.';
    case 'declined':
      return 'Not started: the user declined to install the runtime.';
    case 'busy':
      return `Not started: another run is active. Start it when that has ended, or with "when": "now". ${runsAnswer(newest ? [newest] : [])}`;
  }
}

/** Where a run on a target is, so that an old state is not taken for the current one. */
function remoteFacts({ remote }: RunSummary): string[] {
  if (!remote) return [];
  const { link, record } = remote;
  const place = `on the target ${record.target.name} (${record.target.kind})`;
  if (link.kind === 'connected' || link.kind === 'ended') return [place];
  const since = new Date(link.since).toISOString();
  return [
    `${place}, not connected since ${since}: it continues there, and this is its state at that time`,
  ];
}

/** The curves are read from this much of the end of metrics.jsonl. */
const CURVE_BYTES = 64 * 2 ** 20;

/** The recipe, data, result and loss curves of a run. */
export async function runAnswer(run: RunSummary, record: RunRecord | undefined): Promise<string> {
  const { text, isCut } = await readTail(path.join(run.dir, RUN_FILES.metrics), {
    maxBytes: CURVE_BYTES,
    links: 'refused',
  }).catch(() => ({ text: '', isCut: false }));
  return [
    runsAnswer([run]),
    `folder ${run.dir}`,
    resultLine(run),
    ...(run.problem === null ? [] : [`problem: ${run.problem}`]),
    ...(run.notes.note === '' ? [] : [`note: ${run.notes.note}`]),
    ...(record ? recordLines(record) : []),
    ...(isCut ? ['the curves leave out the earliest steps of this long run'] : []),
    ...curveLines(parseMetrics(text)),
  ]
    .map(oneLine)
    .join('\n');
}

function resultLine({ model, adapter }: RunSummary): string {
  if (model !== null) return `model ${model}`;
  return adapter === null ? 'no adapter yet' : `adapter ${adapter}`;
}

/** The facts that an object has: readRun checks only what it needs of run.json. */
const objectOf = <T extends object>(value: T | undefined): Partial<T> => value ?? {};

function recordLines({
  recipe,
  base,
  data,
  trainable_parameters,
  result,
  ...own
}: RunRecord): string[] {
  const { lora } = recipe;
  const training = objectOf(recipe.training);
  const versions = objectOf(own.versions);
  const baseFacts = base ? ` (${base.architecture}, ${base.parameters} parameters)` : '';
  const dataFacts = data
    ? ` (${data.examples} examples, ${data.validation_examples} for validation)`
    : '';
  const method =
    methodOf(recipe) === 'full'
      ? 'full fine-tuning'
      : `lora: r ${lora.r}, lora_alpha ${lora.lora_alpha}, target_modules ${JSON.stringify(lora.target_modules)}`;
  return [
    `base ${base?.name ?? recipe.base}${baseFacts}, dataset ${describeDataset(recipe.dataset)}${dataFacts}`,
    `${method}, trainable parameters ${number(trainable_parameters)}`,
    `training: learning_rate ${training.learning_rate}, ${training.lr_scheduler_type}, batch ${training.per_device_train_batch_size} x ${training.gradient_accumulation_steps}, max_length ${training.max_length}`,
    `best validation loss ${number(result.best_validation_loss)} at step ${number(result.best_step)}, ${number(result.first_validation_loss)} before the training, device ${versions.device ?? 'unknown'}`,
  ];
}

/** The number of points that a curve is thinned to. */
const POINTS = 12;

/** A result of `lora evaluate`: each number in it, such as the loss. */
export function evaluationAnswer(result: Readonly<Record<string, unknown>>): string {
  const lines = Object.entries(evaluationFacts(result)).map(
    ([name, value]) => `${name.replaceAll('_', ' ')}: ${number(value)}`,
  );
  return lines.length === 0 ? 'There is no score.' : lines.map(oneLine).join('\n');
}

/** The numbers of a result of `lora evaluate`. */
export const evaluationFacts = (
  result: Readonly<Record<string, unknown>>,
): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(result).filter(
      (entry): entry is [string, number] =>
        typeof entry[1] === 'number' && Number.isFinite(entry[1]),
    ),
  );

/** Some points of each curve, including the last. */
function curveLines(metrics: readonly MetricLine[]): string[] {
  const thinned = <T>(all: readonly T[]) =>
    all.filter((_, i) => i === all.length - 1 || i % Math.ceil(all.length / POINTS) === 0);
  const line = (
    name: string,
    points: readonly { readonly step: number; readonly loss: number }[],
  ) =>
    points.length === 0
      ? []
      : [
          `${name} by step: ${thinned(points)
            .map(({ step, loss }) => `${step}: ${number(loss)}`)
            .join(', ')}`,
        ];
  return [
    ...line(
      'training loss',
      metrics.filter((line) => line.kind === 'step'),
    ),
    ...line(
      'validation loss',
      metrics.filter((line) => line.kind === 'eval'),
    ),
  ];
}

/** The modules that differ most. */
export const mostDifferent = ({
  modules,
}: Pick<ComparisonData, 'modules'>): readonly ComparisonData['modules'][number][] =>
  [...modules].sort((x, y) => y.norm_of_difference - x.norm_of_difference).slice(0, 8);

/** How two adapters differ in total, and in which modules most. */
export function comparisonAnswer({
  equal,
  total,
  modules,
  only_a,
  only_b,
  config,
}: ComparisonData): string {
  if (equal) return 'The two adapters are equal within the rounding of float32.';
  return [
    `norm of dW: a ${number(total.norm_a)}, b ${number(total.norm_b)}, of their difference ${number(total.norm_of_difference)}; cosine ${number(total.cosine)}`,
    ...config.map(({ key, a, b }) => `${key}: a ${JSON.stringify(a)}, b ${JSON.stringify(b)}`),
    ...(only_a.length + only_b.length > 0
      ? [`modules only in a: ${only_a.length}, only in b: ${only_b.length}`]
      : []),
    'modules that differ most:',
    ...mostDifferent({ modules }).map(
      (m) =>
        `${m.path}: norm a ${number(m.a.norm)}, b ${number(m.b.norm)}, cosine ${number(m.cosine)}, effective rank a ${number(m.a.effective_rank)}, b ${number(m.b.effective_rank)}`,
    ),
  ]
    .map(oneLine)
    .join('\n');
}
