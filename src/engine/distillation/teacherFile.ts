import path from 'node:path';
import { refuseLinks } from '../../common/withoutLinks';
import { SafetensorsFile } from '../../formats/safetensors/read';
import { writeSafetensors } from '../../formats/safetensors/write';
import type { TopTokens } from '../../models/heads/teacher';
import { LoraError } from '../../shared/errors';
import { RUN_FILES } from '../../shared/run';

export const PARTS = ['train', 'validation'] as const;
export type PartName = (typeof PARTS)[number];

/** The identity of a file of teacher targets. */
export interface TeacherFileFacts {
  /** Of all that the targets depend on. */
  readonly fingerprint: string;
  /** Labelled tokens of each part. */
  readonly tokens: Readonly<Record<PartName, number>>;
  readonly top_k: number;
  readonly vocab_size: number;
}

const fileOf = (runDir: string): string => path.join(runDir, RUN_FILES.teacher);

/** [tokens, 2, top_k]: ids, which f32 holds exactly, and log-probabilities. */
const shapeOf = ({ tokens, top_k }: TeacherFileFacts, part: PartName): number[] => [
  tokens[part],
  2,
  top_k,
];

/**
 * Writes the targets of a teacher while they are measured.
 *
 * @param measure The targets of a part in the order of its tokens.
 */
export async function writeTeacherFile(
  runDir: string,
  facts: TeacherFileFacts,
  measure: (part: PartName) => AsyncIterable<TopTokens>,
): Promise<void> {
  await refuseLinks(fileOf(runDir), runDir);
  const tensors = PARTS.filter((part) => facts.tokens[part] > 0).map((part) => ({
    name: part,
    dtype: 'F32' as const,
    shape: shapeOf(facts, part),
    data: () => stored(measure(part), facts.top_k),
  }));
  await writeSafetensors(fileOf(runDir), tensors, { fingerprint: facts.fingerprint });
}

async function* stored(
  measured: AsyncIterable<TopTokens>,
  top_k: number,
): AsyncGenerator<Float32Array> {
  for await (const { ids, logps } of measured) {
    const numbers = new Float32Array(2 * ids.length);
    for (let at = 0; at < ids.length; at += top_k) {
      numbers.set(ids.subarray(at, at + top_k), 2 * at);
      numbers.set(logps.subarray(at, at + top_k), 2 * at + top_k);
    }
    yield numbers;
  }
}

/** The targets of a teacher that a run keeps. Close it. */
export class TeacherFile {
  private constructor(
    private readonly source: SafetensorsFile,
    private readonly facts: TeacherFileFacts,
  ) {}

  /** Null: there is none, it is of something else, or it cannot be read. */
  static async open(runDir: string, facts: TeacherFileFacts): Promise<TeacherFile | null> {
    const source = await SafetensorsFile.open(fileOf(runDir), 'run').catch(() => null);
    if (!source) return null;
    const isOwn =
      source.header.metadata['fingerprint'] === facts.fingerprint &&
      PARTS.every((part) => {
        const tensor = source.tensors.get(part);
        if (facts.tokens[part] === 0) return !tensor;
        return tensor?.dtype === 'F32' && tensor.shape.join() === shapeOf(facts, part).join();
      });
    if (isOwn) return new TeacherFile(source, facts);
    await source.close();
    return null;
  }

  /**
   * The targets of `count` tokens from the token `from` on.
   *
   * @throws LoraError('run') for ids that the vocabulary does not have
   */
  async read(part: PartName, from: number, count: number): Promise<TopTokens> {
    const { top_k, vocab_size } = this.facts;
    const bytes = 2 * top_k * Float32Array.BYTES_PER_ELEMENT;
    const slice = await this.source.readSlice(part, from * bytes, count * bytes);
    const numbers = new Float32Array(slice.buffer, slice.byteOffset, 2 * top_k * count);
    const ids = new Int32Array(count * top_k);
    const logps = new Float32Array(count * top_k);
    for (let at = 0; at < ids.length; at += top_k) {
      ids.set(numbers.subarray(2 * at, 2 * at + top_k), at);
      logps.set(numbers.subarray(2 * at + top_k, 2 * (at + top_k)), at);
    }
    if (ids.every((id) => id >= 0 && id < vocab_size) && logps.every((logp) => logp <= 1e-3))
      return { ids, logps };
    throw new LoraError('run', "The file of the teacher's probabilities is damaged.", {
      place: { file: this.source.file, tensor: part },
      fix: 'Remove the file and resume the run: it is created again.',
    });
  }

  close(): Promise<void> {
    return this.source.close();
  }
}
