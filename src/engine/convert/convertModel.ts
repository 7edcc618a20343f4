import { openBase } from '../../formats/openBase';
import type { AdapterDtypeChoice } from '../../formats/adapterDtype';
import { LoraError } from '../../shared/errors';
import { openFolderTarget } from '../merge/folderTarget';
import { SMALL_FILES_BYTES } from '../merge/target';
import { clearUnfinished } from '../../common/unfinished';
import { checkDiskSpace, checkOutput } from '../outputPath';

/** Which model to convert, and where to. */
export interface ConvertModelOptions {
  /** A .gguf file. */
  readonly base: string;
  readonly output: string;
  /** keep: as stored, quantised weights as float16. */
  readonly dtype: AdapterDtypeChoice;
  /** The largest size of a weight file in bytes; null: 5 GB. */
  readonly max_shard_size: number | null;
  readonly signal: AbortSignal;
  readonly warn: (message: string) => void;
  readonly onProgress: (fraction: number) => void;
}

/** What was written. */
export interface ConvertedModel {
  readonly architecture: string;
  readonly tensors: number;
  /** The names of the weight files. */
  readonly files: readonly string[];
}

const DEFAULT_SHARD_BYTES = 5e9;

/**
 * Writes a .gguf model as a Hugging Face folder: config, weights, tokenizer, chat template and
 * generation settings. The folder appears only when it is complete.
 *
 * @throws LoraError when the base is not a .gguf model, the output exists, the disk is full, or the
 * job is cancelled.
 */
export async function convertModel(options: ConvertModelOptions): Promise<ConvertedModel> {
  const { output, dtype, signal, warn, onProgress } = options;
  await checkOutput(output, [options.base]);
  await clearUnfinished(output);
  const base = await openBase(options.base);
  try {
    if (base.format !== 'gguf') {
      throw new LoraError('usage', 'The base is a Hugging Face folder already.', {
        place: { file: base.path },
        fix: 'Choose a .gguf file as the base (--base).',
      });
    }
    await base.readTokenizer().catch((error: unknown) => {
      const { message } = LoraError.from(error, 'tokenizer');
      warn(`The folder will have no tokenizer: ${message}`);
    });
    const target = await openFolderTarget(base, [], {
      output,
      dtype,
      max_shard_size: options.max_shard_size ?? DEFAULT_SHARD_BYTES,
      labels: null,
      top: null,
      retie: null,
    });
    try {
      await checkDiskSpace(output, target.bytes + SMALL_FILES_BYTES);
      let files: readonly string[] = [];
      let written = 0;
      await target.place(async (temp) => {
        const outputs = await target.write(temp, {
          signal,
          file: base.path,
          onTensor: () => undefined,
          onBytes: (bytes) => {
            written += bytes;
            onProgress(written / target.bytes);
          },
        });
        files = outputs.map(({ file }) => file);
      });
      return { architecture: base.spec.family, tensors: target.plan.tensors.length, files };
    } finally {
      await target.close();
    }
  } finally {
    await base.close();
  }
}
