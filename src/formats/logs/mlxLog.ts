import type { EvalLine, StepLine } from '../../shared/metrics/lines';
import {
  evalLine,
  inOrder,
  isStep,
  MAX_LOG_LINES,
  stepLine,
  type ImportedLog,
} from './importedLog';
import { tooLong } from './tooLong';

const NUMBER = String.raw`([-+\d.eEnaif]+)`;
const TOTAL = /^Starting training\.*,? iters: (\d+)/;
const LOSS = new RegExp(`^Iter (\\d+): (Train|Val) loss ${NUMBER}`);
const FIELD = {
  learning_rate: new RegExp(`Learning Rate ${NUMBER}`),
  tokens_per_second: new RegExp(`Tokens/sec ${NUMBER}`),
  trained: new RegExp(`Trained Tokens ${NUMBER}`),
  steps_per_second: new RegExp(`It/sec ${NUMBER}`),
  gigabytes: new RegExp(`Peak mem ${NUMBER} GB`),
};

/**
 * Reads what mlx_lm.lora prints while it trains; null when there is no such line.
 *
 * @throws LoraError for too many lines
 */
export function readMlxLog(text: string): ImportedLog | null {
  const lines: (StepLine | EvalLine)[] = [];
  const before = { step: 0, tokens: 0, elapsed: 0 };
  let total: number | null = null;
  const all = text.split(/\r?\n|\r/, MAX_LOG_LINES + 1);
  if (all.length > MAX_LOG_LINES) throw tooLong(MAX_LOG_LINES, 'lines');
  for (const line of all) {
    const iters = Number(TOTAL.exec(line)?.[1] ?? NaN);
    if (isStep(iters)) total = iters;
    const [, at, kind, loss] = LOSS.exec(line) ?? [];
    const step = Number(at ?? NaN);
    if (!isStep(step)) continue;
    if (kind === 'Train') lines.push(trainedLine(line, { step, loss: Number(loss) }, before));
    // the first is measured before a step
    else lines.push(evalLine(step === 1 ? 0 : step, Number(loss), before.elapsed));
  }
  if (lines.length === 0) return null;
  const training = total === null ? {} : { max_steps: total };
  return { program: 'mlx-lm', lines: inOrder(lines), started: null, total_steps: total, training };
}

/** What is known up to the line before. */
interface Before {
  step: number;
  tokens: number;
  elapsed: number;
}

function trainedLine(
  line: string,
  { step, loss }: { readonly step: number; readonly loss: number },
  before: Before,
): StepLine {
  const field = (name: keyof typeof FIELD) => Number(FIELD[name].exec(line)?.[1] ?? NaN);
  const tokens = field('trained') - before.tokens;
  const seconds = (step - before.step) / field('steps_per_second');
  if (Number.isFinite(tokens)) before.tokens += tokens;
  if (Number.isFinite(seconds)) before.elapsed += seconds;
  before.step = step;
  return stepLine({
    ...{ step, loss, tokens, elapsed: before.elapsed },
    learning_rate: field('learning_rate'),
    tokens_per_second: field('tokens_per_second'),
    memory: field('gigabytes') * 1e9,
  });
}
