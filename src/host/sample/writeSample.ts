import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { applyEdits, modify } from 'jsonc-parser';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';

/** Where Download Base Model puts the sample's base unless told otherwise. */
const BASE = 'models/SmolLM2-135M-Instruct';

export interface SampleParts {
  /** Rows and a recipe. */
  readonly rows: string;
  /** What to do with them: becomes README.md. */
  readonly words: string;
}

/**
 * A folder to begin in; one that holds something already stays as it is. Errors: LoraError('disk').
 */
export async function writeSample(folder: string, { rows, words }: SampleParts): Promise<void> {
  const there = await readdir(folder).catch(() => []);
  if (there.length > 0) return;
  try {
    await cp(rows, folder, { recursive: true });
    await cp(words, path.join(folder, 'README.md'));
    const recipe = path.join(folder, 'lora.json');
    const text = await readFile(recipe, 'utf8');
    await writeFile(
      recipe,
      applyEdits(
        text,
        modify(text, ['base'], BASE, { formattingOptions: { insertSpaces: true, tabSize: 2 } }),
      ),
    );
  } catch (cause) {
    throw new LoraError('disk', t('The sample cannot be written.'), {
      place: { file: folder },
      cause,
      fix: t('Choose another folder.'),
    });
  }
}
