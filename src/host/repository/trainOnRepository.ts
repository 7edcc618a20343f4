import path from 'node:path';
import * as vscode from 'vscode';
import { pathExists } from '../../common/fileStatus';
import { LoraError } from '../../shared/errors';
import {
  SECRETS_FILE,
  type PreparedRepository,
  type RepositoryLanguages,
} from '../../shared/preparedRepository';
import { startOrQueue } from '../queue/startOrQueue';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { chooseBasePath } from '../train/chooseBasePath';
import { askText, pickRow, pickRows } from '../ui/inputs';
import { choose } from '../ui/messages';
import { withStatus } from '../ui/progress';
import { summaryOf } from './summary';

/** Where dataset and recipe are written by default, in the folder of the repository. */
const FOLDER = 'lora-repository';
/** The languages that are chosen at first: those with at least this share of the files. */
const USUAL_SHARE = 0.02;

/**
 * Asks which files of a repository to train on, makes a dataset and a recipe of them, and starts it
 * or opens it.
 *
 * @throws LoraError
 */
export async function trainOnRepository(services: Services): Promise<void> {
  const { jobs } = services;
  const folder = await chooseFolder();
  const languages = folder === undefined ? undefined : await chooseLanguages(services, folder);
  if (folder === undefined || languages === undefined) return;
  const base = await chooseBasePath(services);
  const output = base === undefined ? undefined : await chooseOutput(folder);
  if (base === undefined || output === undefined) return;
  const chosen = languages.flatMap((id) => ['--language', id]);
  const places = ['--repository', folder, '--base', base, '--output', output];
  const prepared = await jobs.run<PreparedRepository>(
    t('Preparing the files of {0}', path.basename(folder)),
    ['prepare', ...places, ...chosen],
    false,
  );
  if (prepared) await offer(services, prepared);
}

async function chooseFolder(): Promise<string | undefined> {
  const folders = vscode.workspace.workspaceFolders ?? [];
  const rows = folders.map(({ name, uri }) => ({
    label: name,
    description: uri.fsPath,
    folder: uri.fsPath,
  }));
  if (rows.length > 1)
    return (await pickRow(rows, { placeHolder: t('Select the repository to train on') }))?.folder;
  if (rows[0]) return rows[0].folder;
  throw new LoraError('usage', t('No folder is open.'), {
    fix: t('Open the folder of the repository.'),
  });
}

/** Ids of languages. Undefined: cancelled. */
async function chooseLanguages(
  { jobs }: Pick<Services, 'jobs'>,
  folder: string,
): Promise<readonly string[] | undefined> {
  const { languages } = await withStatus(t('Listing the files of the repository'), () =>
    jobs.ask<RepositoryLanguages>(['prepare', '--repository', folder, '--languages']),
  );
  const total = languages.reduce((sum, { files }) => sum + files, 0);
  if (total === 0)
    throw new LoraError('usage', t('git tracks no source file in this folder.'), {
      place: { file: folder },
    });
  const rows = languages.map(({ id, name, files }) => ({
    label: name,
    description: t('files: {0}', files),
    id,
    files,
  }));
  const chosen = await pickRows(rows, ({ files }) => files >= total * USUAL_SHARE, {
    title: t('Train on This Repository: Languages'),
    placeHolder: t('Select the languages of the files to train on'),
  });
  return chosen && chosen.length > 0 ? chosen.map(({ id }) => id) : undefined;
}

const chooseOutput = (folder: string): Thenable<string | undefined> =>
  askText({
    title: t('Train on This Repository: Folder'),
    prompt: t('A new folder, to which the dataset and the recipe are written'),
    value: path.join(folder, FOLDER),
    validate: async (text) => {
      if (!path.isAbsolute(text)) return t('Enter the full path of a folder.');
      return (await pathExists(text)) ? t('{0} already exists.', text) : undefined;
    },
  });

/** Shows what was made and left out, until the user starts or opens it. */
async function offer(services: Services, prepared: PreparedRepository): Promise<void> {
  const { recipe, secrets } = prepared;
  const uri = vscode.Uri.file(recipe);
  const actions: Readonly<Record<string, string>> = {
    start: t('Start Training'),
    edit: t('Edit Recipe'),
    ...(secrets.length > 0 && { list: t('List Secrets') }),
  };
  const question = t('The dataset is ready. Start the training?');
  const answer = await choose(question, summaryOf(prepared), actions);
  const listed = vscode.Uri.file(path.join(path.dirname(recipe), SECRETS_FILE));
  await vscode.window.showTextDocument(answer === 'list' ? listed : uri, { preview: false });
  if (answer === 'start') await startOrQueue(services, uri);
}
