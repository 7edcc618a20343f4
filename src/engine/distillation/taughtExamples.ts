import type { PreparedData } from '../../data/dataset/prepare';
import type { Example } from '../../data/examples/example';
import type { Examples } from '../../data/examples/examples';
import type { LabelledInput, Model } from '../../models/model';
import type { TeacherSettings, TopTokens } from '../../models/heads/teacher';
import { yieldToEventLoop } from '../../models/ops/ops';
import { TEACHER_ROWS } from '../../lora/memory';
import { NO_LABEL } from '../../shared/task';
import type { PartName, TeacherFile } from './teacherFile';

/** The examples of a part, and where the targets of each begin. */
interface TaughtPart {
  readonly examples: Examples;
  /** Of each example its first token's number, and the number of all. */
  readonly starts: Float64Array; // [examples + 1]
}

/** The examples that a model learns from a teacher. */
export class TaughtExamples {
  private readonly parts: Readonly<Record<PartName, TaughtPart>>;

  constructor(private readonly data: Pick<PreparedData, 'train' | 'validation' | 'collate'>) {
    this.parts = { train: taughtPart(data.train), validation: taughtPart(data.validation) };
  }

  /** Labelled tokens of each part. */
  get tokens(): Readonly<Record<PartName, number>> {
    const of = (part: PartName) => this.parts[part].starts.at(-1)!;
    return { train: of('train'), validation: of('validation') };
  }

  examples(part: PartName): Examples {
    return this.parts[part].examples;
  }

  /**
   * Measures the targets of a part, in the order of its examples.
   *
   * @param onProgress From 0 to 1; what it throws ends the measuring.
   */
  async *measure(
    part: PartName,
    teacher: Pick<Model, 'topTokens'>,
    settings: TeacherSettings,
    onProgress: (fraction: number) => void,
  ): AsyncGenerator<TopTokens> {
    const { examples, starts } = this.parts[part];
    for (let from = 0; from < examples.length; from += WINDOW) {
      const to = Math.min(examples.length, from + WINDOW);
      const order = Array.from({ length: to - from }, (_, i) => from + i);
      order.sort((a, b) => examples.lengthAt(a) - examples.lengthAt(b));
      const found = new Map<number, TopTokens>();
      for (let i = 0; i < order.length; i += TEACHER_ROWS) {
        const indices = order.slice(i, i + TEACHER_ROWS);
        const batch = await this.data.collate(indices.map((index) => examples.at(index)));
        const top = await teacher.topTokens(batch, settings);
        let at = 0;
        for (const index of indices) {
          const end = at + settings.top_k * (starts[index + 1]! - starts[index]!);
          found.set(index, { ids: top.ids.slice(at, end), logps: top.logps.slice(at, end) });
          at = end;
        }
        onProgress((from + Math.min(order.length, i + TEACHER_ROWS)) / examples.length);
        await yieldToEventLoop();
      }
      for (let index = from; index < to; index++) yield found.get(index)!;
    }
  }

  /** A batch of examples with what the teacher says of them. */
  async batch(
    part: PartName,
    indices: readonly number[],
    { file, settings }: { readonly file: TeacherFile; readonly settings: TeacherSettings },
  ): Promise<LabelledInput> {
    const { examples, starts } = this.parts[part];
    const input = await this.data.collate(indices.map((index) => examples.at(index)));
    const counts = indices.map((index) => starts[index + 1]! - starts[index]!);
    const all = counts.reduce((sum, count) => sum + count, 0);
    const ids = new Int32Array(all * settings.top_k);
    const logps = new Float32Array(ids.length);
    let at = 0;
    for (const [i, index] of indices.entries()) {
      const own = await file.read(part, starts[index]!, counts[i]!);
      ids.set(own.ids, at);
      logps.set(own.logps, at);
      at += own.ids.length;
    }
    return { ...input, teacher: { ...settings, ids, logps } };
  }
}

/** Examples that are sorted by length before the teacher reads them. */
const WINDOW = 64;

function taughtPart(examples: Examples): TaughtPart {
  const starts = new Float64Array(examples.length + 1);
  for (let i = 0; i < examples.length; i++) starts[i + 1] = starts[i]! + targetsIn(examples.at(i));
  return { examples, starts };
}

/** Tokens that a language model learns to predict: a sequence's first one is not. */
export function targetsIn(example: Example): number {
  if (example.kind === 'packed')
    return example.parts.reduce((sum, part) => sum + targetsIn(part), 0);
  if (example.kind !== 'tokens') throw new RangeError('An example has no tokens to learn.');
  return example.labels.reduce((sum, label, i) => sum + (i > 0 && label !== NO_LABEL ? 1 : 0), 0);
}
