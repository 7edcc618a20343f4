import { languageOf, LANGUAGE_IDS } from '../../data/code/languages';
import { leftOutByName } from '../../data/code/leftOut';
import { formatPlace } from '../../shared/errors';
import {
  LEFT_OUT,
  type LeftOut,
  type PreparedRepository,
  type RepositoryLanguages,
} from '../../shared/preparedRepository';
import { countOf } from '../../shared/values';
import { prepareRepository } from '../repository/prepareRepository';
import { trackedFiles } from '../repository/trackedFiles';
import { joinLines } from '../report';
import { form } from './command';
import { baseOption } from './commonOptions';
import { printResult } from './context';
import { flag, list, required, withDefault } from './options';
import {
  absolutePath,
  anyText,
  folderPath,
  oneOf,
  positiveWholeNumber,
  wholeNumber,
} from './optionValues';
import { withProgress } from './progress';

const repositoryOptions = {
  repository: required(absolutePath, 'DIR', 'make the dataset of the files that git tracks in DIR'),
  glob: list(
    anyText,
    'GLOB',
    'files to take, such as src/**; !GLOB leaves out; repeat for several',
  ),
};

/** lora prepare --repository. */
export const prepareRepositoryForm = form({
  selectedBy: 'repository',
  options: {
    ...repositoryOptions,
    base: baseOption,
    output: required(folderPath, 'DIR', 'folder to write dataset and recipe to'),
    language: list(
      oneOf(LANGUAGE_IDS),
      'ID',
      'language to take, such as typescript; repeat for several (default: all)',
    ),
    'max-length': withDefault('512', positiveWholeNumber, 'N', 'tokens of a row'),
    'max-rows': withDefault('20000', positiveWholeNumber, 'N', 'maximum number of rows to make'),
    seed: withDefault('42', wholeNumber, 'N', 'seed of the random selection'),
  },
  run: async ({ options }, context) => {
    const prepared = await withProgress(context, ({ show, warn }) =>
      prepareRepository({
        ...options,
        globs: options.glob,
        languages: options.language,
        max_length: options['max-length'],
        most_rows: options['max-rows'],
        signal: context.signal,
        warn,
        onProgress: (fraction) => show('reading files', fraction),
      }),
    );
    printResult(context, prepared, () => describePrepared(prepared));
    return 0;
  },
});

/** lora prepare --languages: what a repository has. */
export const repositoryLanguagesForm = form({
  selectedBy: 'languages',
  options: { ...repositoryOptions, languages: flag('only list the languages of the files') },
  run: async ({ options: { repository, glob } }, context) => {
    const { files } = await trackedFiles(repository, glob);
    const counts = new Map<string, { readonly name: string; files: number }>();
    for (const { path, kind, isIgnored } of files) {
      const language = languageOf(path);
      if (kind !== 'file' || isIgnored || !language || leftOutByName(path) !== null) continue;
      const known = counts.get(language.id) ?? { name: language.name, files: 0 };
      counts.set(language.id, { ...known, files: known.files + 1 });
    }
    const languages = [...counts]
      .map(([id, facts]) => ({ id, ...facts }))
      .sort((a, b) => b.files - a.files);
    const found: RepositoryLanguages = { tracked: files.length, languages };
    printResult(context, found, () =>
      joinLines(languages.map(({ id, files: count }) => `${id}: ${countOf(count, 'file')}`)),
    );
    return 0;
  },
});

const SHOWN_SECRETS = 20;

function describePrepared(prepared: PreparedRepository): string {
  const { recipe, fim, files, rows, validation_rows, left_out, secrets } = prepared;
  const counts = Object.entries(left_out) as [LeftOut, number][];
  return joinLines([
    `${recipe}: ${countOf(rows, 'row')} and ${validation_rows} for validation, of ${countOf(files, 'file')}`,
    fim
      ? 'Fill-in-the-middle rows: only the middle of each text is learned.'
      : 'The base has no fill-in-the-middle tokens: whole texts are learned.',
    ...(counts.length > 0
      ? [`Left out: ${counts.map(([why, count]) => `${count} ${LEFT_OUT[why]}`).join(', ')}.`]
      : []),
    ...secrets
      .slice(0, SHOWN_SECRETS)
      .map(({ file, line, kind }) => `  ${formatPlace({ file, line })}: ${kind}`),
  ]);
}
