import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { applyEdits, modify } from 'jsonc-parser';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';

/** Where Download Base Model puts the sample's base model by default. */
const BASE = 'models/SmolLM2-135M-Instruct';

/** Where the sample comes from. */
export interface SampleSources {
  /** Folder with the datasets and the recipe. */
  readonly files: string;
  /** Markdown file that becomes README.md. */
  readonly readme: string;
}

/**
 * Copies the sample into a folder, unless that contains something already.
 *
 * @throws LoraError('disk') when it cannot be written.
 */
export async function writeSample(folder: string, { files, readme }: SampleSources): Promise<void> {
  const existing = await readdir(folder).catch(() => []);
  if (existing.length > 0) return;
  try {
    await cp(files, folder, { recursive: true });
    await cp(readme, path.join(folder, 'README.md'));
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
