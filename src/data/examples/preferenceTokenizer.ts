import { NO_LABEL } from '../../shared/task';
import { countOf } from '../../shared/values';
import { imageName } from '../images/embedded';
import type { TokensImage } from './rowImages';
import type { ProblemCollector } from '../dataset/problems';
import type { PreferenceRow, Row, TextRow, UnpairedRow } from '../rows/row';
import { ROW_SETTINGS } from '../rows/settings';
import type { Example, Sequence } from './example';
import {
  sequenceOf,
  textTokenizer,
  type RowTokenizer,
  type TokenizedRow,
  type TokenizeSettings,
} from './tokenizeRows';

/** How rows with answers that are compared become examples. */
export interface PreferenceSettings extends TokenizeSettings {
  /** Whether whole texts are rated instead of the probabilities of answers. */
  readonly isReward: boolean;
}

/**
 * Turns rows of preferences into examples. Each answer is encoded with its prompt as a row of
 * causal_lm is. What is wrong in a row, including that truncation leaves nothing to compare, is
 * reported to `problems`.
 */
export function preferenceTokenizer(
  problems: ProblemCollector,
  settings: PreferenceSettings,
): RowTokenizer {
  const texts = textTokenizer(problems, { ...settings, labels: 'assistant' });
  const encoder = new Encoder(texts, problems, settings);
  return {
    problems,
    add: (row) => {
      if (row.weight !== undefined) return refuseWeight(row, problems);
      if (row.kind === 'preference') return encoder.pair(row);
      return row.kind === 'unpaired' ? encoder.single(row) : refuse(row, problems);
    },
  };
}

function refuse(row: Row, problems: ProblemCollector): null {
  problems.error(`A row of kind ${row.kind} has no answers to compare.`, row.line);
  return null;
}

function refuseWeight(row: Row, problems: ProblemCollector): null {
  problems.error(
    '"weight" has no meaning for answers that are compared: remove it.',
    row.line,
    'weight',
  );
  return null;
}

/** A part of a sequence that has no images. */
const partOf = ({ input_ids, labels }: Sequence, from: number, to?: number): Sequence => ({
  input_ids: input_ids.slice(from, to),
  labels: labels.slice(from, to),
});

class Encoder {
  constructor(
    private readonly texts: RowTokenizer<TextRow>,
    private readonly problems: ProblemCollector,
    private readonly settings: PreferenceSettings,
  ) {}

  pair(row: PreferenceRow): TokenizedRow | null {
    const { line, margin, stated } = row;
    const chosen = this.texts.add(row.chosen);
    const rejected = chosen && this.texts.add(row.rejected);
    if (!chosen || !rejected) return null;
    const length = Math.max(chosen.length, rejected.length);
    const whole = [chosen, rejected].map(({ encoded }) => encoded!.ids.join());
    if (whole[0] === whole[1]) {
      this.problems.error(
        '"chosen" and "rejected" have the same tokens, so there is nothing to prefer.',
        line,
      );
      return null;
    }
    const [a, b] = this.withLabels([chosen, rejected]) as [Sequence, Sequence];
    if (this.isCutToNothing(a, b, length, line)) return null;
    return {
      row,
      length,
      encoded: chosen.encoded!,
      example: { kind: 'preference', line, chosen: a, rejected: b, margin, stated },
    };
  }

  single(row: UnpairedRow): TokenizedRow | null {
    const { line, desirable, stated } = row;
    const answer = this.texts.add(row.answer);
    if (!answer) return null;
    const encoded = answer.encoded!;
    const { max_length } = this.settings;
    // after a prompt of one token, this much of the answer is left
    const start = encoded.labelled[0]?.start ?? 0;
    const late = encoded.images?.find(({ at }) => at >= start);
    if (late) return this.refuseLate(late, line);
    const whole = sequenceOf(encoded, 'assistant', max_length + Math.max(0, start - 1));
    const example = { ...answer.example, ...whole } as Example;
    const [own] = this.withLabels([{ ...answer, example }]) as [Sequence];
    return {
      row,
      length: answer.length,
      encoded,
      example: {
        kind: 'unpaired',
        line,
        // images that do not end before max_length are an error
        answer: { ...partOf(own, 0, max_length), ...(own.images && { images: own.images }) },
        rest: partOf(own, max_length),
        desirable,
        stated,
      },
    };
  }

  /**
   * The answers with labels. Texts that are joined without a template may begin with a token that
   * is not the same with both answers: then both answers begin there, as in TRL. With labels "all",
   * the answers are all that follows the prompt, also what the template writes after an answer.
   */
  private withLabels(sides: readonly TokenizedRow[]): Sequence[] {
    const starts = sides.map(({ encoded }) => encoded!.labelled[0]?.start ?? 0);
    const start = Math.min(...starts);
    return sides.map(({ example, row }) => {
      const { input_ids, labels, images } = example as Sequence;
      const pictured = images && { images };
      const isJoined = row.kind === 'completion' && starts.some((own) => own !== start);
      if (this.settings.labels !== 'all' && !isJoined) return { input_ids, labels, ...pictured };
      const all = input_ids.map((id, i) => (i < start ? NO_LABEL : id));
      return { input_ids, labels: all, ...pictured };
    });
  }

  /** The KL divergence is measured by each prompt with another answer, in place of the image. */
  private refuseLate({ file }: TokensImage, line: number): null {
    this.problems.error(
      `The image ${imageName(file)} is behind the first answer. With kto, only the prompt can have images, as in TRL.`,
      line,
    );
    return null;
  }

  private isCutToNothing(a: Sequence, b: Sequence, length: number, line: number): boolean {
    const { max_length, isReward, rows = ROW_SETTINGS } = this.settings;
    if (length <= max_length) return false;
    const isSame = a.input_ids.join() === b.input_ids.join();
    if (!isSame && !isReward) return false;
    const fault = isSame
      ? `"chosen" and "rejected" differ only after max_length = ${countOf(max_length, 'token')}`
      : `The longer text has ${countOf(length, 'token')}, more than max_length = ${max_length}, and a reward is read at the end of a text`;
    if (rows.unlabelled_rows === 'error')
      this.problems.error(`${fault}. Raise max_length, or set unlabelled_rows to "skip".`, line);
    else this.problems.warn(`${fault}; the row is skipped.`, line);
    return true;
  }
}
