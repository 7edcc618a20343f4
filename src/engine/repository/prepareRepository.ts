import { open, writeFile, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { createFolder } from '../../common/atomicWrite';
import { isInFolder } from '../../common/samePath';
import { codeRows, type CodeRow, type CodeRowSettings } from '../../data/code/codeRows';
import { fimFormOf } from '../../data/code/fimForms';
import { drawGroups } from '../../data/quality/splitGroups';
import { createTokenizer } from '../../data/tokenizer/createTokenizer';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import { openBase } from '../../formats/openBase';
import { LoraError } from '../../shared/errors';
import {
  SECRETS_FILE,
  type PreparedRepository,
  type SecretPlace,
} from '../../shared/preparedRepository';
import { oneLine } from '../../shared/plainText';
import { checkOutput } from '../outputPath';
import { readSources, sourceAgain, type Sources } from './readSources';
import { trackedFiles } from './trackedFiles';

/** Which rows to make of which files, and where to write them. */
export interface RepositoryOptions extends CodeRowSettings {
  readonly repository: string;
  readonly base: string;
  readonly output: string;
  /** Ids; empty: all. */
  readonly languages: readonly string[];
  readonly globs: readonly string[];
  readonly most_rows: number;
  readonly signal: AbortSignal;
  readonly warn: (message: string) => void;
  /** From 0 to 1. */
  readonly onProgress: (fraction: number) => void;
}

const FILES = {
  train: 'train.jsonl',
  validation: 'validation.jsonl',
  recipe: 'lora.json',
  leftOut: SECRETS_FILE,
} as const;
const VALIDATION_SHARE = 0.05;
const SHOWN_SECRETS = 200;

/**
 * Makes a dataset and a recipe of the files that git tracks. The folder appears when it is
 * complete.
 *
 * @throws LoraError
 */
export async function prepareRepository(options: RepositoryOptions): Promise<PreparedRepository> {
  const { repository, output, base: place, onProgress } = options;
  await checkOutput(output, [place]);
  const tokenizer = await tokenizerOf(place);
  const { files: tracked, isCut } = await trackedFiles(repository, options.globs);
  if (isCut) options.warn(`Only the first ${tracked.length} files that git tracks are used.`);
  if (tracked.length === 0) throw nothing(repository, 'git tracks no file here.');
  const reading = (fraction: number) => onProgress(0.5 * fraction);
  const read = { ...options, folder: repository, onProgress: reading };
  const sources = await readSources(tracked, read);
  if (sources.files.length === 0) throw nothing(repository, 'No file is left to train on.');
  const counts = { files: 0, unread: 0, rows: 0, validation_rows: 0 };
  await createFolder(output, async (temp) => {
    Object.assign(counts, await writeRows(temp, { sources, tokenizer, options }));
    if (counts.rows === 0) throw nothing(repository, 'No row is left to train on.', RAISE);
    await writeFile(path.join(temp, FILES.recipe), recipeText(options, counts));
    await writeFile(path.join(temp, FILES.leftOut), leftOutText(sources.secrets));
  });
  const { unread, ...others } = counts;
  const beyond = unread + (sources.leftOut.get('beyond') ?? 0);
  return {
    recipe: path.join(output, FILES.recipe),
    fim: fimFormOf(tokenizer) !== null,
    ...others,
    left_out: { ...Object.fromEntries(sources.leftOut), ...(beyond > 0 && { beyond }) },
    secrets: sources.secrets.slice(0, SHOWN_SECRETS),
  };
}

const RAISE = 'Take longer rows (--max-length), or more of them (--max-rows).';

const nothing = (repository: string, message: string, fix?: string): LoraError =>
  new LoraError('dataset', message, { place: { file: repository }, ...(fix && { fix }) });

async function tokenizerOf(place: string): Promise<Tokenizer> {
  const base = await openBase(place);
  try {
    const { task } = base.spec;
    if (task === 'causal_lm') return createTokenizer(await base.readTokenizer());
    throw new LoraError('base', 'The base does not write text.', { place: { file: place } });
  } finally {
    await base.close();
  }
}

interface RowWork {
  readonly sources: Sources;
  readonly tokenizer: Tokenizer;
  readonly options: RepositoryOptions;
}

/** Files that resemble each other are in the same dataset. */
async function writeRows(folder: string, { sources, tokenizer, options }: RowWork) {
  const { files, groups } = sources;
  const { repository, most_rows, seed, signal, onProgress } = options;
  const indices = Int32Array.from(files, (_, i) => i);
  const drawn = drawGroups(indices, groups, { share: VALIDATION_SHARE, seed });
  const counts = { files: 0, unread: 0, rows: 0, validation_rows: 0 };
  const train = await open(path.join(folder, FILES.train), 'wx');
  const validation = await open(path.join(folder, FILES.validation), 'wx');
  try {
    for (const [i, file] of files.entries()) {
      signal.throwIfAborted();
      onProgress(0.5 + (0.5 * i) / files.length);
      const left = most_rows - counts.rows - counts.validation_rows;
      if (left <= 0) {
        counts.unread = files.length - i;
        break;
      }
      const source = await sourceAgain(repository, file);
      const rows = source ? codeRows(tokenizer, source, options).slice(0, left) : [];
      const isHeld = drawn[i] === 1;
      await writeLines(isHeld ? validation : train, rows);
      counts.files += Number(rows.length > 0);
      counts[isHeld ? 'validation_rows' : 'rows'] += rows.length;
    }
    return counts;
  } finally {
    await train.close();
    await validation.close();
  }
}

const writeLines = (handle: FileHandle, rows: readonly CodeRow[]): Promise<void> =>
  handle.writeFile(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));

/** With the base relative to the recipe where both are in the repository. */
function recipeText(
  { repository, base, output, max_length, seed }: RepositoryOptions,
  { validation_rows }: { readonly validation_rows: number },
): string {
  const own = path.resolve(base);
  const isBeside = isInFolder(own, repository) && isInFolder(output, repository);
  const recipe = {
    base: isBeside ? path.relative(output, own).replaceAll('\\', '/') : own,
    dataset: FILES.train,
    ...(validation_rows > 0 ? { validation: FILES.validation } : { validation_split: 0 }),
    lora: { r: 16, lora_alpha: 32, target_modules: 'all-linear' },
    training: { learning_rate: 2e-4, num_train_epochs: 2, max_length, seed },
    samples: { sample_steps: 0 },
  };
  return `${JSON.stringify(recipe, null, 2)}\n`;
}

/** The places of secrets, one on each line. */
const leftOutText = (secrets: readonly SecretPlace[]): string =>
  secrets.map(({ file, line, kind }) => `${oneLine(file)}:${line}: ${kind}\n`).join('');
