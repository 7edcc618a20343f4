import { tagLabels, targetOf, type LabelSet } from './labelSet';
import { ProblemCollector } from '../dataset/problems';
import type { TokenizedRows } from '../examples/tokenizeRows';
import type { Tokenizer } from '../tokenizer/tokenizer';
import type { LabelledRow, PairRow, Row, TaggedRow } from '../rows/row';
import type { Example } from '../examples/example';

export interface TaskSettings {
  readonly max_length: number;
  /** Null for pairs. */
  readonly labels: LabelSet | null;
  /** Whether the model tells the second of two texts by its type. */
  readonly has_types: boolean;
  /** Tokens of an image. */
  readonly image_length: number;
}

interface Taken {
  readonly example: Example;
  /** Tokens of the whole row. */
  readonly length: number;
}

/**
 * Turns rows of labels, tags, pairs or images into examples, longer texts cut to max_length with
 * their special tokens kept. Faults are among the problems.
 */
export function tokenizeTaskRows(
  file: string,
  rows: readonly Row[],
  tokenizer: Tokenizer | null,
  settings: TaskSettings,
  onRow: (done: number) => void = () => undefined,
): TokenizedRows {
  const problems = new ProblemCollector(file);
  const encoder = tokenizer && new Encoder(tokenizer, settings);
  const taken: (Taken & { readonly row: Row })[] = [];
  for (const [i, row] of rows.entries()) {
    try {
      taken.push({ row, ...take(row, encoder, settings) });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      problems.error(error.message, row.line);
    }
    onRow(i + 1);
  }
  return {
    examples: taken.map((t) => t.example),
    rows: taken.map((t) => t.row),
    lengths: taken.map((t) => t.length),
    problems: problems.problems(),
  };
}

function take(row: Row, encoder: Encoder | null, { labels, image_length }: TaskSettings): Taken {
  if (row.kind === 'image')
    return {
      example: {
        kind: 'image',
        line: row.line,
        file: row.file,
        target: targetOf(row.label, labels!) as Int32Array,
      },
      length: image_length,
    };
  switch (row.kind) {
    case 'labelled':
      return encoder!.labelled(row, labels!);
    case 'tagged':
      return encoder!.tagged(row, labels!);
    case 'pair':
      return encoder!.pair(row);
    default:
      throw new RangeError(`A row of the kind ${row.kind} has no labels.`);
  }
}

/** Texts as a model with a head reads them: with the tokenizer's special tokens around. */
class Encoder {
  private readonly frame: Tokenizer['frame'];
  private readonly spaced: boolean;

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly settings: Pick<TaskSettings, 'max_length' | 'has_types'>,
  ) {
    this.frame = tokenizer.frame;
    // Byte-level tokenizers know a word by the space before it; others write that space themselves.
    this.spaced = this.ids(' a').length <= this.ids('a').length;
  }

  labelled({ line, text, text_pair, label }: LabelledRow, labels: LabelSet): Taken {
    const target = targetOf(label, labels);
    const first = this.ids(text);
    if (text_pair === null) {
      const { ids, length } = this.alone(first);
      return {
        example: {
          kind: 'text',
          line,
          input_ids: ids,
          token_type_ids: new Int32Array(ids.length),
          target,
        },
        length,
      };
    }
    const { ids, types, length } = this.together(first, this.ids(text_pair));
    return {
      example: { kind: 'text', line, input_ids: ids, token_type_ids: types, target },
      length,
    };
  }

  tagged({ line, tokens, tags }: TaggedRow, labels: LabelSet): Taken {
    const starts: number[] = [];
    const inner: number[] = [];
    const { before, after } = this.frame;
    for (const word of tokens) {
      const own = this.ids(this.spaced ? ` ${word}` : word);
      starts.push(own.length === 0 ? Infinity : before.length + inner.length);
      for (const id of own) inner.push(id);
    }
    const { ids, length } = this.alone(inner);
    const end = ids.length - after.length;
    return {
      example: {
        kind: 'tokens',
        line,
        input_ids: ids,
        labels: tagLabels(
          tags,
          starts.map((start) => (start < end ? start : Infinity)),
          ids.length,
          labels,
        ),
      },
      length,
    };
  }

  pair({ line, anchor, positive }: PairRow): Taken {
    const [a, b] = [this.alone(this.ids(anchor)), this.alone(this.ids(positive))];
    return {
      example: { kind: 'pair', line, anchor: a.ids, positive: b.ids },
      length: Math.max(a.length, b.length),
    };
  }

  private ids(text: string): number[] {
    return this.tokenizer.encode(text, false);
  }

  private alone(own: readonly number[]): { readonly ids: Int32Array; readonly length: number } {
    const { before, after } = this.frame;
    const room = this.settings.max_length - before.length - after.length;
    return {
      ids: Int32Array.from([...before, ...own.slice(0, Math.max(0, room)), ...after]),
      length: before.length + own.length + after.length,
    };
  }

  /** The longer text is cut first, as transformers does. */
  private together(a: readonly number[], b: readonly number[]) {
    const { before, between, after } = this.frame;
    const frame = before.length + between.length + after.length;
    const room = Math.max(2, this.settings.max_length - frame);
    const [own, other] = cutLonger(a.length, b.length, room);
    const head = [...before, ...a.slice(0, own), ...between];
    const ids = Int32Array.from([...head, ...b.slice(0, other), ...after]);
    return {
      ids,
      types: Int32Array.from(ids, (_, i) => (this.settings.has_types && i >= head.length ? 1 : 0)),
      length: frame + a.length + b.length,
    };
  }
}

/** How much of two texts fits: one token at a time is taken from the longer. */
function cutLonger(a: number, b: number, room: number): readonly [number, number] {
  const over = Math.max(0, a + b - room);
  if (over === 0) return [a, b];
  const [longer, shorter] = [Math.max(a, b), Math.min(a, b)];
  const apart = Math.min(over, longer - shorter);
  const rest = over - apart;
  const [long, short] = [longer - apart - Math.floor(rest / 2), shorter - Math.ceil(rest / 2)];
  return a >= b ? [long, short] : [short, long];
}
